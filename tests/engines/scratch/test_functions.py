"""Every registered activation and loss against torch's autograd and central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mlprun.engines.capabilities import entry, first_name
from mlprun.engines.scratch.functions import ACTIVATIONS, LOSSES, absolute, exp
from mlprun.engines.scratch.tensor import Tensor
from mlprun.parts.activations import activations
from mlprun.parts.losses import losses

Z = np.concatenate([np.linspace(-9, 9, 43), [-0.0, 1e-9, -1e-9, 30.0, -30.0, 700.0, -700.0]]).reshape(10, 5)
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "leaky_relu": [{"slope": 0.3}],
    "elu": [{"alpha": 1.7}],
    "gelu": [{"approximate": "tanh"}],
    "softplus": [{"beta": 2.5, "threshold": 3.0}],
    "swish": [{"beta": 0.5}, {"beta": -3.0}],
    "hard_logistic": [{"slope": 0.25, "offset": 0.4}],
}
SHAPES = [part(**options) for part in activations for options in ({}, *OPTIONS.get(part.names()[0], []))]
every_activation = pytest.mark.parametrize("part", SHAPES, ids=lambda part: f"{part!r}"[:60])


def weights(shape: tuple[int, ...]) -> np.ndarray:
    return np.cos(np.arange(np.prod(shape))).reshape(shape)


@every_activation
def test_an_activation_and_its_gradient_are_torchs(part: Any) -> None:
    z, other = Tensor(Z, requires_grad=True), torch.tensor(Z, requires_grad=True)
    mine, theirs = entry(ACTIVATIONS, part)(z), part.build()(other)
    np.testing.assert_allclose(mine.data, theirs.detach(), rtol=1e-13, atol=1e-15)
    (mine * Tensor(weights(Z.shape))).sum().backward()
    (theirs * torch.from_numpy(weights(Z.shape))).sum().backward()
    np.testing.assert_allclose(z.grad, other.grad, rtol=1e-12, atol=1e-14)


@every_activation
def test_the_gradient_of_an_activation_is_the_central_difference(part: Any, lab: Any) -> None:
    at = np.array([[-2.3, -0.7, 0.4], [1.3, 2.7, -1.4]])

    def value(array: np.ndarray) -> float:
        return float((entry(ACTIVATIONS, part)(Tensor(array)) * Tensor(weights(at.shape))).sum().data)

    z = Tensor(at, requires_grad=True)
    (entry(ACTIVATIONS, part)(z) * Tensor(weights(at.shape))).sum().backward()
    np.testing.assert_allclose(z.grad, lab.slope(value, at), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("function", [absolute, exp])
def test_the_other_functions_too(function: Any, lab: Any) -> None:
    at = np.array([[0.3, 1.0, 4.0]]) * (-1 if function is absolute else 1)
    z = Tensor(at, requires_grad=True)
    function(z).sum().backward()
    expected = lab.slope(lambda array: float(function(Tensor(array)).sum().data), at)
    np.testing.assert_allclose(z.grad, expected, rtol=1e-8)


def test_nothing_of_the_registries_is_missing() -> None:
    assert {part.names()[0] for part in activations} == set(ACTIVATIONS)
    assert {part.names()[0] for part in losses} == set(LOSSES)


MORE: dict[str, list[dict[str, Any]]] = {
    "huber": [{"delta": 0.3}],
    "smooth_l1": [{"beta": 0.3}, {"beta": 0.0}],
    "poisson_nll": [{"full": True}],
    "cross_entropy": [{"label_smoothing": 0.2, "class_weights": (0.5, 2.0, 7.0, 1.0)}],
    "nll": [{"class_weights": (0.5, 2.0, 7.0, 1.0)}],
    "focal": [{"gamma": 0.5}, {"output": "logistic"}],
}
DEFAULTS = {"quantile": {"quantiles": (0.1, 0.2, 0.5, 0.95)}}
CASES = [
    part(**options)
    for part in losses
    for options in (DEFAULTS.get(part.names()[0], {}), *MORE.get(part.names()[0], []))
]
every_loss = pytest.mark.parametrize("loss", CASES, ids=lambda loss: f"{loss!r}"[:70])


def example(loss: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values [6, 4] and targets that suit the loss."""
    rng = np.random.default_rng(2)
    values, name = 3 * rng.normal(size=(6, 4)), first_name(loss)
    targets: dict[str, Any] = {
        "hinge": 2 * np.eye(4)[[0, 1, 2, 3, 0, 1]] - 1,
        "kl_div": np.concatenate([rng.dirichlet(np.ones(4), size=5), [[0, 0, 1, 0]]]),
        "poisson_nll": rng.poisson(2.0, size=(6, 4)).astype(float),
        "bce": rng.uniform(size=(6, 4)),
    }
    ids = np.array([0, 3, 1, 2, 2, 0])
    if name == "focal" and loss.output == "logistic":
        return values[:, :1], np.array([[0.0], [1.0], [1.0], [0.0], [1.0], [1.0]])
    default = ids if name in ("cross_entropy", "nll", "focal") else rng.normal(size=(6, 4))
    return values, targets.get(name, default)


@every_loss
def test_a_loss_and_its_gradient_are_torchs(loss: Any) -> None:
    values, targets = example(loss)
    z, other = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    mine = entry(LOSSES, loss)(z, targets).sum() / loss.weight(targets)
    theirs = loss.build()(other, torch.from_numpy(targets))
    np.testing.assert_allclose(mine.data, theirs.item(), rtol=1e-14)
    mine.backward()
    theirs.backward()
    np.testing.assert_allclose(z.grad, other.grad, rtol=1e-13, atol=1e-16)


@every_loss
def test_the_gradient_of_a_loss_is_the_central_difference(loss: Any, lab: Any) -> None:
    values, targets = example(loss)
    z = Tensor(values, requires_grad=True)
    entry(LOSSES, loss)(z, targets).sum().backward()
    expected = lab.slope(lambda array: float(entry(LOSSES, loss)(Tensor(array), targets).sum().data), values)
    np.testing.assert_allclose(z.grad, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["bce", "cross_entropy", "nll", "kl_div"])
@pytest.mark.parametrize("size", [1e3, 1e200])
def test_losses_with_the_softmax_or_logistic_inside_are_finite_for_values_of_any_size(
    name: str, size: float
) -> None:
    loss = losses[name]()
    values, targets = example(loss)
    z = Tensor(size * np.sign(values), requires_grad=True)
    total = entry(LOSSES, loss)(z, targets).sum()
    total.backward()
    assert np.isfinite(total.data)
    assert np.isfinite(z.grad).all()


def test_outputs_in_a_column_never_meet_targets_in_a_row() -> None:
    for name in ("mse", "mae", "huber", "bce"):
        with pytest.raises(ValueError, match="differ"):
            entry(LOSSES, losses[name]())(Tensor(np.zeros((6, 1))), np.zeros(6))
