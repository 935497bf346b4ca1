"""Whole configs against the torch engine in float64: every column of the history and every parameter."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from mlprun.engines.scratch.functions import ACTIVATIONS, LOSSES
from mlprun.engines.scratch.network import OPTIMIZERS
from mlprun.parts.activations import activations
from mlprun.parts.schedules import schedules

EPOCHS = 8
HIDDEN = [part.names()[0] for part in activations if part.elementwise and part.names()[0] in ACTIVATIONS]
RULES = [
    {"name": "sgd", "lr": 0.05},
    {"name": "sgd", "lr": 0.02, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
    {"name": "sgd", "lr": 0.02, "momentum": 0.8, "nesterov": True},
    {"name": "adam", "lr": 0.01},
    {"name": "adam", "lr": 0.01, "amsgrad": True, "weight_decay": 0.1, "betas": [0.8, 0.95]},
    {"name": "adam", "lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "eps": 1e-3},
    {"name": "adam", "lr": 0.01, "eps": 1e-3, "eps_hat": True},
    {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
]
REQUIRED: dict[str, dict[str, Any]] = {
    "step": {"step_size": 3},
    "multi_step": {"milestones": [2, 4]},
    "exponential": {"gamma": 0.9},
    "cosine_restarts": {"t_0": 2},
    "reduce_on_plateau": {"patience": 0, "factor": 0.5},
}


def config(lab: Any, targets: str, **sections: Any) -> dict[str, Any]:
    """Thirteen rows in batches of five, with targets that suit a loss, which is also the default one."""
    return {
        "dataset": lab.rows(13, 3, 3, targets),
        "architecture": {"name": "mlp", "hidden": [6], "activation": "tanh"},
        "loss": targets,
        "optimizer": {"name": "sgd", "lr": 0.02},
        "training": {"epochs": EPOCHS, "batch_size": 5},
        **sections,
    }


def test_every_rule_is_tried() -> None:
    assert {rule["name"] for rule in RULES} == set(OPTIMIZERS)


PAIRS = [
    (activation, loss, RULES[(a + b) % len(RULES)])
    for (a, activation), (b, loss) in itertools.product(enumerate(HIDDEN), enumerate(LOSSES))
]


@pytest.mark.parametrize("activation", HIDDEN)
def test_every_loss_learns_as_in_torch(lab: Any, activation: str) -> None:
    """Exponentials make Adam's early steps depend on every digit: there the bound is larger."""
    for _, loss, rule in (pair for pair in PAIRS if pair[0] == activation):
        layers = {"name": "mlp", "hidden": [6], "activation": activation}
        given = config(lab, loss, architecture=layers, optimizer=rule, penalty={"l2": 0.001, "l1": 0.001})
        given["training"] = {"epochs": EPOCHS}
        lab.assert_as_torch(given, bound=1e-11)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_rule_learns_as_in_torch(lab: Any, rule: dict[str, Any]) -> None:
    for loss in LOSSES:
        lab.assert_as_torch(config(lab, loss, optimizer=rule))


@pytest.mark.parametrize("name", [part.names()[0] for part in schedules])
def test_every_schedule_is_followed_as_in_torch(lab: Any, name: str) -> None:
    schedule = {"name": name, **REQUIRED.get(name, {})}
    lab.assert_as_torch(config(lab, "mse", schedule=schedule))


OTHERS: dict[str, dict[str, Any]] = {
    "no hidden layer": {"architecture": {"name": "mlp", "hidden": []}},
    "no biases": {"architecture": {"name": "mlp", "hidden": [5, 4], "bias": False}},
    "biases in one layer": {
        "architecture": {"name": "mlp", "layers": [{"units": 5, "bias": False}, {"units": 3}]}
    },
    "two activations summed": {
        "architecture": {"name": "mlp", "hidden": [8, 4], "activation": ["relu", "tanh"]}
    },
    "an output activation": {
        "architecture": {"name": "mlp", "hidden": [4], "output_activation": "logistic"},
    },
    "the softmax under a loss of numbers": {
        "architecture": {"name": "mlp", "hidden": [4], "output_activation": "softmax"},
    },
    "half the sum": {"loss": {"name": "mse", "reduction": "sum", "scale": 0.5}},
    "a full batch": {"training": {"epochs": EPOCHS}},
    "batches in order": {"training": {"epochs": EPOCHS, "batch_size": 4, "shuffle": False}},
    "single rows": {"training": {"epochs": EPOCHS, "batch_size": 1}},
    "clipped": {"training": {"epochs": EPOCHS, "batch_size": 5, "clip_norm": 0.3, "clip_value": 0.1}},
    "seldom": {"training": {"epochs": EPOCHS, "batch_size": 5, "evaluate_every": 3, "log_every": 7}},
    "figures": {"metrics": ["r2", "rmse", "mae", "huber", {"name": "smooth_l1", "beta": 0.2}]},
    "no figures": {"metrics": []},
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_options_mean_what_they_mean_in_torch(lab: Any, name: str) -> None:
    lab.assert_as_torch(config(lab, "mse", **OTHERS[name]))


def test_both_run_out_of_patience_at_the_same_epoch(lab: Any) -> None:
    given = config(lab, "mse", early_stopping={"patience": 4}, training={"epochs": 2000})
    given["dataset"] = {"name": "regression", "samples": 40, "features": 3, "noise": 30.0}
    given["optimizer"] = {"name": "sgd", "lr": 1e-3}
    assert lab.assert_as_torch(given, bound=1e-11).epoch < 2000


CLASSES = {
    "weights and smoothing": {
        "loss": {"name": "cross_entropy", "label_smoothing": 0.1, "class_weights": [0.5, 2, 1]},
        "metrics": ["accuracy", "f1", "nll", "kl_div"],
    },
    "fresh dev rows": {
        "dataset": {"name": "circles", "split": {"train": 45, "dev": {"fresh": 30}, "test": {"fresh": 10}}},
        "loss": "bce",
        "metrics": ["accuracy", "brier", {"name": "mse", "reduction": "mean"}],
    },
    "best by accuracy": {
        "dataset": {"name": "moons", "noise": 0.3, "split": {"train": 45, "dev": 20, "test": 15}},
        "loss": "bce",
        "best": {"metric": "dev_accuracy", "mode": "max"},
        "schedule": {"name": "reduce_on_plateau", "patience": 1, "factor": 0.5, "cooldown": 1},
        "optimizer": {"name": "sgd", "lr": 2.0},
    },
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_learnt_as_in_torch(lab: Any, name: str) -> None:
    lab.assert_as_torch(config(lab, "cross_entropy", **CLASSES[name]))


SYMBOLS = {"name": "inline", "inputs": [[1, 2, 0], [3, 3, 3], [0, 4, 1], [2, 1, 4]], "targets": [0, 1, 1, 2]}
TABLE = {"vocabulary": 5, "dim": 3, "activation": "tanh"}
SEQUENCES: dict[str, dict[str, Any]] = {
    "symbols side by side": {"name": "mlp", "hidden": [4], "embedding": TABLE},
    "a recurrent cell": {"name": "rnn", "hidden": 4, "embedding": TABLE, "activation": "logistic"},
    "a recurrent cell without biases": {"name": "rnn", "hidden": 4, "embedding": TABLE, "bias": False},
    "two activations": {
        "name": "rnn",
        "hidden": 3,
        "embedding": TABLE,
        "activation": ["tanh", "swish"],
    },
    "a recurrent cell on numbers": {"name": "rnn", "hidden": 4},
}


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_symbols_and_sequences_are_learnt_as_in_torch(lab: Any, name: str, rule: dict[str, Any]) -> None:
    given = config(lab, "cross_entropy", dataset=SYMBOLS, architecture=SEQUENCES[name], optimizer=rule)
    given["penalty"] = {"l2": 0.01, "l1": 0.001, "divide_by_rows": True}
    lab.assert_as_torch(given)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_state_goes_from_engine_to_engine(lab: Any, rule: dict[str, Any]) -> None:
    """Parameters and what optimizers remember go by the same names."""
    made = lab.make(config(lab, "mse", optimizer=rule))
    _, straight = lab.run("torch", made)
    for first, second in (("torch", "scratch"), ("scratch", "torch")):
        _, half = lab.run(first, made, until=EPOCHS // 2)
        _, whole = lab.run(second, made, half)
        for name, array in straight.model.items():
            np.testing.assert_allclose(whole.model[name], array, rtol=1e-12, atol=1e-12)
        assert sorted(whole.optimizer_state) == sorted(straight.optimizer_state)
