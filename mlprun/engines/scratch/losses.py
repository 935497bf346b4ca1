"""Chapter 3: what is minimised, as terms that are then summed or averaged over rows and outputs.

Chapter 1 finds the derivatives; some are worth seeing. The logistic and the softmax stand inside the losses
that go with them: there the logarithm cancels an exponential that alone would overflow.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from mlprun.engines.scratch.functions import absolute, clip, exp, leaky_relu, log_softmax, softplus
from mlprun.engines.scratch.tensor import Array, Tensor


def mse(y: Tensor, t: Array) -> Tensor:
    """(y - t)^2, its derivative 2 (y - t): in the mean over N rows and K outputs 2 / (N K) (y - t)."""
    return (y - Tensor(t)) * (y - Tensor(t))


def huber(y: Tensor, t: Array, delta: Any = 1.0) -> Tensor:
    """d^2 / 2 for d = y - t up to delta (of each output), then a line: d clipped times (d - half of it)."""
    d = y - Tensor(t)
    clipped = clip(d, -np.asarray(delta, np.float64), np.asarray(delta, np.float64))
    return clipped * (d - clipped / 2)


def bce(z: Tensor, t: Array) -> Tensor:
    """-t log p - (1 - t) log(1 - p) for p = logistic(z) is log(1 + e^z) - t z; its derivative is p - t."""
    return softplus(z, threshold=np.inf) - z * Tensor(t)


def cross_entropy(z: Tensor, ids: Any, label_smoothing: float = 0.0, class_weights: Any = None) -> Tensor:
    """-sum_k q_k log p_k for p = softmax(z). log_softmax pulls -q back to p sum(q) - q: p - q if q sums to 1.

    q is the row's class, or partly spread over all; each class may count by a weight of its own.
    """
    k = z.data.shape[1]
    q = (1 - label_smoothing) * np.eye(k)[ids] + label_smoothing / k
    return -log_softmax(z) * Tensor(q * np.asarray(class_weights or 1))


def stirling(t: Array) -> Array:
    """log t! nearly, for counts above 1."""
    return np.where(t > 1, t * np.log(np.maximum(t, 1)) - t + np.log(2 * np.pi * np.maximum(t, 1)) / 2, 0)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": mse,
    "mae": lambda y, t: absolute(y - Tensor(t)),
    "huber": huber,
    "smooth_l1": lambda y, t, beta: huber(y, t, beta) / np.asarray(beta) if beta else absolute(y - Tensor(t)),
    "bce": bce,
    "hinge": lambda y, t: leaky_relu(y * Tensor(-t) + 1, 0.0),
    # for the mean e^z of a count t
    "poisson_nll": lambda z, t, full: exp(z) - z * Tensor(t) + Tensor(stirling(t) * full),
    "cross_entropy": cross_entropy,
    "nll": cross_entropy,
    # t_k (log t_k - log p_k) for p = softmax(z); 0 log 0 is 0, its limit
    "kl_div": lambda z, t: Tensor(t * np.log(np.where(t > 0, t, 1))) - log_softmax(z) * Tensor(t),
}
