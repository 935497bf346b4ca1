"""Chapter 5: what is done with gradients. Options and the names of what is remembered are torch's.

A step takes a parameter w, its gradient g, what was remembered and a learning rate, and gives the new w.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from mlprun.engines.scratch.tensor import Array

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
    decoupled_weight_decay: bool,
) -> Array:  # fmt: skip
    """w <- w - lr m / (sqrt(v) + eps), m and v being running means of the gradient and of its square.

    Both start at 0: after n steps the shares in m sum to 1 - b1^n, by which it is divided, and so with v.
    A decoupled weight decay shrinks w itself; the other one enters the gradient.
    """
    w, g = (w * (1 - lr * weight_decay), g) if decoupled_weight_decay else (w, g + weight_decay * w)
    n = slots["step"] = np.asarray(slots.get("step", 0) + np.float32(1))
    m = slots["exp_avg"] = betas[0] * slots.get("exp_avg", 0 * w) + (1 - betas[0]) * g
    v = slots["exp_avg_sq"] = betas[1] * slots.get("exp_avg_sq", 0 * w) + (1 - betas[1]) * g * g
    if amsgrad:  # the largest so far
        v = slots["max_exp_avg_sq"] = np.maximum(slots.get("max_exp_avg_sq", 0), v)
    return w - lr * m / (1 - betas[0] ** int(n)) / (np.sqrt(v / (1 - betas[1] ** int(n))) + eps)


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
