"""What an engine makes of an experiment in one precision: its first gradient, its curve, its weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from mlprun import engines
from mlprun.engines import Engine, State
from mlprun.engines import device as devices
from mlprun.errors import UsageError
from mlprun.experiment import Experiment
from mlprun.parts.data import short_repr
from mlprun.training.trainer import HistoryRecorder, Trainer, TrainingRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from mlprun.schema import Config

    History = Mapping[str, NDArray[np.float64]]

DEFINITION = "torch"
"""The engine that others are compared with."""
DTYPES = ("float32", "float64")
STEPS, NONSMOOTH_STEPS = 100, 10
"""Steps compared by default. At a kink rounding decides on which side a row falls, and differences jump."""
LOSSES = ("train_loss", "train_objective", "dev_loss")
"""The history columns that make up the curve."""
_GRID_END = 8.0
_SHRINKAGE = 0.4
"""A smooth function's second difference falls to a quarter when the step is quartered; at a kink it stays."""
_NOISE = 1e-6


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What an engine made of an experiment in one precision."""

    __repr__ = short_repr

    engine: str
    dtype: str
    gradient: Mapping[str, NDArray[Any]]
    """Of the first batch, by parameter name."""
    history: History
    """The columns of history.csv, a row for each epoch; nan where dev was not evaluated."""
    weights: Mapping[str, NDArray[Any]]
    """Afterwards, by name."""
    diverged: bool = False

    @property
    def curve(self) -> History:
        """The columns of losses."""
        return {name: self.history[name] for name in LOSSES}

    @property
    def label(self) -> str:
        """The engine and its precision, as in `torch float64`."""
        return f"{self.engine} {self.dtype}"


@dataclass(frozen=True, eq=False)
class Setup:
    """Where all trajectories of a config start: its rows in both precisions, and torch's initial weights."""

    config: Config
    """With a history row for each epoch and nothing that ends a run early."""
    experiments: Mapping[str, Experiment]
    """By precision."""
    state: State
    """In the config's precision."""
    device: str

    @classmethod
    def of(cls, config: Config) -> Setup:
        """Prepare rows and weights. Raises UsageError, and as `Experiment.of` and the initializers do."""
        if not config.training.epochs:
            raise UsageError("training.epochs", "there is no step to compare", "train for one epoch at least")
        training = config.training.model_copy(update={"log_every": 1})
        config = config.model_copy(update={"training": training, "early_stopping": None, "snapshots": ()})
        experiments = {dtype: in_dtype(config, dtype) for dtype in DTYPES}
        state = _definition().initial_state(experiments[config.training.dtype])
        return cls(config, experiments, state, devices.resolve(config.device))

    def train(self, dtype: str, epochs: int, engine: Engine | None = None) -> Trajectory:
        """Train for some epochs with an engine, by default torch, or until the run diverges."""
        engine, state = engine or _definition(), cast(self.state, dtype)
        gradient = engine.gradients(self.experiments[dtype], state, device=self.device)
        history, after, diverged = train(engine, self.experiments[dtype], state, epochs, device=self.device)
        return Trajectory(engine.name, dtype, gradient, history, after.model, diverged)


def _definition() -> Engine:
    return next(engine for engine in engines.every() if engine.name == DEFINITION)


def train(
    engine: Engine, experiment: Experiment, state: State, epochs: int, *, device: str = "cpu"
) -> tuple[History, State, bool]:
    """Train from a state: the history by column, the state afterwards, and whether the run diverged."""
    recorder = HistoryRecorder()
    run = TrainingRun(experiment, state, until=epochs, callbacks=[recorder])
    Trainer(engine, [run], device=device).fit()
    run.raise_for_error()
    return recorder.columns, run.state, run.stop_reason == "diverged"


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


def epochs_for(experiment: Experiment, steps: int | None) -> int:
    """Whole epochs of at most so many steps (by default 100, or 10 if nonsmooth), at least one."""
    if steps is None:
        steps = NONSMOOTH_STEPS if is_nonsmooth(experiment.blank_network()) else STEPS
    return min(experiment.config.training.epochs, max(1, steps // experiment.steps_per_epoch))


def is_nonsmooth(network: nn.Module) -> bool:
    """Return True if an activation of a network has a kink, as relu and hard_tanh do.

    Activations are the modules without parameters; they are evaluated on a grid, so that a user's own are
    recognized too.
    """
    containers = (nn.ModuleList, nn.ModuleDict)
    leaves = [one for one in network.modules() if not [*one.parameters(), *one.children()]]
    return any(has_kink(leaf) for leaf in leaves if not isinstance(leaf, containers))


def has_kink(function: Callable[[Tensor], Tensor]) -> bool:
    """Return True if the slope of a function of [N, 1] numbers jumps somewhere from -8 to 8."""
    sizes = []
    for step in (1e-2, 2.5e-3):
        values = function(torch.arange(-_GRID_END, _GRID_END + step, step, dtype=torch.float64)[:, None])
        sizes.append(float(values[:, 0].diff(n=2).abs().max()) / step)
    return sizes[1] > _NOISE and sizes[1] > _SHRINKAGE * sizes[0]
