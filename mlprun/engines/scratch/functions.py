"""Chapter 2: functions of each number, f(z) with f'(z), one of a whole row, and what is composed of these.

What is composed needs no derivative of its own: chapter 1 finds it. Options are those of the config. Losses
are terms that are then summed or averaged over rows and outputs. Those of a logistic or a softmax contain it:
there the logarithm cancels an exponential that alone would overflow.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mlprun.engines.scratch.tensor import Array, Tensor

_erf = np.vectorize(math.erf, otypes=[np.float64])


def exp(z: Tensor) -> Tensor:
    """f = e^z = f'."""
    f = np.exp(z.data)
    return z.apply(f, f)


def logistic(z: Tensor) -> Tensor:
    """f = 1 / (1 + e^-z), f' = e^-z / (1 + e^-z)^2 = f (1 - f). e^-|z| cannot overflow."""
    e = np.exp(-np.abs(z.data))
    f: Array = np.where(z.data >= 0, 1.0, e) / (1 + e)
    return z.apply(f, f * (1 - f))


def tanh(z: Tensor) -> Tensor:
    """f = sinh z / cosh z, f' = (cosh^2 z - sinh^2 z) / cosh^2 z = 1 - f^2."""
    f = np.tanh(z.data)
    return z.apply(f, 1 - f * f)


def clip(z: Tensor, low: float | Array, high: float | Array) -> Tensor:
    """f = z, cut off at both ends; f' = 1 between them, else 0."""
    return z.apply(np.clip(z.data, low, high), np.where((z.data > low) & (z.data < high), 1.0, 0.0))


def absolute(z: Tensor) -> Tensor:
    """f = |z|, f' = the sign of z. At such a kink any number between the two slopes is as good."""
    return z.apply(np.abs(z.data), np.sign(z.data))


def leaky_relu(z: Tensor, slope: float = 0.01) -> Tensor:
    """f = z above 0, else slope z, so f' = 1 or slope."""
    factor = np.where(z.data > 0, 1.0, slope)
    return z.apply(factor * z.data, factor)


def elu(z: Tensor, alpha: float = 1.0) -> Tensor:
    """f = z above 0, else alpha (e^z - 1), so f' = 1 or alpha e^z = f + alpha. expm1 is exact near 0."""
    below = alpha * np.expm1(np.minimum(z.data, 0))
    return z.apply(np.where(z.data > 0, z.data, below), np.where(z.data > 0, 1.0, below + alpha))


def softplus(z: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """f = log(1 + e^(beta z)) / beta, f' = logistic(beta z); z itself for beta z above `threshold`."""
    y = beta * z.data
    value, slope = np.logaddexp(0, y) / beta, logistic(Tensor(y)).data
    return z.apply(np.where(y > threshold, z.data, value), np.where(y > threshold, 1.0, slope))


def gelu(z: Tensor, approximate: str = "none") -> Tensor:
    """f = z P for P, how likely a normal variable is below z: P' is its density. tanh comes near P."""
    if approximate == "tanh":
        return z * (tanh((z + z * z * z * 0.044715) * math.sqrt(2 / math.pi)) + 1) * 0.5
    density = np.exp(-z.data * z.data / 2) / math.sqrt(2 * math.pi)
    return z * z.apply((1 + _erf(z.data / math.sqrt(2))) / 2, density)


def log_softmax(z: Tensor) -> Tensor:
    """y_k = log p_k = z_k - log S for p_k = e^z_k / S, S the row's sum of e^z.

    d log S = sum_j e^z_j dz_j / S, so dy_k = dz_k - sum_j p_j dz_j and g(z) = g - p sum_k g_k.
    """
    shifted = z.data - z.data.max(axis=-1, keepdims=True)
    y = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return Tensor(y, [(z, lambda g: g - np.exp(y) * g.sum(axis=-1, keepdims=True))])


def weighted_sum(losses: Tensor, weights: Any = None) -> Tensor:
    """The sum of w l over rows [N, K]: a weight w of 2 is as good as two copies of a row."""
    if weights is None:
        return losses.sum()
    return (losses * Tensor(np.broadcast_to(weights[:, None], losses.data.shape))).sum()


ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "identity": lambda z: z,
    "logistic": logistic,
    "tanh": tanh,
    "hard_logistic": lambda z, slope=1 / 6, offset=0.5: clip(z * slope + offset, 0, 1),
    "hard_tanh": lambda z: clip(z, -1, 1),
    "relu": lambda z: leaky_relu(z, 0.0),
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": lambda z: elu(z, 1.6732632423543772) * 1.0507009873554805,  # keeps mean 0 and variance 1
    "gelu": gelu,
    "softplus": softplus,
    "swish": lambda z, beta=1.0: z * logistic(z * beta),
    "mish": lambda z: z * tanh(softplus(z)),
    "log_softmax": log_softmax,
    "softmax": lambda z: exp(log_softmax(z)),
    "exp": exp,
}


def mse(y: Tensor, t: Array) -> Tensor:
    """(y - t)^2, its derivative 2 (y - t): in the mean over N rows and K outputs 2 / (N K) (y - t)."""
    return (y - Tensor(t)) * (y - Tensor(t))


def huber(y: Tensor, t: Array, delta: Any = 1.0) -> Tensor:
    """d^2 / 2 for d = y - t up to delta (of each output), then a line: d clipped times (d - half of it)."""
    d = y - Tensor(t)
    clipped = clip(d, -np.asarray(delta, np.float64), np.asarray(delta, np.float64))
    return clipped * (d - clipped / 2)


def quantile(y: Tensor, t: Array, quantiles: Any) -> Tensor:
    """q e for an error e = t - y above 0 and (q - 1) e below, of each output's own level q."""
    e = Tensor(t) - y
    return absolute(e) / 2 + e * Tensor(np.full(t.shape, quantiles) - 0.5)


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


def focal(z: Tensor, t: Array, gamma: float, output: str) -> Tensor:
    """-(1 - p)^gamma log p of the row's class, from its margin u: p = logistic(u), 1 - p = logistic(-u).

    With an output for each class p = e^z / (e^z + S) for S, the sum of the others' e^z: u = z - log S.
    """
    if output == "logistic":
        u = z * Tensor(2 * t - 1)
    else:
        own, other = (np.eye(z.data.shape[1])[(t + step) % z.data.shape[1]] for step in (0, 1))
        without = log_softmax(z - Tensor(1e300 * own))  # z - log S of the others
        u = (z * Tensor(own) - (z - without) * Tensor(other)).sum(axis=1).reshape(-1, 1)
    return exp(softplus(u, threshold=np.inf) * -gamma) * softplus(-u, threshold=np.inf)


def stirling(t: Array) -> Array:
    """log t! nearly, for counts above 1."""
    return np.where(t > 1, t * np.log(np.maximum(t, 1)) - t + np.log(2 * np.pi * np.maximum(t, 1)) / 2, 0)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": mse,
    "mae": lambda y, t: absolute(y - Tensor(t)),
    "huber": huber,
    "smooth_l1": lambda y, t, beta: huber(y, t, beta) / np.asarray(beta) if beta else absolute(y - Tensor(t)),
    "quantile": quantile,
    "bce": bce,
    "hinge": lambda y, t: leaky_relu(y * Tensor(-t) + 1, 0.0),
    # for the mean e^z of a count t
    "poisson_nll": lambda z, t, full: exp(z) - z * Tensor(t) + Tensor(stirling(t) * full),
    "cross_entropy": cross_entropy,
    "focal": focal,
    "nll": cross_entropy,
    # t_k (log t_k - log p_k) for p = softmax(z); 0 log 0 is 0, its limit
    "kl_div": lambda z, t: Tensor(t * np.log(np.where(t > 0, t, 1))) - log_softmax(z) * Tensor(t),
}
