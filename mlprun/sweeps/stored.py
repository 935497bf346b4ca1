"""A sweep as its folder keeps it, and whether it has every trial of another that was kept so."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mlprun import schema
from mlprun.config import ConfigStr
from mlprun.storage import canonical
from mlprun.sweeps import paths, space
from mlprun.sweeps.definition import Sweep

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mlprun.sweeps.definition import Definition


def beside(definition: Definition, out: str) -> str:
    """A folder beside the sweep's: as deep, so that paths relative to it hold whatever its number will be."""
    return os.path.join(out, definition.name)


def stored(definition: Definition, place: str) -> dict[str, Any]:
    """The sweep as its folder keeps it: the base written out, paths relative to the folder."""
    data = definition.document.data
    words = {key: _portable(value, key, place) for key, value in data.items() if key not in ("base", "name")}
    for key, draw in data.get("random", {}).items():
        words["random"][key] = {kind: _portable(value, key, place) for kind, value in draw.items()}
    return {"name": definition.name, "base": schema.explicit_values(definition.base, place), **words}


def _portable(value: Any, key: str, place: str) -> Any:
    """A value of a sweep file as JSON; the values of parameters that are paths are relative to `place`."""
    if isinstance(value, dict):
        return {inner: _portable(item, inner, place) for inner, item in value.items()}
    if isinstance(value, tuple):
        return [_portable(item, key, place) for item in value]
    if isinstance(value, ConfigStr):
        path = os.path.join(value.folder, value)
        return os.path.relpath(path, place) if paths.is_path(key) else str(value)
    return value


def digest_of(words: Mapping[str, Any]) -> str:
    """What two sweeps with the same trials have in common."""
    free = _free(words.get("search"), words.get("objective") or {})
    return canonical.digest({key: value for key, value in words.items() if key not in free})


def _free(searched: Mapping[str, Any] | None, objective: Mapping[str, Any]) -> set[str]:
    """The keys that do not say which trials there are: where something goes by the objective, that does."""
    if searched is None or (searched.get("name") == "random" and searched.get("pruner") is None):
        return {"name", "objective", "success"}
    return {"name"} if objective.get("aggregate") == "success" else {"name", "success"}


def contains(now: Mapping[str, Any], then: Mapping[str, Any], first: int) -> bool:
    """Whether a sweep has every trial of another; counted seeds begin with `first`."""
    try:
        one, other = _read(now), _read(then)
    except ValidationError:  # of another version of mlprun
        return False
    return (
        canonical.digest(now.get("base")) == canonical.digest(then.get("base"))
        and _rest(one) == _rest(other)
        and _has_seeds(one.seeds, other.seeds, first)
        and _has_settings(one, other)
    )


def _read(words: Mapping[str, Any]) -> Sweep:
    return Sweep.model_validate_json(json.dumps({**words, "base": None}))


def _rest(sweep: Sweep) -> str:
    """All that must be equal."""
    searched = None if sweep.search is None else sweep.search.model_dump()
    free = _free(searched, sweep.objective.model_dump())
    counted = dict.fromkeys((*free, "base", "seeds", "grid", "paired", "trials"), True)
    return canonical.encode(sweep.model_dump(exclude={**counted, "search": {"trials"}}))


def _has_seeds(now: int | tuple[int, ...], then: int | tuple[int, ...], first: int) -> bool:
    if isinstance(now, int) and isinstance(then, int):
        return now >= then
    every: Collection[int] = range(first, first + now) if isinstance(now, int) else frozenset(now)
    return all(seed in every for seed in (range(first, first + then) if isinstance(then, int) else then))


def _has_settings(now: Sweep, then: Sweep) -> bool:
    if now.grid.keys() != then.grid.keys() or now.paired.keys() != then.paired.keys():
        return False
    if paths.lists(now) or paths.lists(then):  # whose values are told apart by their places alone
        return _space(now) == _space(then)
    return (
        all(_texts(values) >= _texts(then.grid[key]) for key, values in now.grid.items())
        and _pairs(now.paired) >= _pairs({key: then.paired[key] for key in now.paired})
        and space.draws(now) >= space.draws(then)
    )


def _space(sweep: Sweep) -> str:
    return canonical.encode(sweep.model_dump(include={"grid", "paired", "trials", "search"}))


def _texts(values: tuple[Any, ...]) -> set[str]:
    return set(map(canonical.encode, values))


def _pairs(paired: Mapping[str, tuple[Any, ...]]) -> Counter[str]:
    return Counter(map(canonical.encode, zip(*paired.values(), strict=True)))
