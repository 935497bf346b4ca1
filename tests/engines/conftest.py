"""What the engines' tests share: small experiments, and runs compared byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlprun.api as mlprun
from mlprun.engines.contract import RunFailure, never
from mlprun.engines.torch import TorchEngine
from mlprun.experiment import Experiment

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.engines import Best, ChunkResult, State, StopCondition

SMALL = {
    "dataset": {"name": "moons", "noise": 0.3, "split": {"train": 45, "dev": 20, "test": 15}},
    "architecture": {"hidden": [4], "activation": "tanh"},
    "optimizer": {"name": "sgd", "lr": 0.5},
    "training": {"epochs": 12},
}


@pytest.fixture
def experiment() -> Callable[..., Experiment]:
    """Makes an experiment of 45 moons and four units; sections that are given are laid over it."""

    def make(**sections: Any) -> Experiment:
        config = dict(SMALL)
        for name, value in sections.items():
            both = isinstance(value, dict) and isinstance(config.get(name), dict)
            renamed = both and "name" in value and value["name"] != config[name].get("name")
            config[name] = {**config[name], **value} if both and not renamed else value
        return Experiment.of(mlprun.load_config(config))

    return make


@pytest.fixture
def engine() -> TorchEngine:
    return TorchEngine()


class Course:
    """One run on an engine, advanced in pieces; keeps all that happened."""

    def __init__(self, engine: TorchEngine, experiment: Experiment, stop: StopCondition = never) -> None:
        self.engine, self.experiment = engine, experiment
        self.stop = stop
        self.cohort = engine.open([experiment], [engine.initial_state(experiment)], device="cpu")
        self.rows: list[Any] = []
        self.improvements: list[Any] = []
        self.best: Best | None = None
        self.epoch, self.stopped = 0, None

    def advance(self, until: int) -> ChunkResult:
        (advance,) = self.engine.advance(self.cohort, [until], self.stop)
        if isinstance(advance, RunFailure):
            raise advance.error
        self.rows += advance.rows
        self.improvements += advance.improvements
        self.best = advance.best or self.best
        self.epoch, self.stopped = advance.epoch, advance.stopped
        return advance

    def finish(self) -> Course:
        while self.stopped is None:
            self.advance(self.experiment.config.training.epochs)
        return self

    def reopen(self, state: State) -> None:
        self.cohort = self.engine.open([self.experiment], [state], device="cpu")

    @property
    def state(self) -> State:
        (state,) = self.engine.states(self.cohort, [0])
        return state

    def everything(self) -> list[Any]:
        """All that happened and where it stands, bytes and plain values, to be compared with ==."""
        best = None if self.best is None else (self.best.epoch, self.best.metrics, plain(self.best.model))
        rows = [tuple(map(repr, row)) for row in self.rows]  # nan differs from itself
        return [self.epoch, self.stopped, rows, self.improvements, best, standing(self.state)]


def plain(arrays: Any) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Arrays by name as type, shape and bytes."""
    return {
        name: (array.dtype.name, array.shape, np.ascontiguousarray(array).tobytes())
        for name, array in arrays.items()
    }


def standing(state: State) -> list[Any]:
    """A state in plain values and bytes."""
    return [
        state.epoch,
        plain(state.model),
        plain(state.optimizer_state),
        state.optimizer_meta,
        state.progress,
    ]


@pytest.fixture
def course(engine: TorchEngine) -> Callable[..., Course]:
    """Makes a course of an experiment."""
    return lambda experiment, stop=never: Course(engine, experiment, stop)


@pytest.fixture
def bytes_of() -> Callable[[State], list[Any]]:
    """Makes plain values and bytes of a state."""
    return standing
