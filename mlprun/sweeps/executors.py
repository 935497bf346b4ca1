"""Executors: where the trials of a sweep are trained, in threads, in processes, or on a Ray cluster.

An executor gets cohorts and gives back results. It plans nothing and writes nothing: the process that runs
the sweep alone holds its lock, its database and its cohorts' files. It divides cohorts into batches for its
workers, which return a future for each; a remote worker returns after a turn, and the rest is another batch.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import TYPE_CHECKING, Protocol

from mlprun.engines import StopCondition
from mlprun.engines import device as devices
from mlprun.errors import OutOfMemoryError
from mlprun.interrupts import SIGNALS
from mlprun.isolation import safe_path
from mlprun.sweeps.trials import BatchResult, BatchTrainer, ExperimentCache, run_turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from multiprocessing.synchronize import Event

    from mlprun.sweeps.cohort_file import TrialResult
    from mlprun.sweeps.cohorts import Cohort, CohortKind
    from mlprun.sweeps.plan import Plan
    from mlprun.sweeps.trials import OnCheckpoint, ResumeState, TrialBatch

COHORTS_AHEAD = 1
"""cohorts that are started before the one before them is recorded, however many batches they have"""
BATCHES_PER_CORE = 2
"""batches that wait or are trained for each core, beyond which no other cohort is started"""
PROCESS_SECONDS = 30.0
"""of training on one core that are worth starting processes for"""


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class CohortRun:
    """A cohort while an executor trains it; its methods may be called by several threads."""

    def __init__(self, cohort: Cohort, resume: ResumeState, batches: int) -> None:
        self.cohort, self.resume = cohort, resume
        self.left = batches
        """number of batches that wait or are trained"""
        self._results, self._error = dict(resume.results), None
        self._changed = threading.Condition()

    _error: BaseException | None

    def accept(
        self, results: Iterable[TrialResult], *, batches: int = 0, error: BaseException | None = None
    ) -> None:
        """Take results and checkpoints, and note that so many batches are not trained any more."""
        with self._changed:
            self._results |= {one.trial: one for one in results}
            self._error = self._error or error
            self.left -= batches
            self._changed.notify_all()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait so long at most, and return True if no batch is left. Raises the error of a worker."""
        with self._changed:
            self._changed.wait_for(lambda: not self.left or self._error is not None, seconds)
            if self._error is not None:
                raise self._error
            return not self.left

    def wait_idle(self) -> None:
        """Wait until no trial is trained any more, whatever its result."""
        with self._changed:
            self._changed.wait_for(lambda: not self.left)

    def results(self) -> list[TrialResult]:
        """Return the results and checkpoints so far, at one moment, in the order of the cohort."""
        with self._changed:
            results = self._results.copy()
        return [results[one.trial] for one in self.cohort.members if one.trial in results]

    @property
    def ended(self) -> int:
        """The number of trials that have ended."""
        return sum(one.has_ended for one in self.results())


class Workers(Protocol):
    """Trains batches somewhere."""

    max_batch: int
    """trials of a batch"""
    batch_seconds: float
    """of training that a batch is expected to take at most, unless it is a single trial"""

    def cores(self) -> int:
        """Return the number of cores to keep busy."""
        ...

    def submit(self, batch: TrialBatch, on_checkpoint: OnCheckpoint) -> Future[BatchResult]:
        """Train a batch, or a part of it; `on_checkpoint` may receive checkpoints meanwhile."""
        ...

    def halt(self) -> None:
        """Stop the trials that are being trained, and begin no more."""
        ...

    def close(self) -> None:
        """Wait until nothing is trained, and end the workers."""
        ...


class Executor:
    """Trains cohorts of a plan by workers."""

    def __init__(self, plan: Plan, workers: Workers) -> None:
        self._plan, self._workers, self._halted = plan, workers, False

    def has_room(self, running: Sequence[CohortRun]) -> bool:
        """Return True if another cohort should be started to keep all cores busy; each is held in memory."""
        most = BATCHES_PER_CORE * self._workers.cores()
        return len(running) <= COHORTS_AHEAD or (
            len(running) < most and sum(run.left for run in running) < most
        )

    def submit(self, cohort: Cohort, resume: ResumeState) -> CohortRun:
        """Start training the trials of a cohort that have not ended, from their checkpoints."""
        # resolved here: if each machine chose its own, the bytes would depend on the machine
        device, specs = devices.resolve(cohort.kind.device), resume.to_train(cohort)
        parts = list(split([self._plan.cost_of(one).seconds for one in specs], self._workers))
        run = CohortRun(cohort, resume, len(parts))
        for part in parts:
            self._start(run, self._plan.batch(cohort, specs[part], resume, device))
        return run

    def _start(self, run: CohortRun, batch: TrialBatch) -> None:
        try:
            future = self._workers.submit(batch, lambda checkpoint: run.accept([checkpoint]))
        except Exception as error:  # noqa: BLE001 -- raised again by the thread that waits for the cohort
            run.accept([], batches=1, error=_translate(error))
        else:
            future.add_done_callback(partial(self._receive, run, batch))

    def _receive(self, run: CohortRun, batch: TrialBatch, future: Future[BatchResult]) -> None:
        """Take the result of a batch, and start another for what is left."""
        error = future.exception()
        if error is not None:
            run.accept([], batches=1, error=_translate(error))
            return
        result = future.result()
        rest = None if self._halted else batch.rest(result)
        run.accept(result.newest().values(), batches=int(rest is None))
        if rest is not None:
            self._start(run, rest)

    def halt(self) -> None:
        """Stop the trials that are being trained, and begin no more; every cohort is idle soon after."""
        self._halted = True
        self._workers.halt()


def split(seconds: Sequence[float], workers: Workers) -> Iterator[slice]:
    """Divide trials, by their seconds, into batches: several if they are short, and fewer towards the end."""
    begin = 0
    while begin < len(seconds):
        most = min(workers.max_batch, max(1, (len(seconds) - begin) // (2 * workers.cores())))
        total, end = seconds[begin], begin + 1
        while end - begin < most and total + seconds[end] <= workers.batch_seconds:
            total, end = total + seconds[end], end + 1
        yield slice(begin, end)
        begin = end


def _translate(error: BaseException) -> BaseException:
    if not isinstance(error, BrokenProcessPool):
        return error
    what = "a process that trained was killed, perhaps for its memory"
    return OutOfMemoryError("memory", what, "the same command resumes the sweep; smaller trials need less")


class ExecutorRouter:
    """Chooses an executor for each cohort and makes it when needed.

    Processes are used if `processes` allows it; `remote` trains all cohorts instead.
    """

    def __init__(self, plan: Plan, stop: StopCondition, remote: Workers | None, *, processes: bool) -> None:
        self._plan, self._stop, self._processes = plan, stop, processes
        self._made: dict[bool | None, Executor] = {} if remote is None else {None: Executor(plan, remote)}
        """by whether it trains in processes; None if it is remote"""
        self._open = ExitStack()
        self._seconds: dict[CohortKind, float] = {}
        """of training in a round"""

    def plan_round(self, cohorts: Sequence[Cohort]) -> None:
        """Take note of the cohorts of a round before the first of them is started."""
        self._seconds = dict.fromkeys((cohort.kind for cohort in cohorts), 0.0)
        for cohort in cohorts:
            self._seconds[cohort.kind] += sum(self._plan.cost_of(one).seconds for one in cohort.members)

    def executor(self, cohort: Cohort) -> Executor:
        """Return the executor for a cohort."""
        where = None if None in self._made else self._processes and self._needs_processes(cohort.kind)
        if where not in self._made:
            workers: Workers = ProcessWorkers() if where else ThreadWorkers(self._stop)
            self._open.enter_context(closing(workers))
            self._made[where] = Executor(self._plan, workers)
        return self._made[where]

    def _needs_processes(self, kind: CohortKind) -> bool:
        """Return True if trials hold the interpreter while they train, and long enough to start processes."""
        if kind.engine == "fused" or kind.device != "cpu" or cores() < 2:
            return False
        return self._seconds[kind] > PROCESS_SECONDS

    def conditions(self, cohort: Cohort) -> tuple[int, str]:
        """Return what cohorts must share to be trained at once: torch's threads, and the kind of device."""
        device = "cpu" if None in self._made else devices.resolve(cohort.kind.device)
        return cohort.kind.threads, device.partition(":")[0]

    def halted(self, running: Sequence[CohortRun]) -> Iterator[CohortRun]:
        """Halt all executors, and yield each cohort once none of its trials is trained."""
        if running:
            for executor in self._made.values():
                executor.halt()
        for run in running:
            run.wait_idle()
            yield run

    def close(self) -> None:
        """Close all executors."""
        self._open.close()


class ThreadWorkers:
    """Threads of this process, as many as there are cores."""

    max_batch, batch_seconds = 16, 0.2
    cores = staticmethod(cores)

    def __init__(self, stop: StopCondition) -> None:
        self._stop_requested, self._halted = stop, False
        self._cache, self._pool = ExperimentCache(), ThreadPoolExecutor(cores())
        self._trainers: dict[tuple[str, str], BatchTrainer] = {}

    def submit(self, batch: TrialBatch, on_checkpoint: OnCheckpoint) -> Future[BatchResult]:
        """Train a batch."""
        key = batch.engine, batch.device
        if key not in self._trainers:
            self._trainers[key] = BatchTrainer(*key, self._stop, self._cache)
        return self._pool.submit(self._train, self._trainers[key], batch, on_checkpoint)

    def _stop(self) -> bool:
        return self._halted or self._stop_requested()

    def _train(self, trainer: BatchTrainer, batch: TrialBatch, on_checkpoint: OnCheckpoint) -> BatchResult:
        if self._stop():
            return BatchResult([])
        torch = sys.modules.get("torch")
        if torch is not None and torch.get_num_threads() != batch.threads:  # each thread has its own number
            torch.set_num_threads(batch.threads)
        return BatchResult(list(trainer.run(batch, on_checkpoint)))

    def halt(self) -> None:
        """Stop the trials that are being trained, and begin no more."""
        self._halted = True

    def close(self) -> None:
        """Wait until nothing is trained, and end the threads."""
        self.halt()
        self._pool.shutdown()


# ---- processes

_stop: list[Event] = []


def _start_worker(stop: Event) -> None:
    """Prepare a process for batches.

    Ctrl-C and a service's SIGTERM reach every process of a group; the sweep's own decides what follows.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _stop.append(stop)


def _exit_with_parent() -> None:
    """End this process when the sweep's own was killed: nobody would receive its results."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _train_in_worker(batch: TrialBatch) -> BatchResult:
    return run_turn(batch, _stop[0].is_set)


class _Process(SpawnProcess):
    """A process that neither Ctrl-C nor SIGTERM ends, from its first moment on."""

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


class ProcessWorkers:
    """Processes, as many as there are cores, that train one trial at a time each.

    They serve engines that run in Python. Processes are spawned, since a forked one would keep the sweep's
    lock. A trial is trained turn by turn, so that a sweep that is killed has saved its checkpoints.
    """

    max_batch, batch_seconds = 1, math.inf
    cores = staticmethod(cores)

    def __init__(self) -> None:
        context = _Context()
        with safe_path():  # the first of these starts a process that counts semaphores
            self._stop = context.Event()
        self._pool = ProcessPoolExecutor(cores(), context, initializer=_start_worker, initargs=(self._stop,))

    def submit(self, batch: TrialBatch, _: OnCheckpoint) -> Future[BatchResult]:
        """Train a batch for a turn."""
        return self._pool.submit(_train_in_worker, batch)

    def halt(self) -> None:
        """Stop the trials that are being trained, and begin no more."""
        self._stop.set()

    def close(self) -> None:
        """Wait until nothing is trained, and end the processes."""
        self.halt()
        self._pool.shutdown()
