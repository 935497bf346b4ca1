"""A sweep from its first trial to its last, new or continued: cohort by cohort, each recorded as it ends."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from mlprun import engines, files, schema
from mlprun.config import Text
from mlprun.engines import device as devices
from mlprun.errors import CheckFailedError, CheckpointError, DivergedError, MlprunError
from mlprun.storage import canonical, provenance
from mlprun.sweeps import cohorts, folder, search
from mlprun.sweeps.database import Trial
from mlprun.sweeps.plan import Plan
from mlprun.sweeps.processes import WORTH, Processes
from mlprun.sweeps.workshop import Workshop, cores
from mlprun.training.recorded import as_yaml, code_of
from mlprun.training.signals import StopFlag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlprun.storage.lock import Lock
    from mlprun.sweeps.database import Description, Writer
    from mlprun.sweeps.definition import Definition
    from mlprun.sweeps.folder import SweepFolder, SweepStatus
    from mlprun.sweeps.launchers import Launcher
    from mlprun.sweeps.outcome import Outcome, Standing
    from mlprun.sweeps.plan import Cohort
    from mlprun.sweeps.workshop import Batch

LOOK = 0.1
"""seconds between two looks at signals and at trials that have ended"""
SAVE = 1.0
"""seconds between two saves of a cohort that is in the middle, at least"""
SPARING = 50
"""times as long as a save took the next one waits: writing large cohorts takes no more than its share"""
_BAD = ("diverged", "failed")


class Reporter(Protocol):
    """Who watches a sweep."""

    def begin(self, folder: str, plan: Plan, done: int) -> None:
        """Called once, when the folder stands and so many trials have ended before."""
        ...

    def say(self, message: str) -> None:
        """Something that the user should know."""
        ...

    def report(self, done: int, seconds: float) -> None:
        """Called several times a second: trials that have ended, and seconds of this session."""
        ...


@dataclass(frozen=True)
class Ended:
    """How a sweep came to its end; `signal_number` names the signal that interrupted it."""

    folder: SweepFolder
    status: SweepStatus
    plan: Plan
    signal_number: int | None = None


def run(
    definition: Definition,
    *,
    out: str,
    reporter: Reporter,
    allow_code: bool = False,
    fail_fast: bool = False,
    processes: bool = False,
    elsewhere: Callable[[Plan], Launcher] | None = None,
) -> Ended:
    """Run a sweep in a new folder below `out`, or go on with the one that is there.

    With `processes`, trials of engines that run in Python are trained in processes of their own, where there
    is enough to do for them; these import the main module, which must not run a sweep when it is imported.
    `elsewhere` makes the launcher that trains all trials instead, see `launchers`.

    Raises ConfigError with the problems of all trials, UsageError, DataError and DeviceError before a folder
    exists; RunInUseError; FileError; with `fail_fast` DivergedError or CheckFailedError after saving.
    """
    plan = Plan(definition, allow_code=allow_code)
    if plan.sweep.search is not None:
        plan.extend(search.first(definition))
    _prepare(plan, reporter)
    with StopFlag() as stop, ExitStack() as stack:
        launcher = stack.enter_context(elsewhere(plan)) if elsewhere is not None else None
        place, lock = _opened(plan, out)
        with lock:
            status = place.status()
            if status.state == "finished":
                reporter.begin(place.path, plan, status.done)
                return Ended(place, status, plan)
            with place.writer() as writer:
                session = _Session(plan, place, writer, reporter, stop)
                session.fail_fast, session.processes, session.elsewhere = fail_fast, processes, launcher
                return session.carry_out()


def _prepare(plan: Plan, reporter: Reporter) -> None:
    """Do what is done once before the first trial: refuse a device that is absent, load kernels."""
    for kind in dict.fromkeys(cohort.kind for cohort in plan.cohorts):
        devices.resolve(kind.device)
    for engine, experiment in plan.examples():
        engines.named(engine).prepare(experiment, reporter.say)


def stored(plan: Plan, place: str) -> dict[str, Any]:
    """The sweep as its folder keeps it: the base written out, paths relative to the folder."""
    data = plan.definition.document.data
    words = {key: _portable(value, key, place) for key, value in data.items() if key not in ("base", "name")}
    return {"name": plan.definition.name, "base": schema.given(plan.definition.base, place), **words}


def _portable(value: Any, key: str, place: str) -> Any:
    """A value of a sweep file as JSON; the values of parameters that are paths are relative to `place`."""
    if isinstance(value, dict):
        return {inner: _portable(item, inner, place) for inner, item in value.items()}
    if isinstance(value, tuple):
        return [_portable(item, key, place) for item in value]
    if isinstance(value, Text):
        is_path = key.rpartition(".")[2] == "path"
        path = os.path.join(value.folder, value)
        return os.path.relpath(path, place) if is_path else str(value)
    return value


def digest_of(words: Mapping[str, Any]) -> str:
    """What two sweeps with the same trials have in common; objective and success may differ."""
    return canonical.digest({k: v for k, v in words.items() if k not in ("name", "objective", "success")})


def _opened(plan: Plan, out: str) -> tuple[SweepFolder, Lock]:
    """The folder of this very sweep, or a new one, and its lock."""
    name = plan.definition.name
    # every folder below `out` lies equally deep, so paths relative to it hold whatever its number will be
    words = stored(plan, os.path.join(out, name))
    digest, description = digest_of(words), replace(plan.description, definition=words)
    place = folder.find_same(out, name, digest)
    if place is None:
        trials = (replace(trial, cohort=cohort, member=member) for trial, cohort, member in _placed(plan))
        code = code_of(plan.base)
        record = {
            "name": name,
            "sweep_digest": digest,
            "trials": plan.total,
            "code": {name: canonical.digest(data.hex()) for name, data in code.items()},
            **provenance.environment(),
        }
        contents = folder.Contents(as_yaml(words), record, description, plan.settings, trials)
        return folder.create(out, name, contents)
    lock = place.lock()
    try:
        _refresh(place, words, description)
    except BaseException:
        lock.release()
        raise
    return place, lock


def _placed(plan: Plan, after: int = 0) -> Iterator[tuple[Trial, int, int]]:
    """Every trial of the settings after one, pending, with its cohort and its place in it, by number."""
    places = {
        one.trial: (cohort.number, place)
        for cohort in plan.cohorts
        for place, one in enumerate(cohort.members)
    }
    for one in plan.members():
        if one.setting > after:
            yield Trial(one.trial, one.setting, one.seed, one.fold), *places[one.trial]


def _refresh(place: SweepFolder, words: Mapping[str, Any], description: Description) -> None:
    """Keep what a continued sweep may say differently: what is good, and when a trial is a success."""
    with place.results() as results:
        known, now = asdict(results.description), asdict(description)
    if known["figures"] != now["figures"] or known["total"] != now["total"]:
        what = "is of this sweep, and its database holds other trials"
        raise CheckpointError(place.path, what, "run the sweep with another --out")
    changed = [key for key in ("objective", "success", "definition") if known[key] != now[key]]
    if changed:
        place.write_definition(as_yaml(words))
        with place.writer() as writer:
            for key in changed:
                writer.describe(key, now[key])


class _Session:
    """What a sweep works with while it runs; the caller holds the lock and catches signals."""

    def __init__(
        self, plan: Plan, place: SweepFolder, writer: Writer, reporter: Reporter, stop: StopFlag
    ) -> None:
        self.plan, self.place, self.writer, self.reporter, self.stop = plan, place, writer, reporter, stop
        self.digest = str(place.record()["sweep_digest"])
        self.before = place.status().seconds
        self.began = time.monotonic()
        self.bad: Outcome | None = None
        self.places: dict[bool, Launcher] = {}
        """where trials are trained: in this process or, where True, in others"""
        self.elsewhere: Launcher | None = None
        """what trains them instead"""
        self.fail_fast = self.processes = False
        done = {trial.id for trial in writer.results.each() if trial.status != "pending"}
        self.done = len(done)
        if plan.sweep.search is not None:
            plan.recall(writer.results.settings())
        self.todo = [one for one in plan.cohorts if any(m.trial not in done for m in one.members)]

    def carry_out(self) -> Ended:
        """Run what is left, and write the status."""
        self.reporter.begin(self.place.path, self.plan, self.done)
        unfinished = self.done < self.plan.total
        if unfinished:
            self.place.write_status(self._status("running"))
            try:
                self._run()
                while not self._stopped() and self._search_on():
                    self._run()
            except (MlprunError, MemoryError) as error:
                self.place.write_status(self._status("failed", str(error)))
                raise
        state: folder.State = "finished" if self.done == self.plan.total else "interrupted"
        if unfinished:
            self.place.write_status(self._status(state))
        self.writer.close(final=state == "finished")
        if self.bad is not None and self.fail_fast:
            self._raise(self.bad)
        return Ended(self.place, self.place.status(), self.plan, self.stop.number)

    def _search_on(self) -> bool:
        """Ask for another round of a search; False where there is none."""
        if self.plan.sweep.search is None:
            return False
        points = search.following(self.plan.definition, self.writer.results)
        before, begun = len(self.plan.settings), len(self.plan.cohorts)
        self.plan.extend(points)
        trials = (
            replace(trial, cohort=cohort, member=member)
            for trial, cohort, member in _placed(self.plan, before)
        )
        self.writer.extend([point.setting for point in points], trials)
        self.todo = self.plan.cohorts[begun:]
        return bool(points)

    def _status(self, state: folder.State, reason: str = "") -> SweepStatus:
        seconds = self.before + time.monotonic() - self.began
        return folder.SweepStatus(state, self.done, self.plan.total, seconds, reason)

    def _stopped(self) -> bool:
        return self.stop() or (self.fail_fast and self.bad is not None)

    def _run(self) -> None:
        """Train cohort after cohort, the next one begun before the last is written."""
        waiting = deque(self.todo)
        begun: deque[Batch] = deque()
        self.places.clear()  # those of an earlier round of a search are closed
        with ExitStack() as places:
            while waiting and not self._stopped():
                begin_more = partial(self._begin_more, places, begun, waiting)
                begin_more()
                # all that are begun have one number of threads, which holds until the last has ended
                with devices.computing(begun[0].cohort.kind.threads, "cpu"):
                    while begun and self._await(begun, begin_more):
                        self._record(begun.popleft())
                        if begun:
                            begin_more()
                    self._save_all(begun)

    def _save_all(self, begun: deque[Batch]) -> None:
        """Let what was stopped in the middle end its chunk, and write where it stands."""
        if begun:
            for place in (self.elsewhere, *self.places.values()):
                if place is not None:
                    place.halt()
        for batch in begun:
            batch.wait()
            self._save(batch)

    def _begin_more(self, places: ExitStack, begun: deque[Batch], waiting: deque[Cohort]) -> None:
        """Begin with as many cohorts as there is room for."""
        while waiting:
            place = self._place(places, waiting[0])
            if begun and not (place.has_room(len(begun)) and _go_together(begun, waiting[0])):
                return
            cohort = waiting.popleft()
            begun.append(place.submit(cohort, *self._partial(cohort)))

    def _place(self, places: ExitStack, cohort: Cohort) -> Launcher:
        """Where a cohort is trained."""
        if self.elsewhere is not None:
            return self.elsewhere
        apart = self.processes and self._is_worth_processes(cohort)
        if apart not in self.places:
            made: Launcher = Processes(self.plan) if apart else Workshop(self.plan, self._stopped)
            self.places[apart] = places.enter_context(made)
        return self.places[apart]

    def _is_worth_processes(self, cohort: Cohort) -> bool:
        """Whether trials hold Python while they are trained, and long enough to start processes for them."""
        kind = cohort.kind
        if kind.engine == "fused" or kind.device != "cpu" or cores() < 2:
            return False
        alike = [member for one in self.todo if one.kind == kind for member in one.members]
        return sum(self.plan.cost_of(member).seconds for member in alike) > WORTH

    def _partial(self, cohort: Cohort) -> tuple[dict[int, Outcome], dict[int, Standing]]:
        """What an interrupted session left of a cohort; a damaged file is told of and done without."""
        path = self.place.partial(cohort.number)
        if files.kind(path) is None:
            return {}, {}
        try:
            found = cohorts.read(path, self.digest)
            return {one.trial: one for one in found.ended()}, {one.trial: one for one in found.standings()}
        except (CheckpointError, KeyError, TypeError, ValueError) as error:
            self.reporter.say(f"warning: {error}; its cohort starts again")
            return {}, {}

    def _await(self, begun: deque[Batch], begin_more: Callable[[], None]) -> bool:
        """Wait for the first cohort to end, meanwhile beginning others; False where the sweep is stopped."""
        first, due = begun[0], time.monotonic() + SAVE
        while not first.wait(LOOK):
            self._look(begun)
            if self._stopped():
                return False
            begin_more()
            began = time.monotonic()
            if began >= due:
                for batch in begun:
                    self._save(batch)
                ended = time.monotonic()
                due = ended + max(SAVE, SPARING * (ended - began))
        self._look(begun)
        return not self._stopped()

    def _look(self, begun: deque[Batch]) -> None:
        """Report how far the sweep is, and notice a trial that came out badly."""
        ended = sum(batch.ended for batch in begun)
        self.reporter.report(self.done + ended, time.monotonic() - self.began)
        if self.fail_fast and self.bad is None:
            bad = (one for batch in begun for one in batch.outcomes() if one.status in _BAD)
            self.bad = next(bad, None)

    def _save(self, batch: Batch) -> None:
        """Write what stands of a cohort in the middle."""
        outcomes, standings = batch.outcomes(), batch.standings()
        if outcomes or standings:
            columns = batch.cohort.kind.columns
            data = cohorts.encode_partial(outcomes, standings, columns, self.digest)
            files.write_atomic(self.place.partial(batch.cohort.number), data)

    def _record(self, batch: Batch) -> None:
        """Write the file of a cohort that has ended, then its trials: who sees these finds the file."""
        cohort, outcomes = batch.cohort, batch.outcomes()
        data = cohorts.encode(outcomes, cohort.kind.columns, self.digest)
        files.write_atomic(self.place.cohort(cohort.number), data)
        self.writer.record(_recorded(cohort, place, outcome) for place, outcome in enumerate(outcomes))
        self.place.remove_partial(cohort.number)
        self.done += len(outcomes)

    def _raise(self, bad: Outcome) -> None:
        """End with the trial that came out badly."""
        where = f"{self.place.path}: trial {bad.trial}"
        if bad.status == "diverged":
            what = f"diverged after epoch {bad.epochs}"
            raise DivergedError(where, what, "without --fail-fast the sweep goes on and marks it")
        raise CheckFailedError(where, f"failed: {bad.error}", "without --fail-fast the sweep goes on")


def _go_together(begun: deque[Batch], cohort: Cohort) -> bool:
    """Whether a cohort may be trained beside those that are: all use one number of torch's threads."""
    return not begun or begun[0].cohort.kind.threads == cohort.kind.threads


def _recorded(cohort: Cohort, place: int, outcome: Outcome) -> Trial:
    """A trial of a cohort as the database keeps it."""
    member = cohort.members[place]
    assert member.trial == outcome.trial
    return Trial(
        member.trial,
        member.setting,
        member.seed,
        member.fold,
        cohort.number,
        place,
        outcome.status,
        cohort.kind.engine,
        outcome.epochs,
        outcome.best_epoch,
        outcome.seconds,
        outcome.error,
        outcome.figures,
    )
