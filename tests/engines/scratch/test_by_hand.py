"""Operators that go back by hand, against autodiff, central differences and torch, and a figure of C."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mlprun.engines.scratch.functions import ACTIVATIONS
from mlprun.engines.scratch.tensor import Tensor
from tests.engines.scratch import by_hand
from tests.engines.scratch.by_hand import SLOPES, Activation, Linear, binary_cross_entropy, squared_error

RNG = np.random.default_rng(7)
ROWS, TARGETS = RNG.normal(size=(6, 3)), RNG.uniform(0.1, 0.9, size=(6, 2))
START = {"weight": RNG.normal(size=(4, 3)), "bias": RNG.normal(size=4)}
END = {"weight": RNG.normal(size=(2, 4)), "bias": RNG.normal(size=2)}
LOSSES = {
    "squared_error": (squared_error, torch.nn.functional.mse_loss),
    "binary_cross_entropy": (binary_cross_entropy, torch.nn.functional.binary_cross_entropy),
}


def operators(name: str, *, bias: bool = True) -> list[Any]:
    kinds = ("weight", "bias") if bias else ("weight",)
    first, last = ({kind: params[kind].copy() for kind in kinds} for params in (START, END))
    return [Linear(first), Activation(name), Linear(last), Activation("logistic")]


def forward(chain: list[Any], rows: np.ndarray) -> np.ndarray:
    for operator in chain:
        rows = operator.forward(rows)
    return rows


@pytest.mark.parametrize("name", SLOPES)
def test_an_operator_is_the_activation_of_that_name(name: str) -> None:
    """Its derivative is written as a function of the value, autodiff's as one of what comes before it."""
    z, weights = np.linspace(-5, 5, 12), np.arange(12.0)
    tensor, operator = Tensor(z, requires_grad=True), Activation(name)
    value = ACTIVATIONS[name](tensor)
    value.backward(weights)
    np.testing.assert_allclose(operator.forward(z), value.data, rtol=1e-14)
    np.testing.assert_allclose(operator.backward(weights), tensor.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", SLOPES)
def test_gradients_by_hand_are_autograds(name: str, loss: str, bias: bool) -> None:
    mine, theirs = LOSSES[loss]
    chain = operators(name, bias=bias)
    value, gradient = mine(forward(chain, ROWS), TARGETS)
    inputs = by_hand.backward(chain, gradient)

    layers = [torch.nn.Linear(3, 4, bias=bias, dtype=torch.float64)]
    layers.append(torch.nn.Linear(4, 2, bias=bias, dtype=torch.float64))
    for layer, params in zip(layers, (START, END), strict=True):
        layer.load_state_dict({kind: torch.tensor(params[kind]) for kind in dict(layer.named_parameters())})
    rows = torch.tensor(ROWS, requires_grad=True)
    squash = {"logistic": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}[name]
    expected = theirs(torch.sigmoid(layers[1](squash(layers[0](rows)))), torch.from_numpy(TARGETS))
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-14)
    np.testing.assert_allclose(inputs, rows.grad, rtol=1e-11, atol=1e-15)
    for operator, layer in zip(chain[::2], layers, strict=True):
        assert set(operator.grads) == set(dict(layer.named_parameters()))
        for kind, parameter in layer.named_parameters():
            np.testing.assert_allclose(operator.grads[kind], parameter.grad, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_by_hand_are_central_differences(loss: str, lab: Any) -> None:
    mine, chain = LOSSES[loss][0], operators("tanh")
    by_hand.backward(chain, mine(forward(chain, ROWS), TARGETS)[1])

    def value(weight: np.ndarray) -> float:
        moved = operators("tanh")
        moved[0].params["weight"] = weight
        return mine(forward(moved, ROWS), TARGETS)[0]

    expected = lab.slope(value, START["weight"])
    np.testing.assert_allclose(chain[0].grads["weight"], expected, rtol=1e-6, atol=1e-9)


def test_xor_by_hand_is_the_recorded_curve() -> None:
    """5000 epochs of gradient descent at 0.6 on the mean of squares, without biases."""
    figures = json.loads((Path(__file__).parents[2] / "systems" / "xor.json").read_text())
    rows, targets = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([[0], [1], [1], [0.0]])
    chain: list[Any] = [
        Linear({"weight": np.array(figures["first"]).T}),
        Activation("logistic"),
        Linear({"weight": np.array(figures["second"]).T}),
        Activation("logistic"),
    ]
    losses = []
    for _ in range(5000):
        loss, gradient = squared_error(forward(chain, rows), targets)
        by_hand.backward(chain, gradient)
        for operator in chain[::2]:
            operator.params["weight"] = operator.params["weight"] - 0.6 * operator.grads["weight"]
        losses.append(loss)
    for epoch, loss in figures["loss"].items():
        assert losses[int(epoch)] == pytest.approx(loss, abs=1e-11)
