"""Trials of a cohort that are in the middle, as its file keeps them: in a few arrays, however many they are.

A checkpoint file holds so many arrays and so large a header. A cohort whose trials all wait at a rung would
need a dozen arrays for each of a thousand trials, and their figures would fill the header. So the values of
all arrays of one type lie in one, trial after trial, and what is said of trials is JSON in an array of bytes:

    told                uint8: JSON; of each trial what is no array, and which of the `forms` its arrays have
    middle.float32      the values of all float32 arrays, and so on by type; a form says names and shapes
    middle.history      [rows of all, columns] float64; `rows` in the JSON says how many are each trial's
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines import Progress, State
from mlprun.storage import canonical
from mlprun.sweeps.outcome import Standing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

_PARTS = ("model", "slots", "best")


def encode(ended: Sequence[Any], standings: Sequence[Standing], width: int) -> dict[str, NDArray[Any]]:
    """The arrays for trials in the middle, with what is said of those that have ended, plain values.

    `width` is the number of columns of a history.
    """
    told: dict[str, Any] = {"ended": ended, "running": [], "forms": [], "optimizers": []}
    values: dict[str, list[NDArray[Any]]] = {}
    for one in standings:
        arrays = _arrays(one)
        form = [[name, array.dtype.name, list(array.shape)] for name, array in arrays.items()]
        told["running"].append(
            {
                "trial": one.trial,
                "form": _index(told["forms"], form),
                "optimizer": _index(told["optimizers"], one.state.optimizer_meta),
                "rows": len(one.history),
                "epoch": one.state.epoch,
                "progress": one.state.progress.to_json(),
                "best_epoch": one.best_epoch,
                "seconds": one.seconds,
                "figures": one.figures,
            }
        )
        for array in arrays.values():
            values.setdefault(array.dtype.name, []).append(array.ravel())
    histories = [np.zeros((0, width)), *(one.history for one in standings)]
    return {
        "told": np.frombuffer(canonical.encode(told).encode(), np.uint8),
        "middle.history": np.concatenate(histories),
        **{f"middle.{kind}": np.concatenate(pieces) for kind, pieces in values.items()},
    }


def ended(tensors: Arrays) -> list[Any]:
    """What is said of the trials that have ended."""
    said: list[Any] = _told(tensors)["ended"]
    return said


def standings(tensors: Arrays) -> list[Standing]:
    """The trials that are in the middle. Raises KeyError, TypeError and ValueError for what none wrote."""
    told, begins = _told(tensors), dict[str, int]()
    row, found = 0, list[Standing]()
    for one in told["running"]:
        arrays = dict(_cut(tensors, told["forms"][one["form"]], begins))
        model, slots, best = ({name: a for (of, name), a in arrays.items() if of == part} for part in _PARTS)
        optimizer, progress = told["optimizers"][one["optimizer"]], Progress.from_json(one["progress"])
        state = State(one["epoch"], model, slots, optimizer, progress)
        history = tensors["middle.history"][row : row + one["rows"]]
        row += one["rows"]
        seconds, figures = one["seconds"], one["figures"]
        found.append(
            Standing(one["trial"], state, history, one["best_epoch"], best or None, seconds, figures)
        )
    return found


def _arrays(one: Standing) -> dict[str, NDArray[Any]]:
    parts = zip(_PARTS, (one.state.model, one.state.optimizer_state, one.best or {}), strict=True)
    return {f"{part}.{name}": np.asarray(array) for part, arrays in parts for name, array in arrays.items()}


def _cut(
    tensors: Arrays, form: Sequence[Any], begins: dict[str, int]
) -> Iterator[tuple[tuple[str, str], NDArray[Any]]]:
    """The next trial's arrays by part and name; `begins` says by type where they begin."""
    for path, kind, shape in form:
        part, _, name = path.partition(".")
        begin = begins.get(kind, 0)
        end = begins[kind] = begin + int(np.prod(shape, dtype=np.int64))
        yield (part, name), tensors[f"middle.{kind}"][begin:end].reshape(shape)


def _index(kinds: list[Any], one: Any) -> int:
    """The place of what is equal in a list, added where there is nothing equal: trials differ in little."""
    if one not in kinds:
        kinds.append(one)
    return kinds.index(one)


def _told(tensors: Arrays) -> dict[str, Any]:
    said: dict[str, Any] = canonical.decode(tensors["told"].tobytes().decode())
    return said
