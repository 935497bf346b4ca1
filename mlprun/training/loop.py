"""The loop above an engine: chunks of epochs, and after each what is to be logged, reported and saved."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mlprun.engines import RunFailure
from mlprun.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.engines import ChunkResult, Engine, State
    from mlprun.engines.contract import StopReason
    from mlprun.experiment import Experiment
    from mlprun.training.record import Record
    from mlprun.training.signals import StopFlag


class Reporter(Protocol):
    """Who watches a run train: a progress bar, a line printer, nobody."""

    def begin(self, folder: str, experiment: Experiment, epoch: int) -> None:
        """Called once, when the run folder stands and `epoch` epochs are completed."""
        ...

    def say(self, message: str) -> None:
        """Something that the user should know, such as a checkpoint that was damaged."""
        ...

    def report(self, advance: ChunkResult, seconds: float) -> None:
        """Called after every chunk, at most every quarter of a second."""
        ...


@dataclass(frozen=True)
class Course:
    """How a run is to be trained: which engine on which device, and whom to ask and to tell."""

    engine: Engine
    device: str
    stop: StopFlag
    reporter: Reporter
    saved: Callable[[int], None] = lambda epoch: None
    """told the epoch of every checkpoint that has been written"""
    pause: int | None = None
    """an epoch to stop at as if interrupted, from which the run can go on"""


def follow(experiment: Experiment, state: State, record: Record, course: Course) -> tuple[StopReason, State]:
    """Train from `state` to the end of the config's epochs; returns why and where it stopped, all saved."""
    config = experiment.config
    epochs = config.training.epochs
    try:
        cohort = course.engine.open([experiment], [state], device=course.device)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        # of a state that was written on purpose: the tensors of the model have been looked at before
        what = f"holds an optimizer's state that is none: {error}"
        raise CheckpointError(record.path, what, "restore it from a copy or train again") from error
    pace, epoch = Pace(), state.epoch
    began = time.monotonic()
    if epoch == epochs:  # nothing to train, as with `epochs: 0`
        record.save(state, "finished")
        return "finished", state
    while True:
        until = min(_until(epoch, pace, record, epochs), course.pause or epochs)
        start = time.monotonic()
        (advance,) = course.engine.advance(cohort, [until], course.stop)
        if isinstance(advance, RunFailure):
            raise advance.error
        pace.took(advance.epoch - epoch, time.monotonic() - start)
        epoch = advance.epoch
        record.take(advance)
        if epoch in record.snapshots_due:
            record.keep_snapshot(course.engine.states(cohort, [0])[0])
        stopped = advance.stopped or ("interrupted" if epoch == course.pause else None)
        if stopped is not None or record.is_due(epoch):
            (state,) = course.engine.states(cohort, [0])
            record.save(state, stopped)
            course.saved(epoch)
        course.reporter.report(advance, time.monotonic() - began)
        if stopped is not None:
            return stopped, state


def _until(epoch: int, pace: Pace, record: Record, epochs: int) -> int:
    """Where the next chunk ends: not past a snapshot or a checkpoint that the config asks for."""
    ends = [epoch + pace.epochs, epochs, *(due for due in record.snapshots_due if due > epoch)]
    every = record.checkpoint.epochs
    if every is not None:
        ends.append((epoch // every + 1) * every)
    return min(ends)


CHUNK_SECONDS = 0.25
"""of a chunk of epochs: short enough to report and to stop in time, long enough to cost nothing"""
GROWTH = 4
"""a chunk is at most so many times longer than the one before: the first epochs are slower than the rest"""


class Pace:
    """Chooses the epochs of the next chunk from how long the last one took."""

    def __init__(self) -> None:
        self.epochs = 1

    def took(self, epochs: int, seconds: float) -> None:
        """Learn from a chunk of `epochs` that took `seconds`."""
        fitting = self.epochs * GROWTH if seconds <= 0 else int(epochs * CHUNK_SECONDS / seconds)
        self.epochs = max(1, min(fitting, self.epochs * GROWTH))
