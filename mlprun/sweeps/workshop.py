"""Trials trained in this process: as many at once as there are cores where kernels leave Python alone."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch

from mlprun import engines
from mlprun.engines import device as devices
from mlprun.experiment import Experiment, data_key
from mlprun.sweeps import train as training
from mlprun.sweeps.outcome import Lacking, Outcome
from mlprun.sweeps.train import Course, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlprun.schema import Config
    from mlprun.sweeps.members import Member
    from mlprun.sweeps.outcome import Known, Result, Standing
    from mlprun.sweeps.plan import Cohort, Plan

AHEAD = 1
"""cohorts that are begun before the one before them is recorded, however many trials they have"""
AT_ONCE = 2
"""trials that wait or are trained for each core, where no other cohort is begun"""
MOST_ROWS = 2**26
"""bytes of rows that are kept for other trials with the same data"""
BESIDE = 2**14
"""bytes that are kept beside the rows of an experiment, its config and the engine's view of it among them"""

TOGETHER = 16
"""trials that a thread trains together at most"""
TOGETHER_SECONDS = 0.2
"""that trials which are trained together are expected to take"""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_room(begun: Sequence[Batch]) -> bool:
    """Whether cores of this machine may be idle without another cohort beside those, each held in memory."""
    most = AT_ONCE * cores()
    return len(begun) <= AHEAD or (len(begun) < most and sum(batch.left for batch in begun) < most)


def groups(members: list[Member], seconds_of: Callable[[Member], float]) -> Iterator[list[Member]]:
    """Trials that one thread trains together: short ones, and fewer of them towards the end."""
    begin = 0
    while begin < len(members):
        most = min(TOGETHER, max(1, (len(members) - begin) // (2 * cores())))
        seconds, end = seconds_of(members[begin]), begin + 1
        while end - begin < most and seconds + seconds_of(members[end]) <= TOGETHER_SECONDS:
            seconds, end = seconds + seconds_of(members[end]), end + 1
        yield members[begin:end]
        begin = end


class Snapshot(NamedTuple):
    """The trials of a cohort that have ended, and those that are in the middle, both in its order."""

    ended: list[Outcome]
    standings: list[Standing]


class Batch:
    """A cohort that is being trained."""

    def __init__(self, cohort: Cohort, known: Known, course: Course) -> None:
        self.cohort, self.course, self.until = cohort, course, known.until
        self._ended: dict[int, Outcome] = dict(known.ended)
        self._standing: dict[int, Standing] = dict(known.standings)
        self._lacking = set(known.later)
        self._left = len(known.to_train(cohort))
        self._lock, self._over, self._settled = threading.Lock(), threading.Event(), threading.Event()
        self._error: BaseException | None = None
        if not self._left:
            self._over.set()
            self._settled.set()

    def stands(self, standing: Standing) -> None:
        """Remember where a trial stands."""
        with self._lock:
            self._standing[standing.trial] = standing

    def standing(self, trial: int) -> Standing | None:
        """Where a trial stands, if it was begun before."""
        return self._standing.get(trial)

    def take(self, trial: int, outcome: Result | None, error: BaseException | None = None) -> None:
        """A trial has ended, or was stopped, or waits to go on, or lacks memory."""
        with self._lock:
            if isinstance(outcome, Outcome):
                self._ended[trial] = outcome
                self._standing.pop(trial, None)
            elif isinstance(outcome, Lacking):
                self._lacking.add(trial)
            elif outcome is not None:
                self._standing[trial] = outcome
            self._error = self._error or error
            self._left -= 1
            if not self._left:
                self._settled.set()
            if not self._left or error is not None:
                self._over.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether every trial has ended, was stopped or waits, after so many seconds at most."""
        over = self._over.wait(seconds)
        if self._error is not None:
            raise self._error
        return over

    def settle(self) -> None:
        """Wait until no trial is trained any more, whatever became of it."""
        self._settled.wait()

    @property
    def left(self) -> int:
        """How many trials wait or are trained."""
        return self._left

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return len(self._ended)

    @property
    def lacking(self) -> list[int]:
        """The trials that lack memory, in order."""
        with self._lock:
            return sorted(self._lacking)

    def snapshot(self) -> Snapshot:
        """The trials that have ended and those that are in the middle, at one moment."""
        numbers = [one.trial for one in self.cohort.members]
        with self._lock:
            ended = [self._ended[trial] for trial in numbers if trial in self._ended]
            return Snapshot(ended, [self._standing[trial] for trial in numbers if trial in self._standing])


class Workshop:
    """Trains cohorts of a plan. A context; leaving it stops the trials that are in the middle."""

    def __init__(self, plan: Plan, stop: Callable[[], bool]) -> None:
        self._plan, self._asked, self._closing = plan, stop, False
        self._queue: SimpleQueue[tuple[list[Member], Batch] | None] = SimpleQueue()
        self._rows = Rows()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(cores())]
        for thread in self._threads:
            thread.start()

    def has_room(self, begun: Sequence[Batch]) -> bool:
        """Whether `Launcher.has_room` says so."""
        return has_room(begun)

    def submit(self, cohort: Cohort, known: Known) -> Batch:
        """Begin with a cohort as `Launcher.submit` says."""
        engine, device = engines.named(cohort.kind.engine), devices.resolve(cohort.kind.device)
        batch = Batch(cohort, known, Course(engine, device, self._stop))
        for group in groups(known.to_train(cohort), lambda member: self._plan.cost_of(member).seconds):
            self._queue.put((group, batch))
        return batch

    def _stop(self) -> bool:
        return self._closing or self._asked()

    def _work(self) -> None:
        """Train one group of trials after another, until there are no more."""
        while (given := self._queue.get()) is not None:
            members, batch = given
            left = dict.fromkeys(member.trial for member in members)
            try:
                for trial, outcome in () if self._stop() else self._train(members, batch):
                    batch.take(trial, outcome)
                    del left[trial]
            except BaseException as error:  # noqa: BLE001 -- a bug, raised again by the thread that waits
                for trial in left:
                    batch.take(trial, None, error)
            else:
                for trial in left:
                    batch.take(trial, None)

    def _train(self, members: list[Member], batch: Batch) -> Iterator[tuple[int, Result | None]]:
        threads, epochs = batch.cohort.kind.threads, batch.cohort.kind.epochs
        if torch.get_num_threads() != threads:  # each thread has a number of its own
            torch.set_num_threads(threads)
        tasks = [
            Task(
                member.trial,
                partial(self._experiment, member),
                batch.stands,
                training.first_chunk(epochs, self._plan.cost_of(member).seconds),
                batch.standing(member.trial),
                batch.until.get(member.trial),
            )
            for member in members
        ]
        return training.together(tasks, batch.course)

    def _experiment(self, member: Member) -> Experiment:
        return self._rows.experiment(self._plan.config(member))

    def __enter__(self) -> Self:
        return self

    def halt(self) -> None:
        """Let the trials in the middle stop, and begin no more."""
        self._closing = True

    def __exit__(self, *_: object) -> None:
        self.halt()
        for _thread in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()


class Rows:
    """Experiments whose rows are loaded once for all trials with the same data.

    Where they become too many, those are let go of that were not asked for for the longest time.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], Experiment] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def experiment(self, config: Config) -> Experiment:
        """The experiment of a config. Raises as `Experiment.of` does."""
        key = data_key(config)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
        if known is not None:
            return known.with_config(config)
        made = Experiment.of(config)
        with self._lock:
            if key not in self._known:  # another thread may have loaded the same rows meanwhile
                self._known[key] = made
                self._bytes += _size(made)
            while self._bytes > MOST_ROWS and len(self._known) > 1:
                self._bytes -= _size(self._known.popitem(last=False)[1])
        return made


def _size(experiment: Experiment) -> int:
    arrays = [(one.inputs, one.targets, one.truth, *one.extra) for one in experiment.fixed.values()]
    return BESIDE + sum(array.nbytes for one in arrays for array in one)
