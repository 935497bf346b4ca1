"""XOR by hand and in PyTorch, side by side: the curve of 5000 epochs and the weights they start from.

xor.json was computed in float64 from torch.manual_seed(0) and PyTorch's own initialisation of two layers
without biases; mean squared error, gradient descent at lr 0.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.api import Run

    Train = Callable[..., Run]
    Mapping = dict[str, Any]

ROWS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
TARGETS = np.array([[0], [1], [1], [0]], np.float64)
EVERY = pytest.mark.parametrize("engine", ["torch", "fused", "scratch"])
ROUNDING = 1e-6 if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else 0.0
"""between initial weights of torch's default kernels and the recorded ones, which are of AVX2 and AVX-512"""
EPOCHS = 5000
CASES = [
    ("fused", "float64", EPOCHS, 1e-11),
    ("fused", "float32", EPOCHS, 2e-6),
    *[
        pytest.param(engine, dtype, epochs, tolerance, marks=marks)
        for engine, dtype, tolerance in (
            ("torch", "float64", 1e-11),
            ("scratch", "float64", 1e-11),
            ("torch", "float32", 2e-6),
        )
        for epochs, marks in ((1001, ()), (EPOCHS, pytest.mark.slow))
    ],
]


def by_hand(
    first: np.ndarray, second: np.ndarray, rows: np.ndarray, targets: np.ndarray, *, lr: float, epochs: int
) -> list[float]:
    """Mean squared errors of a hand-written network whose delta drops the mean's factor 2 / (N K)."""
    first, second, losses = first.copy(), second.copy(), []
    for _ in range(epochs):
        hidden = 1 / (1 + np.exp(-rows @ first))
        output = 1 / (1 + np.exp(-hidden @ second))
        losses.append(float(np.mean((targets - output) ** 2)))
        delta = (targets - output) * output * (1 - output)
        hidden_delta = delta @ second.T * hidden * (1 - hidden)
        second += lr * hidden.T @ delta
        first += lr * rows.T @ hidden_delta
    return losses


def test_the_seed_alone_gives_the_recorded_start(figures: Mapping, train: Train) -> None:
    start = train("xor_no_bias", "training.epochs=0").last.network.state_dict()
    np.testing.assert_allclose(start["layers.0.weight"].T, figures["first"], rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(start["layers.1.weight"].T, figures["second"], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize(("engine", "dtype", "epochs", "tolerance"), CASES)
def test_the_shipped_config_gives_the_recorded_curve(
    engine: str, dtype: str, epochs: int, tolerance: float, figures: Mapping, train: Train
) -> None:
    length = f"training.epochs={epochs}", f"training.evaluate_every={epochs}"
    run = train("xor_no_bias", f"engine={engine}", f"training.dtype={dtype}", *length, "metrics=[]")
    for epoch, loss in figures["loss"].items():
        if int(epoch) >= epochs:
            continue
        assert run.history["train_loss"][int(epoch)] == pytest.approx(loss, abs=tolerance + ROUNDING)
    outputs = run.last.outputs(ROWS.astype(dtype))
    if dtype == "float64" and epochs == EPOCHS:
        np.testing.assert_allclose(outputs[:, 0], figures["outputs"], rtol=0, atol=tolerance + ROUNDING)


@EVERY
def test_the_hand_written_network_with_half_the_rate_is_the_same_curve(
    engine: str, figures: Mapping, train: Train
) -> None:
    """N K / 2 is 2 for these four rows and one output."""
    run = train("xor_no_bias", f"engine={engine}", "training.epochs=500", "metrics=[]")
    curve = run.history["train_loss"]
    hand = by_hand(np.array(figures["first"]), np.array(figures["second"]), ROWS, TARGETS, lr=0.3, epochs=500)
    np.testing.assert_allclose(curve, hand, rtol=0, atol=1e-14 + ROUNDING)


@EVERY
@pytest.mark.parametrize(("count", "outputs"), [(6, 2), (1, 3), (8, 4)])
def test_the_factor_between_the_rates_is_rows_times_outputs_over_two(
    count: int, outputs: int, engine: str, train: Train
) -> None:
    """Six rows and two outputs: the hand-written rate is 6 times smaller, not 2."""
    generator = np.random.RandomState(1)
    rows, targets = generator.rand(count, 2), generator.rand(count, outputs)
    first, second = generator.randn(2, 5), generator.randn(5, outputs)
    start = {"layers.0.weight": first.T, "layers.1.weight": second.T}
    config = {
        "dataset": {"name": "inline", "inputs": rows, "targets": targets},
        "architecture": {
            "hidden": [5],
            "activation": "logistic",
            "output_activation": "logistic",
            "bias": False,
            "init": {"name": "values", "parameters": start},
        },
        "loss": "mse",
        "optimizer": {"name": "sgd", "lr": 0.1 * count * outputs / 2},
        "training": {"epochs": 100, "dtype": "float64"},
        "metrics": [],
        "engine": engine,
    }
    curve = train(config).history["train_loss"]
    hand = by_hand(first, second, rows, targets, lr=0.1, epochs=100)
    np.testing.assert_allclose(curve, hand, rtol=0, atol=1e-14)


def test_two_losses_of_one_run_are_of_the_same_outputs(train: Train) -> None:
    run = train("xor_two_losses", "training.epochs=40")
    outputs = run.last.outputs(ROWS.astype(np.float32))[:, 0].astype(np.float64)
    truth = TARGETS[:, 0]
    last = run.metrics["last"]["splits"]["train"]
    assert last["loss"] == pytest.approx(np.mean((outputs - truth) ** 2), abs=1e-6)
    entropy = -np.mean(truth * np.log(outputs) + (1 - truth) * np.log(1 - outputs))
    assert last["bce"] == pytest.approx(entropy, abs=1e-6)
    np.testing.assert_array_equal(run.history["train_bce"][1:], run.history["dev_bce"][:-1])


@pytest.mark.parametrize(
    ("config", "low", "high"),
    [("xor_uniform_start", 0, 1), ("xor_truncated_normal_start", -1 / np.sqrt(2), 1 / np.sqrt(2))],
)
def test_other_programs_starts_lie_within_their_bounds(
    config: str, low: float, high: float, train: Train
) -> None:
    start = train(config, "training.epochs=0").last.network.state_dict()["layers.0.weight"].numpy()
    assert low <= start.min() < start.max() <= high
    assert np.ptp(start) > 0.3 * (high - low)
