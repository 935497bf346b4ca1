"""Real data reach what scikit-learn's networks of the same architecture reach."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

import mlprun.api as mlprun

CONFIGS = Path(__file__).parents[2] / "configs"
CASES = {"iris": 100, "breast_cancer": 40, "digits": 25, "diabetes": 60}
"""epochs by config; enough for both to level out, few enough not to overfit"""


def pair(name: str, seed: int, folder: Path) -> tuple[float, float]:
    """Test accuracy (r2 for numbers) of the last epoch of the shipped config, and of scikit-learn's network.

    Both learn the same standardised train rows with Adam at the config's rate and batch size, as many epochs,
    without penalty or early stopping; they start from their own initialisers.
    """
    run = mlprun.train(
        CONFIGS / f"{name}.yaml",
        f"training.seed={seed}",
        f"training.epochs={CASES[name]}",
        "training.evaluate_every=1000",
        "penalty.l2=0.0",
        "early_stopping=null",
        out=str(folder),
    )
    config, train, test = run.config, run.rows("train"), run.rows("test")
    numbers = run.best.preprocessing.classes is None
    model = (MLPRegressor if numbers else MLPClassifier)(
        hidden_layer_sizes=config.architecture.hidden,
        activation="relu",
        solver="adam",
        alpha=0.0,
        learning_rate_init=config.optimizer.lr,
        batch_size=config.training.batch_size,
        max_iter=CASES[name],
        n_iter_no_change=10_000,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs are given
        model.fit(train.inputs, train.targets[:, 0] if numbers else train.truth)
    theirs = model.score(test.inputs, test.targets[:, 0] if numbers else test.truth)
    return run.metrics["last"]["splits"]["test"]["r2" if numbers else "accuracy"], float(theirs)


def compared(name: str, seeds: range, folder: Path) -> tuple[Any, Any]:
    found = np.array([pair(name, seed, folder) for seed in seeds])
    return found[:, 0], found[:, 1]


@pytest.mark.parametrize("name", CASES)
def test_two_seeds_are_near_scikit_learns(name: str, tmp_path: Path) -> None:
    """The means of two seeds, each with a split of its own, are within 0.05 (0.1 of r2)."""
    mine, theirs = compared(name, range(2), tmp_path)
    assert mine.mean() == pytest.approx(theirs.mean(), abs=0.1 if name == "diabetes" else 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_ten_seeds_reach_scikit_learns_within_the_spread(name: str, tmp_path: Path) -> None:
    """The mean of ten seeds lies within one standard deviation over those seeds of scikit-learn's mean."""
    mine, theirs = compared(name, range(10), tmp_path)
    spread = max(mine.std(ddof=1), theirs.std(ddof=1))
    assert mine.mean() == pytest.approx(theirs.mean(), abs=spread)
