"""Chapter 3: layers, which hold the parameters, and ways to join them; and optimizers, which change them.

Rows of a batch stand below each other, [B, D]; a matrix is [outputs, inputs], as torch keeps it. An
optimizer takes a parameter w, its gradient g, what it keeps of it and a learning rate, and returns the new w;
its options and the names of what it keeps are torch's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlprun.engines.scratch.tensor import Array, Tensor

Layer = Callable[[Any], Tensor]


@dataclass
class Linear:
    """Y = X W^T + b, with b added to every row."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, rows: Tensor) -> Tensor:
        products = rows @ self.weight.transpose()
        return products if self.bias is None else products + self.bias.expand(0, len(rows.data))


@dataclass
class Embedding:
    """A row of numbers for each symbol: a matrix times one-hot rows, without their zeros."""

    weight: Tensor

    def __call__(self, symbols: NDArray[np.int64]) -> Tensor:
        return self.weight.index_select(symbols)


class Sequential:
    """Layers one after another. It is a layer itself, so it can stand in another one."""

    def __init__(self, *layers: Layer) -> None:
        self.layers = layers

    def __call__(self, values: Any) -> Any:
        for layer in self.layers:
            values = layer(values)
        return values


@dataclass
class RNNCell:
    """One step of a recurrent network: h' = f(input(x) + hidden(h)). `output` reads the last state.

    Every step uses the same tensors, so each gets the sum of its gradients over the steps.
    """

    input: Linear
    hidden: Linear
    output: Linear
    activation: Layer

    def __call__(self, values: Tensor, state: Tensor) -> Tensor:
        return self.activation(self.input(values) + self.hidden(state))

    def unroll(self, steps: list[Tensor]) -> Tensor:
        """What the output reads after all steps, [B, D] each, from a state of zeros."""
        state = Tensor(np.zeros((len(steps[0].data), len(self.hidden.weight.data))))
        for values in steps:
            state = self(values, state)
        return self.output(state)


Slots = dict[str, Array]


def sgd(
    w: Array, g: Array, slots: Slots, lr: float,
    *, momentum: float, dampening: float, weight_decay: float, nesterov: bool,
) -> Array:  # fmt: skip
    """w <- w - lr v. Without momentum v is the gradient g, with it a running sum: v <- m v + (1 - d) g.

    The sum begins with the whole first g. Nesterov's looks ahead and takes g + m v. Weight decay adds to g
    the gradient of decay / 2 times the squares.
    """
    g = g + weight_decay * w
    if not momentum:
        return w - lr * g
    v = slots.get("momentum_buffer")
    v = slots["momentum_buffer"] = g if v is None else momentum * v + (1 - dampening) * g
    return w - lr * (g + momentum * v if nesterov else v)


def adam(
    w: Array, g: Array, slots: Slots, lr: float,
    *, betas: tuple[float, float], eps: float, weight_decay: float, amsgrad: bool,
    decoupled_weight_decay: bool, eps_hat: bool = False,
) -> Array:  # fmt: skip
    """w <- w - lr m / (sqrt(v) + eps), m and v being running means of the gradient and of its square.

    Both start at 0: after n steps the shares in m sum to 1 - b1^n, by which it is divided, and so with v.
    A decoupled weight decay shrinks w itself; the other one enters the gradient. `eps_hat` adds eps to the
    root before v is divided.
    """
    w, g = (w * (1 - lr * weight_decay), g) if decoupled_weight_decay else (w, g + weight_decay * w)
    n = slots["step"] = np.asarray(slots.get("step", 0) + np.float32(1))
    m = slots["exp_avg"] = betas[0] * slots.get("exp_avg", 0 * w) + (1 - betas[0]) * g
    v = slots["exp_avg_sq"] = betas[1] * slots.get("exp_avg_sq", 0 * w) + (1 - betas[1]) * g * g
    if amsgrad:  # the largest so far
        v = slots["max_exp_avg_sq"] = np.maximum(slots.get("max_exp_avg_sq", 0), v)
    share = 1 - betas[1] ** int(n)
    eps = eps / np.sqrt(share) if eps_hat else eps
    return w - lr * m / (1 - betas[0] ** int(n)) / (np.sqrt(v / share) + eps)


OPTIMIZERS: dict[str, Callable[..., Array]] = {"sgd": sgd, "adam": adam}
OPTIMIZERS["adamw"] = partial(adam, decoupled_weight_decay=True)


def clipped(gradients: dict[str, Array], norm: float | None, value: float | None) -> dict[str, Array]:
    """Gradients shortened together to a norm, then each number cut off at a size."""
    length = np.sqrt(sum(float(np.sum(g * g)) for g in gradients.values()))
    factor, most = (
        1.0 if norm is None else min(1.0, norm / (length + 1e-6)),
        np.inf if value is None else value,
    )
    return {name: np.clip(factor * g, -most, most) for name, g in gradients.items()}
