"""The file of a cohort: curves and weights of all its trials, stacked, with a checksum over every byte.

It is a checkpoint file (safetensors) with these arrays:

    trials                     [M] int64: trial numbers by place
    history                    [rows of all, columns] float64; `columns` in the metadata, nan is no value
    history.ends               [M] int64: where each trial's rows end; they begin where the one before ends
    form                       [M] int64: which of the forms in the metadata a trial's weights have
    place                      [M] int64: its place among the trials of that form
    0.last.layers.0.weight     [trials of form 0, ...]: the newest weights of each, by parameter name
    0.best.layers.0.weight     the same of the best epoch, where dev rows choose one

A trial that failed has no rows and form -1. While a cohort is trained, what stands so far lies beside it in
a file of the same kind that holds those in the middle too, see `middle`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun import files
from mlprun.errors import CheckpointError
from mlprun.storage import checkpoints
from mlprun.storage.checkpoints import Checkpoint
from mlprun.sweeps import middle
from mlprun.sweeps.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from mlprun.sweeps.outcome import Standing
    from mlprun.sweeps.schema import Trial

_RESTORE = "restore it from a copy, or remove it and run the same sweep again, which trains its trials anew"
_LOST = "restore it from a copy, or run the same sweep again, which trains its trials anew"
_TOLD = ("trial", "status", "epochs", "best_epoch", "seconds", "error", "figures")


def encode(outcomes: Sequence[Outcome], columns: Sequence[str], digest: str) -> bytes:
    """The file of a cohort that has ended; equal outcomes give equal bytes. `digest` is the sweep's."""
    return checkpoints.encode(_stacked(outcomes, columns, digest))


def encode_partial(
    outcomes: Sequence[Outcome], standings: Sequence[Standing], columns: Sequence[str], digest: str
) -> bytes:
    """The file of a cohort that has not: trials that have ended, and those that are in the middle."""
    ended = [{name: getattr(one, name) for name in _TOLD} for one in outcomes]
    made = _stacked(outcomes, columns, digest)
    return checkpoints.encode(
        Checkpoint({**made.tensors, **middle.encode(ended, standings, len(columns))}, made.meta)
    )


def _stacked(outcomes: Sequence[Outcome], columns: Sequence[str], digest: str) -> Checkpoint:
    forms: dict[tuple[Any, ...], list[Outcome]] = {}
    placed: list[tuple[int, int]] = []
    for one in outcomes:
        if one.last is None:
            placed.append((-1, -1))
            continue
        # sorted, since what was read from a file has its names in another order
        shapes = tuple(sorted((name, array.shape) for name, array in one.last.items()))
        alike = forms.setdefault((shapes, one.best is not None), [])
        placed.append((list(forms).index((shapes, one.best is not None)), len(alike)))
        alike.append(one)
    rows = [np.zeros((0, len(columns))) if one.history is None else one.history for one in outcomes]
    tensors: dict[str, NDArray[Any]] = {
        "trials": np.array([one.trial for one in outcomes], np.int64),
        "history": np.concatenate([np.zeros((0, len(columns))), *rows]),
        "history.ends": np.cumsum([len(piece) for piece in rows], dtype=np.int64),
        "form": np.array([form for form, _ in placed], np.int64),
        "place": np.array([place for _, place in placed], np.int64),
    }
    for number, alike in enumerate(forms.values()):
        for kind in ("last", "best"):
            for name in getattr(alike[0], kind) or ():
                stack = np.stack([np.asarray(getattr(one, kind)[name]) for one in alike])
                tensors[f"{number}.{kind}.{name}"] = stack
    meta = {"kind": "cohort", "sweep": digest, "columns": list(columns), "forms": len(forms)}
    return Checkpoint(tensors, meta)


@dataclass(frozen=True, eq=False)
class CohortFile:
    """A cohort's file that was read."""

    path: str
    checkpoint: Checkpoint

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the history's columns."""
        return tuple(self.checkpoint.meta["columns"])

    @cached_property
    def trials(self) -> list[int]:
        """Trial numbers by place."""
        numbers: list[int] = self.checkpoint.tensors["trials"].tolist()
        return numbers

    def history(self, member: int) -> NDArray[Any]:
        """[rows, columns] of the trial at a place; nan is no value. Raises CheckpointError."""
        if member >= len(self.trials):
            raise CheckpointError(self.path, f"is damaged: it has no trial at place {member}", _RESTORE)
        ends = self.checkpoint.tensors["history.ends"]
        begin = int(ends[member - 1]) if member else 0
        return self.checkpoint.tensors["history"][begin : int(ends[member])]

    def curve(self, column: str) -> list[NDArray[Any]]:
        """One column of every trial's history, by place."""
        index = self.columns.index(column)
        return [self.history(member)[:, index] for member in range(len(self.trials))]

    def best(self, member: int) -> dict[str, NDArray[Any]] | None:
        """The weights of the best epoch of the trial at a place; None where no dev rows chose one."""
        return self._weights(member, "best") or None

    def last(self, member: int) -> dict[str, NDArray[Any]] | None:
        """The newest weights of the trial at a place; None of one that failed."""
        return self._weights(member, "last") or None

    def _weights(self, member: int, kind: str) -> dict[str, NDArray[Any]]:
        tensors = self.checkpoint.tensors
        form, place = int(tensors["form"][member]), int(tensors["place"][member])
        stacks = self.checkpoint.under(f"{form}.{kind}.")
        return {name: stack[place] for name, stack in stacks.items()}

    def outcomes(self, trials: Iterable[Trial]) -> list[Outcome]:
        """How trials of the cohort came out, as the database has them. Raises ValueError for others."""
        return [self._outcome(one) for one in trials]

    def _outcome(self, one: Trial) -> Outcome:
        member = one.member
        if member is None or self.trials[member] != one.id:
            raise ValueError(f"{self.path} does not hold trial {one.id}")
        return Outcome(
            one.id,
            one.status,
            one.epochs or 0,
            one.best_epoch,
            one.seconds or 0.0,
            one.error,
            {name: math.nan if value is None else value for name, value in one.figures.items()},
            self.history(member),
            self.best(member),
            self.last(member),
        )

    def ended(self) -> list[Outcome]:
        """The trials of an unfinished cohort that have ended."""
        return [
            Outcome(**told, history=self.history(place), best=self.best(place), last=self.last(place))
            for place, told in enumerate(middle.ended(self.checkpoint.tensors))
        ]

    def standings(self) -> list[Standing]:
        """The trials of an unfinished cohort that are in the middle."""
        return middle.standings(self.checkpoint.tensors)


def read(path: str, digest: str | None = None) -> CohortFile:
    """The cohort's file at `path`. Raises CheckpointError for a damaged one, and one of another sweep."""
    try:
        checkpoint = checkpoints.read(path, follow=False)
    except CheckpointError as error:
        if error.remedy == checkpoints.NEWER:
            raise
        # any other remedy is of a run's file, and one sweep trains a cohort again only where it is gone
        gone = files.kind(path) is None
        raise CheckpointError(path, error.what, _LOST if gone else _RESTORE) from error
    if checkpoint.meta.get("kind") != "cohort":
        raise CheckpointError(path, "is not the file of a cohort", _RESTORE)
    if digest is not None and checkpoint.meta.get("sweep") != digest:
        raise CheckpointError(path, "is of another sweep", _RESTORE)
    return CohortFile(path, checkpoint)
