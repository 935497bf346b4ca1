"""Gradient boosting as a baseline: its metrics are those of scikit-learn on the columns of the table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, log_loss, mean_pinball_loss, r2_score

import mlprun.api as mlprun
from mlprun.errors import UsageError
from mlprun.evaluation import baselines

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 160
CITIES = ("bern", "lyon", "oslo")


def table(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A table with numbers, categories, missing cells and weights, and its columns."""
    random = np.random.default_rng(0)
    size, city = random.normal(size=ROWS), random.integers(0, 3, ROWS)
    price = 3 * size + 2.0 * city + random.normal(size=ROWS) * 0.3
    columns = {
        "size": np.where(random.random(ROWS) < 0.1, np.nan, size),
        "city": city.astype(float),
        "price": price,
        "part": np.array(["train", "train", "train", "dev", "test"] * (ROWS // 5)),
        "w": random.integers(0, 4, ROWS).astype(float),
        "dear": price > 2.5,
        "level": np.digitize(price, [0, 4]),
    }
    lines = ["size,city,price,part,w,dear,level"]
    for k in range(ROWS):
        size_cell = "" if np.isnan(columns["size"][k]) else repr(float(columns["size"][k]))
        cells = [size_cell, CITIES[city[k]], repr(float(price[k])), columns["part"][k]]
        lines.append(
            ",".join([*cells, f"{columns['w'][k]:g}", str(columns["dear"][k]), str(columns["level"][k])])
        )
    path = folder / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    return path, columns


def trained(path: Path, folder: Path, target: str, **more: Any) -> Any:
    options = {"features": ["size", "city"], "missing": "impute", "split": {"column": "part"}, **more}
    dataset = {"name": "table", "path": str(path), "target": target, **options.pop("dataset", {})}
    sections = {key: options.pop(key) for key in ("loss", "metrics") if key in options}
    config = {"dataset": {**dataset, **options}, **sections, "training": {"epochs": 2, "seed": 7}}
    return mlprun.train(config, out=str(folder / "runs"), baselines=["boosting"])


def features(columns: dict[str, np.ndarray], part: str) -> tuple[np.ndarray, np.ndarray]:
    rows = columns["part"] == part
    return np.stack([columns["size"], columns["city"]], axis=1)[rows], rows


OPTIONS = {"categorical_features": [False, True], "random_state": 7}


@pytest.mark.parametrize(("target", "weight"), [("dear", None), ("dear", "w"), ("level", None)])
def test_classes_are_those_of_scikit_learn(tmp_path: Path, target: str, weight: str | None) -> None:
    path, columns = table(tmp_path)
    run = trained(path, tmp_path, target, metrics=["accuracy"], weight=weight)
    inputs, rows = features(columns, "train")
    weights = None if weight is None else columns["w"][rows]
    model = HistGradientBoostingClassifier(**OPTIONS).fit(inputs, columns[target][rows], weights)
    found = run.metrics["baselines"][baselines.BOOSTING]
    for part in ("train", "dev", "test"):
        inputs, rows = features(columns, part)
        weights = None if weight is None else columns["w"][rows]
        truth = columns[target][rows]
        expected = accuracy_score(truth, model.predict(inputs), sample_weight=weights)
        assert found[part]["accuracy"] == pytest.approx(expected)
        expected = log_loss(truth, model.predict_proba(inputs), sample_weight=weights)
        assert found[part]["loss"] == pytest.approx(expected, rel=1e-4)


def test_numbers_and_quantiles_are_those_of_scikit_learn(tmp_path: Path) -> None:
    path, columns = table(tmp_path)
    run = trained(path, tmp_path, "price", metrics=["r2"], weight="w")
    (inputs, rows), (test, of_test) = features(columns, "train"), features(columns, "test")
    mean, scale = columns["price"][rows].mean(), columns["price"][rows].std()
    scaled = (columns["price"][rows] - mean) / scale
    weights = columns["w"][rows]
    model = HistGradientBoostingRegressor(**OPTIONS).fit(inputs, scaled, weights)
    truth, weights = columns["price"][of_test], columns["w"][of_test]
    expected = r2_score(truth, model.predict(test) * scale + mean, sample_weight=weights)
    assert expected > 0.7
    assert run.metrics["baselines"][baselines.BOOSTING]["test"]["r2"] == pytest.approx(expected, abs=1e-4)
    loss = {"name": "quantile", "quantiles": [0.2, 0.7]}
    run = trained(path, tmp_path, "price", loss=loss, metrics=["pinball"])
    models = [
        HistGradientBoostingRegressor(loss="quantile", quantile=level, **OPTIONS).fit(inputs, scaled)
        for level in (0.2, 0.7)
    ]
    predicted = np.sort(np.stack([one.predict(test) for one in models], axis=1), axis=1) * scale + mean
    parts = [mean_pinball_loss(truth, predicted[:, k], alpha=level) for k, level in enumerate((0.2, 0.7))]
    found = run.metrics["baselines"][baselines.BOOSTING]["test"]["pinball"]
    assert found == pytest.approx(np.mean(parts), rel=1e-4)


def test_eval_report_and_resume_have_it_too(tmp_path: Path, call: Any) -> None:
    path, columns = table(tmp_path)
    run = trained(path, tmp_path, "dear", metrics=["accuracy"])
    stored = run.metrics["baselines"][baselines.BOOSTING]
    code, out, _ = call("eval", run.path, "--baselines", "boosting", "--json")
    assert code == 0
    assert json.loads(out)["baselines"] == {baselines.BOOSTING: stored}
    assert baselines.BOOSTING in call("eval", run.path, "--baselines", "boosting")[1]
    assert "baselines" not in json.loads(call("eval", run.path, "--json")[1])
    # another table with its own categories, one of them unknown: it is a missing cell for the trees
    new = tmp_path / "new.csv"
    new.write_text("city,size,dear\nlyon,0.5,True\nrome,0.1,False\noslo,-2,True\n")
    code, out, _ = call("eval", run.path, "--data", new, "--baselines", "boosting", "--json")
    inputs, rows = features(columns, "train")
    model = HistGradientBoostingClassifier(**OPTIONS).fit(inputs, columns["dear"][rows])
    probabilities = model.predict_proba([[0.5, 1], [0.1, np.nan], [-2, 2]])
    found = json.loads(out)["baselines"][baselines.BOOSTING]["data"]
    assert found["loss"] == pytest.approx(log_loss([True, False, True], probabilities), rel=1e-4)
    assert call("resume", run.path, "--epochs", "3", "-q")[0] == 0
    assert mlprun.load(run.path).metrics["baselines"][baselines.BOOSTING] == stored
    plain = mlprun.train(f"{run.path}/config.yaml", out=str(tmp_path / "plain"))
    assert baselines.BOOSTING not in plain.metrics["baselines"]
    assert call("report", plain.path, "--baselines", "boosting")[0] == 0
    assert "gradient boosting" in (tmp_path / "plain/config-001/report.html").read_text()


def test_what_cannot_have_the_baseline_is_one_line(tmp_path: Path, call: Any) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("{dataset: {name: moons, samples: 40}, training: {epochs: 1}}")
    code, out, err = call("train", path, "--baselines", "boosting", "--seeds", "2", "-q")
    assert (code, out) == (2, "")
    assert err == "error: --baselines: is for a single run; leave it out beside --seeds and --folds\n"
    assert call("train", path, "--baselines", "forest", "-q")[0] == 2
    with pytest.raises(UsageError, match="unknown baseline 'forest'; use boosting"):
        mlprun.train(path, out=str(tmp_path), baselines=["forest"])
