"""What an engine is to the rest of mlprun: it advances cohorts of runs and reports what happened to each.

A run is an experiment with a state; a cohort is any number of runs that share data shapes and architecture.
An engine opens a cohort from states, advances it some epochs at a time, and returns states. Where a chunk
of epochs ends never changes a byte.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mlprun.parts.data import short_repr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.experiment import Experiment, SplitArrays

Arrays = Mapping[str, "NDArray[Any]"]
Row = tuple[float | None, ...]
"""one history row, aligned with `experiment.columns`; None where dev was not evaluated, nan in arrays"""
StopReason = Literal["finished", "early_stopping", "callback", "diverged", "interrupted"]
StopCondition = Callable[[], bool]
"""asked between batches; when it answers True the unfinished epoch is dropped"""


def never() -> bool:
    """A stop condition that is never met."""
    return False


@dataclass(frozen=True)
class Plateau:
    """The state of reduce_on_plateau: the factor on the learning rate and what leads to the next cut."""

    factor: float = 1.0
    best: float | None = None
    bad_evaluations: int = 0
    cooldown_left: int = 0


@dataclass(frozen=True)
class Progress:
    """The best evaluation of a run so far, and the plateau's state."""

    best_epoch: int = 0
    best_value: float | None = None
    plateau: Plateau = Plateau()
    undefined: int = 0
    """evaluations since the one that patience counts from where the watched metric was not a number"""
    reference: tuple[int, float] | None = None
    """epoch and value that patience counts from, where it is not the best evaluation: those since then were
    not better by more than `early_stopping.min_delta`"""

    @property
    def patience_start(self) -> int:
        """The epoch that patience counts from."""
        return self.best_epoch if self.reference is None else self.reference[0]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {name: value for name, value in asdict(self).items() if name != "reference" or value}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Progress:
        """The inverse of `to_json`. Raises an error of Python's own for what it cannot have returned."""
        plateau = Plateau(**value["plateau"])
        undefined = value.get("undefined", 0)  # mlprun 0.1 did not count them
        counts = [value["best_epoch"], plateau.bad_evaluations, plateau.cooldown_left, undefined]
        metrics = [metric for metric in (value["best_value"], plateau.best) if metric is not None]
        reference = tuple(value["reference"]) if "reference" in value else None
        if reference is not None:
            counts, metrics = [*counts, reference[0]], [*metrics, *reference[1:]]
            if len(reference) != 2:
                raise ValueError("its progress counts patience from no evaluation")
        if not all(type(count) is int and 0 <= count < 2**53 for count in counts):
            raise ValueError("its progress counts what is no count")
        if not all(type(metric) in (int, float) and not math.isnan(metric) for metric in metrics):
            raise ValueError("its progress knows a best value that is no number")
        if not (type(plateau.factor) in (int, float) and 0 <= plateau.factor < math.inf):
            raise ValueError("its plateau has a factor that is none")
        if (value["best_value"] is None) != (value["best_epoch"] == 0):
            raise ValueError("its progress has a best epoch without a value, or a value without an epoch")
        return cls(value["best_epoch"], value["best_value"], plateau, undefined, reference)


@dataclass(frozen=True, eq=False)
class State:
    """A run between two epochs, in terms that every engine reads: NumPy arrays by parameter name.

    `model` holds parameters and buffers, `optimizer_state` the optimizer's arrays, `optimizer_meta` its other
    values as JSON that refers to the arrays by name.
    """

    __repr__ = short_repr

    epoch: int
    model: Arrays
    optimizer_state: Arrays = field(default_factory=dict)
    optimizer_meta: Any = None
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, eq=False)
class Best:
    """The best evaluation so far: its epoch, its dev metrics, and the model at that epoch."""

    __repr__ = short_repr

    epoch: int
    metrics: dict[str, float]
    model: Arrays


@dataclass(frozen=True)
class Improvement:
    """A strictly better value of the watched metric."""

    epoch: int
    before: float | None
    value: float


@dataclass(frozen=True)
class ChunkResult:
    """What a chunk of epochs did to one run: rows to log, a new best if any, and why it stopped."""

    __repr__ = short_repr

    epoch: int
    """completed epochs"""
    rows: Sequence[Row] = ()
    improvements: Sequence[Improvement] = ()
    best: Best | None = None
    stopped: StopReason | None = None
    seconds: float = 0.0
    """of wall time that this run took by itself"""
    incomplete: bool = False
    """whether the last epoch was interrupted, which an engine undoes before it returns"""


@dataclass(frozen=True)
class RunFailure:
    """The exception that ended one run of a cohort; the other runs are not affected."""

    error: Exception


class Engine(Protocol):
    """One way of executing steps."""

    name: str

    def unsupported_reason(self, experiment: Experiment) -> str | None:
        """Return why this engine cannot run the experiment; None if it can."""
        ...

    def cohort_key(self, experiment: Experiment) -> Hashable:
        """Return a key: runs with equal keys may share a cohort."""
        ...

    def warm_up(self, experiment: Experiment, message: Callable[[str], None]) -> None:
        """Do what is done once before the first step; call `message` if the user has to wait for it."""
        ...

    def initial_state(self, experiment: Experiment) -> State:
        """Return the state at epoch 0."""
        ...

    def gradients(self, experiment: Experiment, state: State, *, device: str) -> Arrays:
        """Return the gradient of `train_objective` on the first batch after `state`, before clipping.

        By parameter name, in the shape of the parameter and the run's dtype; nothing is updated.
        """
        ...

    def evaluate(
        self, experiment: Experiment, model: Arrays, rows: Mapping[str, SplitArrays], *, device: str
    ) -> dict[str, dict[str, Any]]:
        """Return `loss`, then the metrics, of a model on some rows by name, confusion matrices included."""
        ...

    def outputs(
        self, experiment: Experiment, model: Arrays, inputs: NDArray[Any], *, device: str
    ) -> NDArray[Any]:
        """Return [N, K] outputs after the output activation of preprocessed inputs."""
        ...

    def validate_state(self, experiment: Experiment, state: State) -> str | None:
        """Return why this engine cannot have left a state whose model is sound; None if it can.

        Used for states that were read from a file: what passes here, `open` takes.
        """
        ...

    def open(
        self,
        experiments: Sequence[Experiment],
        states: Sequence[State],
        *,
        device: str,
        threads: int | None = None,
    ) -> Any:
        """Return a cohort of runs that continue from the given states.

        An engine that trains runs in parallel uses at most `threads`, by default as many as there are cores.
        """
        ...

    def advance(
        self, cohort: Any, until: Sequence[int], stop: StopCondition
    ) -> Sequence[ChunkResult | RunFailure]:
        """Train each run up to its own number of completed epochs, or until it stops.

        A run that is there already is left as it is. An exception of one run becomes its RunFailure.
        """
        ...

    def states(self, cohort: Any, which: Sequence[int]) -> Sequence[State]:
        """Return copies of the states of the selected runs."""
        ...
