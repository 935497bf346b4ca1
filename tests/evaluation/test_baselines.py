"""Baselines against scikit-learn's: a constant is exact, a linear model close."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, r2_score

import mlprun.api as mlprun
from mlprun import evaluation
from mlprun.experiment import SPLITS, Experiment
from mlprun.parts.activations import Logistic, activations

if TYPE_CHECKING:
    from collections.abc import Iterator

module = import_module("mlprun.evaluation.baselines")  # the package gives that name to its function


def measured(dataset: Any, **sections: Any) -> tuple[Experiment, dict[str, Any]]:
    config = mlprun.load_config({"dataset": dataset, "training": {"dtype": "float64"}, **sections})
    experiment = Experiment.of(config)
    rows = evaluation.split_rows(experiment, SPLITS, epoch=0)
    return experiment, module.baselines(experiment, rows)


def splits(experiment: Experiment) -> Iterator[tuple[str, Any]]:
    for split in SPLITS:
        yield split, experiment.rows(split, epoch=0)


CLASSES = [
    ("breast_cancer", "bce"),
    ("iris", "cross_entropy"),
    ("wine", "cross_entropy"),
    ("digits", "nll"),
    ({"name": "moons", "noise": 0.3, "seed": 3}, "bce"),
]


@pytest.mark.parametrize(("dataset", "loss"), CLASSES)
def test_the_majority_is_scikit_learns(dataset: Any, loss: str) -> None:
    experiment, found = measured(dataset, loss=loss)
    train = experiment.fixed["train"]
    dummy = DummyClassifier(strategy="prior").fit(train.inputs, train.truth)
    for split, rows in splits(experiment):
        said = found["majority"][split]
        shares = np.bincount(train.truth)
        if (shares == shares.max()).sum() == 1:  # else which of the largest is said is anybody's choice
            assert said["accuracy"] == accuracy_score(rows.truth, dummy.predict(rows.inputs))
        expected = log_loss(rows.truth, dummy.predict_proba(rows.inputs), labels=dummy.classes_)
        assert said["loss"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("dataset", "loss"), CLASSES)
def test_logistic_regression_is_near_scikit_learns(dataset: Any, loss: str) -> None:
    """Of the same penalty: ours is 1e-4 / 2 times the squares of standardised weights, per row."""
    experiment, found = measured(dataset, loss=loss)
    train = experiment.fixed["train"]
    center, spread = train.inputs.mean(axis=0), train.inputs.std(axis=0)
    spread = np.where(spread > 0, spread, 1)
    model = LogisticRegression(C=1 / (1e-4 * len(train)), max_iter=5000)
    model.fit((train.inputs - center) / spread, train.truth)
    for split, rows in splits(experiment):
        guess = model.predict_proba((rows.inputs - center) / spread)
        said = found["logistic regression"][split]
        accuracy = accuracy_score(rows.truth, guess.argmax(axis=1))
        assert said["accuracy"] == pytest.approx(accuracy, abs=max(0.02, 1.5 / len(rows)))
        if split == "train":
            assert said["loss"] == pytest.approx(log_loss(rows.truth, guess), abs=0.03)


@pytest.mark.parametrize(
    "dataset",
    [
        "diabetes",
        {"name": "regression", "features": 5, "noise": 3.0, "samples": 120},
        {"name": "regression", "features": 3, "targets": 2, "noise": 1.0, "samples": 90},
    ],
)
def test_linear_regression_and_the_mean_are_scikit_learns(dataset: Any) -> None:
    experiment, found = measured(dataset, metrics=["r2", "rmse"])
    train = experiment.fixed["train"]
    model = LinearRegression().fit(train.inputs, train.truth)
    for split, rows in splits(experiment):
        guess = model.predict(rows.inputs)
        said = found["linear regression"][split]
        assert said["r2"] == pytest.approx(r2_score(rows.truth, guess), abs=1e-9)
        errors = np.sqrt(np.mean((rows.truth - guess) ** 2, axis=0)).mean()
        assert said["rmse"] == pytest.approx(errors, rel=1e-9)
        mean = np.broadcast_to(train.truth.mean(axis=0), rows.truth.shape)
        assert found["mean"][split]["r2"] == pytest.approx(r2_score(rows.truth, mean), abs=1e-9)


def test_collinear_features_do_not_upset_linear_regression() -> None:
    rows = np.random.RandomState(0).randn(30, 2)
    inputs = np.column_stack([rows, rows.sum(axis=1), np.ones(30)])
    targets = rows @ [[2.0], [-1.0]] + 0.5
    _, found = measured({"name": "inline", "inputs": inputs, "targets": targets}, metrics=["r2"])
    assert found["linear regression"]["test"]["r2"] == pytest.approx(1.0, abs=1e-12)


def test_separable_classes_keep_finite_weights() -> None:
    dataset = {"name": "inline", "inputs": [[-2.0], [-1.0], [1.0], [2.0]], "targets": [0, 0, 1, 1]}
    _, found = measured(dataset)
    said = found["logistic regression"]["train"]
    assert said["accuracy"] == 1.0
    assert 0 < said["loss"] < 0.05


def test_symbols_are_one_hot_for_a_baseline() -> None:
    """The next symbol follows from the last one: a linear model of symbols is always right."""
    embedding = {"vocabulary": 5, "dim": 2}
    experiment, found = measured("sequences", architecture={"name": "rnn", "embedding": embedding})
    assert found["logistic regression"]["train"]["accuracy"] == 1.0
    assert found["majority"]["train"]["loss"] == pytest.approx(np.log(5))
    assert experiment.classes == ("0", "1", "2", "3", "4")


def test_classes_under_a_squared_error_have_a_linear_model_too() -> None:
    experiment, found = measured("iris", loss="mse")
    train = experiment.fixed["train"]
    model = LinearRegression().fit(train.inputs, np.eye(3)[train.truth])
    for split, rows in splits(experiment):
        guess = model.predict(rows.inputs)
        assert found["linear regression"][split]["loss"] == pytest.approx(
            np.mean((np.eye(3)[rows.truth] - guess) ** 2)
        )
        assert found["linear regression"][split]["accuracy"] == np.mean(guess.argmax(axis=1) == rows.truth)


def test_outputs_that_are_neither_have_no_baseline() -> None:
    _, found = measured("moons", loss="mse", architecture={"output_activation": "tanh"})
    assert found == {}


def wide(rows: int, columns: int) -> dict[str, Any]:
    inputs = np.random.RandomState(0).randn(rows, columns)
    return {"name": "inline", "inputs": inputs, "targets": inputs[:, :1]}


@pytest.mark.parametrize("columns", [module.WIDTH, module.WIDTH + 1])
def test_very_wide_rows_are_compared_with_a_constant_only(columns: int) -> None:
    _, found = measured(wide(20, columns))
    assert set(found) == {"mean"} | ({"linear regression"} if columns == module.WIDTH else set())


def test_a_fit_that_would_take_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    work = 20 * 7 * (7 + 1)
    for limit, names in ((work, {"mean", "linear regression"}), (work - 1, {"mean"})):
        monkeypatch.setattr(module, "WORK", limit)
        assert set(measured(wide(20, 7))[1]) == names


def test_a_large_vocabulary_is_never_one_hot(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "eye", refuse)
    inputs, targets = [[0, 19_999], [7, 8], [9, 8], [1, 2]], [0, 1, 0, 1]
    _, found = measured(
        {"name": "inline", "inputs": inputs, "targets": targets},
        architecture={"embedding": {"vocabulary": 20_000, "dim": 2}},
    )
    assert set(found) == {"majority"}
    assert found["majority"]["train"]["loss"] == pytest.approx(np.log(2))


def test_an_activation_says_itself_what_it_gives_and_which_regression_it_is() -> None:
    class Own(Logistic):
        """A logistic function of my own."""

        name: Literal["own"] = "own"  # type: ignore[assignment]

    activations.register(Own)
    _, found = measured(
        "breast_cancer", loss="mse", architecture={"output_activation": "own"}, metrics=["brier"]
    )
    assert set(found) == {"majority", "logistic regression"}
    assert found["logistic regression"]["train"]["brier"] < 0.05


def test_weighted_rows_are_copies_for_baselines() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 3))
    numbers = features @ [[1.0], [-2.0], [0.5]] + random.normal(size=(60, 1))
    labels, copies = np.eye(2)[(numbers[:, 0] > 0.3).astype(int)], random.integers(0, 4, 60)
    rows, once = np.repeat(np.arange(60), copies), np.ones(copies.sum())
    found = module._least_squares(features, numbers, copies.astype(float))
    expected = module._least_squares(features[rows], numbers[rows], once)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)
    reference = LinearRegression().fit(features, numbers, sample_weight=copies)
    np.testing.assert_allclose(found[0].T, reference.coef_, rtol=1e-8)
    model = LogisticRegression(C=1e6).fit(features, labels[:, 1], sample_weight=copies)
    slopes, bias = module._logistic(features, labels[:, 1:], copies.astype(float), independent=True)
    predicted = features @ slopes + bias > 0
    assert (predicted[:, 0] == model.predict(features)).mean() > 0.95
