"""Callbacks: what happens during training, as events that other code can react to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines.contract import RowTable
from mlprun.errors import UsageError
from mlprun.experiment import history_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.engines import ChunkResult, Improvement
    from mlprun.engines.contract import Row
    from mlprun.training.trainer import TrainingRun


class Callback:
    """Base class of callbacks: override the methods of the events that matter, and leave out the others.

    Pass instances to `mlprun.train(..., callbacks=[...])`, or name a `CallbackPart` of an `extend` file in
    the config. Events of a run arrive in this order:

    - `on_train_start(run)`: once, before the first epoch. `run.experiment` and `run.config` say what is
      trained, `run.epoch` how many epochs an earlier session has completed, `run.path` where it is saved.
    - `on_improvement(run, improvement)`: the watched dev metric is strictly better than ever before.
      `improvement.epoch`, `.before` (None at first) and `.value`.
    - `on_epoch_end(run, epoch, metrics)`: an epoch that is logged (`training.log_every`) has ended. `metrics`
      maps the columns of history.csv, such as `lr`, `train_loss` and `dev_accuracy`, to numbers; None where
      dev was not evaluated. Of one epoch, it follows `on_improvement`.
    - `on_chunk_end(run, chunk)`: an engine trains chunks of many epochs at once, some 0.25 seconds long, and
      the events above are delivered after a chunk, in the order of the epochs; then comes this one, with all
      rows, improvements and the best model of the chunk. `run.state` copies the parameters out.
    - `on_checkpoint(run, epoch)`: a checkpoint of the run folder has been written.
    - `on_train_end(run)`: once, when the run is over. `run.stop_reason`, `run.final_metrics` (as in
      status.json), or `run.error`.
    - `on_message(message)`: something that the user should know, at any time.

    `run.request_stop("why")` in `on_epoch_end` or `on_improvement` ends the run after exactly that epoch,
    wherever the chunk ends: later epochs of the chunk are dropped. The reason is recorded in status.json. In
    another event it ends the run after the current chunk.

    An exception in a callback ends its run with that exception.
    """

    def on_train_start(self, run: TrainingRun) -> None:
        """Training starts or continues."""

    def on_improvement(self, run: TrainingRun, improvement: Improvement) -> None:
        """The watched dev metric is better than ever before."""

    def on_epoch_end(self, run: TrainingRun, epoch: int, metrics: Mapping[str, float | None]) -> None:
        """A logged epoch has ended."""

    def on_chunk_end(self, run: TrainingRun, chunk: ChunkResult) -> None:
        """A chunk of epochs has ended."""

    def on_checkpoint(self, run: TrainingRun, epoch: int) -> None:
        """A checkpoint has been written."""

    def on_train_end(self, run: TrainingRun) -> None:
        """The run is over."""

    def on_message(self, message: str) -> None:
        """There is something to tell the user."""

    def chunk_limit(self, run: TrainingRun) -> int | None:
        """Return the next epoch at which a chunk must end, at most; None for any."""


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Raise UsageError for what is no callback: it has none of the methods."""
    events = [name for name in vars(Callback) if not name.startswith("_")]
    for one in callbacks:
        if not any(hasattr(one, event) for event in events):
            remedy = "give objects with methods such as on_epoch_end(run, epoch, metrics)"
            raise UsageError("callbacks", f"{one!r} has no method of mlprun.Callback", remedy)


def emit(callbacks: Sequence[Any], event: str, *arguments: Any) -> None:
    """Call an event's method on each callback that has one of its own."""
    for callback in listening(callbacks, event):
        getattr(callback, event)(*arguments)


def listening(callbacks: Sequence[Any], event: str) -> list[Any]:
    """Return the callbacks that override an event's method."""
    return [one for one in callbacks if getattr(type(one), event, None) not in (None, vars(Callback)[event])]


class HistoryRecorder(Callback):
    """Keeps the history of a run in memory."""

    def __init__(self) -> None:
        self._pieces: list[NDArray[np.float64]] = []
        self._names: Sequence[str] = ()

    def on_train_start(self, run: TrainingRun) -> None:
        """Learn the columns of the history."""
        self._names = history_columns(run.config)

    def on_chunk_end(self, run: TrainingRun, chunk: ChunkResult) -> None:
        """Keep the rows of a chunk."""
        if chunk.rows:
            self._pieces.append(as_table(chunk.rows, len(self._names)))

    @property
    def table(self) -> NDArray[np.float64]:
        """All rows as [rows, columns], nan where dev was not evaluated."""
        if len(self._pieces) != 1:
            empty = np.zeros((0, len(self._names)))
            self._pieces = [np.concatenate(self._pieces) if self._pieces else empty]
        return self._pieces[0]

    @property
    def columns(self) -> dict[str, NDArray[np.float64]]:
        """The columns by name."""
        return dict(zip(self._names, self.table.T, strict=True))


def as_table(rows: Sequence[Row], width: int) -> NDArray[np.float64]:
    """Return history rows as [rows, width], nan where dev was not evaluated."""
    if isinstance(rows, RowTable):
        return rows.table()
    if not rows:
        return np.zeros((0, width))
    return np.array([[math.nan if value is None else value for value in row] for row in rows], np.float64)
