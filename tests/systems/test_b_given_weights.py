"""More tables in the manner of system B: weights from a file, every line of the history against NumPy.

The scripts go back by hand. Rows stand in the config or in a table; targets are numbers or class ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import mlprun.api as mlprun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Arrays = dict[str, np.ndarray]

EVERY = pytest.mark.parametrize("engine", ["torch", "fused", "scratch"])
OF_SYMBOLS = pytest.mark.parametrize("engine", ["torch", "scratch"])
EPOCHS = 25


def logistic(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def drawn(seed: int, **shapes: tuple[int, ...]) -> Arrays:
    """Weights by parameter name, with a point for every double underscore."""
    rng = np.random.default_rng(seed)
    return {name.replace("__", "."): rng.normal(size=shape) / 2 for name, shape in shapes.items()}


@pytest.fixture
def losses_of(tmp_path: Path) -> Callable[..., Any]:
    """Trains a config from weights in a file; the history, and the weights at the end."""

    def run(config: dict[str, Any], start: Arrays, engine: str) -> tuple[Any, Any]:
        save_file(start, tmp_path / "start.safetensors")
        config["architecture"]["init"] = {"name": "file", "path": str(tmp_path / "start.safetensors")}
        training = {"epochs": EPOCHS, "dtype": "float64", "shuffle": False}
        run = mlprun.train({**config, "training": training, "engine": engine}, out=str(tmp_path / "runs"))
        return run.history, {name: value.numpy() for name, value in run.last.network.state_dict().items()}

    return run


def compare(expected: list[float], found: Any, start: Arrays, end: Arrays) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert expected[-1] < expected[0]
    for name, array in start.items():
        np.testing.assert_allclose(end[name], array, rtol=1e-11, atol=1e-13, err_msg=name)


@OF_SYMBOLS
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_an_embedding_with_squared_error(scale: float, engine: str, losses_of: Callable[..., Any]) -> None:
    """Symbols that stand in several rows get the sum of their rows' gradients."""
    symbols, targets, lr = np.array([1, 2, 1, 2, 4]), np.array([[0.0], [1], [0], [1], [0.5]]), 0.1
    start = drawn(1, embedding__weight=(5, 3), layers__0__weight=(1, 3), layers__0__bias=(1,))
    config = {
        "dataset": {"name": "inline", "inputs": symbols, "targets": targets},
        "architecture": {"hidden": [], "embedding": {"vocabulary": 5, "dim": 3, "activation": "tanh"}},
        "loss": {"name": "mse", "reduction": "sum", "scale": scale},
        "optimizer": {"name": "sgd", "lr": lr},
    }
    config["architecture"]["output_activation"] = "logistic"
    history, end = losses_of(config, start, engine)
    table, w, b = (start[name] for name in start)
    losses = []
    for _ in range(EPOCHS):
        hidden = np.tanh(table[symbols])
        output = logistic(hidden @ w.T + b)
        losses.append(((output - targets) ** 2).sum())
        delta = scale * 2 * (output - targets) * output * (1 - output)
        below = delta @ w * (1 - hidden**2)
        w -= lr * delta.T @ hidden
        b -= lr * delta.sum(axis=0)
        for row, symbol in enumerate(symbols):
            table[symbol] -= lr * below[row]
    compare(losses, 5 * history["train_loss"], start, end)
    np.testing.assert_allclose(history["train_objective"], scale * np.array(losses), rtol=1e-12)


@OF_SYMBOLS
@pytest.mark.parametrize("outputs", [3, 4])
def test_an_embedding_with_cross_entropy(outputs: int, engine: str, losses_of: Callable[..., Any]) -> None:
    """The sum is differentiated and the mean is shown; there may be more outputs than classes with rows."""
    symbols, ids, lr = np.array([[1, 0], [2, 2], [0, 1], [2, 0]]), np.array([0, 1, 2, 1]), 0.2
    start = drawn(2, embedding__weight=(3, 2), layers__0__weight=(outputs, 4), layers__0__bias=(outputs,))
    config = {
        "dataset": {"name": "inline", "inputs": symbols, "targets": ids},
        "architecture": {"hidden": [], "embedding": {"vocabulary": 3, "dim": 2}, "outputs": outputs},
        "loss": {"name": "cross_entropy", "reduction": "sum"},
        "optimizer": {"name": "sgd", "lr": lr},
    }
    history, end = losses_of(config, start, engine)
    table, w, b = (start[name] for name in start)
    losses = []
    for _ in range(EPOCHS):
        rows = table[symbols].reshape(4, 4)
        e = np.exp(rows @ w.T + b)
        p = e / e.sum(axis=1, keepdims=True)
        losses.append(-np.log(p[np.arange(4), ids]).mean())
        delta = p - np.eye(outputs)[ids]
        below = (delta @ w).reshape(4, 2, 2)
        w -= lr * delta.T @ rows
        b -= lr * delta.sum(axis=0)
        for place in np.ndindex(4, 2):
            table[symbols[place]] -= lr * below[place]
    compare(losses, history["train_loss"], start, end)


@OF_SYMBOLS
@pytest.mark.parametrize("activation", ["tanh", "logistic"])
@pytest.mark.parametrize("from_table", [False, True])
def test_a_recurrent_cell(
    activation: str, from_table: bool, engine: str, losses_of: Callable[..., Any], tmp_path: Path
) -> None:
    """Back through time by hand: the state's gradient goes through every step."""
    symbols, lr = (np.arange(5)[:, None] + np.arange(4)) % 5, 0.05
    ids = (np.arange(5) + 4) % 5
    start = drawn(
        3,
        embedding__weight=(5, 3), cell__input__weight=(4, 3), cell__input__bias=(4,),
        cell__hidden__weight=(4, 4), cell__hidden__bias=(4,), cell__output__weight=(5, 4),
        cell__output__bias=(5,),
    )  # fmt: skip
    dataset: dict[str, Any] = {"name": "inline", "inputs": symbols, "targets": ids}
    if from_table:
        lines = [
            "a,b,c,d,next",
            *(",".join(map(str, [*row, k])) for row, k in zip(symbols, ids, strict=True)),
        ]
        (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
        dataset = {"name": "table", "path": str(tmp_path / "rows.csv"), "target": "next"}
        dataset |= {"standardize": False, "split": "same"}
    config = {
        "dataset": dataset,
        "architecture": {"name": "rnn", "hidden": 4, "embedding": {"vocabulary": 5, "dim": 3}},
        "loss": {"name": "cross_entropy", "reduction": "sum"},
        "optimizer": {"name": "sgd", "lr": lr},
    }
    config["architecture"]["activation"] = activation
    history, end = losses_of(config, start, engine)
    table, wi, bi, wh, bh, wo, bo = (start[name] for name in start)
    squash, slope = (
        (np.tanh, lambda y: 1 - y * y) if activation == "tanh" else (logistic, lambda y: y * (1 - y))
    )
    losses = []
    for _ in range(EPOCHS):
        states, read = [np.zeros((5, 4))], [table[column] for column in symbols.T]
        for values in read:
            states.append(squash(values @ wi.T + bi + states[-1] @ wh.T + bh))
        e = np.exp(states[-1] @ wo.T + bo)
        p = e / e.sum(axis=1, keepdims=True)
        losses.append(-np.log(p[np.arange(5), ids]).mean())
        delta = p - np.eye(5)[ids]
        upon, gradients = delta @ wo, [np.zeros_like(array) for array in (table, wi, bi, wh, bh)]
        for step in (3, 2, 1, 0):
            inner = upon * slope(states[step + 1])
            np.add.at(gradients[0], symbols[:, step], inner @ wi)
            for total, part in zip(
                gradients[1:],
                (inner.T @ read[step], inner.sum(axis=0), inner.T @ states[step], inner.sum(axis=0)),
                strict=True,
            ):
                total += part
            upon = inner @ wh
        wo -= lr * delta.T @ states[-1]
        bo -= lr * delta.sum(axis=0)
        for array, gradient in zip((table, wi, bi, wh, bh), gradients, strict=True):
            array -= lr * gradient
    compare(losses, history["train_loss"], start, end)


@EVERY
@pytest.mark.parametrize("from_table", [False, True])
def test_two_layers_on_several_numbers(
    from_table: bool, engine: str, losses_of: Callable[..., Any], tmp_path: Path
) -> None:
    """The mean divides by N K = 14."""
    rng, lr = np.random.default_rng(4), 0.5
    rows, targets = rng.normal(size=(7, 3)).round(6), rng.normal(size=(7, 2)).round(6)
    start = drawn(
        5, layers__0__weight=(4, 3), layers__0__bias=(4,), layers__1__weight=(2, 4), layers__1__bias=(2,)
    )
    dataset: dict[str, Any] = {"name": "inline", "inputs": rows, "targets": targets}
    if from_table:
        lines = ["a,b,c,u,v", *(",".join(map(str, [*row, *t])) for row, t in zip(rows, targets, strict=True))]
        (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
        dataset = {"name": "table", "path": str(tmp_path / "rows.csv"), "target": ["u", "v"]}
        dataset |= {"standardize": False, "split": "same"}
    config = {
        "dataset": dataset,
        "architecture": {"hidden": [4], "activation": "tanh"},
        "loss": "mse",
        "optimizer": {"name": "sgd", "lr": lr},
    }
    history, end = losses_of(config, start, engine)
    w, b, v, c = (start[name] for name in start)
    losses = []
    for _ in range(EPOCHS):
        hidden = np.tanh(rows @ w.T + b)
        errors = hidden @ v.T + c - targets
        losses.append((errors**2).mean())
        delta = 2 * errors / 14
        below = delta @ v * (1 - hidden**2)
        v -= lr * delta.T @ hidden
        c -= lr * delta.sum(axis=0)
        w -= lr * below.T @ rows
        b -= lr * below.sum(axis=0)
    compare(losses, history["train_loss"], start, end)
