"""The torch engine: the definition of every experiment, on CPU and CUDA, one run after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mlprun.engines import kinds
from mlprun.engines.advance import advance
from mlprun.engines.contract import Advance, State, Watch
from mlprun.engines.torch.expected import expected
from mlprun.engines.torch.member import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlprun.engines.contract import Arrays
    from mlprun.experiment import Experiment


class TorchEngine:
    """nn.Module, autograd and torch.optim."""

    name = "torch"

    def refuses(self, experiment: Experiment) -> str | None:
        """It runs everything that a config can say."""
        return None

    def prepare(self, experiment: Experiment, say: Callable[[str], None]) -> None:
        """Nothing is to be done."""

    def start(self, experiment: Experiment) -> State:
        """The state at epoch 0."""
        return State(0, experiment.initial())

    def gradients(self, experiment: Experiment, state: State, *, device: str) -> Arrays:
        """What autograd says of the first batch after `state`."""
        return Member(experiment, state, torch.device(device)).first_gradient()

    def flaw(self, experiment: Experiment, state: State) -> str | None:
        """What is wrong with an optimizer's state; of one that a user wrote, nothing is known."""
        if state.epoch == 0:
            return kinds.untrained_flaw(state)
        known = expected(experiment, state)
        return None if known is None else kinds.flaw(state, known)

    def open(
        self, experiments: Sequence[Experiment], states: Sequence[State], *, device: str
    ) -> list[Member]:
        """Live members that stand where the states say."""
        pairs = zip(experiments, states, strict=True)
        return [Member(experiment, state, torch.device(device)) for experiment, state in pairs]

    def states(self, cohort: Sequence[Member]) -> list[State]:
        """The runs as they stand, copied out."""
        return [member.state() for member in cohort]

    def advance(self, cohort: Sequence[Member], until: int, watch: Watch) -> list[Advance]:
        """Train every run up to `until` completed epochs, or until it stops."""
        return [advance(member, until, watch) for member in cohort]
