"""Quantiles, several targets and several labels from the config to predictions, against scikit-learn."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import QuantileRegressor
from sklearn.metrics import mean_pinball_loss

import mlprun.api as mlprun

if TYPE_CHECKING:
    from pathlib import Path

ENGINES = ("torch", "fused", "scratch")
LEVELS = (0.1, 0.5, 0.9)


def table(path: Path, names: str, *columns: Any) -> str:
    """Write columns of numbers as a CSV and return its path."""
    rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([names, *rows]) + "\n")
    return str(path)


@pytest.fixture
def prices(tmp_path: Path) -> dict[str, Any]:
    """A config of prices whose spread grows with the size, far from 0 and in thousands."""
    rng = np.random.default_rng(4)
    size = rng.uniform(0, 10, 200).round(3)
    price = 90_000 + 1000 * (3 * size + (1 + size) * rng.normal(size=200)).round(3)
    dataset = {"name": "table", "path": table(tmp_path / "prices.csv", "size,price", size, price)}
    return {
        "name": "prices",
        "dataset": dataset | {"target": "price"},
        "architecture": {"hidden": []},
        "loss": {"name": "quantile", "quantiles": list(LEVELS)},
        "optimizer": {"name": "adam", "lr": 0.05},
        "training": {"epochs": 300, "dtype": "float64"},
    }


def split_of(run: mlprun.Run, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs in the user's units and targets of a split."""
    rows, (means, scales) = run.rows(split), run.best.preprocessing.input_units
    return rows.inputs * scales + means, rows.truth


@pytest.mark.parametrize("engine", ENGINES)
def test_metrics_of_quantiles_are_in_the_users_units_on_every_engine(
    engine: str, prices: dict[str, Any], tmp_path: Path
) -> None:
    run = mlprun.train(prices, f"engine={engine}", "training.epochs=30", out=str(tmp_path))
    inputs, truth = split_of(run, "test")
    path = table(tmp_path / "new.csv", "size", inputs[:, 0])
    columns, *rows = csv.reader(io.StringIO(run.predict(path).csv()))
    assert columns == ["price_q0.1", "price_q0.5", "price_q0.9"]
    predicted = np.array(rows, float)
    losses = [mean_pinball_loss(truth, predicted[:, k], alpha=level) for k, level in enumerate(LEVELS)]
    metrics = run.best.evaluate()["test"]
    assert metrics["pinball"] == pytest.approx(np.mean(losses), rel=1e-9)
    inside = (truth[:, 0] >= predicted[:, 0]) & (truth[:, 0] <= predicted[:, 2])
    assert metrics["coverage"] == pytest.approx(inside.mean())
    assert metrics["interval_width"] == pytest.approx((predicted[:, 2] - predicted[:, 0]).mean(), rel=1e-9)
    assert metrics == run.metrics["best"]["splits"]["test"]
    last = run.history["dev_pinball"][-1]
    assert last == pytest.approx(run.metrics["last"]["splits"]["dev"]["pinball"], rel=1e-9)


def test_a_linear_network_reaches_scikit_learns_quantile_regression(
    prices: dict[str, Any], tmp_path: Path
) -> None:
    run = mlprun.train(prices, "training.epochs=1500", "optimizer.lr=0.01", out=str(tmp_path))
    inputs, truth = split_of(run, "train")
    optimal = [
        mean_pinball_loss(
            truth,
            QuantileRegressor(quantile=level, alpha=0).fit(inputs, truth[:, 0]).predict(inputs),
            alpha=level,
        )
        for level in LEVELS
    ]
    reached = run.last.evaluate(["train"])["train"]["pinball"]
    assert np.mean(optimal) <= reached <= 1.01 * np.mean(optimal)


def test_quantiles_never_cross(prices: dict[str, Any], tmp_path: Path) -> None:
    """With untrained weights the outputs of the network itself do."""
    run = mlprun.train(prices, "training.epochs=0", out=str(tmp_path))
    inputs = np.linspace(-30, 40, 50)
    outputs = run.last.outputs(((inputs[:, None] - 5) / 3).astype(np.float64))
    assert (np.diff(outputs, axis=1) < 0).any()
    predicted = np.array(run.predict(table(tmp_path / "new.csv", "size", inputs)).rows)
    assert (np.diff(predicted, axis=1) >= 0).all()
    metrics = run.metrics["last"]["splits"]["train"]
    scale = run.last.preprocessing.target_units[1][0]
    assert metrics["pinball"] <= metrics["loss"] * scale
    assert metrics["interval_width"] > 0


def test_baselines_of_quantiles_are_those_of_the_train_rows(prices: dict[str, Any], tmp_path: Path) -> None:
    found = mlprun.train(prices, "training.epochs=1", out=str(tmp_path))
    baselines, (inputs, truth) = found.metrics["baselines"], split_of(found, "train")
    assert baselines.keys() == {"quantiles", "linear regression"}
    tests, wanted = split_of(found, "test"), []
    for level in LEVELS:
        dummy = DummyRegressor(strategy="quantile", quantile=level).fit(inputs, truth)
        wanted.append(mean_pinball_loss(tests[1], dummy.predict(tests[0]), alpha=level))
    assert baselines["quantiles"]["test"]["pinball"] == pytest.approx(np.mean(wanted), rel=1e-9)
    slope, intercept = np.polyfit(inputs[:, 0], truth[:, 0], 1)
    shifts = np.quantile(truth[:, 0] - slope * inputs[:, 0] - intercept, LEVELS)
    predicted = slope * tests[0] + intercept + shifts
    wanted = [mean_pinball_loss(tests[1], predicted[:, k], alpha=level) for k, level in enumerate(LEVELS)]
    assert baselines["linear regression"]["test"]["pinball"] == pytest.approx(np.mean(wanted), rel=1e-9)
