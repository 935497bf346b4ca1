"""Experiments on rows drawn by NumPy, and both engines on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from mlprun import api
from mlprun.engines.contract import never
from mlprun.engines.fused import FusedEngine
from mlprun.engines.torch import TorchEngine
from mlprun.experiment import Experiment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ENGINES = {"torch": TorchEngine(), "fused": FusedEngine()}
CLASS_LOSSES = ("cross_entropy", "nll", "hinge")
"""losses that take classes and not numbers"""


class Lab:
    """What these tests share."""

    engines = ENGINES

    @staticmethod
    def make(config: dict[str, Any]) -> Experiment:
        """The experiment that a mapping describes."""
        return Experiment.of(api.load_config(config))

    @staticmethod
    def run(engine: str, experiment: Experiment, until: int | None = None) -> tuple[Any, Any]:
        """An engine on an experiment to its end, or to `until`: the result of the chunk, and the state."""
        chosen, epochs = ENGINES[engine], experiment.config.training.epochs
        cohort = chosen.open([experiment], [chosen.initial_state(experiment)], device="cpu")
        (result,) = chosen.advance(cohort, [epochs if until is None else until], never)
        return result, chosen.states(cohort, [0])[0]

    @classmethod
    def model(cls, engine: str, config: dict[str, Any], dtype: str) -> Any:
        """The model at the end of a run in one dtype."""
        training = {**config["training"], "dtype": dtype}
        return cls.run(engine, cls.make({**config, "training": training}))[1].model

    @staticmethod
    def rows(count: int, inputs: int, outputs: int, loss: str, seed: int = 0) -> dict[str, Any]:
        """An inline dataset whose targets suit a loss."""
        rng = np.random.default_rng(seed)
        targets: Any = rng.normal(size=(count, outputs)).tolist()
        if loss in CLASS_LOSSES:
            classes = max(2, outputs)
            targets = (np.arange(count) % classes).tolist() if count >= classes else [*range(classes)][:count]
        elif loss == "quantile":
            targets = [row[:1] for row in targets]
        elif loss == "bce":
            targets = rng.uniform(size=(count, outputs)).tolist()
        elif loss == "kl_div":
            targets = rng.dirichlet(np.ones(outputs), size=count).tolist()
        elif loss == "poisson_nll":
            targets = rng.poisson(2.0, size=(count, outputs)).astype(float).tolist()
        return {"name": "inline", "inputs": rng.normal(size=(count, inputs)).tolist(), "targets": targets}

    @staticmethod
    def distance(one: Any, other: Any) -> float:
        """The largest difference between two models."""
        return max(
            float(np.abs(np.asarray(one[name], np.float64) - np.asarray(other[name], np.float64)).max())
            for name in one
        )

    @staticmethod
    def largest(arrays: dict[str, NDArray[Any]]) -> float:
        """The size of the largest number."""
        return max(float(np.abs(array).max()) for array in arrays.values())


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    former = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Lab()
    torch.set_num_threads(former)
