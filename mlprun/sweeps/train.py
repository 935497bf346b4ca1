"""One trial from its start, or from where it stood, to its end; it knows no sweep and no file."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from mlprun.engines import State, Watch
from mlprun.engines.contract import Tabled
from mlprun.errors import MlprunError
from mlprun.experiment import Starts, columns
from mlprun.sweeps.measure import Gauge
from mlprun.sweeps.outcome import Outcome, Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mlprun.engines import Advance, Engine
    from mlprun.engines.contract import Row, Why
    from mlprun.experiment import Experiment
    from mlprun.sweeps.database import TrialStatus

CHUNK_SECONDS = 1.0
"""between two looks at where a trial stands"""
EXPECTED = (MlprunError, MemoryError, RuntimeError)
"""what makes a trial fail and not the sweep"""


class Course:
    """How the trials of a cohort are trained, several threads at once, and what they have in common."""

    def __init__(self, engine: Engine, device: str, stop: Callable[[], bool]) -> None:
        self.engine, self.device, self.stop = engine, device, stop
        self.starts, self._local = Starts(), threading.local()

    @property
    def gauge(self) -> Gauge:
        """The calling thread's own."""
        gauge: Gauge = self._local.__dict__.setdefault("gauge", Gauge())
        return gauge


def first_chunk(epochs: int, seconds: float) -> int:
    """Epochs until the first look at a trial that is expected to take so many seconds."""
    return max(1, int(epochs * CHUNK_SECONDS / max(seconds, CHUNK_SECONDS)))


def train(
    trial: int,
    make: Callable[[], Experiment],
    course: Course,
    stands: Callable[[Standing], None],
    *,
    chunk: int,
    standing: Standing | None = None,
) -> Outcome | None:
    """The trial trained to its end; None where it was stopped. What it raises makes it a failed one.

    `chunk` is the number of epochs until the first look at it; `stands` hears of each look but the last.
    """
    began = time.perf_counter()
    try:
        return _Training(trial, make(), course, standing).run(began, chunk, stands)
    except EXPECTED as error:
        line = " ".join(str(error).split()) or type(error).__name__
        return Outcome(trial, "failed", seconds=time.perf_counter() - began, error=line)


class _Training:
    """A trial while it is trained."""

    def __init__(self, trial: int, experiment: Experiment, course: Course, standing: Standing | None) -> None:
        self.trial, self.experiment, self.course = trial, experiment, course
        self.width = len(columns(experiment.config))
        self.state = State(0, course.starts.model(experiment)) if standing is None else standing.state
        self.pieces = [] if standing is None else [standing.history]
        self.best = None if standing is None else standing.best
        self.best_epoch = None if standing is None else standing.best_epoch
        self.before = 0.0 if standing is None else standing.seconds

    def run(self, began: float, chunk: int, stands: Callable[[Standing], None]) -> Outcome | None:
        course, epochs = self.course, self.experiment.config.training.epochs
        epoch = self.state.epoch
        if epoch == epochs:
            return self._ended("finished", self.state, began)
        cohort = course.engine.open([self.experiment], [self.state], device=course.device)
        watch = Watch(epochs, course.stop)
        while True:
            start = time.perf_counter()
            (advance,) = course.engine.advance(cohort, min(epochs, epoch + chunk), watch)
            took = max(time.perf_counter() - start, 1e-6)
            chunk = max(1, min(4 * chunk, math.ceil((advance.epoch - epoch) * CHUNK_SECONDS / took)))
            epoch = advance.epoch
            self._take(advance)
            if advance.stopped is not None and advance.stopped != "interrupted":
                return self._ended(advance.stopped, course.engine.states(cohort)[0], began)
            (state,) = course.engine.states(cohort)
            seconds = self.before + time.perf_counter() - began
            stands(Standing(self.trial, state, self.history, self.best_epoch, self.best, seconds))
            if advance.stopped is not None:
                return None

    def _take(self, advance: Advance) -> None:
        if advance.rows:
            self.pieces.append(as_table(advance.rows, self.width))
        if advance.best is not None:
            self.best, self.best_epoch = advance.best.model, advance.best.epoch

    @property
    def history(self) -> NDArray[np.float64]:
        """All rows so far."""
        if len(self.pieces) != 1:
            self.pieces = [np.concatenate(self.pieces) if self.pieces else np.zeros((0, self.width))]
        return self.pieces[0]

    def _ended(self, stopped: Why, state: State, began: float) -> Outcome:
        gauge, last = self.course.gauge, state.model
        of_last = gauge.figures(self.experiment, last, state.epoch)
        best, best_epoch = self.best, self.best_epoch
        of_best = (
            of_last
            if best is None or best_epoch is None or best_epoch == state.epoch
            else gauge.figures(self.experiment, best, best_epoch)
        )
        status: TrialStatus = stopped  # type: ignore[assignment]
        return Outcome(
            self.trial,
            status,
            state.epoch,
            best_epoch,
            self.before + time.perf_counter() - began,
            figures={**of_best, **{f"last_{name}": value for name, value in of_last.items()}},
            history=self.history,
            best=best,
            last=last,
        )


def as_table(rows: Sequence[Row], width: int) -> NDArray[np.float64]:
    """History rows as [rows, width] float64, nan for what was not evaluated."""
    if isinstance(rows, Tabled):
        return rows.table()
    if not rows:
        return np.zeros((0, width))
    return np.array([[math.nan if value is None else value for value in row] for row in rows], np.float64)
