"""The trainer: it advances an engine chunk by chunk and reports to callbacks. Nothing else does so.

It serves `train`, `resume` and `reproduce`, the trials of sweeps, `verify` and `bench` alike: a run folder, a
progress bar or a trial's record is a callback of its run.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines import Best, ChunkResult, Engine, Improvement, RunFailure, State, StopCondition
from mlprun.engines.contract import Row, StopReason, never
from mlprun.errors import CheckpointError, MlprunError, OutOfMemoryError, UsageError
from mlprun.experiment import Experiment, history_columns
from mlprun.schema import Config, extend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray


class TrainingRun:
    """A run while it is trained: an experiment, its state, and what has happened to it so far.

    It is trained up to `until` completed epochs, by default to the config's last.
    """

    def __init__(
        self,
        experiment: Experiment,
        state: State,
        *,
        until: int | None = None,
        callbacks: Sequence[Any] = (),
        path: str | None = None,
        checkpoint: str | None = None,
    ) -> None:
        self.experiment, self.callbacks = experiment, callbacks
        self.path, self.checkpoint = path, checkpoint
        """the paths of the run folder and of the file that the state is from, if any"""
        self.epoch = state.epoch
        """completed epochs"""
        self.until = self.config.training.epochs if until is None else until
        self.best: Best | None = None
        """the best evaluation, if one in this session is"""
        self.stop_reason: StopReason | None = None
        """why it stopped; None while it can be trained on, as at `until`"""
        self.stop_message = ""
        """what the callback said that requested the stop"""
        self.error: Exception | None = None
        self.final_metrics: Mapping[str, Any] = {}
        self.seconds = 0.0
        """of its own training in this session"""
        self.stop_requested = False
        self._state: State | Callable[[], State] = state

    @property
    def config(self) -> Config:
        """The experiment's config."""
        return self.experiment.config

    @property
    def columns(self) -> Sequence[str]:
        """The columns of history.csv, which are those of the rows of a chunk."""
        return history_columns(self.config)

    @property
    def state(self) -> State:
        """The state after `epoch` epochs; one copy serves until the run is trained on."""
        if callable(self._state):
            self._state = self._state()
        return self._state

    def move_to(self, epoch: int, state: State | Callable[[], State]) -> None:
        """Set the completed epochs, and the state or the function that copies it out of an engine."""
        self.epoch, self._state = epoch, state

    @property
    def has_ended(self) -> bool:
        """Whether it stopped or failed."""
        return self.stop_reason is not None or self.error is not None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to train: it has ended, or is at `until`."""
        return self.has_ended or self.epoch >= self.until

    def request_stop(self, message: str) -> None:
        """End the run after the epoch whose event is delivered, for the reason `message`; for callbacks."""
        self.stop_requested, self.stop_message = True, self.stop_message or message

    def raise_for_error(self) -> None:
        """Raise the exception that ended the run, if one did."""
        if self.error is not None:
            raise self.error


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
    """Raise UsageError for what is no callback: a class, or an object with none of the methods."""
    events = [name for name in vars(Callback) if not name.startswith("_")]
    for one in callbacks:
        if isinstance(one, type) or not any(hasattr(one, event) for event in events):
            what = "is a class" if isinstance(one, type) else "has no method of mlprun.Callback"
            remedy = "give objects with methods such as on_epoch_end(run, epoch, metrics)"
            raise UsageError("callbacks", f"{one!r} {what}", remedy)


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
        self._names = run.columns

    def on_chunk_end(self, run: TrainingRun, chunk: ChunkResult) -> None:
        """Keep the rows of a chunk."""
        if chunk.rows:
            self._pieces.append(as_table(chunk.rows, len(self._names)))

    @property
    def table(self) -> NDArray[np.float64]:
        """All rows as [rows, columns], nan where dev was not evaluated."""
        return np.concatenate([np.zeros((0, len(self._names))), *self._pieces])

    @property
    def columns(self) -> dict[str, NDArray[np.float64]]:
        """The columns by name."""
        return dict(zip(self._names, self.table.T, strict=True))


def as_table(rows: Sequence[Row], width: int) -> NDArray[np.float64]:
    """Return history rows as [rows, width], nan where dev was not evaluated."""
    return np.asarray(rows, np.float64).reshape(-1, width)


class ChunkScheduler:
    """Chooses the epochs of the next chunk so that it takes about `seconds`.

    A chunk is short enough to report and to stop in time, and long enough to cost nothing. It is at most four
    times longer than the one before: the first epochs are slower than the rest.
    """

    GROWTH = 4

    def __init__(self, first: int = 1, seconds: float = 0.25) -> None:
        self.epochs, self._seconds = first, seconds

    def update(self, epochs: int, seconds: float) -> None:
        """Learn from a chunk of `epochs` that took `seconds`."""
        fitting = self.epochs * self.GROWTH if seconds <= 0 else int(epochs * self._seconds / seconds)
        self.epochs = max(1, min(fitting, self.epochs * self.GROWTH))


class Trainer:
    """Trains a cohort of runs on an engine. Without a `scheduler` a chunk goes to each run's `until`."""

    def __init__(
        self,
        engine: Engine,
        runs: Sequence[TrainingRun],
        *,
        device: str = "cpu",
        threads: int | None = None,
        stop: StopCondition = never,
        scheduler: ChunkScheduler | None = None,
    ) -> None:
        self.runs = runs
        self._engine, self._device, self._threads = engine, device, threads
        self._stop, self._scheduler = stop, scheduler
        self._cohort: Any = None
        self._opened: list[TrainingRun] = []

    def fit(self) -> None:
        """Train every run until it is over; its `error` tells what ended a run that failed.

        The cohort stays open: a run whose `until` was raised is trained on by the next call.
        """
        if self._cohort is None:
            for run in self.runs:
                self._guarded(run, self._start, run)
            self._open()
        while any(not run.is_over for run in self._opened):
            self._advance()

    def _start(self, run: TrainingRun) -> None:
        emit(run.callbacks, "on_train_start", run)
        if run.epoch == run.config.training.epochs and not run.has_ended:  # as with `epochs: 0`
            self._deliver(run, ChunkResult(run.epoch, stopped="finished"))

    def _open(self) -> None:
        """Open the cohort; a run that cannot be opened fails alone."""
        runs = [run for run in self.runs if not run.has_ended]
        try:
            self._cohort = self._open_cohort(runs)
        except Exception:  # noqa: BLE001 -- the error of one of the runs
            for run in runs:
                try:
                    self._open_cohort([run])
                except Exception as error:  # noqa: BLE001 -- raised by the run's owner
                    run.error = _open_error(run, error)
            runs = [run for run in runs if not run.has_ended]
            self._cohort = self._open_cohort(runs)
        self._opened = runs

    def _open_cohort(self, runs: Sequence[TrainingRun]) -> Any:
        experiments, states = [run.experiment for run in runs], [run.state for run in runs]
        return self._engine.open(experiments, states, device=self._device, threads=self._threads)

    def _advance(self) -> None:
        """Train one chunk of every run that is not over."""
        until = [self._end_of_chunk(run) for run in self._opened]
        starts = [run.state if _follows_epochs(run) and not run.is_over else None for run in self._opened]
        began = time.perf_counter()
        results = self._train(self._cohort, until, self._stop)
        seconds, epochs = time.perf_counter() - began, 0
        for index, (run, result, start) in enumerate(zip(self._opened, results, starts, strict=True)):
            if run.is_over:
                continue
            if isinstance(result, RunFailure):
                run.error = result.error
                continue
            epochs = max(epochs, result.epoch - run.epoch)
            run.move_to(result.epoch, partial(self._state_of, index))
            self._guarded(run, self._deliver, run, result, start)
        if self._scheduler is not None:
            self._scheduler.update(epochs, seconds)

    def _train(
        self, cohort: Any, until: Sequence[int], stop: StopCondition
    ) -> Sequence[ChunkResult | RunFailure]:
        return self._engine.advance(cohort, until, stop)

    def _state_of(self, index: int) -> State:
        (state,) = self._engine.states(self._cohort, [index])
        return state

    def _end_of_chunk(self, run: TrainingRun) -> int:
        if run.is_over or run.stop_requested:
            return run.epoch
        limits: list[int | None] = [one.chunk_limit(run) for one in listening(run.callbacks, "chunk_limit")]
        scheduled = [] if self._scheduler is None else [run.epoch + self._scheduler.epochs]
        return min((run.until, *scheduled, *(limit for limit in limits if limit is not None)))

    def _deliver(self, run: TrainingRun, result: ChunkResult, start: State | None = None) -> None:
        """Send the events of a chunk to the callbacks of its run, and take over what the chunk did."""
        run.seconds += result.seconds
        for epoch, event, payload in _events(run, result) if start is not None else ():
            emit(run.callbacks, event, run, *payload)
            if run.stop_requested and epoch < result.epoch:
                assert start is not None
                result, state = self._replay(run, start, epoch)
                run.move_to(epoch, state)
                break
        if run.stop_requested and result.stopped is None:
            result = replace(result, stopped="callback")
        run.best, run.stop_reason = result.best or run.best, result.stopped
        emit(run.callbacks, "on_chunk_end", run, result)

    def _replay(self, run: TrainingRun, start: State, epoch: int) -> tuple[ChunkResult, State]:
        """Train the chunk again from its start, up to the epoch at which a callback requested the stop."""
        cohort = self._engine.open([run.experiment], [start], device=self._device)
        (result,) = self._train(cohort, [epoch], never)
        if isinstance(result, RunFailure):
            raise result.error
        return result, self._engine.states(cohort, [0])[0]

    @staticmethod
    def _guarded(run: TrainingRun, call: Any, *arguments: Any) -> None:
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001 -- raised by the run's owner, or recorded with the run
            run.error = error


def _open_error(run: TrainingRun, error: Exception) -> Exception:
    """Return why a run cannot be opened, for a trained state that was written on purpose.

    The tensors of its model have been looked at before.
    """
    if run.epoch == 0 or not isinstance(error, LookupError | TypeError | ValueError | AttributeError):
        return error
    what = f"holds an optimizer's state that is none: {error}"
    located = CheckpointError(run.checkpoint or "state", what, "restore it from a copy or train again")
    located.__cause__ = error
    return located


def _follows_epochs(run: TrainingRun) -> bool:
    return any(listening(run.callbacks, event) for event in ("on_epoch_end", "on_improvement"))


def _events(run: TrainingRun, result: ChunkResult) -> Iterator[tuple[int, str, tuple[Any, ...]]]:
    """Yield the improvements and the logged epochs of a chunk, by epoch."""
    names = run.columns[1:]
    items: list[Improvement | Row] = [*result.improvements, *result.rows]
    for item in sorted(items, key=_epoch_of):  # stable: of one epoch, the improvement comes first
        if isinstance(item, Improvement):
            yield item.epoch, "on_improvement", (item,)
        else:
            yield _epoch_of(item), "on_epoch_end", (_epoch_of(item), dict(zip(names, item[1:], strict=True)))


def _epoch_of(item: Improvement | Row) -> int:
    return item.epoch if isinstance(item, Improvement) else int(item[0] or 0)


EXPECTED = (MlprunError, RuntimeError)
"""what `translate_error` may return for a training that failed through no bug of mlprun"""


def translate_error(error: Exception) -> Exception:
    """Return the error that a user should see: for memory that ran out and for the user's own code."""
    message, torch = str(error), sys.modules.get("torch")
    if isinstance(error, MlprunError):
        return error
    if "does not have a deterministic implementation" in message:
        operation = message.partition(" ")[0]
        what = f"this experiment needs {operation}, which CUDA does not compute the same way twice"
        return UsageError("device", what, "use device: cpu")
    if (
        isinstance(error, MemoryError)
        or (torch is not None and isinstance(error, torch.OutOfMemoryError))
        or "allocate memory" in message
        or "ALLOC_FAILED" in message
    ):
        what = "memory ran out while training; the last checkpoint is intact"
        return OutOfMemoryError("memory", what, "use fewer rows, smaller layers or a smaller batch")
    return extend.user_code_error(error) or error
