"""Checkpoints changed on purpose and signed again: their checksum is true, and what they say is not."""

from __future__ import annotations

import copy
import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.storage import checkpoints
from mlprun.storage.checkpoints import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Arrays = dict[str, "NDArray[Any]"]

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    2**63,
    -(2**70),
    10**400,
    0.5,
    -0.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "nan",
    "model.layers.0.weight",
    [],
    [None],
    [[]],
    [1, 2],
    {},
    {"x": 1},
    {"array": "x"},
    {"of": {}},
    {"of": None},
    {"array": ["x"]},
)


def forge(path: str, change: Callable[[Arrays, dict[str, Any]], None]) -> None:
    """Change arrays and metadata of the checkpoint at `path` in place, and sign it."""
    checkpoint = checkpoints.read(path)
    arrays, meta = dict(checkpoint.tensors), copy.deepcopy(dict(checkpoint.meta))
    change(arrays, meta)
    data = checkpoints.encode(Checkpoint(arrays, meta))
    with open(path, "wb") as file:
        file.write(data)


def at_random(arrays: Arrays, meta: dict[str, Any], chance: random.Random) -> str:
    """Change one to three things; what was done, in words."""
    done = []
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        if arrays and chance.random() < 0.5:
            done.append(_array(arrays, chance))
        else:
            done.append(_value(meta, chance))
    return "; ".join(done)


def _array(arrays: Arrays, chance: random.Random) -> str:
    name = chance.choice(sorted(arrays))
    what = chance.choice(sorted(WAYS))
    made = WAYS[what](arrays[name], chance)
    if made is None:
        del arrays[name]
        if what == "renamed":
            arrays[chance.choice([f"{name}x", "x", "model.x", "optimizer.0.x.y", "snapshot.x.y"])] = np.ones(
                2
            )
    else:
        arrays[name] = made
    return f"{name} {what}"


def _filled(number: float) -> Callable[[NDArray[Any], random.Random], NDArray[Any]]:
    return lambda array, _: np.full_like(array, number) if array.dtype.kind == "f" else array * 0 - 1


WAYS: dict[str, Callable[[NDArray[Any], random.Random], NDArray[Any] | None]] = {
    "removed": lambda *_: None,
    "renamed": lambda *_: None,
    "of another type": lambda array, chance: np.clip(np.nan_to_num(array), 0, 100).astype(
        chance.choice([t for t in ("f4", "f8", "i8", "u1", "b1") if t != array.dtype.str[1:]])
    ),
    "flat": lambda array, _: array.reshape(1, -1),
    "turned": lambda array, _: array.T if array.ndim > 1 else array.reshape(-1, 1),
    "longer": lambda array, _: np.concatenate([array.ravel(), array.ravel()]),
    "empty": lambda array, _: array.ravel()[:0],
    "one number": lambda array, _: np.asarray(array.ravel()[:1].sum(), array.dtype),
    "nan": _filled(float("nan")),
    "inf": _filled(float("inf")),
    "negative": _filled(-3.0),
    "huge": _filled(1e38),
    "noise": lambda array, chance: (
        np.random.default_rng(chance.randrange(2**32)).normal(size=array.shape).astype(array.dtype)
    ),
}


def _value(meta: dict[str, Any], chance: random.Random) -> str:
    """Replace, remove or add one value; the config is left alone, since its digest vouches for it."""
    places = _places({key: value for key, value in meta.items() if key != "config"})
    path = chance.choice(places)
    owner: Any = meta
    for key in path[:-1]:
        owner = owner[key]
    action, given = chance.randrange(8), copy.deepcopy(chance.choice(VALUES))
    if action == 0 and isinstance(owner, dict):
        del owner[path[-1]]
        return f"{path} removed"
    if action == 1 and isinstance(owner, dict):
        owner[chance.choice(["x", "of", "array", "step", "epoch"])] = given
        return f"{path[:-1]} with more: {given!r:.40}"
    if action == 2 and isinstance(owner, list):
        owner.append(copy.deepcopy(owner[path[-1]]))
        return f"{path} again"
    if action == 3:
        other: Any = meta
        for key in chance.choice(places):
            other = other[key]
        given = json.loads(json.dumps(other))
    owner[path[-1]] = given
    return f"{path} = {given!r:.40}"


def _places(tree: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a tree of mappings and lists."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    return [place for key in keys for place in ((*above, key), *_places(tree[key], (*above, key)))]
