"""How a trial came out: its status, its figures, its curves and its weights; or how far it is to go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from mlprun.errors import CheckFailedError, DivergedError
from mlprun.sweeps.objective import BAD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from mlprun.engines import State
    from mlprun.errors import MlprunError
    from mlprun.sweeps.database import Results
    from mlprun.sweeps.members import Member
    from mlprun.sweeps.plan import Cohort
    from mlprun.sweeps.schema import TrialStatus

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


_REMEDY = "without --fail-fast the sweep goes on and marks it"


class Bad(NamedTuple):
    """A trial that diverged or failed."""

    trial: int
    status: str
    epochs: int | None
    error: str | None

    @classmethod
    def among(cls, outcomes: Iterable[Outcome]) -> Self | None:
        """The first such outcome."""
        found = next((one for one in outcomes if one.status in BAD), None)
        return None if found is None else cls(found.trial, found.status, found.epochs, found.error)

    @classmethod
    def recorded(cls, results: Results) -> Self | None:
        """The first such trial of a database."""
        found = next((one for one in results.planned() if one.status in BAD), None)
        return None if found is None else cls(found.id, found.status, found.epochs, found.error)

    @property
    def what(self) -> str:
        """How it came out."""
        return f"diverged after epoch {self.epochs}" if self.status == "diverged" else f"failed: {self.error}"

    def error_in(self, folder: str) -> MlprunError:
        """What is raised."""
        kind = DivergedError if self.status == "diverged" else CheckFailedError
        return kind(f"{folder}: trial {self.trial}", self.what, _REMEDY)
