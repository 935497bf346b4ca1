"""One experiment followed for some epochs by one engine: its first gradient, its curve, its weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines import RunFailure, State
from mlprun.engines.contract import never
from mlprun.experiment import Experiment, history_columns
from mlprun.verification.kinks import kinked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.engines import Engine
    from mlprun.engines.contract import Row
    from mlprun.schema import Config

STEPS, STEPS_WITH_KINKS = 100, 10
"""how many steps are compared; with kinks rounding decides on which side a row falls, and differences jump"""
LOSSES = ("train_loss", "train_objective", "dev_loss")
"""the columns that make up the curve"""


@dataclass(frozen=True, eq=False)
class Course:
    """What an engine made of an experiment in one precision."""

    engine: str
    dtype: str
    gradient: Mapping[str, NDArray[Any]]
    """of the first batch, by parameter name"""
    history: Mapping[str, NDArray[np.float64]]
    """the columns of history.csv, a row for each epoch; nan where dev was not evaluated"""
    weights: Mapping[str, NDArray[Any]]
    """afterwards, by name"""
    stopped: str | None = None

    @property
    def label(self) -> str:
        """The engine and its precision, as in `torch float64`."""
        return f"{self.engine} {self.dtype}"


def comparable(config: Config) -> Config:
    """The config with a row of history for each epoch and nothing that ends a run early."""
    training = config.training.model_copy(update={"log_every": 1})
    return config.model_copy(update={"training": training, "early_stopping": None, "snapshots": ()})


def in_dtype(config: Config, dtype: str) -> Experiment:
    """The experiment in another precision, its rows prepared anew. Raises as `Experiment.of` does."""
    training = config.training.model_copy(update={"dtype": dtype})
    return Experiment.of(config.model_copy(update={"training": training}))


def cast(state: State, dtype: str) -> State:
    """A state at epoch 0 in another precision."""
    model = {
        name: array.astype(dtype) if np.issubdtype(array.dtype, np.floating) else array
        for name, array in state.model.items()
    }
    return replace(state, model=model)


def steps_of(experiment: Experiment) -> int:
    """Batches of an epoch."""
    size, rows = experiment.config.training.batch_size, len(experiment.fixed["train"])
    return 1 if size == "full" else -(-rows // size)


def epochs_for(experiment: Experiment, steps: int | None) -> int:
    """Whole epochs of at most so many steps (by default 100, or 10 with kinks), one at least."""
    if steps is None:
        steps = STEPS_WITH_KINKS if kinked(experiment.config) else STEPS
    return min(experiment.config.training.epochs, max(1, steps // steps_of(experiment)))


def follow(engine: Engine, experiment: Experiment, state: State, epochs: int, *, device: str) -> Course:
    """Train from `state` for some epochs, or until the run diverges."""
    gradient = engine.gradients(experiment, state, device=device)
    cohort = engine.open([experiment], [state], device=device)
    (told,) = engine.advance(cohort, [epochs], never)
    if isinstance(told, RunFailure):
        raise told.error
    history = table(history_columns(experiment.config), told.rows)
    (after,) = engine.states(cohort, [0])
    stopped = "diverged" if told.stopped == "diverged" else None
    return Course(engine.name, experiment.config.training.dtype, gradient, history, after.model, stopped)


def table(names: Sequence[str], rows: Iterable[Row]) -> dict[str, NDArray[np.float64]]:
    """History rows as columns; nan where dev was not evaluated."""
    cells = [[np.nan if value is None else value for value in row] for row in rows]
    return dict(zip(names, np.array(cells, np.float64).reshape(-1, len(names)).T, strict=True))
