"""Trials for which there was not enough memory: each is tried once more, with nothing beside it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from mlprun.errors import OutOfMemoryError
from mlprun.sweeps.outcome import Known

if TYPE_CHECKING:
    from mlprun.sweeps.plan import Cohort
    from mlprun.sweeps.workshop import Batch


class Again:
    """The cohorts that hold such trials, until all others that were begun have ended."""

    def __init__(self) -> None:
        self._waiting: deque[Batch] = deque()
        self._tried: set[int] = set()
        self.holds = False
        """whether no other cohort is to be begun"""

    def takes(self, batch: Batch) -> bool:
        """Whether a cohort that is over waits to be tried again. Raises OutOfMemoryError after that."""
        lacking = batch.lacking
        for trial in self._tried.intersection(lacking):
            what = f"memory ran out in trial {trial}, with nothing trained beside it as well"
            raise OutOfMemoryError("memory", what, "fewer rows or smaller layers need less")
        if lacking:
            self._waiting.append(batch)
        self.holds = bool(self._waiting)
        return bool(lacking)

    def next(self) -> tuple[int, Cohort, Known] | None:
        """A trial to be tried again, its cohort and what is known of that; None where there is none."""
        if not self._waiting:
            return None
        batch = self._waiting.popleft()
        trial, *later = batch.lacking
        self._tried.add(trial)
        outcomes, stand = batch.snapshot()
        ended, standings = {one.trial: one for one in outcomes}, {one.trial: one for one in stand}
        return trial, batch.cohort, Known(ended, standings, batch.until, frozenset(later))
