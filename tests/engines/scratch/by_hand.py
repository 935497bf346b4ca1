"""Networks without automatic differentiation: each operator keeps what it needs and goes back by itself.

`forward` takes inputs; `backward` takes dL/d(outputs), keeps dL/d(parameters) in `grads`, gives dL/d(inputs).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mlprun.engines.scratch.tensor import Array


@dataclass
class Linear:
    """Y = X W^T + b. dW = G^T X and dX = G W; b is in every row, so db is the sum of G's rows."""

    params: dict[str, Array]
    grads: dict[str, Array] = field(default_factory=dict)

    def forward(self, inputs: Array) -> Array:
        self.inputs = inputs
        return inputs @ self.params["weight"].T + self.params.get("bias", 0.0)

    def backward(self, gradient: Array) -> Array:
        made = {"weight": gradient.T @ self.inputs, "bias": gradient.sum(axis=0)}
        self.grads = {name: made[name] for name in self.params}
        return gradient @ self.params["weight"]


SLOPES: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "logistic": (lambda z: 1 / (1 + np.exp(-z)), lambda y: y * (1 - y)),
    "tanh": (np.tanh, lambda y: 1 - y * y),
    "relu": (lambda z: np.maximum(z, 0), lambda y: np.where(y > 0, 1.0, 0.0)),
}
"""y = f(z), and dy/dz as a function of y"""


@dataclass
class Activation:
    """y = f(z) for each number, by its name in `SLOPES`."""

    name: str

    def forward(self, inputs: Array) -> Array:
        self.outputs = SLOPES[self.name][0](inputs)
        return self.outputs

    def backward(self, gradient: Array) -> Array:
        return gradient * SLOPES[self.name][1](self.outputs)


def squared_error(y: Array, t: Array) -> tuple[float, Array]:
    """The mean of (y - t)^2 over N rows and K outputs, and dL/dy = 2 (y - t) / (N K).

    A script that drops 2 / (N K) takes the same steps with a learning rate that is N K / 2 times smaller.
    """
    return float(np.mean((y - t) ** 2)), 2 * (y - t) / y.size


def binary_cross_entropy(p: Array, t: Array) -> tuple[float, Array]:
    """The mean of -t log p - (1 - t) log(1 - p), and dL/dp = (p - t) / (p (1 - p)) / (N K)."""
    return float(-np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))), (p - t) / (p * (1 - p)) / p.size


def backward(operators: list[Linear | Activation], gradient: Array) -> Array:
    """By the chain rule what an operator gives back is what the one before it takes."""
    for operator in reversed(operators):
        gradient = operator.backward(gradient)
    return gradient
