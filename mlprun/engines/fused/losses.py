"""Losses in kernels: per row and output the value and its derivative, on lanes.

The sums over rows, the mean and `scale` are the loops' business. In `BY_OUTPUT` stand losses of one output
and its target; losses that look at a whole row are reduced to one: cross entropy against a distribution.
"""

from __future__ import annotations

from collections.abc import Callable

from mlprun.engines.fused import encoding
from mlprun.engines.fused import functions as f
from mlprun.engines.fused.lanes import Lanes

Elementwise = Callable[[Lanes, Lanes, Lanes], tuple[Lanes, Lanes]]
"""from output, target and an option: value and derivative"""


def _bce(z: Lanes, t: Lanes, p: Lanes) -> tuple[Lanes, Lanes]:
    e = f.bounded_exp(-abs(z))
    share = 1.0 / (e + 1.0)
    probability = share.where(z >= 0.0, e * share)
    return z.at_least(0.0) - z * t + f.bounded_log1p(e), probability - t


def _bce_without_log(z: Lanes, t: Lanes, p: Lanes) -> tuple[Lanes, Lanes]:
    """For steps whose loss nobody sees: the value lacks log(1 + e^-|z|), and is finite where that is."""
    e = f.bounded_exp(-abs(z))
    share = 1.0 / (e + 1.0)
    return z.at_least(0.0) - z * t, share.where(z >= 0.0, e * share) - t


def _mse(y: Lanes, t: Lanes, p: Lanes) -> tuple[Lanes, Lanes]:
    error = y - t
    return error * error, error * 2.0


def _sign(error: Lanes) -> Lanes:
    one = error.of(1.0)
    return one.where(error > 0.0, (-one).where(error < 0.0, error * 0.0))


def _mae(y: Lanes, t: Lanes, p: Lanes) -> tuple[Lanes, Lanes]:
    error = y - t
    return abs(error), _sign(error)


def _smooth_l1(y: Lanes, t: Lanes, beta: Lanes) -> tuple[Lanes, Lanes]:
    error = y - t
    size = abs(error)
    near = size < beta
    value = (error * error * 0.5 / beta).where(near, size - beta * 0.5)
    return value, (error / beta).where(near, _sign(error))


def _huber(y: Lanes, t: Lanes, delta: Lanes) -> tuple[Lanes, Lanes]:
    error = y - t
    size = abs(error)
    near = size <= delta
    value = (error * error * 0.5).where(near, delta * (size - delta * 0.5))
    return value, error.where(near, _sign(error) * delta)


def _hinge(y: Lanes, t: Lanes, p: Lanes) -> tuple[Lanes, Lanes]:
    margin = 1.0 - t * y
    return margin.at_least(0.0), (-t).where(margin >= 0.0, t * 0.0)


def _poisson(z: Lanes, t: Lanes, p: Lanes) -> tuple[Lanes, Lanes]:
    mean = f.exp(z)
    return mean - t * z, mean - t


BY_OUTPUT: dict[str, Elementwise] = {
    "bce": _bce,
    "bce_without_log": _bce_without_log,
    "mse": _mse,
    "mae": _mae,
    "smooth_l1": _smooth_l1,
    "huber": _huber,
    "hinge": _hinge,
    "poisson_nll": _poisson,
}
assert tuple(BY_OUTPUT) == encoding.LOSSES[:-1], "kernels know losses by their place in both"
