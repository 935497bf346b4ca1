"""What an engine is to the rest of mlprun: it refuses or it advances cohorts, and says what happened.

A run is an experiment with a state; a cohort is any number of runs that share data shapes and architecture.
An engine opens a cohort from states, advances it some epochs at a time, and gives states back. Where an
advance ends never changes a byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from mlprun.engines.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.experiment import Experiment

Arrays = Mapping[str, "NDArray[Any]"]
Row = tuple[float | None, ...]
"""one history row, aligned with `experiment.columns`; None where dev was not evaluated"""


@runtime_checkable
class Tabled(Protocol):
    """Rows that come as an array at once."""

    def table(self) -> NDArray[Any]:
        """All rows as [rows, columns] float64, nan in the place of None."""
        ...


StopReason = Literal["finished", "early_stopping", "diverged", "interrupted"]


@dataclass(frozen=True, eq=False)
class State:
    """A run between two epochs, in terms that every engine reads: NumPy arrays by parameter name.

    `model` holds parameters and buffers, `optimizer_state` the optimizer's arrays, `optimizer_meta` its other
    values as JSON that refers to the arrays by name.
    """

    epoch: int
    model: Arrays
    optimizer_state: Arrays = field(default_factory=dict)
    optimizer_meta: Any = None
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, eq=False)
class Best:
    """The best evaluation so far: its epoch, its dev figures, and the model at that epoch."""

    epoch: int
    figures: dict[str, float]
    model: Arrays


@dataclass(frozen=True)
class Improvement:
    """A strictly better value of the watched figure."""

    epoch: int
    before: float | None
    value: float


@dataclass(frozen=True)
class ChunkResult:
    """What happened to one run: how far it is, rows to log, a new best if any, and why it stopped."""

    epoch: int
    rows: Sequence[Row] = ()
    improvements: Sequence[Improvement] = ()
    best: Best | None = None
    stopped: StopReason | None = None


def never() -> bool:
    """A stop flag that is never up."""
    return False


@dataclass(frozen=True)
class StopCondition:
    """What happens inside a chunk beside steps; everything else stands in each run's config."""

    epochs: int
    """the last epoch, which is always evaluated and logged"""
    stop: Callable[[], bool] = never
    """asked between batches; when it answers True the unfinished epoch is dropped"""


class Engine(Protocol):
    """One way of executing steps."""

    name: str

    def unsupported_reason(self, experiment: Experiment) -> str | None:
        """Why this engine cannot run the experiment; None if it can."""
        ...

    def warm_up(self, experiment: Experiment, say: Callable[[str], None]) -> None:
        """Do what is done once before the first step, and tell `say` if the user has to wait for it."""
        ...

    def initial_state(self, experiment: Experiment) -> State:
        """The state at epoch 0."""
        ...

    def gradients(self, experiment: Experiment, state: State, *, device: str) -> Arrays:
        """The gradient of `train_objective` on the first batch of the epoch after `state`, before clipping.

        By parameter name, in the shape of the parameter and the run's dtype; nothing is updated.
        """
        ...

    def validate_state(self, experiment: Experiment, state: State) -> str | None:
        """Why this engine cannot have left a state whose model is sound; None if it can.

        Looked at where a state was read from a file: what passes here, `open` takes.
        """
        ...

    def open(self, experiments: Sequence[Experiment], states: Sequence[State], *, device: str) -> Any:
        """A cohort that stands where the states say."""
        ...

    def states(self, cohort: Any) -> Sequence[State]:
        """The runs of a cohort as they stand, copied out."""
        ...

    def advance(self, cohort: Any, until: int, watch: StopCondition) -> Sequence[ChunkResult]:
        """Train every run of the cohort up to `until` completed epochs, or until it stops."""
        ...
