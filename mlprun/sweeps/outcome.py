"""How a trial came out: its status, its figures, its curves and its weights; or how far it is to go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.engines import State
    from mlprun.sweeps.entries import TrialStatus
    from mlprun.sweeps.members import Member
    from mlprun.sweeps.plan import Cohort

Weights = Mapping[str, "NDArray[Any]"]


class Until(NamedTuple):
    """How far a trial is trained for now: up to `epoch`, where it waits to go on or, if `pruned`, ends."""

    epoch: int
    pruned: bool = False


@dataclass(frozen=True, eq=False)
class Outcome:
    """One trial that has ended.

    `history` is [rows, columns] float64, nan where dev was not evaluated or a figure is nan; `best` and
    `last` hold the weights by name; there is no best where no dev rows choose one.
    """

    trial: int
    status: TrialStatus
    epochs: int = 0
    best_epoch: int | None = None
    seconds: float = 0.0
    error: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    history: NDArray[Any] | None = None
    best: Weights | None = None
    last: Weights | None = None


@dataclass(frozen=True, eq=False)
class Standing:
    """One trial between two chunks, all that it takes to go on with it."""

    trial: int
    state: State
    history: NDArray[Any]
    best_epoch: int | None
    best: Weights | None
    seconds: float
    figures: Mapping[str, float] = field(default_factory=dict)
    """of a trial that waits to go on"""


class Lacking(NamedTuple):
    """A trial for which there was not enough memory beside others, left as it was before."""

    trial: int


Result = Outcome | Standing | Lacking
"""what comes of a trial that was not stopped"""


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a cohort's trials, by number, before it is trained."""

    ended: Mapping[int, Outcome] = field(default_factory=dict)
    standings: Mapping[int, Standing] = field(default_factory=dict)
    """of those that go on where they were left"""
    until: Mapping[int, Until] = field(default_factory=dict)
    """of those that are not trained to the end of their config"""
    later: frozenset[int] = frozenset()
    """those that are not trained for now, since they lacked memory"""

    def to_train(self, cohort: Cohort) -> list[Member]:
        """What is to be trained of the cohort."""
        return [one for one in cohort.members if one.trial not in self.ended and one.trial not in self.later]
