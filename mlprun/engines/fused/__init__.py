"""The fused engine: whole epochs of dense networks in compiled kernels on the CPU, many runs in parallel.

Nothing here loads Numba unless kernels must be compiled: it takes the better part of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun import isolation
from mlprun.engines import state_spec
from mlprun.engines.contract import State
from mlprun.engines.fused import cohort as cohorts
from mlprun.engines.fused import support

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.engines.contract import Arrays, ChunkResult, RunFailure, StopCondition
    from mlprun.engines.fused.cohort import Cohort
    from mlprun.experiment import Experiment, SplitArrays

isolation.isolate_numba()  # before anything here imports it


class FusedEngine:
    """Numba kernels, compiled once per floating-point type and machine."""

    name = "fused"
    unsupported_reason = staticmethod(support.unsupported_reason)

    def cohort_key(self, experiment: Experiment) -> Hashable:
        """Return the same key for every run: kernels take each network as data."""
        return self.name

    def warm_up(self, experiment: Experiment, message: Callable[[str], None]) -> None:
        """Load the kernels; if they must be compiled first, say so."""
        cohorts.warm_up(experiment, message)

    def initial_state(self, experiment: Experiment) -> State:
        """Return the state at epoch 0."""
        return State(0, experiment.initial())

    def gradients(self, experiment: Experiment, state: State, *, device: str) -> Arrays:
        """Return the gradient of the first batch after `state`, as the kernels compute it."""
        return cohorts.gradients(experiment, state)

    def evaluate(
        self, experiment: Experiment, model: Arrays, rows: Mapping[str, SplitArrays], *, device: str
    ) -> dict[str, dict[str, Any]]:
        """Return `loss`, then the metrics, of a model on some rows by name, confusion matrices included."""
        return cohorts.evaluate(experiment, model, rows)

    def outputs(
        self, experiment: Experiment, model: Arrays, inputs: NDArray[Any], *, device: str
    ) -> NDArray[Any]:
        """Return [N, K] outputs after the output activation of preprocessed inputs."""
        return cohorts.outputs(experiment, model, inputs)

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
        return cohorts.Cohort(experiments, states, threads)

    def states(self, cohort: Cohort, which: Sequence[int]) -> list[State]:
        """Return copies of the states of the selected runs."""
        return [cohort.runs[index].state() for index in which]

    def advance(
        self, cohort: Cohort, until: Sequence[int], stop: StopCondition
    ) -> list[ChunkResult | RunFailure]:
        """Train each run up to its own number of completed epochs, or until it stops, on all cores."""
        return cohort.advance(until, stop)
