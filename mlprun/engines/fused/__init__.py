"""The fused engine: whole epochs of dense networks in compiled kernels on the CPU, many runs in parallel.

Nothing here loads Numba until a run is opened: it costs the better part of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlprun import isolation
from mlprun.engines import state_spec
from mlprun.engines.contract import State
from mlprun.engines.fused import support, encoding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlprun.engines.contract import Arrays, ChunkResult, RunFailure, StopCondition
    from mlprun.engines.fused.cohort import Cohort
    from mlprun.experiment import Experiment

isolation.isolate_numba()  # before anything here imports it


class FusedEngine:
    """Numba kernels, compiled once per floating-point type and machine."""

    name = "fused"

    def unsupported_reason(self, experiment: Experiment) -> str | None:
        """Why there is no kernel for the experiment; None if there is."""
        return support.refuses(experiment)

    def cohort_key(self, experiment: Experiment) -> str:
        """Return the same key for every run: each has its own arrays."""
        return self.name

    def warm_up(self, experiment: Experiment, say: Callable[[str], None]) -> None:
        """Load the kernels; where they must be compiled first, say so."""
        from mlprun.engines.fused import warm

        warm.up(experiment.config.training.dtype, say, outside=not support.kernels_compute_metrics(experiment))

    def initial_state(self, experiment: Experiment) -> State:
        """The state at epoch 0."""
        return State(0, experiment.initial())

    def gradients(self, experiment: Experiment, state: State, *, device: str) -> Arrays:
        """What the kernels step along on the first batch after `state`."""
        from mlprun.engines.fused import gradients

        return gradients.of(experiment, state)

    def validate_state(self, experiment: Experiment, state: State) -> str | None:
        """What is wrong with an optimizer's state."""
        if state.epoch == 0:
            return state_spec.untrained_flaw(state)
        return state_spec.flaw(state, encoding.expected(experiment, state.epoch))

    def open(
        self,
        experiments: Sequence[Experiment],
        states: Sequence[State],
        *,
        device: str,
        threads: int | None = None,
    ) -> Cohort:
        """Runs in flat arrays that stand where the states say."""
        from mlprun.engines.fused.cohort import Cohort

        return Cohort(experiments, states, threads)

    def states(self, cohort: Cohort, which: Sequence[int]) -> list[State]:
        """Return copies of the states of the selected runs."""
        return [cohort.members[index].state() for index in which]

    def advance(
        self, cohort: Cohort, until: Sequence[int], stop: StopCondition
    ) -> list[ChunkResult | RunFailure]:
        """Train each run up to its own number of completed epochs, or until it stops, on all cores."""
        return cohort.advance(until, stop)
