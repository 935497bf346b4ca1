"""Weights of rows in the loss and the metrics: weight 2 is two copies of a row, on every engine."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun import engines
from mlprun.errors import CheckpointError
from mlprun.experiment import history_columns
from mlprun.experiment.preprocessing import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.engines import Engine, State
    from mlprun.experiment import Experiment, SplitArrays

    Make = Callable[..., Any]

ENGINES = ["torch", "scratch", "fused"]
SPLIT = {"train": 40, "dev": 20, "test": 15}
TWO = {"name": "moons", "noise": 0.3, "split": SPLIT}
THREE = {"name": "blobs", "features": 3, "centers": 3, "split": SPLIT}
NUMBERS = {"name": "regression", "features": 3, "targets": 2, "noise": 9.0, "split": SPLIT}
CASES = {
    "bce": ("bce", TWO),
    "bce sum": ({"name": "bce", "reduction": "sum", "scale": 0.01}, TWO),
    "cross_entropy": ({"name": "cross_entropy", "label_smoothing": 0.1}, THREE),
    "cross_entropy classes": ({"name": "cross_entropy", "class_weights": [1.0, 2.0, 7.0]}, THREE),
    "kl_div": ("kl_div", THREE),
    "hinge": ("hinge", THREE),
    "focal": ({"name": "focal", "gamma": 1.5}, TWO),
    "mse": ("mse", NUMBERS),
    "huber": ({"name": "huber", "delta": 20.0}, NUMBERS),
    "quantile": ("quantile", {**NUMBERS, "targets": 1}),
}
CLASS_METRICS = ["accuracy", "f1", "balanced_accuracy", "recall"]
NUMBER_METRICS = ["mae", "rmse", "r2", "max_error"]
COPIES = np.random.default_rng(0).integers(0, 4, 75)


def weighted(rows: SplitArrays, copies: Any) -> SplitArrays:
    return dataclasses.replace(rows, weights=np.asarray(copies, np.float64))


def repeated(rows: SplitArrays, copies: Any) -> SplitArrays:
    return rows.take(np.repeat(np.arange(len(rows)), copies))


def with_copies(experiment: Experiment, change: Callable[..., SplitArrays]) -> Experiment:
    fixed, ends = {}, np.cumsum([0, 40, 20])
    for start, (name, rows) in zip(ends, experiment.fixed.items(), strict=True):
        fixed[name] = change(rows, COPIES[start : start + len(rows)])
    return dataclasses.replace(experiment, fixed=fixed)


@pytest.fixture
def make(experiment: Make) -> Make:
    def make(case: str, **sections: Any) -> Experiment:
        loss, dataset = CASES[case]
        metrics = NUMBER_METRICS if dataset["name"] == "regression" else CLASS_METRICS
        training = {"dtype": "float64", "epochs": 3, **sections.pop("training", {})}
        return experiment(
            dataset={**dataset, "standardize": False},
            loss=loss,
            metrics=metrics,
            training=training,
            architecture={"hidden": [4], "activation": "tanh"},
            **sections,
        )

    return make


def train(name: str, experiment: Experiment) -> tuple[np.ndarray, State, Engine]:
    engine = engines.named(name)
    cohort = engine.open([experiment], [engine.initial_state(experiment)], device="cpu")
    (result,) = engine.advance(cohort, [experiment.config.training.epochs], lambda: False)
    history = np.array([[np.nan if one is None else one for one in row] for row in result.rows])
    return history, engine.states(cohort, [0])[0], engine


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ENGINES)
def test_weight_two_is_two_copies(engine: str, case: str, make: Make) -> None:
    made = make(case)
    with_weights, with_rows = (with_copies(made, change) for change in (weighted, repeated))
    assert engines.named(engine).unsupported_reason(with_weights) is None
    # dev and test have rows of weight 0 as well; sums of losses are those of all copies in both
    found, state, used = train(engine, with_weights)
    expected, other, _ = train(engine, with_rows)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    for name, array in other.model.items():
        np.testing.assert_allclose(state.model[name], array, rtol=1e-10, atol=1e-12)
    for split, rows in with_weights.fixed.items():
        values = used.evaluate(with_weights, other.model, {split: rows}, device="cpu")[split]
        copied = used.evaluate(made, other.model, {split: with_rows.fixed[split]}, device="cpu")[split]
        assert values == pytest.approx(copied, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_engines_agree_on_batches_of_weighted_rows(case: str, make: Make) -> None:
    """The second of five batches has weights of 0 alone: its loss is 0, and penalties go on."""
    made = make(
        case,
        training={"batch_size": 8, "shuffle": False, "epochs": 4},
        penalty={"l2": 0.1, "divide_by_rows": True},
    )
    weights = np.random.default_rng(1).exponential(size=40)
    weights[8:16] = 0
    made = dataclasses.replace(made, fixed={**made.fixed, "train": weighted(made.fixed["train"], weights)})
    histories = {name: train(name, made) for name in ENGINES}
    expected, state, _ = histories["torch"]
    assert np.isfinite(expected).all()
    for name in ("scratch", "fused"):
        found, model = histories[name][0], histories[name][1].model
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=name)
        for parameter, array in state.model.items():
            np.testing.assert_allclose(model[parameter], array, rtol=1e-8, atol=1e-11)
    first = expected[0, history_columns(made.config).index("train_loss")]
    assert first > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_of_weight_zero_moves_nothing(engine: str, make: Make) -> None:
    made = make("bce", training={"batch_size": 20, "shuffle": False, "epochs": 1})
    full = make("bce", training={"batch_size": 20, "shuffle": False, "epochs": 1})
    weights = np.repeat([1.0, 0.0], 20)
    made = dataclasses.replace(made, fixed={**made.fixed, "train": weighted(made.fixed["train"], weights)})
    half = full.fixed["train"].take(slice(0, 20))
    full = dataclasses.replace(full, fixed={**full.fixed, "train": half})
    found, state, _ = train(engine, made)
    expected, other, _ = train(engine, full)
    loss = history_columns(made.config).index("train_loss")
    assert found[0, loss] == pytest.approx(expected[0, loss], rel=1e-12)
    for name, array in other.model.items():
        np.testing.assert_allclose(state.model[name], array, rtol=1e-12)


def test_losses_that_are_metrics_are_weighted(experiment: Make) -> None:
    made = experiment(
        dataset={**TWO},
        metrics=[{"name": "mse", "reduction": "mean"}, "log_loss"],
        training={"dtype": "float64"},
    )
    for engine in ENGINES:
        weights, copied = with_copies(made, weighted), with_copies(made, repeated).fixed["dev"]
        model = made.initial()
        used = engines.named(engine)
        values = used.evaluate(weights, model, {"dev": weights.fixed["dev"]}, device="cpu")["dev"]
        expected = used.evaluate(made, model, {"dev": copied}, device="cpu")["dev"]
        assert values == pytest.approx(expected, rel=1e-12)
        plain = used.evaluate(made, model, {"dev": made.fixed["dev"]}, device="cpu")["dev"]
        assert values != pytest.approx(plain, rel=1e-3)


WEIGHTED_CLASSES = {
    "bce": (TWO, [1.0, 4.0]),
    "hinge": (THREE, [0.5, 2.0, 7.0]),
    "kl_div": (THREE, [0.5, 2.0, 7.0]),
    "mse": (TWO, [1.0, 4.0]),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("loss", WEIGHTED_CLASSES)
def test_class_weights_multiply_those_of_rows_and_leave_metrics_alone(
    engine: str, loss: str, experiment: Make
) -> None:
    dataset, weights = WEIGHTED_CLASSES[loss]

    def make(**options: Any) -> Experiment:
        training = {"dtype": "float64", "epochs": 3, "batch_size": 16}
        return with_copies(
            experiment(dataset=dataset, loss={"name": loss, **options}, metrics=["f1"], training=training),
            weighted,
        )

    by_class, plain = make(class_weights=weights), make()
    fixed = {
        name: dataclasses.replace(rows, weights=rows.weights * np.array(weights)[rows.truth])
        for name, rows in plain.fixed.items()
    }
    by_row = dataclasses.replace(plain, fixed=fixed)
    found, state, used = train(engine, by_class)
    expected, other, _ = train(engine, by_row)
    columns = [k for k, name in enumerate(history_columns(plain.config)) if not name.endswith("f1")]
    np.testing.assert_allclose(found[:, columns], expected[:, columns], rtol=1e-10)
    for name, array in other.model.items():
        np.testing.assert_allclose(state.model[name], array, rtol=1e-9, atol=1e-12)
    rows = {"dev": by_class.fixed["dev"]}
    values = used.evaluate(by_class, state.model, rows, device="cpu")["dev"]
    unweighted = used.evaluate(plain, state.model, rows, device="cpu")["dev"]
    assert values["f1"] == unweighted["f1"]
    assert values["loss"] != pytest.approx(unweighted["loss"], rel=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_predictions_need_no_weights(engine: str, experiment: Make) -> None:
    made = experiment(loss={"name": "bce", "class_weights": "balanced"}, training={"dtype": "float64"})
    used, inputs = engines.named(engine), made.fixed["dev"].inputs
    alone = type(made).without_data(made.config, made.preprocessing)
    plain = experiment(training={"dtype": "float64"})
    outputs = used.outputs(alone, made.initial(), inputs, device="cpu")
    np.testing.assert_array_equal(outputs, used.outputs(plain, made.initial(), inputs, device="cpu"))


def test_balanced_is_of_train_rows_and_what_a_checkpoint_has_is_kept(experiment: Make) -> None:
    made = experiment(loss={"name": "bce", "class_weights": "balanced"}, dataset={"samples": 80})
    counts = np.bincount(made.fixed["train"].truth)
    expected = tuple(len(made.fixed["train"]) / (2 * counts))
    assert made.computed.loss.class_weights == pytest.approx(expected)
    stored = Preprocessing.from_json(made.preprocessing.to_json())
    assert stored == made.preprocessing
    other = stored.model_copy(update={"class_weights": (1.0, 9.0)})
    again = type(made).of(made.config, preprocessing=other)
    assert again.computed.loss.class_weights == (1, 9)
    assert "class_weights" not in experiment().preprocessing.to_json()
    with pytest.raises(CheckpointError):
        Preprocessing.from_json(other.to_json() | {"class_weights": [1.0]})
