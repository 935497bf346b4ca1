"""Where the trials of a sweep are trained: in this process and on this machine, or elsewhere.

A launcher is given cohorts and gives back their outcomes. It plans nothing and writes nothing: the process
that was asked to run the sweep alone holds its lock, its database and its cohorts' files.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol, Self

from mlprun import extras
from mlprun.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlprun.sweeps.outcome import Known
    from mlprun.sweeps.plan import Cohort, Plan
    from mlprun.sweeps.workshop import Batch

PLACES = ("local", "ray")


class Launcher(Protocol):
    """Trains cohorts of a plan. A context; leaving it stops the trials that are in the middle."""

    def has_room(self, begun: Sequence[Batch]) -> bool:
        """Whether another cohort is of use, beside those that are begun and not recorded."""
        ...

    def submit(self, cohort: Cohort, known: Known) -> Batch:
        """Begin with a cohort, but for the trials that have ended, going on with those that stand."""
        ...

    def halt(self) -> None:
        """Let the trials in the middle stop, and begin no more; every batch is over soon after."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def elsewhere(on: str, address: str | None) -> Callable[[Plan], Launcher] | None:
    """What makes the launcher that `on` names; None for this machine, which needs none.

    Raises UsageError for an unknown place, an address that nothing asks for, and a library that is absent.
    """
    if on not in PLACES:
        raise UsageError("--on", f"{on!r} is no place to run a sweep", f"expected {' or '.join(PLACES)}")
    if on == "local":
        if address is not None:
            raise UsageError("--address", "is the address of a Ray cluster", "add --on ray")
        return None
    extras.need("ray", where="--on ray")
    from mlprun.sweeps.launchers.ray import Ray

    return partial(Ray, address=address)
