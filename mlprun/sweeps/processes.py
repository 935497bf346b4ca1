"""Trials trained in processes of their own, one after another in each: for engines that run in Python.

Processes are spawned, since a forked one would keep the sweep's lock alive. A trial travels as its config
and, where it was begun before, its state; it comes back as its outcome or, when it was stopped, its state.
While it is trained its process tells now and then where it stands, so that a sweep that is killed has that.
"""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import TYPE_CHECKING, Self

from mlprun import engines, schema
from mlprun.engines import device as devices
from mlprun.errors import OutOfMemoryError
from mlprun.interrupts import SIGNALS
from mlprun.isolation import safe_path
from mlprun.sweeps import train as training
from mlprun.sweeps import worker
from mlprun.sweeps.outcome import Outcome, Standing
from mlprun.sweeps.train import Course
from mlprun.sweeps.worker import Line, Work
from mlprun.sweeps.workshop import Batch, cores, has_room

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from mlprun.sweeps.members import Member
    from mlprun.sweeps.outcome import Known, Result
    from mlprun.sweeps.plan import Cohort, Plan

WORTH = 30.0
"""seconds of training on one core that are worth starting processes for"""


class _Process(SpawnProcess):
    """One that no Ctrl-C and no SIGTERM ends, from its first moment on."""

    def start(self) -> None:
        # blocked until the process ignores them, which is after it has loaded its libraries
        former = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            with safe_path():
                super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, former)

    def terminate(self) -> None:
        """End it as the pool does with the others when one was killed."""
        self.kill()


class _Context(SpawnContext):
    Process = _Process


class Processes:
    """Trains cohorts of a plan as `Workshop` does. A context; leaving it stops the trials in the middle."""

    def __init__(self, plan: Plan) -> None:
        context = _Context()
        with safe_path():  # the first of these starts a process that counts them
            self._plan, self._stop = plan, context.Event()
        self._batches: dict[int, Batch] = {}
        """of the trials that are given to processes"""
        self._lock = threading.Lock()
        self._reader, self._writer = context.Pipe(duplex=False)
        line = Line(self._stop, self._writer, context.Lock())
        self._pool = ProcessPoolExecutor(cores(), context, initializer=worker.begin, initargs=(line,))
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def has_room(self, begun: Sequence[Batch]) -> bool:
        """Whether `Launcher.has_room` says so."""
        return has_room(begun)

    def submit(self, cohort: Cohort, known: Known) -> Batch:
        """Begin with a cohort as `Launcher.submit` says."""
        engine, device = engines.named(cohort.kind.engine), devices.resolve(cohort.kind.device)
        batch = Batch(cohort, known, Course(engine, device, self._stop.is_set))
        for member in known.to_train(cohort):
            with self._lock:
                self._batches[member.trial] = batch
            try:
                future = self._pool.submit(worker.work, self._work(cohort, member, known))
            except BrokenProcessPool:
                batch.take(member.trial, None, _lost())
            else:
                future.add_done_callback(partial(self._take, batch, member.trial))
        return batch

    def _work(self, cohort: Cohort, member: Member, known: Known) -> Work:
        return Work(
            member.trial,
            schema.dump(self._plan.config(member), ""),
            self._plan.allow_code,
            cohort.kind.threads,
            training.first_chunk(cohort.kind.epochs, self._plan.cost_of(member).seconds),
            known.standings.get(member.trial),
            known.until.get(member.trial),
        )

    def _take(self, batch: Batch, trial: int, future: Future[tuple[Result | None, Standing | None]]) -> None:
        with self._lock:
            self._batches.pop(trial, None)
        error = future.exception()
        if error is not None:
            batch.take(trial, None, _lost() if isinstance(error, BrokenProcessPool) else error)
            return
        outcome, standing = future.result()
        if standing is not None and not isinstance(outcome, Outcome | Standing):
            batch.stands(standing)
        batch.take(trial, outcome)

    def _listen(self) -> None:
        """Hear where trials stand, until every process has ended."""
        # a process that tells while nobody listens is told so, and goes on training
        with self._reader, suppress(EOFError, OSError, MemoryError):
            while True:
                standing: Standing = self._reader.recv()
                with self._lock:
                    batch = self._batches.get(standing.trial)
                    if batch is not None:
                        batch.stands(standing)

    def halt(self) -> None:
        """Let the trials in the middle stop, and begin no more."""
        self._stop.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.halt()
        self._pool.shutdown(wait=True)
        self._writer.close()
        self._listener.join()


def _lost() -> OutOfMemoryError:
    what = "a process that trained was killed, perhaps for its memory"
    return OutOfMemoryError("memory", what, "the same command goes on; smaller trials need less")
