"""The fused engine: whole epochs of dense networks in compiled kernels on the CPU, many runs in parallel.

Nothing here loads Numba until a run is opened: it takes the better part of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlprun import isolation
from mlprun.engines import state_spec
from mlprun.engines.contract import State
from mlprun.engines.fused import support

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from types import ModuleType

    from mlprun.engines.contract import Arrays, ChunkResult, RunFailure, StopCondition
    from mlprun.engines.fused.cohort import Cohort
    from mlprun.experiment import Experiment

isolation.isolate_numba()  # before anything here imports it


def _kernels() -> ModuleType:
    """Import what needs Numba."""
    from mlprun.engines.fused import cohort

    return cohort


class FusedEngine:
    """Numba kernels, compiled once per floating-point type and machine."""

    name = "fused"
    unsupported_reason = staticmethod(support.CAPABILITIES.missing)

    def cohort_key(self, experiment: Experiment) -> Hashable:
        """Return the same key for every run: kernels take each network as data."""
        return self.name

    def warm_up(self, experiment: Experiment, message: Callable[[str], None]) -> None:
        """Load the kernels; if they must be compiled first, say so."""
        _kernels().warm_up(experiment, message)

    def initial_state(self, experiment: Experiment) -> State:
        """Return the state at epoch 0."""
        return State(0, experiment.initial())

    def gradients(self, experiment: Experiment, state: State, *, device: str) -> Arrays:
        """Return the gradient of the first batch after `state`, as the kernels compute it."""
        gradients: Arrays = _kernels().gradients(experiment, state)
        return gradients

    def validate_state(self, experiment: Experiment, state: State) -> str | None:
        """Return what is wrong with an optimizer's state, or None."""
        if state.epoch == 0:
            return state_spec.untrained_state_error(state)
        return state_spec.state_error(state, support.optimizer_spec(experiment, state.epoch))

    def open(
        self,
        experiments: Sequence[Experiment],
        states: Sequence[State],
        *,
        device: str,
        threads: int | None = None,
    ) -> Cohort:
        """Return a cohort of runs that continue from the given states, on all cores or `threads` threads."""
        cohort: Cohort = _kernels().Cohort(experiments, states, threads)
        return cohort

    def states(self, cohort: Cohort, which: Sequence[int]) -> list[State]:
        """Return copies of the states of the selected runs."""
        return [cohort.runs[index].state() for index in which]

    def advance(
        self, cohort: Cohort, until: Sequence[int], stop: StopCondition
    ) -> list[ChunkResult | RunFailure]:
        """Train each run up to its own number of completed epochs, or until it stops, on all cores."""
        return cohort.advance(until, stop)
