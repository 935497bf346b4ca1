"""Quantiles, several targets and several labels from the config to predictions, against scikit-learn."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression, QuantileRegressor
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    hamming_loss,
    log_loss,
    mean_absolute_error,
    mean_pinball_loss,
    mean_squared_error,
    r2_score,
)

import mlprun.api as mlprun
from mlprun import cli
from mlprun.errors import MlprunError

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
    columns, *rows = csv.reader(io.StringIO(run.predict_table(path).csv()))
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


def test_quantiles_of_a_transformed_target_come_back_in_the_users_units(
    prices: dict[str, Any], tmp_path: Path
) -> None:
    run = mlprun.train(prices, "dataset.target_transform=log1p", out=str(tmp_path))
    inputs, truth = split_of(run, "test")
    predicted = np.array(run.predict_table(table(tmp_path / "new.csv", "size", inputs[:, 0])).rows)
    losses = [mean_pinball_loss(truth, predicted[:, k], alpha=level) for k, level in enumerate(LEVELS)]
    metrics = run.best.evaluate(["test"])["test"]
    assert metrics["pinball"] == pytest.approx(np.mean(losses), rel=1e-9)
    assert (np.diff(predicted, axis=1) >= 0).all()
    assert predicted.min() > 80_000
    assert metrics["coverage"] > 0.5


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
    predicted = np.array(run.predict_table(table(tmp_path / "new.csv", "size", inputs)).rows)
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


@pytest.fixture
def dishes(tmp_path: Path) -> dict[str, Any]:
    """A config of two labels that depend on two inputs."""
    rng = np.random.default_rng(7)
    inputs = rng.normal(size=(90, 2)).round(3)
    sweet, hot = (np.where(inputs + rng.normal(scale=0.5, size=(90, 2)) > 0, "true", "FALSE")).T
    path = table(tmp_path / "dishes.csv", "sugar,chili,sweet,hot", *inputs.T, sweet, hot)
    return {
        "name": "dishes",
        "dataset": {"name": "table", "path": path, "target": ["sweet", "hot"]},
        "architecture": {"hidden": [3]},
        "loss": "bce",
        "optimizer": {"name": "adam", "lr": 0.05},
        "training": {"epochs": 20, "dtype": "float64"},
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_labels_are_trained_and_predicted_by_column_on_every_engine(
    engine: str, dishes: dict[str, Any], tmp_path: Path
) -> None:
    run = mlprun.train(dishes, f"engine={engine}", out=str(tmp_path))
    assert [metric.name for metric in run.config.metrics] == ["label_accuracy", "subset_accuracy", "f1"]
    inputs, truth = split_of(run, "test")
    columns, *rows = csv.reader(
        io.StringIO(run.predict_table(table(tmp_path / "new.csv", "sugar,chili", *inputs.T)).csv())
    )
    assert columns == ["sweet", "hot", "p(sweet)", "p(hot)"]
    labels, probabilities = np.array(rows, float)[:, :2], np.array(rows, float)[:, 2:]
    np.testing.assert_array_equal(labels, probabilities > 0.5)
    metrics = run.best.evaluate(["test"])["test"]
    assert metrics["label_accuracy"] == pytest.approx(1 - hamming_loss(truth, labels))
    assert metrics["subset_accuracy"] == pytest.approx(accuracy_score(truth, labels))
    assert metrics["f1"] == pytest.approx(f1_score(truth, labels, average="macro"))
    assert metrics["loss"] == pytest.approx(log_loss(truth.ravel(), probabilities.ravel()))
    assert metrics == run.metrics["best"]["splits"]["test"]


def test_the_engines_agree_on_labels(dishes: dict[str, Any], tmp_path: Path) -> None:
    runs = [mlprun.train(dishes, f"engine={engine}", out=str(tmp_path)) for engine in ENGINES]
    for name, column in runs[0].history.items():
        for other in runs[1:]:
            np.testing.assert_allclose(other.history[name], column, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["labels", "quantiles"])
def test_a_row_of_weight_two_is_two_rows(
    kind: str, engine: str, dishes: dict[str, Any], prices: dict[str, Any], tmp_path: Path
) -> None:
    config = dishes if kind == "labels" else prices
    header, *rows = (tmp_path / f"{config['name']}.csv").read_text().split()
    weights = [1 + k % 2 for k in range(len(rows))]
    twice = [row for row, weight in zip(rows, weights, strict=True) for _ in range(weight)]
    weighted = [f"{row},{weight}" for row, weight in zip(rows, weights, strict=True)]
    losses = []
    for name, lines in (("twice", [header, *twice]), ("weighted", [f"{header},w", *weighted])):
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(lines))
        weight = {"weight": "w"} if name == "weighted" else {}
        options = {"split": "same", "standardize": False, **weight, "path": str(path)}
        made = {
            **config,
            "dataset": {**config["dataset"], **options},
            "optimizer": {"name": "sgd", "lr": 0.01},
        }
        run = mlprun.train(made, f"engine={engine}", "training.epochs=3", out=str(tmp_path / kind / name))
        losses.append({name: column[-1] for name, column in run.history.items()})
    assert losses[1] == pytest.approx(losses[0], rel=1e-9)


def test_baselines_of_labels_are_the_priors_and_a_logistic_regression_of_each(
    dishes: dict[str, Any], tmp_path: Path
) -> None:
    run = mlprun.train(dishes, "training.epochs=1", out=str(tmp_path))
    (inputs, truth), (others, wanted) = split_of(run, "train"), split_of(run, "test")
    priors = np.tile(truth.mean(axis=0), (len(wanted), 1))
    baselines = run.metrics["baselines"]
    assert baselines["majority"]["test"]["loss"] == pytest.approx(log_loss(wanted.ravel(), priors.ravel()))
    models = [LogisticRegression(C=1e4).fit(inputs, column) for column in truth.T]
    predicted = np.stack([model.predict_proba(others)[:, 1] for model in models], axis=1)
    found = baselines["logistic regression"]["test"]["loss"]
    assert found == pytest.approx(log_loss(wanted.ravel(), predicted.ravel()), rel=0.01)


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        ({}, "labels"),
        ({"loss": "mse"}, "numbers"),
        ({"dataset.task": "numbers"}, "numbers"),
        ({"dataset.task": "labels", "loss": "mse"}, "labels"),
    ],
)
def test_flags_are_labels_unless_the_loss_or_the_config_says_otherwise(
    changes: dict[str, str], task: str, dishes: dict[str, Any]
) -> None:
    overrides = [f"{key}={value}" for key, value in changes.items()]
    assert mlprun.load_config(dishes, *overrides).dataset.task == task


def test_zeros_and_ones_are_labels_for_a_loss_of_classes_and_other_numbers_are_not(
    dishes: dict[str, Any], tmp_path: Path
) -> None:
    zeros_and_ones = table(tmp_path / "ones.csv", "x,a,b", range(8), [0, 1] * 4, [0, 0, 1, 1] * 2)
    shares = table(tmp_path / "shares.csv", "x,a,b", range(8), [0, 0.5] * 4, [0, 0, 1, 1] * 2)
    dataset = {"name": "table", "target": ["a", "b"]}
    tasks = [
        mlprun.load_config({"dataset": dataset | {"path": path}, **loss}).dataset.task
        for path in (zeros_and_ones, shares)
        for loss in ({"loss": "bce"}, {})
    ]
    assert tasks == ["labels", "numbers", "numbers", "numbers"]


def refusal(config: dict[str, Any], *overrides: str) -> str:
    with pytest.raises(MlprunError) as caught:
        mlprun.load_config(config, *overrides)
    (line,) = str(caught.value).splitlines()
    return line


def test_what_labels_cannot_be_is_refused_in_one_line(dishes: dict[str, Any], tmp_path: Path) -> None:
    assert "accuracy is not of several labels" in refusal(dishes, "metrics=[accuracy]")
    assert "use label_accuracy, subset_accuracy, f1 or roc_auc" in refusal(dishes, "metrics=[r2]")
    assert "f1 with average: binary is of two classes" in refusal(
        dishes, "metrics=[{name: f1, average: binary}]"
    )
    assert "cross_entropy takes classes, not labels; loss: bce" in refusal(dishes, "loss=cross_entropy")
    path = table(tmp_path / "t.csv", "x,a,b", range(8), [0, 1] * 4, [0, 2, 1, 1] * 2)
    dataset = {"name": "table", "path": path, "target": ["a", "b"], "task": "labels"}
    assert refusal({"dataset": dataset}).startswith(f"{path}:3: column 'b' is '2'")
    assert "expected a label: 0 or 1, true or false" in refusal({"dataset": dataset})
    assert "labels are several targets" in refusal({"dataset": dataset | {"target": "a"}})


def test_eval_shows_every_label_and_reads_a_table_with_labels(
    dishes: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = mlprun.train(dishes, out=str(tmp_path))
    assert cli.main(["eval", run.path, "--data", dishes["dataset"]["path"], "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = document["targets"]["data"]
    assert list(found) == ["sweet", "hot"]
    assert list(found["hot"]) == ["precision", "recall", "f1", "roc_auc", "support"]
    assert np.mean([found[name]["f1"] for name in found]) == pytest.approx(document["splits"]["data"]["f1"])
    assert list(document["averages"]["data"]) == ["macro", "micro"]
    assert cli.main(["eval", run.path, "--split", "test"]) == 0
    shown = capsys.readouterr().out
    assert "test: each target" in shown
    assert "micro average" in shown
    wrong = table(tmp_path / "wrong.csv", "sugar,chili,sweet,hot", [1, 2], [1, 2], [0, 1], ["true", "maybe"])
    assert cli.main(["eval", run.path, "--data", wrong]) == 3
    assert "wrong.csv:3: column 'hot' is 'maybe'" in capsys.readouterr().err


def test_several_targets_have_metrics_of_each_in_its_own_units(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=60).round(3)
    small, large = (2 * x + rng.normal(size=60)).round(3), (1e4 + 500 * x + 90 * rng.normal(size=60)).round(1)
    path = table(tmp_path / "t.csv", "x,small,large", x, small, large)
    config = {
        "dataset": {"name": "table", "path": path, "target": ["small", "large"]},
        "training": {"epochs": 40, "dtype": "float64"},
    }
    run = mlprun.train(config, out=str(tmp_path))
    assert cli.main(["eval", run.path, "--split", "test", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "averages" not in document
    inputs, truth = split_of(run, "test")
    predicted = np.array(run.predict_table(table(tmp_path / "new.csv", "x", inputs[:, 0])).rows)
    for k, name in enumerate(("small", "large")):
        values = document["targets"]["test"][name]
        assert values["mse"] == pytest.approx(mean_squared_error(truth[:, k], predicted[:, k]))
        assert values["rmse"] == pytest.approx(values["mse"] ** 0.5)
        assert values["mae"] == pytest.approx(mean_absolute_error(truth[:, k], predicted[:, k]))
        assert values["r2"] == pytest.approx(r2_score(truth[:, k], predicted[:, k]))
