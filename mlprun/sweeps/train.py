"""Trials from their start, or from where they stood, to their end; they know no sweep and no file."""

from __future__ import annotations

import math
import threading
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from mlprun.engines import RunFailure, State
from mlprun.engines.contract import RowTable
from mlprun.errors import OutOfMemoryError
from mlprun.experiment import SPLITS, InitialWeightCache, MetricComputer, SplitTensors, history_columns
from mlprun.sweeps.outcome import Lacking, Outcome, Standing
from mlprun.training.trainer import EXPECTED, translate_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.engines import ChunkResult, Engine
    from mlprun.engines.contract import Row, StopReason
    from mlprun.experiment import Experiment, SplitArrays
    from mlprun.parts.architectures.network import Network
    from mlprun.sweeps.outcome import Result, Until, Weights
    from mlprun.sweeps.schema import TrialStatus

CHUNK_SECONDS = 1.0
"""between two looks at where a trial stands"""
_PYTHON = threading.Lock()
"""held by a thread that does for short trials what is mostly Python: two at once would only wait for each
other at every call of torch, which lets go of the interpreter, and take twice as much of the CPU"""


class Course:
    """How the trials of a cohort are trained, several threads at once, and what they have in common."""

    def __init__(self, engine: Engine, device: str, stop: Callable[[], bool]) -> None:
        self.engine, self.device, self.stop = engine, device, stop
        self.starts, self._local = InitialWeightCache(), threading.local()

    @property
    def gauge(self) -> Gauge:
        """The calling thread's own."""
        gauge: Gauge = self._local.__dict__.setdefault("gauge", Gauge(self.device))
        return gauge


def first_chunk(epochs: int, seconds: float) -> int:
    """Epochs until the first look at a trial that is expected to take so many seconds."""
    return max(1, int(epochs * CHUNK_SECONDS / max(seconds, CHUNK_SECONDS)))


class Task(NamedTuple):
    """A trial to be trained: `make` gives its experiment, `stands` hears of each look at it but the last.

    `chunk` is the number of epochs until the first look; `standing` is where it was left before; `until` is
    how far it goes, by default to its end.
    """

    trial: int
    make: Callable[[], Experiment]
    stands: Callable[[Standing], None]
    chunk: int
    standing: Standing | None = None
    until: Until | None = None


def train(task: Task, course: Course) -> Result | None:
    """How a trial came out, where it waits, that it lacks memory; None where it was stopped.

    What it raises makes it fail, and not the sweep.
    """
    ((_, outcome),) = together([task], course)
    return outcome


def together(tasks: Sequence[Task], course: Course) -> Iterator[tuple[int, Result | None]]:
    """`train` for trials that are trained step by step: each step of all of them, then the next.

    What a short trial costs is mostly code that is not in the cache; so it is there for the next trial.
    Trials that have been trained for CHUNK_SECONDS are told of before the next one is begun.
    """
    runs = [_Training(task, course) for task in tasks]
    alone = _PYTHON if len(runs) > 1 else nullcontext()
    with alone:
        for step in (_Training.load, _Training.draw, _Training.open):
            for run in runs:
                run.take(step)
    trained: list[_Training] = []
    began = time.perf_counter()
    for run in runs:
        run.take(_Training.advance)
        trained.append(run)
        if run is runs[-1] or time.perf_counter() - began >= CHUNK_SECONDS:
            with alone:
                for one in trained:
                    one.take(_Training.measure)
            yield from ((one.task.trial, one.outcome) for one in trained)
            trained, began = [], time.perf_counter()


class _Training:
    """A trial while it is trained, by the steps `load`, `draw`, `open`, `advance` and `measure`."""

    experiment: Experiment
    state: State
    end: int
    """the epoch up to which it is trained"""
    stopped: StopReason | None = None
    outcome: Result | None = None

    def __init__(self, task: Task, course: Course) -> None:
        self.task, self.course, self.over = task, course, False
        standing = task.standing
        self.pieces = [] if standing is None else [standing.history]
        self.best = None if standing is None else standing.best
        self.best_epoch = None if standing is None else standing.best_epoch
        self.before = 0.0 if standing is None else standing.seconds
        self.began = 0.0
        self.cohort: Any = None

    def take(self, step: Callable[[_Training], None]) -> None:
        """One step, unless the trial has failed or was stopped in one before."""
        if self.over:
            return
        self.began = time.perf_counter()
        try:
            step(self)
        except Exception as error:
            told = translate_error(error)
            if not isinstance(told, EXPECTED):
                raise
            line = " ".join(str(told).split()) or type(told).__name__
            self.outcome = (
                Lacking(self.task.trial)
                if isinstance(told, OutOfMemoryError)
                else Outcome(self.task.trial, "failed", seconds=self.seconds, error=line)
            )
            self.over, self.cohort = True, None
        self.before = self.seconds

    @property
    def seconds(self) -> float:
        """What the trial has taken up to now, in earlier sessions too."""
        return self.before + time.perf_counter() - self.began

    def load(self) -> None:
        """Its rows."""
        self.experiment = self.task.make()
        self.width = len(history_columns(self.experiment.config))
        epochs, until = self.experiment.config.training.epochs, self.task.until
        self.end = epochs if until is None else min(epochs, until.epoch)

    def draw(self) -> None:
        """Its weights, or where it was left."""
        standing = self.task.standing
        self.state = (
            State(0, self.course.starts.model(self.experiment)) if standing is None else standing.state
        )
        if self.state.epoch == self.experiment.config.training.epochs:
            self.stopped = "finished"

    def open(self) -> None:
        """Its place in the engine."""
        if self.stopped is None and self.state.epoch < self.end:
            course = self.course
            self.cohort = course.engine.open([self.experiment], [self.state], device=course.device)

    def advance(self) -> None:
        """Its epochs, with a look at it between chunks of them."""
        course, task = self.course, self.task
        epoch, chunk = self.state.epoch, task.chunk
        self.over = self.stopped is None and epoch < self.end and course.stop()
        if self.over:
            return
        while self.stopped is None and epoch < self.end:
            start = time.perf_counter()
            end = min(self.end, epoch + chunk)
            (advance,) = course.engine.advance(self.cohort, [end], course.stop)
            if isinstance(advance, RunFailure):
                raise advance.error
            took = max(time.perf_counter() - start, 1e-6)
            chunk = max(1, min(4 * chunk, math.ceil((advance.epoch - epoch) * CHUNK_SECONDS / took)))
            epoch = advance.epoch
            self._take(advance)
            (self.state,) = course.engine.states(self.cohort, [0])
            self.stopped = advance.stopped
            if self.stopped is None or self.stopped == "interrupted":
                task.stands(self._standing({}))
        self.cohort, self.over = None, self.stopped == "interrupted"

    def _standing(self, figures: Mapping[str, float]) -> Standing:
        trial, best_epoch = self.task.trial, self.best_epoch
        return Standing(trial, self.state, self.history, best_epoch, self.best, self.seconds, figures)

    def _take(self, advance: ChunkResult) -> None:
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

    def measure(self) -> None:
        """Its figures, with which it ends or waits."""
        gauge, state = self.course.gauge, self.state
        last = state.model
        of_last = gauge.figures(self.experiment, last, state.epoch)
        best, best_epoch = self.best, self.best_epoch
        of_best = (
            of_last
            if best is None or best_epoch is None or best_epoch == state.epoch
            else gauge.figures(self.experiment, best, best_epoch)
        )
        figures = {**of_best, **{f"last_{name}": value for name, value in of_last.items()}}
        until = self.task.until
        if self.stopped is None and until is not None and not until.pruned:
            self.outcome = self._standing(figures)
            return
        status: TrialStatus = self.stopped or "pruned"  # type: ignore[assignment]
        self.outcome = Outcome(
            self.task.trial,
            status,
            state.epoch,
            best_epoch,
            self.seconds,
            figures=figures,
            history=self.history,
            best=best,
            last=last,
        )


def as_table(rows: Sequence[Row], width: int) -> NDArray[np.float64]:
    """History rows as [rows, width] float64, nan for what was not evaluated."""
    if isinstance(rows, RowTable):
        return rows.table()
    if not rows:
        return np.zeros((0, width))
    return np.array([[math.nan if value is None else value for value in row] for row in rows], np.float64)


Figures = dict[str, float]


class Gauge:
    """Measures trials one after another, with networks that are built once for each architecture.

    On the device that they are trained on. The figures are those of `mlprun train` but for tables and
    baselines.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._networks: dict[tuple[Any, ...], tuple[Network, dict[str, torch.Tensor]]] = {}

    def figures(self, experiment: Experiment, weights: Weights, epoch: int) -> Figures:
        """`train_loss`, `train_accuracy`, ... of a model after `epoch` epochs."""
        network, parameters = self._network(experiment)
        for name, values in weights.items():
            parameters[name].copy_(torch.from_numpy(np.asarray(values)))
        meter, seen = MetricComputer(experiment), dict[int, Figures]()
        measured: Figures = {}
        for split in SPLITS:
            if experiment.has(split):
                rows = experiment.rows(split, epoch=epoch)
                measured |= {f"{split}_{k}": v for k, v in self._of(meter, network, rows, seen).items()}
        return measured

    def _of(
        self, meter: MetricComputer, network: Network, rows: SplitArrays, seen: dict[int, Figures]
    ) -> Figures:
        """The figures of some rows, computed once where splits are the same rows."""
        if id(rows) not in seen:
            seen[id(rows)] = meter.evaluate(network, SplitTensors.of(rows, self._device))
        return seen[id(rows)]

    def _network(self, experiment: Experiment) -> tuple[Network, dict[str, torch.Tensor]]:
        told = experiment.config.architecture.model_dump_json()  # settings that differ elsewhere share it
        key = (told, experiment.width, experiment.dtype)
        if key not in self._networks:
            network = experiment.blank_network().to(self._device).eval()
            state = {name: tensor.detach() for name, tensor in network.state_dict().items()}
            self._networks[key] = (network, state)
        return self._networks[key]
