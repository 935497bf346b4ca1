"""Trials trained in processes of their own, one after another in each: for engines that run in Python.

Processes are spawned, since a forked one would keep the sweep's lock alive. A trial travels as its config
and, where it was begun before, its state; it comes back as its outcome or, when it was stopped, its state.
"""

from __future__ import annotations

import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from mlprun import config as reading
from mlprun import engines, schema
from mlprun.engines import device as devices
from mlprun.errors import OutOfMemoryError
from mlprun.experiment import Experiment
from mlprun.sweeps import train as training
from mlprun.sweeps.train import Course, Task
from mlprun.sweeps.workshop import AHEAD, Batch, cores

if TYPE_CHECKING:
    from concurrent.futures import Future
    from multiprocessing.synchronize import Event

    from mlprun.sweeps.outcome import Known, Outcome, Standing, Until
    from mlprun.sweeps.plan import Cohort, Plan

WORTH = 30.0
"""seconds of training on one core that are worth starting processes for"""
_told_to_stop: list[Event] = []


class Work(NamedTuple):
    """What a process is given of a trial."""

    trial: int
    config: dict[str, Any]
    allow_code: bool
    threads: int
    chunk: int
    standing: Standing | None
    until: Until | None


class Processes:
    """Trains cohorts of a plan as `Workshop` does. A context; leaving it stops the trials in the middle."""

    def __init__(self, plan: Plan) -> None:
        context = get_context("spawn")
        self._plan, self._stop = plan, context.Event()
        self._pool = ProcessPoolExecutor(cores(), context, initializer=_begin, initargs=(self._stop,))

    def has_room(self, begun: int) -> bool:
        """Whether another cohort would find it idle, beside so many that are begun and not recorded."""
        return begun <= AHEAD

    def submit(self, cohort: Cohort, known: Known) -> Batch:
        """Begin with a cohort as `Launcher.submit` says."""
        engine, device = engines.named(cohort.kind.engine), devices.resolve(cohort.kind.device)
        batch = Batch(cohort, known, Course(engine, device, self._stop.is_set))
        for member in cohort.members:
            if member.trial not in known.ended:
                config = schema.dump(self._plan.config(member), "")
                work = Work(
                    member.trial,
                    config,
                    self._plan.allow_code,
                    cohort.kind.threads,
                    training.first_chunk(cohort.kind.epochs, self._plan.cost_of(member).seconds),
                    known.standings.get(member.trial),
                    known.until.get(member.trial),
                )
                future = self._pool.submit(_work, work)
                future.add_done_callback(partial(_take, batch, member.trial))
        return batch

    def halt(self) -> None:
        """Let the trials in the middle stop, and begin no more."""
        self._stop.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.halt()
        self._pool.shutdown(wait=True)


def _take(
    batch: Batch, trial: int, future: Future[tuple[Outcome | Standing | None, Standing | None]]
) -> None:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        what = "a process that trained was killed, perhaps for its memory"
        error = OutOfMemoryError("memory", what, "the same command goes on; smaller trials need less")
    if error is not None:
        batch.take(trial, None, error)
        return
    outcome, standing = future.result()
    if standing is not None and outcome is None:
        batch.stands(standing)
    batch.take(trial, outcome)


def _begin(stop: Event) -> None:
    """Ctrl-C reaches every process of a terminal; the first of them says what comes of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _told_to_stop.append(stop)


def _work(work: Work) -> tuple[Outcome | Standing | None, Standing | None]:
    """What `train` returns of a trial, and where it stands when it is stopped."""
    (stop,) = _told_to_stop
    if stop.is_set():
        return None, work.standing
    document = reading.from_mapping(work.config, "", "trial")
    config = schema.parse(document, allow_code=work.allow_code)
    course = Course(engines.named(config.engine), devices.resolve(config.device), stop.is_set)
    stands: list[Standing | None] = [work.standing]
    task = Task(
        work.trial,
        partial(Experiment.of, config),
        lambda standing: stands.__setitem__(0, standing),
        work.chunk,
        work.standing,
        work.until,
    )
    with devices.computing(work.threads, course.device):
        return training.train(task, course), stands[0]
