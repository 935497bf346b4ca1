"""A run trained again elsewhere, and how far its history and its weights are from the recorded ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines import device as devices
from mlprun.errors import CheckpointError, InterruptedRunError, command_line
from mlprun.experiment import Experiment
from mlprun.storage import history
from mlprun.training.metadata import differences, record_of, trained_config
from mlprun.training.recorder import state_from
from mlprun.training.resuming import resume
from mlprun.training.run import start
from mlprun.training.trainer import emit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.storage.checkpoints import Checkpoint
    from mlprun.storage.runs import RunFolder
    from mlprun.training.run import TrainResult

_ENDED = ("finished", "diverged")


@dataclass(frozen=True)
class Reproduction:
    """What came of training a run again.

    `history` and `weights` give, for each column and for each tensor of the best and the last epoch, the
    largest difference: |a - b| / max(1, |a|, |b|), infinite where only one of the two has such a number.
    """

    path: str
    """the new run's folder"""
    equal: bool
    """whether history and every tensor are the same, to the byte"""
    rows: tuple[int, int]
    """of the history, recorded and now"""
    history: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    first_epoch: int | None = None
    """the first logged epoch whose figures are others"""
    differences: tuple[str, ...] = ()
    """what is recorded of the run and is not so now"""

    @property
    def largest(self) -> float:
        """The largest difference of all; 0 where every number is the same."""
        found = (*self.history.values(), *(d for tensors in self.weights.values() for d in tensors.values()))
        return max(found, default=0.0)


def reproduce(
    folder: RunFolder, *, out: str, callbacks: Sequence[Any] = (), allow_code: bool = False
) -> Reproduction:
    """Train a run again in a new folder below `out`, and compare the two.

    Raises CheckpointError for a run that has not ended or lacks a part, and what training raises.
    """
    record, status = record_of(folder), folder.status()
    if status.state not in _ENDED:
        what = f"has not come to its end: it is {status.state}"
        raise CheckpointError(folder.path, what, f"finish it with {command_line('resume', folder.path)}")
    config, edited = trained_config(folder, allow_code=allow_code)
    config = config.model_copy(update={"engine": record["engine"]})
    experiment = Experiment.of(config)
    found = differences(record, experiment, devices.resolve(config.device), everything=True)
    if experiment.digest() != record["data_digest"]:
        found.append("the rows were others")
    if edited is not None:
        found.append(edited)
        emit(callbacks, "on_message", f"warning: {edited}")
    found += [f"when it was resumed: {difference}" for difference in status.differences]
    ended = _trained(experiment, status.extended, out=out, callbacks=callbacks, allow_code=allow_code)
    if ended.stopped == "interrupted":
        raise InterruptedRunError(
            folder.path,
            f"was reproduced up to epoch {ended.epoch} only",
            f"start {command_line('reproduce', folder.path)} again",
            signal_number=ended.signal_number or 2,
        )
    return _compared(folder, ended.folder, tuple(found))


def _trained(
    experiment: Experiment,
    extended: tuple[int, ...],
    *,
    out: str,
    callbacks: Sequence[Any] = (),
    allow_code: bool,
) -> TrainResult:
    """Train a run as it was trained: to its first last epoch, and from there to each one it was extended to.

    A last epoch is evaluated and logged whatever `evaluate_every` says, so it leaves a trace.
    """
    config = experiment.config
    first, *later = (*extended, config.training.epochs)
    training = config.training.model_copy(update={"epochs": first})
    began = replace(experiment, config=config.model_copy(update={"training": training}))
    ended = start(began, out=out, callbacks=callbacks)
    for epochs in later:
        if ended.stopped != "finished":
            break
        ended = resume(ended.folder, callbacks=callbacks, epochs=epochs, allow_code=allow_code)
    return ended


def _compared(then: RunFolder, now: RunFolder, found: tuple[str, ...]) -> Reproduction:
    was, is_ = history.read(then.history), history.read(now.history)
    figures = {name: _apart(was.get(name), is_.get(name)) for name in {**was, **is_}}
    weights, same = {}, _bits(was) == _bits(is_)
    for name, one, other in _checkpoints(then, now):
        weights[name] = {
            tensor: _apart(one.get(tensor), other.get(tensor)) for tensor in sorted({**one, **other})
        }
        same = same and _bits(one) == _bits(other)
    return Reproduction(
        now.path,
        same,
        (_rows(was), _rows(is_)),
        figures,
        {
            name: {k: d for k, d in tensors.items() if k.startswith("model.")}
            for name, tensors in weights.items()
        },
        _first_epoch(was, is_),
        found,
    )


def _checkpoints(then: RunFolder, now: RunFolder) -> list[tuple[str, Any, Any]]:
    """The tensors of the last and, where dev rows chose one, of the best epoch; recorded and now."""
    last = then.load_last()
    if last is None:
        raise CheckpointError(then.path, "has no checkpoint", "train it again with mlprun train")
    again = now.load_last()
    assert again is not None
    pairs: list[tuple[str, Checkpoint, Checkpoint]] = [("last", last.checkpoint, again.checkpoint)]
    if state_from(last.checkpoint, last.path).state.progress.best_value is not None:
        pairs.insert(0, ("best", then.load_best(), now.load_best()))
    return [(name, dict(one.tensors), dict(other.tensors)) for name, one, other in pairs]


def _rows(table: Mapping[str, NDArray[Any]]) -> int:
    return len(next(iter(table.values()), ()))


def _bits(arrays: Mapping[str, NDArray[Any]]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()}


def _apart(one: NDArray[Any] | None, other: NDArray[Any] | None) -> float:
    """The largest difference of two arrays of numbers, relative where they are beyond 1; NaN equals NaN."""
    if one is None or other is None or one.shape != other.shape:
        return math.inf
    a, b = one.astype(np.float64), other.astype(np.float64)
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    if equal.all():
        return 0.0
    a, b = a[~equal], b[~equal]
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(a - b) / np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    return float(np.where(np.isfinite(apart), apart, np.inf).max())


def _first_epoch(was: Mapping[str, NDArray[Any]], is_: Mapping[str, NDArray[Any]]) -> int | None:
    rows = min(_rows(was), _rows(is_))
    for row in range(rows):
        if any(
            _apart(was[name][row : row + 1], is_[name][row : row + 1]) for name in was.keys() & is_.keys()
        ):
            return int(was["epoch"][row])
    if _rows(was) == _rows(is_):
        return None
    longer = was if _rows(was) > rows else is_
    return int(longer["epoch"][rows])
