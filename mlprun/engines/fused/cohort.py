"""The engine, and runs that are trained together: each on one thread at a time, as many as there are cores.

No run depends on another: kernels share only rows, which nobody writes. So a run's bytes are the same alone,
in any cohort and on any number of threads.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines import state_spec
from mlprun.engines.contract import ChunkResult, State
from mlprun.engines.epoch_protocol import advance_run
from mlprun.engines.evaluation import metrics_of, outputs_of
from mlprun.engines.fused import support
from mlprun.engines.fused.chunks import advance
from mlprun.engines.fused.compilation import compile_kernels
from mlprun.engines.fused.run import EVALUATE, TRAIN, FusedRun
from mlprun.experiment import SplitArrays, history_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.engines.contract import Arrays, RunFailure, StopCondition
    from mlprun.engines.fused.records import Workspace
    from mlprun.experiment import Experiment

_THREAD = threading.local()
MAX_WORKSPACES = 16
"""workspaces that a thread keeps"""
MAX_GROUP = 16
"""consecutive runs that a thread takes at a time"""


class Cohort:
    """Open runs."""

    def __init__(
        self, experiments: Sequence[Experiment], states: Sequence[State], threads: int | None = None
    ) -> None:
        self.runs = [FusedRun(*pair) for pair in zip(experiments, states, strict=True)]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.threads = min(len(self.runs), threads or cores)

    def advance(self, until: Sequence[int], stop: StopCondition) -> list[ChunkResult | RunFailure]:
        """Train each run up to its own number of completed epochs, or until it stops."""

        def one(run: FusedRun, end: int) -> ChunkResult | RunFailure:
            if run.epoch >= end:
                return ChunkResult(run.epoch)
            return advance_run(lambda: advance(run, _workspace(run), end, stop))

        def some(group: list[tuple[FusedRun, int]]) -> list[ChunkResult | RunFailure]:
            return [one(run, end) for run, end in group]

        pairs = list(zip(self.runs, until, strict=True))
        if self.threads < 2:
            return some(pairs)
        # small arrays of neighbouring runs may share a cache line, for which two threads would compete
        size = max(1, min(MAX_GROUP, len(pairs) // (4 * self.threads)))
        groups = [pairs[first : first + size] for first in range(0, len(pairs), size)]
        with ThreadPoolExecutor(self.threads) as pool:
            return [result for results in pool.map(some, groups) for result in results]


def _workspace(run: FusedRun) -> Workspace:
    """Return this thread's arrays for runs like this one: cohorts of one run may come in thousands."""
    spaces: dict[Any, Workspace] = _THREAD.__dict__.setdefault("spaces", {})
    key = run.workspace_key()
    space = spaces.pop(key, None) or run.new_workspace()
    if len(spaces) >= MAX_WORKSPACES:
        del spaces[next(iter(spaces))]
    spaces[key] = space  # the last to be removed
    return space


class FusedEngine:
    """Numba kernels, compiled once per floating-point type and machine."""

    name = "fused"
    unsupported_reason = staticmethod(support.unsupported_reason)

    def cohort_key(self, experiment: Experiment) -> Hashable:
        """Return the same key for every run: kernels take each network as data."""
        return self.name

    def warm_up(self, experiment: Experiment, message: Callable[[str], None]) -> None:
        """Load the kernels of an experiment; if they must be compiled first, say so."""
        compile_kernels([TRAIN, EVALUATE], experiment.config.training.dtype, message)

    def initial_state(self, experiment: Experiment) -> State:
        """Return the state at epoch 0."""
        return State(0, experiment.initial())

    def gradients(self, experiment: Experiment, state: State, *, device: str) -> dict[str, NDArray[Any]]:
        """Return the gradient of the objective on the first batch after `state`, by parameter name.

        The kernel leaves it in the workspace after a step.
        """
        run, epoch = FusedRun(experiment, State(state.epoch, state.model)), state.epoch
        space = run.new_workspace()
        run.record["clip_norm"] = run.record["clip_value"] = -1
        run.call_kernel(space, run.schedule(epoch + 1)._replace(batches=1))
        return run.layout.unflatten(space.gradient)

    def evaluate(
        self, experiment: Experiment, model: Arrays, rows: Mapping[str, SplitArrays], *, device: str
    ) -> dict[str, dict[str, Any]]:
        """Return `loss`, then the metrics, of a model on some rows by name, confusion matrices included.

        What kernels compute while training has the digits of the history.
        """
        found: dict[str, dict[str, Any]] = {}
        if not rows:
            return found
        run = FusedRun(_with_rows(experiment, next(iter(rows.values()))), State(0, model))
        names = history_metrics(run.config) if run.metrics else ()
        for split, arrays in rows.items():
            in_kernel = names if len(arrays) else ()
            keep = len(in_kernel) < len(run.config.metrics)
            loss, computed, logits = run.evaluate(_workspace(run), arrays, keep=keep)
            values = metrics_of(experiment, logits, arrays, tables=True) if keep else {}
            found[split] = {"loss": loss, **values, **dict(zip(in_kernel, computed, strict=False))}
        return found

    def outputs(
        self, experiment: Experiment, model: Arrays, inputs: NDArray[Any], *, device: str
    ) -> NDArray[Any]:
        """Return [N, K] outputs after the output activation of preprocessed inputs."""
        count, classes = len(inputs), experiment.config.architecture.outputs or 1
        shape = (count,) if experiment.config.loss.takes_ids else (count, classes)
        targets = np.zeros(shape, np.int64 if experiment.config.loss.takes_ids else experiment.dtype)
        rows = SplitArrays(inputs, targets, (), np.zeros(count, np.int64) if experiment.classes else targets)
        run = FusedRun(_with_rows(experiment, rows), State(0, model))
        return outputs_of(experiment, run.evaluate(_workspace(run), rows, keep=True)[2])

    def validate_state(self, experiment: Experiment, state: State) -> str | None:
        """Return what is wrong with an optimizer's state, or None."""
        if state.epoch == 0:
            return state_spec.untrained_state_error(state)
        spec, average = support.optimizer_spec(experiment, state.epoch), experiment.config.training.average
        return state_spec.state_error(state, spec, averages=average is not None)

    def open(
        self,
        experiments: Sequence[Experiment],
        states: Sequence[State],
        *,
        device: str,
        threads: int | None = None,
    ) -> Cohort:
        """Return a cohort of runs that continue from the given states, on all cores or `threads` threads."""
        return Cohort(experiments, states, threads)

    def states(self, cohort: Cohort, which: Sequence[int]) -> list[State]:
        """Return copies of the states of the selected runs."""
        return [cohort.runs[index].state() for index in which]

    def advance(
        self, cohort: Cohort, until: Sequence[int], stop: StopCondition
    ) -> list[ChunkResult | RunFailure]:
        """Train each run up to its own number of completed epochs, or until it stops, on all cores."""
        return cohort.advance(until, stop)


def _with_rows(experiment: Experiment, rows: SplitArrays) -> Experiment:
    """The experiment with rows to size a run by, if it has none."""
    return experiment if experiment.fixed else replace(experiment, fixed={"train": rows})
