"""Noisy parity without biases: the losses of 14,000 steps, on rows and weights drawn by NumPy.

parity.json was computed in float64 by a plain script: weights and rows from one np.random.RandomState(0),
mean log loss + 1e-4 times the sum of squared weights, gradient descent at lr 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlprun.api as mlprun
from mlprun.engines.contract import never
from mlprun.engines.fused import FusedEngine
from mlprun.experiment import Experiment, SplitArrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.api import Run

    Train = Callable[..., Run]
    Mapping = dict[str, Any]

ROWS, BITS, HIDDEN, STEPS = 1024, 3, 4, 14_000
CASES = [
    ("fused", "float64", STEPS, 1e-10),
    ("fused", "float32", STEPS, 5e-6),
    *[
        pytest.param(engine, dtype, steps, tolerance, marks=marks)
        for engine, dtype, tolerance in (
            ("torch", "float64", 1e-10),
            ("scratch", "float64", 1e-10),
            ("torch", "float32", 5e-6),
        )
        for steps, marks in ((2001, ()), (STEPS, pytest.mark.slow))  # these engines take some ten seconds
    ],
]


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, ...]:
    """Weights [D, H] and [H, 1], rows [N, D], and their parity [N]."""
    state = np.random.RandomState(0)
    weights, readout = state.randn(BITS, HIDDEN) / 8, state.randn(HIDDEN, 1) / 4
    bits = state.rand(ROWS, BITS) > 0.5
    return weights, readout, bits + state.randn(ROWS, BITS) / 10, bits.sum(axis=1) % 2


def on_given_rows(config: Mapping, drawn: tuple[np.ndarray, ...]) -> Mapping:
    weights, readout, rows, odd = drawn
    config["dataset"] = {"name": "inline", "inputs": rows, "targets": odd.astype(int)}
    start = {"layers.0.weight": weights.T, "layers.1.weight": readout.T}
    config["architecture"]["init"] = {"name": "values", "parameters": start}
    del config["architecture"]["output"]["init"]
    return config


def test_the_recipe_gives_the_recorded_rows_and_weights(
    drawn: tuple[np.ndarray, ...], figures: Mapping
) -> None:
    weights, readout, rows, odd = drawn
    np.testing.assert_allclose(weights, figures["weights"], rtol=1e-15)
    np.testing.assert_allclose(readout[:, 0], figures["readout"], rtol=1e-15)
    np.testing.assert_allclose(rows[[0, -1]], [figures["first_row"], figures["last_row"]], rtol=1e-15)
    assert odd.sum() == figures["odd_rows"]


@pytest.mark.parametrize(("engine", "dtype", "steps", "tolerance"), CASES)
def test_every_step_gives_the_recorded_loss(
    engine: str,
    dtype: str,
    steps: int,
    tolerance: float,
    drawn: Any,
    figures: Mapping,
    shipped: Callable[..., Mapping],
    train: Train,
) -> None:
    config = on_given_rows(shipped("parity"), drawn) | {"engine": engine}
    config["training"] |= {"epochs": steps, "dtype": dtype, "evaluate_every": steps}
    history = train(config).history
    for step, loss in figures["train_loss"].items():
        if int(step) < steps:
            assert history["train_loss"][int(step)] == pytest.approx(loss, abs=tolerance)
    if steps == STEPS:
        assert history["train_accuracy"][-1] == figures["train_accuracy"]


def test_the_first_steps_are_those_of_an_equal_weight_decay(
    drawn: Any, shipped: Callable[..., Mapping], train: Train
) -> None:
    """Without biases, l2 of 1e-4 times the sum of squares is SGD's weight_decay of 2e-4."""
    config = on_given_rows(shipped("parity"), drawn)
    config["training"] |= {"epochs": 200, "dtype": "float64", "evaluate_every": 200}
    decayed = config | {
        "penalty": {"l2": 0.0},
        "optimizer": {"name": "sgd", "lr": 1.0, "weight_decay": 2e-4},
    }
    runs = train(config), train(decayed)
    for name, tensor in runs[0].last.network.state_dict().items():
        np.testing.assert_allclose(tensor, runs[1].last.network.state_dict()[name], rtol=1e-12)


def test_an_l1_penalty_moves_weights_by_its_sign(
    drawn: Any, shipped: Callable[..., Mapping], train: Train
) -> None:
    config = on_given_rows(shipped("parity"), drawn)
    config["training"] |= {"epochs": 1, "dtype": "float64"}
    plain, penalised = (
        train(config | {"penalty": {"l1": l1}, "optimizer": {"name": "sgd", "lr": 0.5}}) for l1 in (0.0, 3e-3)
    )
    weights = drawn[0].T
    moved = plain.last.network.layers[0].weight - penalised.last.network.layers[0].weight
    np.testing.assert_allclose(moved.detach(), 0.5 * 3e-3 * np.sign(weights), rtol=1e-9)


def test_fresh_rows_are_others_at_every_evaluation(train: Train) -> None:
    """At lr 0 nothing would change on the same rows; here it is as good as 0."""
    history = train("parity_fresh", "optimizer.lr=1e-30", "training.epochs=4", "training.evaluate_every=1")
    dev = history.history["dev_loss"]
    assert len(set(dev)) == len(dev)
    assert history.best.evaluate(["dev"])["dev"]["loss"] == min(dev)


@pytest.mark.slow
def test_most_starts_converge_to_the_published_test_loss(train: Train) -> None:
    """Over 40 seeds of the published script 39 converge, to a median test loss of 0.031."""
    losses = []
    for seed in range(12):
        quick = "training.evaluate_every=14000", "training.log_every=14000"
        run = train("parity", f"training.seed={seed}", "dataset.split.train=512", *quick)
        losses.append(run.metrics["last"]["splits"]["test"]["loss"])
    converged = [loss for loss in losses if loss < 0.1]
    assert len(converged) >= 10
    assert 0.022 < np.median(converged) < 0.057


@pytest.mark.slow
def test_forty_starts_of_1400000_steps_end_as_the_published_ones(shipped: Callable[..., Mapping]) -> None:
    """Of 40 published runs 39 converged: test losses of 0.022 to 0.057 (5 to 95 %), 0.031 in the middle.

    Few rows are logged, which changes no byte of the weights. Of 40 runs the ends of that range are known to
    some 20 %.
    """
    engine, epochs = FusedEngine(), 1_400_000
    config = mlprun.load_config(shipped("parity_1400000_steps"))

    def experiment(seed: int) -> Experiment:
        training = {"seed": seed, "evaluate_every": epochs, "log_every": epochs}
        changed = {
            "training": config.training.model_copy(update=training),
            "dataset": config.dataset.model_copy(update={"seed": seed}),
        }
        return Experiment.of(config.model_copy(update=changed))

    experiments = [experiment(seed) for seed in range(40)]
    cohort = engine.open(experiments, [engine.initial_state(one) for one in experiments], device="cpu")
    engine.advance(cohort, [epochs] * len(experiments), never)
    losses = [
        log_loss(one.rows("test", epoch=epochs), state.model)
        for one, state in zip(experiments, engine.states(cohort, range(len(experiments))), strict=True)
    ]
    assert sum(loss < 0.1 for loss in losses) >= 38
    low, middle, high = np.percentile(losses, [5, 50, 95])
    assert low == pytest.approx(0.022, rel=0.2)
    assert middle == pytest.approx(0.031, rel=0.1)
    assert high == pytest.approx(0.057, rel=0.2)


def log_loss(rows: SplitArrays, model: Any) -> float:
    """The mean log loss of the network's two layers, by hand."""
    hidden = 1 / (1 + np.exp(-rows.inputs.astype(float) @ model["layers.0.weight"].T))
    z = hidden @ model["layers.1.weight"].T
    return float(np.mean(np.logaddexp(0, z) - rows.targets * z))
