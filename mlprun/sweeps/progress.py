"""How long a sweep will still take, by what its trials are expected to take and what they have taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlprun.sweeps.outcome import Standing
    from mlprun.sweeps.plan import Cohort, Plan
    from mlprun.sweeps.workshop import Batch


class Progress:
    """The work of a session; its unit is what a trial is expected to take, which ratios alone are made of."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._ahead, self._recorded = plan, 0.0, 0.0
        self._whole: dict[int, float] = {}
        """work of cohorts, by number"""
        self._before: dict[int, float] = {}
        """work of earlier sessions, by cohort that is begun"""

    def plan_round(self, cohorts: Iterable[Cohort]) -> None:
        """Cohorts that are to be trained, of which none is begun yet."""
        self._ahead = sum(map(self._work, cohorts))

    def begin(self, cohort: Cohort, ended: Iterable[int], standings: Iterable[Standing]) -> None:
        """A cohort is begun of which so much is there."""
        self._ahead -= self._work(cohort)
        self._before[cohort.number] = self._done(cohort, ended, standings)

    def record(self, cohort: Cohort) -> None:
        """A cohort has ended."""
        self._recorded += self._work(cohort) - self._before.pop(cohort.number, 0.0)

    def left(self, begun: Sequence[Batch], seconds: float) -> float | None:
        """Seconds that are left after so many of this session; None where nothing tells.

        Trials that no round of a search has asked for yet are taken to be like the others. How many a pruner
        will give up is not known.
        """
        if self._plan.rungs:
            return None
        done, ahead = self._recorded, self._ahead
        for batch in begun:
            outcomes, standings = batch.snapshot()
            now = self._done(batch.cohort, (one.trial for one in outcomes), standings)
            done += now - self._before.get(batch.cohort.number, 0.0)
            ahead += self._work(batch.cohort) - now
        if done <= 0:
            return None
        known = sum(len(cohort.members) for cohort in self._plan.cohorts)
        if known < self._plan.total:
            ahead += sum(map(self._work, self._plan.cohorts)) * (self._plan.total / known - 1)
        return seconds * ahead / done

    def _work(self, cohort: Cohort) -> float:
        if cohort.number not in self._whole:
            every = (self._plan.cost_of(member).seconds for member in cohort.members)
            self._whole[cohort.number] = sum(every)
        return self._whole[cohort.number]

    def _done(self, cohort: Cohort, ended: Iterable[int], standings: Iterable[Standing]) -> float:
        ended, standings = set(ended), list(standings)
        if not ended and not standings:
            return 0.0
        costs = {member.trial: self._plan.cost_of(member).seconds for member in cohort.members}
        whole = sum(costs[trial] for trial in ended)
        epochs = cohort.kind.epochs
        return whole + sum(costs[one.trial] * one.state.epoch / epochs for one in standings)
