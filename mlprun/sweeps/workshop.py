"""Trials trained in this process: as many at once as there are cores where kernels leave Python alone."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from mlprun import engines
from mlprun.engines import device as devices
from mlprun.experiment import Experiment
from mlprun.sweeps import train as training
from mlprun.sweeps.measure import Gauge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlprun.schema import Config
    from mlprun.sweeps.outcome import Outcome, Standing
    from mlprun.sweeps.plan import Cohort, Member, Plan

MOST_ROWS = 2**26
"""bytes of rows that are kept for other trials with the same data"""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Batch:
    """A cohort that is being trained."""

    def __init__(self, cohort: Cohort, known: Mapping[int, Outcome]) -> None:
        self.cohort, self.known = cohort, dict(known)
        self.futures: dict[int, Future[Outcome | None]] = {}
        self.standing: dict[int, Standing] = {}

    def wait(self, seconds: float) -> bool:
        """Whether every trial has ended or was stopped, after so many seconds at most."""
        return not wait(self.futures.values(), timeout=seconds).not_done

    @property
    def ended(self) -> int:
        """How many trials have ended, about."""
        return len(self.known) + sum(future.done() for future in self.futures.values())

    def cancel(self) -> None:
        """Begin no more trials, and wait for those that were told to stop."""
        for future in self.futures.values():
            future.cancel()
        wait(self.futures.values())

    def outcomes(self) -> list[Outcome]:
        """The trials that have ended, in the cohort's order."""
        ended = dict(self.known)
        for trial, future in self.futures.items():
            if future.done() and not future.cancelled() and (outcome := future.result()) is not None:
                ended[trial] = outcome
                self.standing.pop(trial, None)
        return [ended[member.trial] for member in self.cohort.members if member.trial in ended]

    def standings(self) -> list[Standing]:
        """The trials that are in the middle, in the cohort's order."""
        standing = dict(self.standing)
        return [standing[one.trial] for one in self.cohort.members if one.trial in standing]


class Workshop:
    """Trains cohorts of a plan. A context; leaving it waits for the trials that are in the middle."""

    def __init__(self, plan: Plan, stop: Callable[[], bool]) -> None:
        self._plan, self._stop = plan, stop
        self._pool = ThreadPoolExecutor(cores())
        self._local = threading.local()
        self._rows = Rows()

    def submit(
        self, cohort: Cohort, known: Mapping[int, Outcome], standings: Mapping[int, Standing]
    ) -> Batch:
        """Begin with a cohort, but for the trials that are `known`, going on with those that stand."""
        batch = Batch(cohort, known)
        batch.standing |= standings
        engine = engines.named(cohort.kind.engine)
        device = devices.resolve(cohort.kind.device)
        for member in cohort.members:
            if member.trial not in known:
                batch.futures[member.trial] = self._pool.submit(self._train, member, engine, device, batch)
        return batch

    def _train(self, member: Member, engine: engines.Engine, device: str, batch: Batch) -> Outcome | None:
        if self._stop():
            return None
        cost = self._plan.cost_of(member)
        epochs = batch.cohort.kind.epochs
        course = training.Course(
            engine,
            device,
            self._stop,
            self._local.__dict__.setdefault("gauge", Gauge()),
            chunk=max(1, int(epochs * training.CHUNK_SECONDS / max(cost.seconds, training.CHUNK_SECONDS))),
            stands=lambda standing: batch.standing.__setitem__(member.trial, standing),
        )
        known = batch.standing.get(member.trial)
        return training.train(member.trial, lambda: self._experiment(member), course, known)

    def _experiment(self, member: Member) -> Experiment:
        return self._rows.experiment(self._plan.config(member))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class Rows:
    """Experiments whose rows are loaded once for all trials with the same data."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], Experiment] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def experiment(self, config: Config) -> Experiment:
        """The experiment of a config. Raises as `Experiment.of` does."""
        key = _key(config)
        with self._lock:
            known = self._known.get(key)
        if known is not None:
            return replace(known, config=config)
        made = Experiment.of(config)
        with self._lock:
            self._known[key] = made
            self._bytes += _size(made)
            while self._bytes > MOST_ROWS and len(self._known) > 1:
                self._bytes -= _size(self._known.popitem(last=False)[1])
        return made


def _key(config: Config) -> tuple[Any, ...]:
    """Equal for configs whose experiments have equal rows."""
    losses = [part.model_dump_json() for part in (config.loss, *config.metrics)]
    architecture = config.architecture
    return (config.dataset.model_dump_json(), *losses, config.training.dtype, architecture.vocabulary)


def _size(experiment: Experiment) -> int:
    rows = experiment.fixed.values()
    return sum(one.inputs.nbytes + one.targets.nbytes + one.truth.nbytes for one in rows)
