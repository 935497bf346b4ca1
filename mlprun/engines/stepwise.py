"""An engine that trains its runs one after another, step by step: what it is beside what a step is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from mlprun.engines import advance as chunks
from mlprun.engines import state_spec
from mlprun.engines.contract import ChunkResult, State, StopCondition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlprun.engines.contract import Arrays
    from mlprun.experiment import Experiment


class Member(chunks.Member[Any, Any], Protocol):
    """A run that can also say what its next step differentiates."""

    def next_gradient(self) -> Arrays:
        """The gradient of the next step's objective by parameter name, before clipping."""
        ...


M = TypeVar("M", bound=Member)


class SequentialEngine(Generic[M]):
    """An engine of that name, whose runs are what `member` makes of an experiment, a state and a device.

    `expected` says what its optimizers keep in a state; None where that is not known.
    """

    def __init__(
        self,
        name: str,
        member: Callable[[Experiment, State, str], M],
        refuses: Callable[[Experiment], str | None],
        expected: Callable[[Experiment, State], state_spec.Expected | None],
    ) -> None:
        self.name, self._member, self._refuses, self._expected = name, member, refuses, expected

    def unsupported_reason(self, experiment: Experiment) -> str | None:
        """Why it cannot run the experiment; None if it can."""
        return self._refuses(experiment)

    def warm_up(self, experiment: Experiment, say: Callable[[str], None]) -> None:
        """Nothing is to be done."""

    def initial_state(self, experiment: Experiment) -> State:
        """The state at epoch 0."""
        return State(0, experiment.initial())

    def gradients(self, experiment: Experiment, state: State, *, device: str) -> Arrays:
        """What the first step after `state` differentiates."""
        return self._member(experiment, state, device).next_gradient()

    def validate_state(self, experiment: Experiment, state: State) -> str | None:
        """What is wrong with an optimizer's state; of an optimizer that a user wrote, nothing is known."""
        if state.epoch == 0:
            return state_spec.untrained_flaw(state)
        known = self._expected(experiment, state)
        return None if known is None else state_spec.flaw(state, known)

    def open(self, experiments: Sequence[Experiment], states: Sequence[State], *, device: str) -> list[M]:
        """Live members that stand where the states say."""
        pairs = zip(experiments, states, strict=True)
        return [self._member(experiment, state, device) for experiment, state in pairs]

    def states(self, cohort: Sequence[M]) -> list[State]:
        """The runs as they stand, copied out."""
        return [member.state() for member in cohort]

    def advance(self, cohort: Sequence[M], until: int, watch: StopCondition) -> list[ChunkResult]:
        """Train every run up to `until` completed epochs, or until it stops."""
        return [chunks.advance(member, until, watch) for member in cohort]
