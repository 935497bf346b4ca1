"""Reproducing a run: it is trained again elsewhere, and its history and weights are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines import device as devices
from mlprun.errors import CheckpointError, InterruptedRunError, command_line
from mlprun.experiment import Experiment
from mlprun.storage import history
from mlprun.training.metadata import differences, record_of, trained_config, with_epochs, with_own_data
from mlprun.training.recorder import state_from
from mlprun.training.resuming import resume
from mlprun.training.run import start
from mlprun.training.trainer import emit
from mlprun.version import NUMERICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.storage.runs import RunFolder

    Tensors = Mapping[str, NDArray[Any]]

_ENDED = ("finished", "diverged")


@dataclass(frozen=True)
class Reproduction:
    """The result of training a run again.

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
    """the first logged epoch whose metrics differ"""
    differences: tuple[str, ...] = ()
    """what is recorded of the run and is not so now"""

    @property
    def largest(self) -> float:
        """The largest difference of all; 0 where every number is the same."""
        weights = (d for tensors in self.weights.values() for d in tensors.values())
        return max((*self.history.values(), *weights), default=0.0)


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
    update = {"engine": record["engine"]} | ({"trackers": ()} if config.trackers else {})
    config = with_own_data(config, folder).model_copy(update=update)
    experiment = Experiment.of(config)
    changes = differences(record, experiment, devices.resolve(config.device), everything=True)
    if (numerics := record.get("numerics", 1)) != NUMERICS:
        what = f"was trained with numerics {numerics}, and this version has {NUMERICS}: bytes may differ"
        emit(callbacks, "on_message", f"{folder.path} {what}")
    if experiment.digest() != record["data_digest"]:
        changes.append("the rows were others")
    if edited is not None:
        changes.append(edited)
        emit(callbacks, "on_message", f"warning: {edited}")
    changes += [f"when it was resumed: {difference}" for difference in status.differences]
    # to its first last epoch, which is evaluated and logged, and from there to each that it was extended to
    first, *later = (*status.extended, config.training.epochs)
    ended = start(replace(experiment, config=with_epochs(config, first)), out=out, callbacks=callbacks)
    for epochs in later:
        if ended.stopped == "finished":
            ended = resume(ended.folder, callbacks=callbacks, epochs=epochs, allow_code=allow_code)
    if ended.stopped == "interrupted":
        raise InterruptedRunError(
            folder.path,
            f"was reproduced up to epoch {ended.epoch} only",
            f"start {command_line('reproduce', folder.path)} again",
            signal_number=ended.signal_number or 2,
        )
    return _compare(folder, ended.folder, tuple(changes))


def _compare(then: RunFolder, now: RunFolder, changes: tuple[str, ...]) -> Reproduction:
    former, new = history.read(then.history), history.read(now.history)
    checkpoints = _checkpoints(then, now)
    equal = all(_bits(one) == _bits(other) for one, other in [(former, new), *checkpoints.values()])
    weights = {
        name: {tensor: d for tensor, d in sorted(_distances(*pair).items()) if tensor.startswith("model.")}
        for name, pair in checkpoints.items()
    }
    rows = len(former["epoch"]), len(new["epoch"])
    return Reproduction(
        now.path, equal, rows, _distances(former, new), weights, _first_difference(former, new), changes
    )


def _checkpoints(then: RunFolder, now: RunFolder) -> dict[str, tuple[Tensors, Tensors]]:
    """Return the recorded and the new tensors of the last epoch and, if dev rows chose one, of the best."""
    last = then.load_last()
    if last is None:
        raise CheckpointError(then.path, "has no checkpoint", "train it again with mlprun train")
    again = now.load_last()
    assert again is not None
    pairs = {"last": (last.checkpoint.tensors, again.checkpoint.tensors)}
    if state_from(last.checkpoint, last.path).state.progress.best_value is not None:
        pairs = {"best": (then.load_best().tensors, now.load_best().tensors), **pairs}
    return pairs


def _bits(arrays: Tensors) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()}


def _distances(one: Tensors, other: Tensors) -> dict[str, float]:
    return {name: _distance(one.get(name), other.get(name)) for name in {**one, **other}}


def _distance(one: NDArray[Any] | None, other: NDArray[Any] | None) -> float:
    """Return the largest difference of two arrays, relative for numbers beyond 1; NaN equals NaN."""
    if one is None or other is None or one.shape != other.shape:
        return math.inf
    a, b = one.astype(np.float64), other.astype(np.float64)
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    if equal.all():
        return 0.0
    a, b = a[~equal], b[~equal]
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(a - b) / np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    return float(np.where(np.isfinite(distance), distance, np.inf).max())


def _first_difference(former: Tensors, new: Tensors) -> int | None:
    """Return the first logged epoch whose row differs."""
    rows = min(len(former["epoch"]), len(new["epoch"]))
    differs = np.zeros(rows, bool)
    for name in former.keys() & new.keys():
        one, other = former[name][:rows].astype(float), new[name][:rows].astype(float)
        differs |= (one != other) & ~(np.isnan(one) & np.isnan(other))
    epochs = [*former["epoch"][:rows][differs], *former["epoch"][rows:], *new["epoch"][rows:]]
    return int(epochs[0]) if epochs else None
