"""Executors: where the trials of a sweep are trained, in threads, in processes, or on a Ray cluster.

An executor gets cohorts and gives back results. It plans nothing and writes nothing: the process that runs
the sweep alone holds its lock, its database and its cohorts' files.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import torch

from mlprun.engines import device as devices
from mlprun.errors import OutOfMemoryError
from mlprun.interrupts import SIGNALS
from mlprun.isolation import safe_path
from mlprun.sweeps.trials import BatchResult, BatchTrainer, ExperimentCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Event, Lock

    from mlprun.sweeps.cohort_file import TrialResult
    from mlprun.sweeps.cohorts import Cohort, CohortKind, TrialSpec
    from mlprun.sweeps.plan import Plan
    from mlprun.sweeps.trials import ResumeState, TrialBatch

COHORTS_AHEAD = 1
"""cohorts that are started before the one before them is recorded, however many trials they have"""
TRIALS_PER_CORE = 2
"""trials that wait or are trained for each core, beyond which no other cohort is started"""
MAX_BATCH = 16
"""trials of a batch for a thread"""
BATCH_SECONDS = 0.2
"""of training that a batch for a thread is expected to take at most, unless it is a single trial"""
PROCESS_SECONDS = 30.0
"""of training on one core that are worth starting processes for"""
THROTTLE_INTERVAL = 1.0
"""seconds between two saves, at least"""
THROTTLE_FACTOR = 50
"""the next save waits so many times as long as the last one took"""


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class CohortRun:
    """A cohort while an executor trains it; its methods may be called by several threads."""

    def __init__(self, cohort: Cohort, resume: ResumeState) -> None:
        self.cohort, self.resume = cohort, resume
        to_train = [one.trial for one in resume.to_train(cohort)]
        self._results = dict(resume.results)
        for trial in to_train:
            if trial in self._results:  # one that memory ran out for is tried again
                self._results[trial] = replace(self._results[trial], status="paused")
        self.left = len(to_train)
        """number of trials that wait or are trained"""
        self.ended = sum(one.has_ended for one in self._results.values())
        """number of trials that have ended"""
        self._lock, self._done, self._idle = threading.Lock(), threading.Event(), threading.Event()
        self._error: BaseException | None = None
        if not self.left:
            self._done.set()
            self._idle.set()

    def update(self, checkpoint: TrialResult) -> None:
        """Keep the newest checkpoint of a trial."""
        with self._lock:
            self._results[checkpoint.trial] = checkpoint

    def finish(self, trial: int, result: TrialResult | None, error: BaseException | None = None) -> None:
        """Note that a trial is not trained any more; without a result it was stopped."""
        with self._lock:
            if result is not None:
                self._results[trial] = result
                self.ended += result.has_ended
            self._error = self._error or error
            self.left -= 1
            if not self.left:
                self._idle.set()
            if not self.left or error is not None:
                self._done.set()

    def accept(self, batch: TrialBatch, result: BatchResult, *, is_last: bool = True) -> None:
        """Take the results of a batch; after the last of them its other trials count as stopped."""
        for one in result.results:
            self.finish(one.trial, one)
        if result.checkpoint is not None:
            self.update(result.checkpoint)
        rest = batch.rest(result)
        if is_last and rest is not None:
            self.abandon(rest)

    def abandon(self, batch: TrialBatch, error: BaseException | None = None) -> None:
        """Note that the trials of a batch were stopped, or lost by an error."""
        for spec in batch.specs:
            self.finish(spec.trial, None, error)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait so long at most, and return True if no trial is left. Raises the error of a worker."""
        is_done = self._done.wait(seconds)
        if self._error is not None:
            raise self._error
        return is_done

    def wait_idle(self) -> None:
        """Wait until no trial is trained any more, whatever its result."""
        self._idle.wait()

    def results(self) -> list[TrialResult]:
        """Return the results and checkpoints so far, at one moment, in the order of the cohort."""
        trials = [one.trial for one in self.cohort.members]
        with self._lock:
            return [self._results[trial] for trial in trials if trial in self._results]


class Executor(Protocol):
    """Trains cohorts of a plan. A context; leaving it stops the trials that are being trained."""

    def has_room(self, running: Sequence[CohortRun]) -> bool:
        """Return True if another cohort should be started to keep all cores busy."""
        ...

    def submit(self, cohort: Cohort, resume: ResumeState) -> CohortRun:
        """Start training the trials of a cohort that have not ended, from their checkpoints."""
        ...

    def halt(self) -> None:
        """Stop the trials that are being trained, and begin no more; every cohort is idle soon after."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class ExecutorRouter:
    """Chooses an executor for each cohort and makes it when needed. A context; leaving it closes them all.

    Processes are used if `allow_processes`; `remote` trains all cohorts instead.
    """

    def __init__(
        self, plan: Plan, stop: Callable[[], bool], *, allow_processes: bool, remote: Executor | None
    ) -> None:
        self._plan, self._stop, self._allow_processes, self._remote = plan, stop, allow_processes, remote
        self._made: dict[bool, Executor] = {}
        """by whether it trains in processes"""
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
        if self._remote is not None:
            return self._remote
        in_processes = self._allow_processes and self._needs_processes(cohort.kind)
        if in_processes not in self._made:
            made: Executor = (
                ProcessExecutor(self._plan) if in_processes else ThreadExecutor(self._plan, self._stop)
            )
            self._made[in_processes] = self._open.enter_context(made)
        return self._made[in_processes]

    def _needs_processes(self, kind: CohortKind) -> bool:
        """Return True if trials hold the interpreter while they train, and long enough to start processes."""
        if kind.engine == "fused" or kind.device != "cpu" or cores() < 2:
            return False
        return self._seconds[kind] > PROCESS_SECONDS

    def conditions(self, cohort: Cohort) -> tuple[int, str]:
        """Return what cohorts must share to be trained at once: torch's threads, and the kind of device."""
        device = "cpu" if self._remote is not None else devices.resolve(cohort.kind.device)
        return cohort.kind.threads, device.partition(":")[0]

    def halted(self, running: Sequence[CohortRun]) -> Iterator[CohortRun]:
        """Halt all executors, and yield each cohort once none of its trials is trained."""
        if running:
            for executor in (self._remote, *self._made.values()):
                if executor is not None:
                    executor.halt()
        for run in running:
            run.wait_idle()
            yield run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def _has_room(running: Sequence[CohortRun]) -> bool:
    """Return True if another cohort should be started on this machine; each is held in memory."""
    most = TRIALS_PER_CORE * cores()
    return len(running) <= COHORTS_AHEAD or (len(running) < most and sum(run.left for run in running) < most)


# ---- threads


class ThreadExecutor:
    """Trains as many batches at once as there are cores, in threads of this process."""

    has_room = staticmethod(_has_room)

    def __init__(self, plan: Plan, stop: Callable[[], bool]) -> None:
        self._plan, self._stop_requested, self._halted = plan, stop, False
        self._queue: SimpleQueue[tuple[list[TrialSpec], CohortRun, BatchTrainer] | None] = SimpleQueue()
        self._cache = ExperimentCache()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(cores())]
        for thread in self._threads:
            thread.start()

    def submit(self, cohort: Cohort, resume: ResumeState) -> CohortRun:
        """Start training the trials of a cohort that have not ended, from their checkpoints."""
        run, device = CohortRun(cohort, resume), devices.resolve(cohort.kind.device)
        trainer = BatchTrainer(cohort.kind.engine, device, self._stop, self._cache)
        for specs in split(resume.to_train(cohort), lambda spec: self._plan.cost_of(spec).seconds):
            self._queue.put((specs, run, trainer))
        return run

    def _stop(self) -> bool:
        return self._halted or self._stop_requested()

    def _work(self) -> None:
        """Train one batch after another, until there are no more."""
        while (job := self._queue.get()) is not None:
            specs, run, trainer = job
            left = dict.fromkeys(one.trial for one in specs)
            error: BaseException | None = None
            try:
                if not self._stop():
                    threads = run.cohort.kind.threads
                    if torch.get_num_threads() != threads:  # each thread has a number of its own
                        torch.set_num_threads(threads)
                    batch = self._plan.batch(run.cohort, specs, run.resume, trainer.device)
                    for result in trainer.run(batch, run.update):
                        run.finish(result.trial, result)
                        del left[result.trial]
            except BaseException as caught:  # noqa: BLE001 -- a bug, raised again by the thread that waits
                error = caught
            for trial in left:
                run.finish(trial, None, error)

    def halt(self) -> None:
        """Stop the trials that are being trained, and begin no more."""
        self._halted = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.halt()
        for _thread in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()


def split(specs: list[TrialSpec], seconds_of: Callable[[TrialSpec], float]) -> Iterator[list[TrialSpec]]:
    """Divide trials into batches for threads: several if they are short, and fewer towards the end."""
    begin = 0
    while begin < len(specs):
        most = min(MAX_BATCH, max(1, (len(specs) - begin) // (2 * cores())))
        seconds, end = seconds_of(specs[begin]), begin + 1
        while end - begin < most and seconds + seconds_of(specs[end]) <= BATCH_SECONDS:
            seconds, end = seconds + seconds_of(specs[end]), end + 1
        yield specs[begin:end]
        begin = end


# ---- processes


class Throttle:
    """Says when it is time to save again, so that saving takes a small share of the time."""

    def __init__(self) -> None:
        self._due = time.monotonic() + THROTTLE_INTERVAL

    def is_due(self) -> bool:
        """Return True if it is time."""
        return time.monotonic() >= self._due

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure how long saving takes."""
        began = time.monotonic()
        yield
        ended = time.monotonic()
        self._due = ended + max(THROTTLE_INTERVAL, THROTTLE_FACTOR * (ended - began))


class Channel(NamedTuple):
    """What a process shares with the sweep's own: when to stop, and where to send checkpoints."""

    stop: Event
    writer: Connection
    writing: Lock
    """one process at a time"""


class Reporter:
    """A process's end of its channel."""

    def __init__(self, channel: Channel) -> None:
        self.stop, self._channel, self._throttle = channel.stop.is_set, channel, Throttle()

    def send(self, checkpoint: TrialResult) -> None:
        """Send a trial's checkpoint, unless one was sent a moment ago."""
        if self._throttle.is_due():
            # the sweep closes its end when it cannot receive any more, and reports why itself
            with self._throttle.measured(), self._channel.writing, suppress(OSError):
                self._channel.writer.send(checkpoint)


_reporter: list[Reporter] = []


def _start_worker(channel: Channel) -> None:
    """Prepare a process for batches.

    Ctrl-C and a service's SIGTERM reach every process of a group; the sweep's own decides what follows.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _reporter.append(Reporter(channel))


def _exit_with_parent() -> None:
    """End this process when the sweep's own was killed: nobody would receive its results."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _train_in_worker(batch: TrialBatch) -> BatchResult:
    (reporter,) = _reporter
    if reporter.stop():
        return BatchResult([])
    newest: list[TrialResult] = []

    def on_checkpoint(checkpoint: TrialResult) -> None:
        newest[:] = [checkpoint]
        reporter.send(checkpoint)

    trainer = BatchTrainer(batch.engine, batch.device, reporter.stop)
    with devices.computing(batch.threads, batch.device):
        results = list(trainer.run(batch, on_checkpoint))
    return BatchResult(results, newest[0] if newest and not results else None)


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


class ProcessExecutor:
    """Trains one trial at a time in each of as many processes as there are cores.

    It serves engines that run in Python. Processes are spawned, since a forked one would keep the sweep's
    lock. While a trial is trained its process sends checkpoints now and then, so that a sweep that is killed
    has saved them.
    """

    has_room = staticmethod(_has_room)

    def __init__(self, plan: Plan) -> None:
        context = _Context()
        with safe_path():  # the first of these starts a process that counts semaphores
            self._plan, self._stop = plan, context.Event()
        self._runs: dict[int, CohortRun] = {}
        """by trial, of those that are given to processes"""
        self._lock = threading.Lock()
        self._reader, self._writer = context.Pipe(duplex=False)
        channel = Channel(self._stop, self._writer, context.Lock())
        self._pool = ProcessPoolExecutor(cores(), context, initializer=_start_worker, initargs=(channel,))
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def submit(self, cohort: Cohort, resume: ResumeState) -> CohortRun:
        """Start training the trials of a cohort that have not ended, from their checkpoints."""
        run, device = CohortRun(cohort, resume), devices.resolve(cohort.kind.device)
        for spec in resume.to_train(cohort):
            with self._lock:
                self._runs[spec.trial] = run
            batch = self._plan.batch(cohort, [spec], resume, device)
            try:
                future = self._pool.submit(_train_in_worker, batch)
            except BrokenProcessPool:
                run.finish(spec.trial, None, _lost_process())
            else:
                future.add_done_callback(partial(self._receive, run, batch))
        return run

    def _receive(self, run: CohortRun, batch: TrialBatch, future: Future[BatchResult]) -> None:
        with self._lock:
            self._runs.pop(batch.specs[0].trial, None)
        error = future.exception()
        if error is None:
            run.accept(batch, future.result())
        else:
            run.abandon(batch, _lost_process() if isinstance(error, BrokenProcessPool) else error)

    def _listen(self) -> None:
        """Receive checkpoints, until every process has ended."""
        # a process that sends while nobody listens gets an error, and goes on training
        with self._reader, suppress(EOFError, OSError, MemoryError):
            while True:
                checkpoint: TrialResult = self._reader.recv()
                with self._lock:
                    run = self._runs.get(checkpoint.trial)
                    if run is not None:
                        run.update(checkpoint)

    def halt(self) -> None:
        """Stop the trials that are being trained, and begin no more."""
        self._stop.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.halt()
        self._pool.shutdown(wait=True)
        self._writer.close()
        self._listener.join()


def _lost_process() -> OutOfMemoryError:
    what = "a process that trained was killed, perhaps for its memory"
    return OutOfMemoryError("memory", what, "the same command resumes the sweep; smaller trials need less")
