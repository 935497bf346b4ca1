"""Where the cohorts of a sweep are trained: in this process, in others of this machine, or elsewhere."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from mlprun.engines import device as devices
from mlprun.sweeps.processes import WORTH, Processes
from mlprun.sweeps.workshop import Workshop, cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlprun.sweeps.checking import Kind
    from mlprun.sweeps.launchers import Launcher
    from mlprun.sweeps.plan import Cohort, Plan
    from mlprun.sweeps.workshop import Batch


class Places:
    """The launchers of a sweep, each made when it is needed. A context; leaving it leaves them all."""

    def __init__(self, plan: Plan, stop: Callable[[], bool]) -> None:
        self._plan, self._stop = plan, stop
        self.processes = False
        """whether others than this process may be started"""
        self.elsewhere: Launcher | None = None
        """what trains all cohorts instead"""
        self._made: dict[bool, Launcher] = {}
        """in this process or, where True, in others"""
        self._open = ExitStack()
        self._seconds: dict[Kind, float] = {}
        """of training in a round, by what its trials have in common"""

    def expect(self, cohorts: Sequence[Cohort]) -> None:
        """Hear of the cohorts of a round before the first of them."""
        self._seconds = dict.fromkeys((cohort.kind for cohort in cohorts), 0.0)
        for cohort in cohorts:
            self._seconds[cohort.kind] += sum(self._plan.cost_of(one).seconds for one in cohort.members)

    def of(self, cohort: Cohort) -> Launcher:
        """Where a cohort is trained."""
        if self.elsewhere is not None:
            return self.elsewhere
        apart = self.processes and self._is_worth_processes(cohort)
        if apart not in self._made:
            made: Launcher = Processes(self._plan) if apart else Workshop(self._plan, self._stop)
            self._made[apart] = self._open.enter_context(made)
        return self._made[apart]

    def _is_worth_processes(self, cohort: Cohort) -> bool:
        """Whether trials hold Python while they are trained, and long enough to start processes for them."""
        kind = cohort.kind
        if kind.engine == "fused" or kind.device != "cpu" or cores() < 2:
            return False
        return self._seconds[kind] > WORTH

    def conditions(self, cohort: Cohort) -> tuple[int, str]:
        """What cohorts share that are trained beside each other: torch's threads, and the device."""
        kind = cohort.kind
        device = "cpu" if self.elsewhere is not None else devices.resolve(kind.device)
        return kind.threads, device.partition(":")[0]

    def settled(self, begun: Sequence[Batch]) -> Iterator[Batch]:
        """Let what is in the middle end its chunk: each cohort once none of its trials is trained."""
        if begun:
            for place in (self.elsewhere, *self._made.values()):
                if place is not None:
                    place.halt()
        for batch in begun:
            batch.settle()
            yield batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
