"""Activations in kernels: how each is computed on lanes, and the number under which kernels know it.

An activation's entry gives value and derivative together, from what comes before it. Those in `BY_VALUE` have
a derivative that is a function of the value, so that nothing else need be kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from mlprun.engines.fused import encoding
from mlprun.engines.fused import functions as f
from mlprun.engines.fused.lanes import Lanes

Both = Callable[[Lanes, Lanes, Lanes], tuple[Lanes, Lanes]]
"""from z and two options: f(z) and f'(z)"""


def _identity(z: Lanes, p: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    return z, z.of(1.0)


def _logistic(z: Lanes, p: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    a = f.logistic(z)
    return a, a * (1.0 - a)


def _tanh(z: Lanes, p: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    a = f.tanh(z)
    return a, 1.0 - a * a


def _relu(z: Lanes, p: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    return z.of(0.0).where(z <= 0.0, z), z.of(1.0).where(z > 0.0, 0.0)


def _leaky_relu(z: Lanes, slope: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    return z.where(z > 0.0, z * slope), z.of(1.0).where(z > 0.0, slope)


def _hard_tanh(z: Lanes, p: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    a = z.at_least(-1.0).at_most(1.0)
    return a, z.of(1.0).where(abs(a) < 1.0, 0.0)


def _hard_logistic(z: Lanes, slope: Lanes, offset: Lanes) -> tuple[Lanes, Lanes]:
    line = z * slope + offset
    inside = z.builder.and_(line > 0.0, line < 1.0)
    return line.at_least(0.0).at_most(1.0), slope.where(inside, 0.0)


def _elu(z: Lanes, alpha: Lanes, scale: Lanes) -> tuple[Lanes, Lanes]:
    # e^z - 1 from e^|z| - 1 loses no digits near 0
    grown = f.bounded_expm1(abs(z))
    less = -(grown / (grown + 1.0)) * (alpha * scale)
    return (z * scale).where(z > 0.0, less), scale.where(z > 0.0, less + alpha * scale)


def _gelu(z: Lanes, p: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    gauss = f.bounded_exp(z * z * -0.5)
    tail = f.erfc_of_size(abs(z) * math.sqrt(0.5), gauss) * 0.5
    below = (1.0 - tail).where(z > 0.0, tail)
    return z * below, below + z * gauss * (1 / math.sqrt(2 * math.pi))


def _gelu_tanh(z: Lanes, p: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    c, cubic = math.sqrt(2 / math.pi), 0.044715
    t = f.tanh((z * z * z * cubic + z) * c)
    inner = (z * z * (3 * cubic) + 1.0) * c
    return z * 0.5 * (t + 1.0), (t + 1.0) * 0.5 + z * 0.5 * (1.0 - t * t) * inner


def _softplus(z: Lanes, beta: Lanes, threshold: Lanes) -> tuple[Lanes, Lanes]:
    y = z * beta
    e = f.bounded_exp(-abs(y))
    value = (y.at_least(0.0) + f.bounded_log1p(e)) / beta
    near = y <= threshold
    return value.where(near, z), f.logistic(y).where(near, 1.0)


def _swish(z: Lanes, beta: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    s = f.logistic(z * beta)
    return z * s, s * (z * beta * (1.0 - s) + 1.0)


def _mish(z: Lanes, p: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    e = f.bounded_exp(z.at_most(30.0))
    n = e * (e + 2.0)
    w = n / (n + 2.0)
    return z * w, w + z * (e / (e + 1.0)) * (1.0 - w * w)


def _exp(z: Lanes, p: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    a = f.exp(z)
    return a, a


FUNCTIONS: dict[str, Both] = {
    "identity": _identity,
    "logistic": _logistic,
    "tanh": _tanh,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "hard_tanh": _hard_tanh,
    "hard_logistic": _hard_logistic,
    "elu": _elu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "softplus": _softplus,
    "swish": _swish,
    "mish": _mish,
    "exp": _exp,
}

assert tuple(FUNCTIONS) == encoding.ACTIVATIONS, "kernels know activations by their place in both"

BY_VALUE: dict[str, Callable[[Lanes, Lanes], Lanes]] = {
    "identity": lambda a, p: a.of(1.0),
    "logistic": lambda a, p: a * (1.0 - a),
    "tanh": lambda a, p: 1.0 - a * a,
    "relu": lambda a, p: a.of(1.0).where(a > 0.0, 0.0),
    "leaky_relu": lambda a, p: a.of(1.0).where(a > 0.0, p),
    "hard_tanh": lambda a, p: a.of(1.0).where(abs(a) < 1.0, 0.0),
}
"""derivatives from the value and the first option"""
assert tuple(BY_VALUE) == encoding.ACTIVATIONS[: encoding.BY_VALUE]
