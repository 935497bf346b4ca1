"""A sweep from its first trial to its last, in a new folder or in one that it resumes."""

from __future__ import annotations

import itertools
import time
from collections import deque
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mlprun import engines, extras, files
from mlprun.engines import device as devices
from mlprun.errors import (
    CheckFailedError,
    CheckpointError,
    DivergedError,
    FileError,
    MlprunError,
    OutOfMemoryError,
    RunInUseError,
    UsageError,
)
from mlprun.interrupts import StopFlag
from mlprun.parts.datasets.dataset import shortened
from mlprun.storage import runs
from mlprun.sweeps import cohort_file, folder, resume, search
from mlprun.sweeps.configs import Configs
from mlprun.sweeps.executors import CohortRun, ExecutorRouter, Workers
from mlprun.sweeps.objective import BAD
from mlprun.sweeps.plan import Plan, pending_trials
from mlprun.sweeps.schema import Trial
from mlprun.sweeps.trials import Budget, ResumeState
from mlprun.training import tracking
from mlprun.training.metadata import as_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlprun.sweeps.cohort_file import TrialResult
    from mlprun.sweeps.cohorts import Cohort
    from mlprun.sweeps.database import Results, Writer
    from mlprun.sweeps.definition import Definition
    from mlprun.sweeps.folder import SweepFolder, SweepStatus

LOCATIONS = ("local", "ray")
POLL_SECONDS = 0.1
"""between two looks at signals and at trials that have ended"""
SAVE_INTERVAL = 1.0
"""seconds between two saves, at least"""
SAVE_FACTOR = 50
"""the next save waits so many times as long as the last one took"""


class SweepReporter(Protocol):
    """Observes a sweep."""

    def begin(self, folder: str, plan: Plan, done: int) -> None:
        """Called once, when the folder exists and so many trials have ended before."""
        ...

    def say(self, message: str) -> None:
        """Called with a message for the user."""
        ...

    def report(self, done: int, seconds: float) -> None:
        """Called several times a second with the trials that have ended and the seconds of this session."""
        ...


@dataclass(frozen=True)
class SweepResult:
    """The end of a sweep; `signal_number` is the signal that interrupted it."""

    folder: SweepFolder
    status: SweepStatus
    plan: Plan
    signal_number: int | None = None


def run(
    definition: Definition,
    *,
    out: str,
    reporter: SweepReporter,
    allow_code: bool = False,
    fail_fast: bool = False,
    retry_failed: bool = False,
    processes: bool = False,
    remote: Callable[[], Workers] | None = None,
    storage: str | None = None,
) -> SweepResult:
    """Run a sweep in a new folder below `out`, or resume the one that is there.

    With `retry_failed` trials that failed are trained again, others of their cohorts kept as they are.
    With `processes`, trials of engines that run in Python are trained in processes of their own, if there is
    enough to do for them; these import the main module, which must not run a sweep when it is imported.
    `remote` makes the workers that train all trials instead, see `remote_workers`. `storage` is the URL of a
    database for Optuna's study of the search, see `search.Study`.

    Raises ConfigError with the problems of all trials, UsageError, DataError and DeviceError before a folder
    exists; DataError for rows that changed under a sweep; CheckpointError; RunInUseError; FileError; with
    `fail_fast` DivergedError or CheckFailedError after saving.
    """
    configs = Configs(resume.with_original_format(definition, out), allow_code=allow_code)
    study = None if storage is None else search.Study(storage, definition.sweep)
    with ExitStack() as stack:
        found = resume.find_and_lock(configs, out, stack, reporter.say)
        if found is not None:
            resume.recover_interrupted(found)
        outlook = _outlook(configs, found, retry_failed=retry_failed)
        plan = outlook.plan
        if found is not None and outlook.is_over:
            resume.extend(plan, found, on_message=reporter.say)
            reporter.begin(found.path, plan, plan.done)
            with found.results() as results:
                if study is not None:
                    _show(study, results, found.path, reporter)
                if fail_fast and (failure := _first_failure(results, found.path)):
                    raise failure
            return SweepResult(found, found.status(), plan)
        for message in outlook.messages:
            reporter.say(message)
        _prepare(plan, reporter)
        for tracker in plan.base.trackers:
            tracker.check()
        with StopFlag() as stop:
            workers = None if remote is None else stack.enter_context(closing(remote()))
            if found is None:
                found = _create_folder(configs, plan, out, stack)
            else:
                resume.extend(plan, found, outlook.differences, reporter.say)
            with found.writer() as writer, ExitStack() as ending:
                session = Session(plan, found, writer, reporter, stop)
                session.store.retry_failed = retry_failed
                if fail_fast:
                    session.failure, session.fail_fast = _first_failure(writer.results, found.path), True
                session.router = ExecutorRouter(plan, session.is_stopped, workers, processes=processes)
                session.study = study
                if plan.base.trackers:
                    track = partial(tracking.Tracking, plan.base.trackers, say=reporter.say, stop=stop)
                    trackers = track(allow_code=allow_code)
                    trackers.start(found.path)
                    ending.callback(trackers.finish)
                return session.run()


def remote_workers(on: str, address: str | None) -> Callable[[], Workers] | None:
    """Return what makes the workers that `on` names; None for this machine.

    Raises UsageError for an unknown location, an address that is not needed, and a missing library.
    """
    if on not in LOCATIONS:
        raise UsageError("--on", f"{on!r} is no place to run a sweep", f"expected {' or '.join(LOCATIONS)}")
    if on == "local":
        if address is not None:
            raise UsageError("--address", "is the address of a Ray cluster", "add --on ray")
        return None
    extras.need("ray", where="--on ray")
    from mlprun.sweeps.ray_executor import RayWorkers  # here, since Ray is optional

    return partial(RayWorkers, address=address)


class SweepPreview(NamedTuple):
    """What a sweep is going to do: its plan and, if it resumes, in which folder."""

    plan: Plan
    folder: SweepFolder | None
    differences: Sequence[str] = ()
    """what differs from when the folder's sweep was started"""
    messages: Sequence[str] = ()
    is_over: bool = False
    """whether nothing is left to do"""


def look(
    definition: Definition, *, out: str, allow_code: bool = False, retry_failed: bool = False
) -> SweepPreview:
    """Return what `run` would do. Raises as it does before there is a folder."""
    configs = Configs(resume.with_original_format(definition, out), allow_code=allow_code)
    return _outlook(configs, resume.find(configs, out), retry_failed=retry_failed)


def _outlook(configs: Configs, found: SweepFolder | None, *, retry_failed: bool) -> SweepPreview:
    if found is None:
        return SweepPreview(_plan(configs, None), None)
    again, messages = resume.trials_to_retrain(found, retry_failed=retry_failed)
    plan = _plan(configs, found, again)
    different = resume.differences(plan, found)
    if resume.is_finished(found, plan):
        return SweepPreview(plan, found, is_over=True)
    warning = f"this may not end with the bytes of an undisturbed sweep: {'; '.join(different)}"
    return SweepPreview(plan, found, different, [*([warning] if different else []), *messages])


def _plan(configs: Configs, found: SweepFolder | None, again: frozenset[int] = frozenset()) -> Plan:
    """Return the plan of a sweep, with the first round of a search if there is none yet."""
    definition = configs.definition
    if found is None:
        plan = Plan(definition, configs=configs)
    else:
        with found.results() as results:
            plan = Plan(definition, configs=configs, known=results, again=again)
    if plan.sweep.search is not None and not plan.settings:
        plan.extend(search.first_round(definition))
    return plan


def _prepare(plan: Plan, reporter: SweepReporter) -> None:
    """Report warnings of the data, refuse a missing device, and load kernels, before the first trial."""
    warnings = dict.fromkeys(one for made in plan.configs.prototypes for one in made.warnings)
    for warning in shortened(warnings):
        reporter.say(f"warning: {warning}")
    for kind in dict.fromkeys(cohort.kind for cohort in plan.cohorts):
        devices.resolve(kind.device)
    for engine, experiment in plan.examples():
        engines.named(engine).warm_up(experiment, reporter.say)


def _create_folder(configs: Configs, plan: Plan, out: str, stack: ExitStack) -> SweepFolder:
    """Create a folder, its lock held by `stack`. Raises RunInUseError if another process was faster."""
    definition = plan.definition
    sibling = resume.sibling(definition, out)
    variables = sorted({*definition.document.variables, *definition.base.variables})
    content = resume.serialize(definition, sibling)
    record = {
        "name": definition.name,
        "sweep_digest": resume.sweep_digest(content),
        "trials": plan.total,
        **({"config_variables": variables} if variables else {}),
        **resume.environment(plan),
    }
    rows = resume.row_digests(plan, sibling)
    description = replace(plan.description, definition=content, rows=rows)
    while True:
        # chosen before the last look: who creates such a folder after it takes this name first
        final = runs.next_free(out, definition.name)
        if (faster := resume.find_and_lock(configs, out, stack)) is not None:
            what = "was made by another process meanwhile"
            raise RunInUseError(faster.path, what, "the same command resumes it")
        with suppress(FileExistsError):
            made, lock = folder.create(
                final,
                as_yaml(content),
                record,
                description,
                settings=plan.settings,
                trials=pending_trials(plan.cohorts),
            )
            stack.enter_context(lock)
            return made


def _show(study: search.Study, results: Results, path: str, reporter: SweepReporter) -> bool:
    """Add to the study what has ended; return False and tell the user if that fails."""
    error = study.update(results, path)
    if error is not None:
        reporter.say(error)
    return error is None


# ---- training the trials


class Session:
    """Trains what is left of a sweep, cohort by cohort; the caller holds the lock and catches signals."""

    router: ExecutorRouter

    def __init__(
        self, plan: Plan, found: SweepFolder, writer: Writer, reporter: SweepReporter, stop: StopFlag
    ) -> None:
        self.plan, self.folder, self.writer, self.reporter, self.stop = plan, found, writer, reporter, stop
        pending = set(writer.results.cohorts(pending=True))
        self.todo = [one for one in plan.cohorts if one.number in pending]
        self.store = CohortStore(found, writer, reporter.say)
        self.done = sum(len(one.members) for one in plan.cohorts) - sum(len(one.members) for one in self.todo)
        """number of trials of cohorts that have ended"""
        self.fail_fast = False
        self.failure: MlprunError | None = None
        """of the trial that stops a sweep with `fail_fast`"""
        self.pruned: dict[int, int] = {}
        """configurations that were pruned, and the epochs where they end"""
        self.study: search.Study | None = None
        """that shows the search; None if none was asked for, or it failed"""
        self._status_before, self._began = found.status(), time.monotonic()
        self._reported = plan.done
        self._save_at = time.monotonic() + SAVE_INTERVAL
        self._retries: deque[CohortRun] = deque()
        """cohorts with trials for which memory ran out: each is tried once more, with nothing beside it"""
        self._retried: set[int] = set()

    def is_stopped(self) -> bool:
        """Return True if no more trials should be trained."""
        return self.stop() or self.failure is not None

    def run(self) -> SweepResult:
        """Train all that is left, and write the status."""
        self.reporter.begin(self.folder.path, self.plan, self.plan.done)
        self._write_status("running")
        try:
            with closing(self.router):
                self._train_round()
                while not self.is_stopped() and self._extend_search():
                    self._train_round()
            is_finished = self.done == self.plan.total
            self.writer.close(final=is_finished)  # before the status `finished`, which is relied on
        except (MlprunError, MemoryError) as error:
            with suppress(FileError):  # the cause is reported already
                self._write_status("failed", str(error))
            raise
        reason, failure = "", self.failure
        if failure is not None and not is_finished:
            reason = f"{failure.where.rpartition(': ')[2]} {failure.what}, and --fail-fast stops there"
        self._write_status("finished" if is_finished else "interrupted", reason)
        self.stop.finished = is_finished
        if failure is not None:
            raise failure
        return SweepResult(self.folder, self.folder.status(), self.plan, self.stop.number)

    def _write_status(self, state: folder.State, reason: str = "") -> None:
        seconds = self._status_before.seconds + time.monotonic() - self._began
        counts = replace(
            self._status_before, done=self.done, total=self.plan.total, kept=sum(self.store.kept.values())
        )
        self.folder.write_status(replace(counts, state=state, seconds=seconds, reason=reason))

    def _train_round(self) -> None:
        """Train the cohorts of a round (all, without a search), up to each rung and then to the end."""
        settings = {spec.setting for cohort in self.todo for spec in cohort.members}
        self.router.plan_round(self.todo)
        for epoch in self.plan.rungs:
            rungs = self.writer.results.rungs()
            self.pruned = {one.setting: one.epoch for one in rungs if not one.promoted}
            undecided = settings - self.pruned.keys() - {one.setting for one in rungs if one.epoch == epoch}
            if undecided:
                trials = self._train(epoch)
                if self.is_stopped():
                    return
                self._decide(epoch, [one for one in trials if one.setting in undecided])
        self._train()

    def _decide(self, epoch: int, trials: Sequence[Trial]) -> None:
        """Decide which configurations are promoted at a rung, by the metrics of their trials there."""
        pruner, results = self.plan.sweep.pruner, self.writer.results
        assert pruner is not None
        rung = search.decide_rung(pruner, epoch, trials, results.rungs(), results.description)
        self.writer.add_rung(rung)
        self.pruned |= {one.setting: epoch for one in rung if not one.promoted}

    def _extend_search(self) -> bool:
        """Ask for another round of a search; return False if there is none."""
        if self.plan.sweep.search is None:
            return False
        if self.study is not None and not _show(
            self.study, self.writer.results, self.folder.path, self.reporter
        ):
            self.study = None
        candidates = search.next_round(self.plan.definition, self.writer.results)
        self.todo = self.plan.extend(candidates)
        self.writer.extend(map(self.plan.record, candidates), pending_trials(self.todo))
        return bool(candidates)

    def _train(self, rung: int | None = None) -> list[Trial]:
        """Train cohort after cohort, the next one started before the last is recorded.

        With a `rung` they are trained up to that epoch, and their trials are returned as they are there.
        """
        at_rung: list[Trial] = []
        for conditions, cohorts in itertools.groupby(self.todo, self.router.conditions):
            waiting: deque[Cohort] = deque(cohorts)
            in_flight: list[CohortRun] = []
            with devices.compute_context(*conditions), self._saving(in_flight):
                while (ended := self._next_ended(in_flight, waiting, rung)) is not None:
                    if self._takes_again(ended):
                        self.store.save(ended)
                    elif rung is None:
                        self.store.record(ended)
                        self.done += len(ended.cohort.members)
                    else:
                        self.store.save(ended)
                        at_rung += trial_records(ended)
                    in_flight.remove(ended)
                    self._save_if_due(in_flight)
        return sorted(at_rung, key=lambda trial: trial.id)  # in whichever order they ended

    @contextmanager
    def _saving(self, in_flight: list[CohortRun]) -> Iterator[None]:
        """Leave no cohort in flight without a partial file, even if something fails."""
        try:
            yield
        except Exception:
            for one in self.router.halted(in_flight):
                with suppress(MlprunError, MemoryError, OSError):  # the first error is raised
                    self.store.save(one)
            raise
        for one in self.router.halted(in_flight):
            self.store.save(one)
        for one in in_flight:
            one.wait()

    def _next_ended(
        self, in_flight: list[CohortRun], waiting: deque[Cohort], rung: int | None
    ) -> CohortRun | None:
        """Return a cohort that has ended, starting others; None if none is left or the sweep is stopped."""
        while not self.is_stopped():
            self._start_more(in_flight, waiting, rung)
            if not in_flight:
                return None
            in_flight[0].wait(POLL_SECONDS)
            ended = next((one for one in in_flight if one.wait(0)), None)
            self._observe(in_flight)
            if ended is None:
                self._save_if_due(in_flight)
            elif not self.stop() and (self.failure is None or ended.ended == len(ended.cohort.members)):
                return ended  # recorded as a whole even if one of its trials stops the sweep
        return None

    def _start_more(self, in_flight: list[CohortRun], waiting: deque[Cohort], rung: int | None) -> None:
        """Start as many cohorts as there is room for, or a trial for which memory ran out with no other."""
        if self._retries:
            if not in_flight:
                in_flight.append(self._try_again(self._retries.popleft()))
            return
        while waiting:
            executor = self.router.executor(waiting[0])
            if in_flight and not executor.has_room(in_flight):
                return
            cohort = waiting.popleft()
            budgets = {} if rung is None else {spec.trial: Budget(rung) for spec in cohort.members}
            budgets |= {
                spec.trial: Budget(self.pruned[spec.setting], pruned=True)
                for spec in cohort.members
                if spec.setting in self.pruned
            }
            in_flight.append(executor.submit(cohort, ResumeState(self.store.load(cohort), budgets)))

    def _takes_again(self, run: CohortRun) -> bool:
        """Return True if a cohort is to be tried again. Raises OutOfMemoryError if it was before."""
        lacking = _out_of_memory(run)
        for trial in self._retried.intersection(lacking):
            what = f"memory ran out in trial {trial}, with nothing trained beside it as well"
            raise OutOfMemoryError("memory", what, "fewer rows or smaller layers need less")
        if lacking:
            self._retries.append(run)
        return bool(lacking)

    def _try_again(self, run: CohortRun) -> CohortRun:
        """Start the first trial of a cohort for which memory ran out; the others wait."""
        trial, *later = _out_of_memory(run)
        self._retried.add(trial)
        self.reporter.say(f"memory ran out in trial {trial}: it is tried once more, with none beside it")
        results = {one.trial: one for one in run.results()}
        state = ResumeState(results, run.resume.budgets, frozenset(later))
        return self.router.executor(run.cohort).submit(run.cohort, state)

    def _observe(self, in_flight: Sequence[CohortRun]) -> None:
        """Report the progress, and look for a trial that failed."""
        # a cohort that waits at a rung is not in flight, though trials of it may have ended
        self._reported = max(self._reported, self.done + sum(one.ended for one in in_flight))
        self.reporter.report(self._reported, time.monotonic() - self._began)
        if self.fail_fast and self.failure is None:
            bad = (one for run in in_flight for one in run.results() if one.status in BAD)
            self.failure = next((_error_of(one, one.trial, self.folder.path) for one in bad), None)

    def _save_if_due(self, in_flight: Sequence[CohortRun]) -> None:
        """Write partial files and the status now and then, so that this takes a small share of the time."""
        began = time.monotonic()
        if began >= self._save_at:
            for one in in_flight:
                self.store.save(one)
            self._write_status("running")
            ended = time.monotonic()
            self._save_at = ended + max(SAVE_INTERVAL, SAVE_FACTOR * (ended - began))


class CohortStore:
    """Saves and loads the results of cohorts: partial files, final files and database rows."""

    def __init__(self, found: SweepFolder, writer: Writer, on_message: Callable[[str], None]) -> None:
        self._folder, self._writer, self._on_message = found, writer, on_message
        self._digest = str(found.record()["sweep_digest"])
        self.retry_failed = False
        self.kept: dict[int, int] = {}
        """number of trials that a partial file has, by cohort"""

    def load(self, cohort: Cohort) -> dict[int, TrialResult]:
        """Return what earlier sessions left of a cohort; a damaged file is reported and ignored."""
        recorded, path = self._load_recorded(cohort), self._folder.partial(cohort.number)
        partial: list[TrialResult] = []
        if files.kind(path) is not None:
            try:
                partial = cohort_file.read(path, self._digest).partial_results
            except CheckpointError as error:
                self._on_message(f"warning: {error}; its cohort starts again")
        results = {one.trial: one for one in partial if not (self.retry_failed and one.status == "failed")}
        self.kept[cohort.number] = len(results.keys() - recorded.keys())
        return results | recorded

    def _load_recorded(self, cohort: Cohort) -> dict[int, TrialResult]:
        """Return the trials of a cohort that are kept while others of it are trained again."""
        path = self._folder.cohort(cohort.number)
        if files.kind(path) is None:
            return {}
        every = self._writer.results.each("cohort = ?", cohort.number)
        trials = [one for one in every if one.status != "pending"]
        if not trials:
            return {}
        try:
            file = cohort_file.read(path, self._digest)
            return {one.id: file.result(one) for one in trials}
        except CheckpointError as error:
            self._on_message(f"warning: {error}; all its trials are trained again")
            self._writer.reopen(one.id for one in trials)
            return {}

    def save(self, run: CohortRun) -> None:
        """Write the partial file of a cohort."""
        results = [one for one in run.results() if one.has_ended or one.state is not None]
        if results:
            data = cohort_file.encode_partial(results, run.cohort.kind.columns, self._digest)
            files.write_atomic(self._folder.partial(run.cohort.number), data)
            self.kept[run.cohort.number] = len(results)

    def record(self, run: CohortRun) -> None:
        """Write the file of a cohort that has ended, then its trials: who reads these finds the file."""
        number = run.cohort.number
        data = cohort_file.encode(run.results(), run.cohort.kind.columns, self._digest)
        files.write_atomic(self._folder.cohort(number), data)
        self._writer.record(trial_records(run))
        self._folder.remove_partial(number)
        self.kept.pop(number, None)


def trial_records(run: CohortRun) -> list[Trial]:
    """Return the database records of a cohort; trials that wait at a rung are described as finished there."""
    cohort = run.cohort
    return [
        Trial(
            *spec,
            cohort.number,
            position,
            one.status if one.has_ended else "finished",  # type: ignore[arg-type]
            cohort.kind.engine,
            one.epochs,
            one.best_epoch,
            one.seconds,
            one.error,
            one.figures,
        )
        for position, (spec, one) in enumerate(zip(cohort.members, run.results(), strict=True))
    ]


def _out_of_memory(run: CohortRun) -> list[int]:
    return [one.trial for one in run.results() if one.status == "out_of_memory"]


def _first_failure(results: Results, path: str) -> MlprunError | None:
    """Return the error of the first trial of a database that failed."""
    return next((_error_of(one, one.id, path) for one in results.planned() if one.status in BAD), None)


def _error_of(ended: Trial | TrialResult, number: int, path: str) -> MlprunError:
    has_diverged = ended.status == "diverged"
    what = f"diverged after epoch {ended.epochs}" if has_diverged else f"failed: {ended.error}"
    kind = DivergedError if has_diverged else CheckFailedError
    return kind(f"{path}: trial {number}", what, "without --fail-fast the sweep goes on and marks it")
