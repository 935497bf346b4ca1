"""What the tests of verification share: small experiments, and a network written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun import api

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlprun.schema import Config

ROWS = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.5, 2], [2, 0.3]])
"""six rows and two outputs, so that N·K/2 = 6, N·K = 12, N = 6, K = 2 are not all the same"""
TARGETS = np.array([[0, 1], [1, 0.5], [1, 0], [0, 0.2], [0.7, 0.3], [0.1, 0.9]])


@pytest.fixture
def start() -> dict[str, np.ndarray]:
    """Weights and biases of a 2-5-2 network, by name, as [outputs, inputs]."""
    generator = np.random.RandomState(1)
    return {
        "layers.0.weight": generator.randn(5, 2),
        "layers.0.bias": generator.randn(5),
        "layers.1.weight": generator.randn(2, 5),
        "layers.1.bias": generator.randn(2),
    }


@pytest.fixture
def mapping(start: dict[str, np.ndarray]) -> Callable[..., dict[str, Any]]:
    """A config of a logistic network under mean squared error; without `bias` it begins without biases."""

    def make(*, bias: bool = True, **sections: Any) -> dict[str, Any]:
        given = {name: array.tolist() for name, array in start.items() if bias or "bias" not in name}
        config = {
            "name": "hand",
            "dataset": {"name": "inline", "inputs": ROWS.tolist(), "targets": TARGETS.tolist()},
            "architecture": {
                "hidden": [5],
                "activation": "logistic",
                "output_activation": "logistic",
                "bias": bias,
                "init": {"name": "values", "parameters": given},
            },
            "loss": "mse",
            "optimizer": {"name": "sgd", "lr": 0.6},
            "training": {"epochs": 300, "dtype": "float64"},
        }
        return {**config, **sections}

    return make


@pytest.fixture
def config(mapping: Callable[..., dict[str, Any]]) -> Callable[..., Config]:
    return lambda **sections: api.load_config(mapping(**sections))


@pytest.fixture
def by_hand(start: dict[str, np.ndarray]) -> Callable[..., list[float]]:
    """Mean squared errors before each update of the same network, written without autograd.

    `delta` is what the derivative of the squared error is multiplied with: 2 / (N·K) is right.
    """

    def train(*, lr: float = 0.6, delta: float = 2 / 12, bias: bool = True, epochs: int = 100) -> list[float]:
        first, second = start["layers.0.weight"].T.copy(), start["layers.1.weight"].T.copy()
        one, two = start["layers.0.bias"] * bias, start["layers.1.bias"] * bias
        losses = []
        for _ in range(epochs):
            hidden = 1 / (1 + np.exp(-ROWS @ first - one))
            output = 1 / (1 + np.exp(-hidden @ second - two))
            losses.append(float(np.mean((TARGETS - output) ** 2)))
            slope = delta * (TARGETS - output) * output * (1 - output)
            below = slope @ second.T * hidden * (1 - hidden)
            second, first = second + lr * hidden.T @ slope, first + lr * ROWS.T @ below
            one, two = one + bias * lr * below.sum(axis=0), two + bias * lr * slope.sum(axis=0)
        return losses

    return train


@pytest.fixture
def curve(tmp_path: Path) -> Callable[..., str]:
    """Writes losses to a CSV as a script would."""

    def write(losses: Any, *, form: str = "r", column: str = "loss") -> str:
        path = tmp_path / "losses.csv"
        lines = [repr(float(loss)) if form == "r" else format(loss, form) for loss in losses]
        path.write_text("\n".join([column, *lines]) + "\n")
        return str(path)

    return write
