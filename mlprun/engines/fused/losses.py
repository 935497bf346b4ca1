"""Losses in kernels: the value and its derivative for one output and its target, on SIMD lanes.

The sums over rows, the mean and `scale` are left to the loops in elementwise.py. Losses of a whole row are
reduced to one: cross entropy against a distribution. A new loss of one output is one `KernelLoss` in
`LOSSES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlprun.engines.fused.functions import bounded_exp, bounded_log1p, exp, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlprun.engines.fused.lanes import Lanes

    Function = Callable[[Lanes, Lanes, Lanes], tuple[Lanes, Lanes]]
    """from output, target and an option: value and derivative"""


def _bce_without_log(z: Lanes, t: Lanes, p: Lanes) -> tuple[Lanes, Lanes]:
    # the value lacks log(1 + e^-|z|), and is finite where that is
    e = bounded_exp(-abs(z))
    share = 1.0 / (e + 1.0)
    return z.maximum(0.0) - z * t, share.where(z >= 0.0, e * share) - t


def _bce(z: Lanes, t: Lanes, p: Lanes) -> tuple[Lanes, Lanes]:
    value, slope = _bce_without_log(z, t, p)
    return value + bounded_log1p(bounded_exp(-abs(z))), slope


def _mse(y: Lanes, t: Lanes, p: Lanes) -> tuple[Lanes, Lanes]:
    error = y - t
    return error * error, error * 2.0


def _mae(y: Lanes, t: Lanes, p: Lanes) -> tuple[Lanes, Lanes]:
    error = y - t
    return abs(error), sign(error)


def _smooth_l1(y: Lanes, t: Lanes, beta: Lanes) -> tuple[Lanes, Lanes]:
    error = y - t
    size = abs(error)
    near = size < beta
    value = (error * error * 0.5 / beta).where(near, size - beta * 0.5)
    return value, (error / beta).where(near, sign(error))


def _huber(y: Lanes, t: Lanes, delta: Lanes) -> tuple[Lanes, Lanes]:
    error = y - t
    size = abs(error)
    near = size <= delta
    value = (error * error * 0.5).where(near, delta * (size - delta * 0.5))
    return value, error.where(near, sign(error) * delta)


def _hinge(y: Lanes, t: Lanes, p: Lanes) -> tuple[Lanes, Lanes]:
    margin = 1.0 - t * y
    return margin.maximum(0.0), (-t).where(margin >= 0.0, t * 0.0)


def _poisson(z: Lanes, t: Lanes, p: Lanes) -> tuple[Lanes, Lanes]:
    mean = exp(z)
    return mean - t * z, mean - t


def _quantile(y: Lanes, t: Lanes, level: Lanes) -> tuple[Lanes, Lanes]:
    error, slope = y - t, 0.5 - level
    return error * slope + abs(error) * 0.5, slope + sign(error) * 0.5


def _focal(z: Lanes, t: Lanes, gamma: Lanes) -> tuple[Lanes, Lanes]:
    # of the margin u: with q = 1 - p the value is -q^gamma log p
    side = t * 2.0 - 1.0
    u = z * side
    e = bounded_exp(-abs(u))
    log, share = bounded_log1p(e), 1.0 / (e + 1.0)
    p, q = share.where(u >= 0.0, e * share), (e * share).where(u >= 0.0, share)
    value = (-u).maximum(0.0) + log
    power = bounded_exp(-gamma * (u.maximum(0.0) + log))
    return power * value, -(power * (gamma * p * value + q)) * side


class KernelLoss(NamedTuple):
    """A loss in kernels."""

    name: str
    function: Function | None
    """of one output and its target; None for cross entropy, which elementwise.py sums over all outputs"""
    options: tuple[str, ...] = ()
    """the option of the config's part that `function` takes, if any: a number, or one for each output"""
    parts: Mapping[str, Mapping[str, float]] = {}
    """the parts it computes, with the options that they fix; by default the one of its name"""
    when: Mapping[str, object] = {}
    """the options that a part must have for it"""
    unread: str | None = None
    """a loss with the same derivative and a cheaper value, for steps whose loss is not read"""


# Kernels know a loss by its index.
LOSSES = (
    KernelLoss("bce", _bce, unread="bce_without_log"),
    KernelLoss("bce_without_log", _bce_without_log),
    KernelLoss("mse", _mse),
    KernelLoss("mae", _mae, parts={"mae": {}, "smooth_l1": {}}, when={"beta": 0}),
    KernelLoss("smooth_l1", _smooth_l1, options=("beta",)),
    KernelLoss("huber", _huber, options=("delta",)),
    KernelLoss("quantile", _quantile, options=("quantiles",)),
    KernelLoss("hinge", _hinge),
    KernelLoss("poisson_nll", _poisson, when={"full": False}),
    KernelLoss("focal", _focal, options=("gamma",), when={"output": "logistic"}),
    KernelLoss("cross_entropy", None, parts={"cross_entropy": {}, "nll": {}, "kl_div": {}}),
)
CROSS_ENTROPY = len(LOSSES) - 1
