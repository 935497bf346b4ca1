"""A sweep while it runs: cohort by cohort, each recorded as it ends."""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from mlprun import files
from mlprun.engines import device as devices
from mlprun.errors import CheckpointError, FileError, MlprunError
from mlprun.sweeps import cohort_file, folder, pruning, search
from mlprun.sweeps.lacking import Again
from mlprun.sweeps.outcome import Bad, Known, Until
from mlprun.sweeps.places import Places
from mlprun.sweeps.progress import Progress
from mlprun.sweeps.schema import Trial
from mlprun.sweeps.sparing import Sparing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mlprun.interrupts import StopFlag
    from mlprun.sweeps.database import Writer
    from mlprun.sweeps.folder import SweepFolder, SweepStatus
    from mlprun.sweeps.outcome import Outcome, Standing
    from mlprun.sweeps.plan import Cohort, Plan
    from mlprun.sweeps.workshop import Batch

LOOK = 0.1
"""seconds between two looks at signals and at trials that have ended"""


class Reporter(Protocol):
    """Who watches a sweep."""

    def begin(self, folder: str, plan: Plan, done: int) -> None:
        """Called once, when the folder stands and so many trials have ended before."""
        ...

    def say(self, message: str) -> None:
        """Something that the user should know."""
        ...

    def report(self, done: int, seconds: float, left: Callable[[], float | None]) -> None:
        """Called several times a second: trials that have ended, seconds of this session, and of the rest."""
        ...


@dataclass(frozen=True)
class Ended:
    """How a sweep came to its end; `signal_number` names the signal that interrupted it."""

    folder: SweepFolder
    status: SweepStatus
    plan: Plan
    signal_number: int | None = None


def pending(cohorts: Iterable[Cohort]) -> Iterator[Trial]:
    """Every trial of cohorts as it is before it is trained."""
    for cohort in cohorts:
        for place, one in enumerate(cohort.members):
            yield Trial(one.trial, one.setting, one.seed, one.fold, cohort.number, place, engine=one.engine)


class Session:
    """What a sweep works with while it runs; the caller holds the lock and catches signals."""

    def __init__(
        self, plan: Plan, place: SweepFolder, writer: Writer, reporter: Reporter, stop: StopFlag
    ) -> None:
        self.plan, self.place, self.writer, self.reporter, self.stop = plan, place, writer, reporter, stop
        self.digest = str(place.record()["sweep_digest"])
        self.before = place.status()
        self.began = time.monotonic()
        self.bad: Bad | None = None
        """the trial at which a sweep stops that is to fail fast"""
        self._progress, self._told = Progress(plan), plan.done
        self._middle: dict[int, int] = {}
        """trials that a cohort's file of its middle holds and the database does not, by cohort"""
        self.places = Places(plan, self._stopped)
        self._again, self._saving = Again(), Sparing()
        self.fail_fast = self.retry_failed = False
        self.pruned: dict[int, int] = {}
        """settings that a search has given up, and the epochs where they end"""
        unended = writer.results.pending_cohorts()
        self.todo = [one for one in plan.cohorts if one.number in unended]
        planned = (one for one in writer.results.planned() if one.cohort in unended)
        self._recorded = {one.id for one in planned if one.status != "pending"}
        """trials of these cohorts that the database has"""
        self.done = sum(len(one.members) for one in plan.cohorts) - sum(len(one.members) for one in self.todo)
        """trials of whole cohorts"""

    def carry_out(self) -> Ended:
        """Run what is left, and write the status."""
        self.reporter.begin(self.place.path, self.plan, self.plan.done)
        if self.fail_fast:
            self.bad = Bad.recorded(self.writer.results)
        self.place.write_status(self._status("running"))
        try:
            with self.places:
                self._round()
                while not self._stopped() and self._search_on():
                    self._round()
            finished = self.done == self.plan.total
            self.writer.close(final=finished)  # before the status, which nobody doubts who reads `finished`
        except (MlprunError, MemoryError) as error:
            with suppress(FileError):  # what is in its way is told of already
                self.place.write_status(self._status("failed", str(error)))
            raise
        state: folder.State = "finished" if finished else "interrupted"
        self.place.write_status(self._status(state, "" if finished else self._why_stopped()))
        self.stop.finished = finished
        if self.bad is not None:
            raise self.bad.error_in(self.place.path)
        return Ended(self.place, self.place.status(), self.plan, self.stop.number)

    def _round(self) -> None:
        """Train what is left of a round: all that is left of the sweep, where nothing asks for more."""
        settings = {member.setting for cohort in self.todo for member in cohort.members}
        self.places.expect(self.todo)
        for epoch in self.plan.rungs:
            rungs = self.writer.results.rungs()
            self.pruned = {one.setting: one.epoch for one in rungs if not one.promoted}
            undecided = settings - self.pruned.keys() - {one.setting for one in rungs if one.epoch == epoch}
            if undecided:
                stand = self._run(epoch)
                if self._stopped():
                    return
                self._look_from(epoch, [one for one in stand if one.setting in undecided])
        self._run()

    def _look_from(self, epoch: int, stand: Sequence[Trial]) -> None:
        """Decide which settings go on from a rung, by how their trials stand there."""
        search, results = self.plan.sweep.search, self.writer.results
        assert search is not None
        assert search.pruner is not None
        rung = pruning.rung(search.pruner, epoch, stand, results.rungs(), results.description)
        self.writer.add_rung(rung)
        self.pruned |= {one.setting: epoch for one in rung if not one.promoted}

    def _search_on(self) -> bool:
        """Ask for another round of a search; False where there is none."""
        if self.plan.sweep.search is None:
            return False
        points = search.following(self.plan.definition, self.writer.results)
        self.todo = self.plan.extend(points)
        self.writer.extend(map(self.plan.written, points), pending(self.todo))
        return bool(points)

    def _status(self, state: folder.State, reason: str = "") -> SweepStatus:
        seconds = self.before.seconds + time.monotonic() - self.began
        stands = replace(self.before, done=self.done, total=self.plan.total, kept=sum(self._middle.values()))
        return replace(stands, state=state, seconds=seconds, reason=reason)

    def _why_stopped(self) -> str:
        return (
            "" if self.bad is None else f"trial {self.bad.trial} {self.bad.what}, and --fail-fast stops there"
        )

    def _stopped(self) -> bool:
        return self.stop() or self.bad is not None

    def _run(self, rung: int | None = None) -> list[Trial]:
        """Train cohort after cohort, the next one begun before the last is written.

        With a `rung` up to that epoch; returned is then how the trials stand there.
        """
        waiting, stand = deque(self.todo), list[Trial]()
        self._progress.plan_round(self.todo)
        begun: list[Batch] = []
        while waiting and not self._stopped():
            begin_more = partial(self._begin_more, begun, waiting, rung)
            # from before the first of those that go together is begun until the last of them has ended
            with devices.computing(*self.places.conditions(waiting[0])), self._saving_all(begun):
                begin_more()
                while begun and (batch := self._await(begun, begin_more)) is not None:
                    if self._again.takes(batch):
                        self._save(batch)
                    elif rung is None:
                        self._record(batch)
                    else:
                        self._save(batch)
                        stand += _standing(batch)
                    begun.remove(batch)
                    self._save_now_and_then(begun)
                    if begun and not self._stopped():
                        begin_more()
                    else:
                        self._try_again(begun)
        return sorted(stand, key=lambda trial: trial.id)  # whichever ended first

    @contextmanager
    def _saving_all(self, begun: list[Batch]) -> Iterator[None]:
        """Leave no cohort that is begun without a file of how far it is, also where something fails."""
        try:
            yield
        except Exception:
            for batch in self.places.settled(begun):
                with suppress(MlprunError, MemoryError, OSError):  # what was first is raised
                    self._save(batch)
            raise
        for batch in self.places.settled(begun):
            self._save(batch)
        for batch in begun:
            batch.wait()

    def _begin_more(self, begun: list[Batch], waiting: deque[Cohort], rung: int | None) -> None:
        """Begin with as many cohorts as there is room for."""
        while waiting:
            place, conditions = self.places.of(waiting[0]), self.places.conditions
            if begun and (
                self._again.holds
                or not place.has_room(begun)
                or conditions(waiting[0]) != conditions(begun[0].cohort)
            ):
                return
            cohort = waiting.popleft()
            known = Known(*self._partial(cohort), self._until(cohort, rung))
            self._count(cohort, (*known.ended, *known.standings))
            self._progress.begin(cohort, known.ended, known.standings.values())
            begun.append(place.submit(cohort, known))

    def _try_again(self, begun: list[Batch]) -> None:
        """Train a trial that lacked memory, now that nothing is trained beside it."""
        found = self._again.next()
        if found is not None:
            trial, cohort, known = found
            self.reporter.say(f"memory ran out in trial {trial}: it is tried once more, with none beside it")
            begun.append(self.places.of(cohort).submit(cohort, known))

    def _until(self, cohort: Cohort, rung: int | None) -> dict[int, Until]:
        """How far the trials go that do not go to their end."""
        until: dict[int, Until] = {}
        for member in cohort.members:
            if member.setting in self.pruned:
                until[member.trial] = Until(self.pruned[member.setting], pruned=True)
            elif rung is not None:
                until[member.trial] = Until(rung)
        return until

    def _partial(self, cohort: Cohort) -> tuple[dict[int, Outcome], dict[int, Standing]]:
        """What earlier sessions left of a cohort; a damaged file is told of and done without."""
        kept, path = self._kept(cohort), self.place.partial(cohort.number)
        if files.kind(path) is None:
            return kept, {}
        try:
            found = cohort_file.read(path, self.digest)
            ended = (one for one in found.ended() if not (self.retry_failed and one.status == "failed"))
            standings = (one for one in found.standings() if one.trial not in kept)
            return {one.trial: one for one in ended} | kept, {one.trial: one for one in standings}
        except (CheckpointError, KeyError, TypeError, ValueError) as error:
            self.reporter.say(f"warning: {error}; its cohort starts again")
            return kept, {}

    def _kept(self, cohort: Cohort) -> dict[int, Outcome]:
        """The trials of a cohort that stay as they are while others of it are trained again."""
        path, members = self.place.cohort(cohort.number), cohort.members
        if files.kind(path) is None:
            return {}
        first, last = min(one.trial for one in members), max(one.trial for one in members)
        trials = self.writer.results.ended(cohort.number, first, last)
        if not trials:
            return {}
        try:
            return {one.trial: one for one in cohort_file.read(path, self.digest).outcomes(trials)}
        except (CheckpointError, KeyError, TypeError, ValueError, IndexError) as error:
            self.reporter.say(f"warning: {error}; all its trials are trained again")
            self.writer.reopen(one.id for one in trials)
            return {}

    def _await(self, begun: Sequence[Batch], begin_more: Callable[[], None]) -> Batch | None:
        """A cohort that has ended, meanwhile beginning others; None where the sweep is stopped before."""
        while (over := _over(begun)) is None:
            self._look(begun)
            if self._stopped():
                return None
            begin_more()
            self._save_now_and_then(begun)
        self._look(begun)
        if self.stop() or (self.bad is not None and over.ended < len(over.cohort.members)):
            return None  # whole cohorts are recorded where a trial of them stops the sweep
        return over

    def _look(self, begun: Sequence[Batch]) -> None:
        """Report how far the sweep is, and notice a trial that came out badly."""
        # a cohort that waits at a rung is not begun, though trials of it may have ended
        self._told = max(self._told, self.done + sum(batch.ended for batch in begun))
        seconds = time.monotonic() - self.began
        self.reporter.report(self._told, seconds, partial(self._progress.left, begun, seconds))
        if self.fail_fast and self.bad is None:
            self.bad = Bad.among(one for batch in begun for one in batch.snapshot().ended)

    def _save_now_and_then(self, begun: Sequence[Batch]) -> None:
        """Write where cohorts stand that are in the middle, and how long the sweep has run."""
        if self._saving.is_due():
            with self._saving.doing():
                for batch in begun:
                    self._save(batch)
                self.place.write_status(self._status("running"))

    def _count(self, cohort: Cohort, trials: Iterable[int]) -> None:
        """Count what a cohort's file of its middle holds."""
        self._middle[cohort.number] = sum(trial not in self._recorded for trial in trials)

    def _save(self, batch: Batch) -> None:
        """Write what stands of a cohort in the middle."""
        outcomes, standings = batch.snapshot()
        if outcomes or standings:
            columns = batch.cohort.kind.columns
            data = cohort_file.encode_partial(outcomes, standings, columns, self.digest)
            files.write_atomic(self.place.partial(batch.cohort.number), data)
            trials = [one.trial for one in outcomes] + [one.trial for one in standings]
            self._count(batch.cohort, trials)

    def _record(self, batch: Batch) -> None:
        """Write the file of a cohort that has ended, then its trials: who sees these finds the file."""
        cohort, outcomes = batch.cohort, batch.snapshot().ended
        data = cohort_file.encode(outcomes, cohort.kind.columns, self.digest)
        files.write_atomic(self.place.cohort(cohort.number), data)
        self.writer.record(_recorded(cohort, place, outcome) for place, outcome in enumerate(outcomes))
        self.place.remove_partial(cohort.number)
        self._middle.pop(cohort.number, None)
        self._progress.record(cohort)
        self.done += len(outcomes)


def _over(begun: Sequence[Batch]) -> Batch | None:
    """The first cohort that has ended; None where none does for a moment."""
    begun[0].wait(LOOK)
    return next((batch for batch in begun if batch.wait(0)), None)


def _standing(batch: Batch) -> Iterator[Trial]:
    """The trials of a cohort as they stand at a rung, or came out before it."""
    outcomes, standings = batch.snapshot()
    ended, waiting = {one.trial: one for one in outcomes}, {one.trial: one for one in standings}
    for place, member in enumerate(batch.cohort.members):
        if member.trial in ended:
            yield _recorded(batch.cohort, place, ended[member.trial])
        else:
            figures = waiting[member.trial].figures
            yield Trial(
                member.trial, member.setting, member.seed, member.fold, status="finished", figures=figures
            )


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
