"""Permutation importance and partial dependence of columns are those of scikit-learn."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.inspection import partial_dependence, permutation_importance

import mlprun.api as mlprun
from mlprun.analysis import explanation
from mlprun.analysis.explanation import partial_dependences, permutation_importances
from mlprun.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from mlprun.evaluation import TrainedModel
    from mlprun.parts.data import Data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("explained")


@pytest.fixture(scope="module")
def flats(folder: Path) -> mlprun.Run:
    """Rents that depend on the area, a little on the district, and on the date not at all."""
    draw, lines = np.random.default_rng(3), ["area,district,built,rent"]
    for _ in range(150):
        area, district = draw.uniform(20, 90), draw.choice(["north", "south", "west"])
        rent = 300 + 9 * area + 150 * (district == "west") + draw.normal() * 20
        lines.append(f"{area:.2f},{district},20{draw.integers(10, 24)}-0{draw.integers(1, 9)}-11,{rent:.1f}")
    (folder / "flats.csv").write_text("\n".join(lines) + "\n")
    dataset = {"name": "table", "path": str(folder / "flats.csv"), "target": "rent"}
    config = {
        "name": "flats",
        "dataset": {**dataset, "columns": {"built": {"as": "date"}}},
        "architecture": {"hidden": [6]},
        "optimizer": {"name": "adam", "lr": 0.03},
        "metrics": ["r2", "mae"],
        "training": {"epochs": 60},
    }
    return mlprun.train(config, out=str(folder / "runs"))


class Regressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A trained network as scikit-learn reads it: categories are the positions in their list."""

    def __init__(self, model: TrainedModel, data: Data) -> None:
        self.model, self.data, self.fitted_ = model, data, True

    def fit(self, *_: Any) -> Regressor:
        return self

    def predict(self, inputs: Any) -> Any:
        return self.model.predict(replace(self.data, inputs=inputs)).outputs[:, 0]


def test_importances_are_those_of_scikit_learn(flats: mlprun.Run) -> None:
    data = flats.best.experiment.raw_rows("dev", epoch=0)
    found = permutation_importances(flats.best, repeats=150)
    assert found.metric == "r2"
    expected = permutation_importance(
        Regressor(flats.best, data), data.inputs, data.targets[:, 0], n_repeats=150, random_state=1
    )
    means = {one.feature: one.stats.mean for one in found.features}
    errors = 4 * np.sqrt(2 / 150) * expected.importances_std + 1e-9
    for feature, mean, error in zip(data.input_names, expected.importances_mean, errors, strict=True):
        assert means[feature] == pytest.approx(mean, abs=error)
    assert [one.feature for one in found.features][:2] == ["area", "district"]


def test_an_importance_is_the_growth_of_the_metric_of_permuted_rows(flats: mlprun.Run) -> None:
    found = permutation_importances(flats.best, metric="mae", repeats=3, seed=7)
    data = flats.best.experiment.raw_rows("dev", epoch=0)
    truth = data.targets[:, 0]
    assert found.baseline == pytest.approx(np.abs(flats.best.predict(data).outputs[:, 0] - truth).mean())
    largest = next(one for one in found.features if one.feature == "area").values
    assert len(set(largest)) == 3
    assert min(largest) > found.baseline
    assert found == permutation_importances(flats.best, metric="mae", repeats=3, seed=7)
    assert found != permutation_importances(flats.best, metric="mae", repeats=3, seed=8)


@pytest.mark.parametrize("feature", ["area", "district", "built"])
def test_partial_dependence_is_that_of_scikit_learn(flats: mlprun.Run, feature: str) -> None:
    data = flats.best.experiment.raw_rows("dev", epoch=0)
    (found,) = partial_dependences(flats.best, [feature])
    column = data.input_names.index(feature)
    expected = partial_dependence(
        Regressor(flats.best, data), data.inputs, [column], kind="both", custom_values={column: found.values}
    )
    assert found.outputs == ("rent",)
    np.testing.assert_allclose(found.mean[:, 0], expected["average"][0], rtol=1e-6)
    np.testing.assert_allclose(found.curves[:, :, 0], expected["individual"][0], rtol=1e-6)


def test_values_are_categories_dates_and_the_range_of_numbers(flats: mlprun.Run) -> None:
    area, district, built = partial_dependences(flats.best, ["area", "district", "built"], split="train")
    values = flats.best.experiment.raw_rows("train", epoch=0).inputs[:, 0]
    assert (area.values[0], area.values[-1]) == pytest.approx(tuple(np.quantile(values, [0.05, 0.95])))
    assert len(area.values) == explanation.GRID
    assert district.labels == ["north", "south", "west"]
    assert all(isinstance(label, str) and label.startswith("20") for label in built.labels)


def test_of_two_classes_the_probability_of_the_positive_one_is_explained(folder: Path) -> None:
    config = {
        "dataset": {"name": "moons", "split": {"train": 40, "dev": 20, "test": 0}},
        "training": {"epochs": 20},
    }
    run = mlprun.train(config, out=str(folder / "runs"))
    (found,) = partial_dependences(run.best, ["x1"])
    assert found.outputs == ("p(inner)",)
    assert found.curves.shape == (20, 20, 1)
    assert ((found.curves > 0) & (found.curves < 1)).all()


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["explain", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_reports_and_draws(flats: mlprun.Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, flats.path, "--repeats", "3", "--features", "district")
    assert found["importance"][0]["feature"] == "area"
    low, high = found["importance"][0]["interval"]
    assert low < found["importance"][0]["mean"] < high
    (partial,) = found["partial_dependence"]
    assert partial["values"] == ["north", "south", "west"]
    assert partial["mean"][2][0] > partial["mean"][0][0] + 75
    assert [path.rpartition("/")[2] for path in found["plots"]] == [
        "importance.png",
        "partial_dependence.png",
    ]
    assert main(["explain", flats.path, "--repeats", "3"]) == 0
    assert "built" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--features", "araa"], "error: araa: is no feature; did you mean area?"),
        (["--metric", "f1"], "error: --metric: 'f1' is not computed; use one of loss, r2, mae"),
    ],
)
def test_what_cannot_be_explained_is_one_line(
    flats: mlprun.Run, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert main(["explain", flats.path, *arguments]) == 2
    assert capsys.readouterr().err.strip() == expected


def test_symbols_have_importances_by_position_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {
        "dataset": {"name": "sequences", "symbols": 4, "length": 3},
        "architecture": {"name": "rnn", "embedding": {"vocabulary": 4, "dim": 3}, "hidden": 4},
        "training": {"epochs": 5},
    }
    run = mlprun.train(config, out=str(folder / "runs"))
    found = explained(capsys, run.path, "--repeats", "3")
    assert len(found["importance"]) == 3
    assert found["partial_dependence"] == []
    assert main(["explain", run.path, "--features", "x1"]) == 2
    assert "inputs are symbols, which have no order" in capsys.readouterr().err
