"""Results of trials, and the files that keep the histories and weights of a cohort's trials.

The file of a cohort is a checkpoint file (safetensors, with a checksum over every byte) with these arrays:

    trials                     [M] int64: trial ids by position in the cohort
    history                    [rows of all, columns] float64; `columns` in the metadata, nan is no value
    history.ends               [M] int64: where each trial's rows end; they begin where the one before ends
    form                       [M] int64: the group of trials with equal parameter shapes, -1 if it failed
    place                      [M] int64: the index among the trials of that form
    0.last.layers.0.weight     [trials of form 0, ...]: the newest weights of each, by parameter name
    0.best.layers.0.weight     the same of the best epoch, if dev rows choose one

While a cohort is trained, a partial file beside it holds the same of the trials that have ended so far, and
the checkpoints of those that have not. A checkpoint file is limited in arrays and header, so a dozen arrays
for each of a thousand trials would not fit. The values of all arrays of one dtype are concatenated, and what
is not an array is JSON in an array of bytes:

    told                uint8: JSON; `ended` and `running` trials, and the `forms` (names, dtypes and shapes)
    middle.float32      the values of all float32 arrays, and so on by dtype
    middle.history      [rows of all, columns] float64; `rows` in the JSON is the number of each trial's rows
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun import files
from mlprun.engines import Progress, State
from mlprun.errors import CheckpointError
from mlprun.storage import canonical, checkpoints
from mlprun.storage.checkpoints import Checkpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.sweeps.schema import Trial, TrialStatus

Weights = Mapping[str, "NDArray[Any]"]

_RESTORE = "restore it from a copy, or remove it and run the same sweep again, which trains its trials anew"
_MISSING = "restore it from a copy, or run the same sweep again, which trains its trials anew"
_PLAIN_FIELDS = ("trial", "status", "epochs", "best_epoch", "seconds", "error", "figures")
_ARRAYS = ("model", "slots", "best")


@dataclass(frozen=True, eq=False)
class TrialResult:
    """The result of a trial, or its checkpoint while it has not ended.

    A trial that has not ended is `paused` (it was stopped, or waits for the decision of a pruner) or
    `out_of_memory`, and has a `state` unless it was never begun. `history` is [rows, columns] float64, nan
    where dev was not evaluated or a metric is nan; `best` and `last` are the weights by name.
    """

    trial: int
    status: TrialStatus | Literal["paused", "out_of_memory"]
    epochs: int = 0
    best_epoch: int | None = None
    seconds: float = 0.0
    error: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    history: NDArray[Any] | None = None
    best: Weights | None = None
    last: Weights | None = None
    state: State | None = None

    @property
    def has_ended(self) -> bool:
        """Return True if the trial is over."""
        return self.status not in ("paused", "out_of_memory")


def encode(results: Sequence[TrialResult], columns: Sequence[str], digest: str) -> bytes:
    """Return the file of a cohort that has ended; equal results give equal bytes.

    `columns` are those of the histories, `digest` is the sweep's.
    """
    return checkpoints.encode(_stack(results, columns, digest))


def encode_partial(results: Sequence[TrialResult], columns: Sequence[str], digest: str) -> bytes:
    """Return the partial file of a cohort: the trials that have ended, and checkpoints of the others."""
    ended = [one for one in results if one.has_ended]
    stacked = _stack(ended, columns, digest)
    record: dict[str, Any] = {
        "ended": [{name: getattr(one, name) for name in _PLAIN_FIELDS} for one in ended],
        "running": [],
        "forms": [],
        "optimizers": [],
    }
    values: dict[str, list[NDArray[Any]]] = {}
    histories = [np.zeros((0, len(columns)))]
    for one in results:
        if one.state is None:
            continue
        assert one.history is not None
        state, arrays = one.state, _checkpoint_arrays(one)
        form = [[name, array.dtype.name, list(array.shape)] for name, array in arrays.items()]
        record["running"].append(
            {
                "trial": one.trial,
                "form": _index(record["forms"], form),
                "optimizer": _index(record["optimizers"], state.optimizer_meta),
                "rows": len(one.history),
                "epoch": state.epoch,
                "progress": state.progress.to_json(),
                "best_epoch": one.best_epoch,
                "seconds": one.seconds,
                "figures": one.figures,
            }
        )
        histories.append(one.history)
        for array in arrays.values():
            values.setdefault(array.dtype.name, []).append(array.ravel())
    tensors = {
        **stacked.tensors,
        "told": np.frombuffer(canonical.encode(record).encode(), np.uint8),
        "middle.history": np.concatenate(histories),
        **{f"middle.{dtype}": np.concatenate(pieces) for dtype, pieces in values.items()},
    }
    return checkpoints.encode(Checkpoint(tensors, stacked.meta))


def _stack(results: Sequence[TrialResult], columns: Sequence[str], digest: str) -> Checkpoint:
    forms: dict[tuple[Any, ...], list[TrialResult]] = {}
    placed: list[tuple[int, int]] = []
    for one in results:
        if one.last is None:
            placed.append((-1, -1))
            continue
        # sorted, since arrays read from a file come in another order
        shapes = tuple(sorted((name, array.shape) for name, array in one.last.items()))
        key = shapes, one.best is not None
        group = forms.setdefault(key, [])
        placed.append((list(forms).index(key), len(group)))
        group.append(one)
    rows = [np.zeros((0, len(columns))) if one.history is None else one.history for one in results]
    tensors: dict[str, NDArray[Any]] = {
        "trials": np.array([one.trial for one in results], np.int64),
        "history": np.concatenate([np.zeros((0, len(columns))), *rows]),
        "history.ends": np.cumsum([len(piece) for piece in rows], dtype=np.int64),
        "form": np.array([form for form, _ in placed], np.int64),
        "place": np.array([place for _, place in placed], np.int64),
    }
    for number, group in enumerate(forms.values()):
        for kind in ("last", "best"):
            for name in getattr(group[0], kind) or ():
                stack = np.stack([np.asarray(getattr(one, kind)[name]) for one in group])
                tensors[f"{number}.{kind}.{name}"] = stack
    meta = {"kind": "cohort", "sweep": digest, "columns": list(columns), "forms": len(forms)}
    return Checkpoint(tensors, meta)


def _checkpoint_arrays(one: TrialResult) -> dict[str, NDArray[Any]]:
    assert one.state is not None
    groups = zip(_ARRAYS, (one.state.model, one.state.optimizer_state, one.best or {}), strict=True)
    return {
        f"{group}.{name}": np.asarray(array) for group, arrays in groups for name, array in arrays.items()
    }


def _index(values: list[Any], value: Any) -> int:
    """Return the index of a value in a list, appended if it is not there: trials differ in little."""
    if value not in values:
        values.append(value)
    return values.index(value)


@dataclass(frozen=True, eq=False)
class CohortFile:
    """The content of a cohort's file; `read` makes these."""

    path: str
    checkpoint: Checkpoint

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the history's columns."""
        return tuple(self.checkpoint.meta["columns"])

    @cached_property
    def trials(self) -> list[int]:
        """Trial ids by position."""
        numbers: list[int] = self.checkpoint.tensors["trials"].tolist()
        return numbers

    def history(self, member: int) -> NDArray[Any]:
        """Return [rows, columns] of the trial at a position. Raises CheckpointError if there is none."""
        if member >= len(self.trials):
            raise CheckpointError(self.path, f"is damaged: it has no trial at place {member}", _RESTORE)
        ends = self.checkpoint.tensors["history.ends"]
        begin = int(ends[member - 1]) if member else 0
        return self.checkpoint.tensors["history"][begin : int(ends[member])]

    def best(self, member: int) -> Weights | None:
        """Return the weights of the best epoch of the trial at a position; None without dev rows."""
        return self._weights(member, "best")

    def last(self, member: int) -> Weights | None:
        """Return the newest weights of the trial at a position; None if it failed."""
        return self._weights(member, "last")

    def _weights(self, member: int, kind: str) -> Weights | None:
        form, place = (int(self.checkpoint.tensors[name][member]) for name in ("form", "place"))
        stacks = self.checkpoint.under(f"{form}.{kind}.")
        return {name: stack[place] for name, stack in stacks.items()} or None

    def result(self, trial: Trial) -> TrialResult:
        """Return the result of a trial of the database. Raises CheckpointError if it is not in the file."""
        member = trial.member
        if member is None or self.trials[member : member + 1] != [trial.id]:
            raise CheckpointError(self.path, f"is damaged: it does not hold trial {trial.id}", _RESTORE)
        return TrialResult(
            trial.id,
            trial.status,
            trial.epochs or 0,
            trial.best_epoch,
            trial.seconds or 0.0,
            trial.error,
            {name: math.nan if value is None else value for name, value in trial.figures.items()},
            self.history(member),
            self.best(member),
            self.last(member),
        )

    @cached_property
    def partial_results(self) -> list[TrialResult]:
        """The trials of a partial file, those that have ended first. Raises CheckpointError."""
        try:
            record = canonical.decode(self.checkpoint.tensors["told"].tobytes())
            ended = [
                TrialResult(
                    **one, history=self.history(member), best=self.best(member), last=self.last(member)
                )
                for member, one in enumerate(record["ended"])
            ]
            return [*map(_checked, ended), *map(_checked, self._checkpoints(record))]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise CheckpointError(self.path, f"is damaged: {error}", _RESTORE) from error

    def _checkpoints(self, record: Mapping[str, Any]) -> Iterator[TrialResult]:
        tensors = self.checkpoint.tensors
        offsets: dict[str, int] = {}
        row = 0
        for one in record["running"]:
            groups: dict[str, dict[str, NDArray[Any]]] = {group: {} for group in _ARRAYS}
            for path, dtype, shape in record["forms"][one["form"]]:
                begin = offsets.get(dtype, 0)
                end = offsets[dtype] = begin + math.prod(shape)
                group, _, name = path.partition(".")
                groups[group][name] = tensors[f"middle.{dtype}"][begin:end].reshape(shape)
            model, slots, best = groups.values()
            optimizer, progress = record["optimizers"][one["optimizer"]], Progress.from_json(one["progress"])
            state = State(one["epoch"], model, slots, optimizer, progress)
            history = tensors["middle.history"][row : row + one["rows"]]
            row += one["rows"]
            yield TrialResult(
                one["trial"],
                "paused",
                state.epoch,
                one["best_epoch"],
                one["seconds"],
                None,
                one["figures"],
                history,
                best or None,
                state=state,
            )


def _checked(one: TrialResult) -> TrialResult:
    """Return a result read from JSON. Raises ValueError for values of a wrong type."""
    counts = one.trial, one.epochs, 0 if one.best_epoch is None else one.best_epoch
    if (
        not all(type(count) is int and 0 <= count < 2**53 for count in counts)
        or not isinstance(one.status, str)
        or not isinstance(one.seconds, int | float)
        or not (one.seconds >= 0 and math.isfinite(one.seconds))
        or not isinstance(one.error, str | None)
        or not isinstance(one.figures, dict)
        or not all(type(value) in (int, float) for value in one.figures.values())
    ):
        raise ValueError(f"trial {one.trial!r} has a value of a wrong type")
    return one


def read(path: str, digest: str | None = None) -> CohortFile:
    """Read the file of a cohort of the sweep with this digest, if given.

    Raises CheckpointError for a damaged file, and for one of another sweep.
    """
    try:
        checkpoint = checkpoints.read(path, follow=False)
    except CheckpointError as error:
        if error.remedy == checkpoints.NEWER:
            raise
        # other remedies are for a run's checkpoint; a sweep trains a cohort again only if its file is gone
        is_gone = files.kind(path) is None
        raise CheckpointError(path, error.what, _MISSING if is_gone else _RESTORE) from error
    if checkpoint.meta.get("kind") != "cohort":
        raise CheckpointError(path, "is not the file of a cohort", _RESTORE)
    if digest is not None and checkpoint.meta.get("sweep") != digest:
        raise CheckpointError(path, "is of another sweep", _RESTORE)
    try:
        _check(checkpoint)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(path, f"is damaged: {error}", _RESTORE) from error
    return CohortFile(path, checkpoint)


def _check(checkpoint: Checkpoint) -> None:
    """Raise an error for what no cohort's file has, though its checksum is right."""
    tensors, columns = checkpoint.tensors, checkpoint.meta["columns"]
    if not all(isinstance(name, str) for name in columns):
        raise ValueError("its columns are not names")
    count, rows = len(tensors["trials"]), len(tensors["history"])
    integers = ("trials", "history.ends", "form", "place")
    expected: dict[str, tuple[Any, tuple[int, ...]]] = dict.fromkeys(integers, (np.int64, (count,)))
    expected["history"] = np.float64, (rows, len(columns))
    if "middle.history" in tensors:
        expected["middle.history"] = np.float64, (len(tensors["middle.history"]), len(columns))
    for name, (dtype, shape) in expected.items():
        if tensors[name].dtype != dtype or tensors[name].shape != shape:
            raise ValueError(f"{name} has another type or shape")
    ends = np.concatenate([[0], tensors["history.ends"]])
    form, place = tensors["form"], tensors["place"]
    is_sound = np.all(np.diff(ends) >= 0) and ends[-1] == rows and np.all((form >= -1) & (form < count))
    sizes = np.bincount(form[form >= 0] if is_sound else [], minlength=count)
    if not is_sound or np.any((form >= 0) & ((place < 0) | (place >= sizes[form]))):
        raise ValueError("its trials and arrays do not match")
    for name, stack in tensors.items():
        prefix, _, rest = name.partition(".")
        if rest.startswith(("last.", "best.")) and prefix.isdecimal() and len(stack) != sizes[int(prefix)]:
            raise ValueError(f"{name} is not an array for each trial of its form")
