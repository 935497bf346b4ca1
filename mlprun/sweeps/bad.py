"""The trial at which a sweep with --fail-fast stops, and how that is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from mlprun.errors import CheckFailedError, DivergedError
from mlprun.sweeps.summary import BAD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlprun.errors import MlprunError
    from mlprun.sweeps.database import Results
    from mlprun.sweeps.outcome import Outcome

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
