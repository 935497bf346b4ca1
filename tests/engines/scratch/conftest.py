"""What the scratch engine's tests share: central differences, and the same run on two engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun import api, engines
from mlprun.engines.contract import never
from mlprun.experiment import Experiment, history_columns

if TYPE_CHECKING:
    from collections.abc import Callable

ENGINES = {engine.name: engine for engine in engines.every()}
CLASS_LOSSES = ("cross_entropy", "nll", "focal", "hinge")


class Lab:
    """What these tests share."""

    @staticmethod
    def slope(function: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-6) -> np.ndarray:
        """Central differences of a scalar by each number of an array."""
        found = np.zeros_like(at)
        for place in np.ndindex(at.shape):
            moved = [at.copy(), at.copy()]
            moved[0][place] += step
            moved[1][place] -= step
            found[place] = (function(moved[0]) - function(moved[1])) / (2 * step)
        return found

    @staticmethod
    def make(config: dict[str, Any]) -> Experiment:
        """The experiment of a mapping, in float64."""
        training = {"dtype": "float64", **config.get("training", {})}
        return Experiment.of(api.load_config({**config, "training": training}))

    @staticmethod
    def run(
        name: str, experiment: Experiment, state: Any = None, until: int | None = None
    ) -> tuple[Any, Any]:
        """What an engine tells of a run from a state to its end or to `until`, and the state there."""
        engine, epochs = ENGINES[name], experiment.config.training.epochs
        begin = engine.initial_state(experiment) if state is None else state
        cohort = engine.open([experiment], [begin], device="cpu")
        (told,) = engine.advance(cohort, [epochs if until is None else until], never)
        return told, engine.states(cohort, [0])[0]

    @classmethod
    def assert_as_torch(cls, config: dict[str, Any], bound: float = 1e-12) -> Any:
        """Every column of the history and every parameter within `bound`; both tell of the same epochs."""
        experiment = cls.make(config)
        (mine, state), (theirs, expected) = (cls.run(name, experiment) for name in ("scratch", "torch"))
        assert (mine.epoch, mine.stopped) == (theirs.epoch, theirs.stopped)
        assert [one.epoch for one in mine.improvements] == [one.epoch for one in theirs.improvements]
        names = history_columns(experiment.config)
        mine_rows, their_rows = (np.array(list(told.rows), float) for told in (mine, theirs))
        for name, one, other in zip(names, mine_rows.T, their_rows.T, strict=True):
            np.testing.assert_allclose(one, other, rtol=bound, atol=bound, err_msg=name)
        for name, array in expected.model.items():
            np.testing.assert_allclose(state.model[name], array, rtol=bound, atol=bound, err_msg=name)
        return state

    @staticmethod
    def rows(count: int, inputs: int, outputs: int, loss: str, seed: int = 0) -> dict[str, Any]:
        """An inline dataset whose targets suit a loss."""
        rng = np.random.default_rng(seed)
        targets: Any = rng.normal(size=(count, outputs))
        if loss in CLASS_LOSSES:
            targets = np.arange(count) % max(2, outputs)
        elif loss == "quantile":
            targets = targets[:, :1]
        elif loss == "bce":
            targets = rng.uniform(size=(count, outputs))
        elif loss == "kl_div":
            targets = rng.dirichlet(np.ones(outputs), size=count)
        elif loss == "poisson_nll":
            targets = rng.poisson(2.0, size=(count, outputs)).astype(float)
        return {"name": "inline", "inputs": rng.normal(size=(count, inputs)), "targets": targets}


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()
