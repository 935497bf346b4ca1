"""Optimizers in kernels, as torch.optim computes them.

A new optimizer is one `KernelOptimizer` in `OPTIMIZERS`. It has two functions. `scalars` is compiled by Numba
and runs once per step: from the options, the learning rate and the number of the step it computes what does
not differ from parameter to parameter. `update` is written on SIMD lanes and emitted for every vector of
parameters. Nothing here imports Numba or LLVM.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun.engines.fused.functions import sign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlprun.engines.fused.lanes import Lanes

    State = list[Lanes]
    Update = Callable[[Lanes, Lanes, State, Any], tuple[Lanes, State]]
    """from parameter, gradient, state and `SCALARS` on lanes: parameter and state after the step"""

# every option that a `scalars` function reads as `o.<option>`, by its name in the config; the numbers of
# `betas` are beta1 and beta2
_OPTIONS = (
    "momentum", "dampening", "nesterov", "beta1", "beta2", "eps", "weight_decay", "decoupled_weight_decay",
    "momentum_decay", "alpha", "lr_decay", "rho", "lambd", "t0", "eta1", "eta2", "step_size1", "step_size2",
    "eps_hat",
)  # fmt: skip
# every number that an `update` function reads as `s.<scalar>`; `decay` is the weight decay in the gradient,
# `shrink` the decoupled one as a factor on the parameter
_SCALARS = (
    "lr", "decay", "shrink", "keep", "rest", "first", "second", "eps", "mean_lr", "momentum", "fresh",
    "direct", "shrinking", "growth", "smallest", "largest",
)  # fmt: skip
OPTIONS = np.dtype({"names": _OPTIONS, "formats": [np.float64] * len(_OPTIONS)})
SCALARS = np.dtype({"names": _SCALARS, "formats": [np.float64] * len(_SCALARS)})


def _sgd_scalars(o: Any, lr: Any, step: Any, state: Any, s: Any) -> None:
    s.lr, s.decay, s.momentum = lr, o.weight_decay, o.momentum
    # the first momentum is the gradient itself, without dampening
    s.fresh = 1.0 if step == 1 or o.momentum == 0.0 else 1.0 - o.dampening
    # the step is along direct * gradient + first * momentum buffer
    s.direct, s.first = (1.0, o.momentum) if o.nesterov > 0 else (0.0, 1.0)


def _sgd(w: Lanes, g: Lanes, state: State, s: Any) -> tuple[Lanes, State]:
    return w - s.lr * g, state


def _momentum(w: Lanes, g: Lanes, state: State, s: Any) -> tuple[Lanes, State]:
    g = w * s.decay + g
    buffer = state[0] * s.momentum + g * s.fresh
    return w - s.lr * (g * s.direct + buffer * s.first), [buffer]


def _adam_scalars(o: Any, lr: Any, step: Any, state: Any, s: Any) -> None:
    s.keep, s.rest, s.first, s.eps = o.beta2, 1.0 - o.beta2, 1.0 - o.beta1, o.eps
    s.decay, s.shrink = o.weight_decay, 1.0
    if o.decoupled_weight_decay > 0:
        s.decay, s.shrink = 0.0, 1.0 - lr * o.weight_decay
    s.lr = lr / (1.0 - o.beta1 ** float(step))
    s.second = 1.0 / math.sqrt(1.0 - o.beta2 ** float(step))
    if o.eps_hat > 0:
        s.eps = o.eps * s.second


def _moments(w: Lanes, g: Lanes, state: State, s: Any) -> tuple[Lanes, Lanes, Lanes]:
    g = w * s.decay + g
    mean = state[0] + (g - state[0]) * s.first
    square = state[1] * s.keep + g * g * s.rest
    return w * s.shrink, mean, square


def _adam(w: Lanes, g: Lanes, state: State, s: Any) -> tuple[Lanes, State]:
    w, mean, square = _moments(w, g, state, s)
    largest = [one.maximum(square) for one in state[2:]]  # of amsgrad
    divisor = (largest or [square])[0].sqrt() * s.second + s.eps
    return w - s.lr * (mean / divisor), [mean, square, *largest]


def _nadam_scalars(o: Any, lr: Any, step: Any, state: Any, s: Any) -> None:
    s.keep, s.rest, s.first, s.eps = o.beta2, 1.0 - o.beta2, 1.0 - o.beta1, o.eps
    s.decay, s.shrink = o.weight_decay, 1.0
    if o.decoupled_weight_decay > 0:
        s.decay, s.shrink = 0.0, 1.0 - lr * o.weight_decay
    current = o.beta1 * (1.0 - 0.5 * 0.96 ** (step * o.momentum_decay))
    following = o.beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * o.momentum_decay))
    # torch keeps this product in float32 whatever the type of the parameters
    product = float(np.float32(state.mu_product) * np.float32(current))
    state.mu_product = product
    s.lr = lr * (1.0 - current) / (1.0 - product)
    s.mean_lr = lr * following / (1.0 - product * following)
    s.second = 1.0 / (1.0 - o.beta2 ** float(step))


def _nadam(w: Lanes, g: Lanes, state: State, s: Any) -> tuple[Lanes, State]:
    after, mean, square = _moments(w, g, state, s)
    g = w * s.decay + g
    size = (square * s.second).sqrt() + s.eps
    return after - s.lr * (g / size) - s.mean_lr * (mean / size), [mean, square]


def _rmsprop_scalars(o: Any, lr: Any, step: Any, state: Any, s: Any) -> None:
    s.lr, s.decay, s.momentum, s.eps = lr, o.weight_decay, o.momentum, o.eps
    s.keep, s.rest = o.alpha, 1.0 - o.alpha


def _rmsprop(w: Lanes, g: Lanes, state: State, s: Any) -> tuple[Lanes, State]:
    g = w * s.decay + g
    square = state[0] * s.keep + g * g * s.rest
    means = [mean + (g - mean) * s.rest for mean in state[2:]]  # of the centered one
    spread = square - means[0] * means[0] if means else square
    step = state[1] * s.momentum + g / (spread.sqrt() + s.eps)
    return w - s.lr * step, [square, step, *means]


def _adagrad_scalars(o: Any, lr: Any, step: Any, state: Any, s: Any) -> None:
    s.lr, s.eps, s.decay = lr / (1.0 + (step - 1.0) * o.lr_decay), o.eps, o.weight_decay


def _adagrad(w: Lanes, g: Lanes, state: State, s: Any) -> tuple[Lanes, State]:
    g = w * s.decay + g
    total = state[0] + g * g
    return w - s.lr * (g / (total.sqrt() + s.eps)), [total]


def _adadelta_scalars(o: Any, lr: Any, step: Any, state: Any, s: Any) -> None:
    s.lr, s.eps, s.decay = lr, o.eps, o.weight_decay
    s.keep, s.rest = o.rho, 1.0 - o.rho


def _adadelta(w: Lanes, g: Lanes, state: State, s: Any) -> tuple[Lanes, State]:
    g = w * s.decay + g
    square = state[0] * s.keep + g * g * s.rest
    step = (state[1] + s.eps).sqrt() / (square + s.eps).sqrt() * g
    moved = state[1] * s.keep + step * step * s.rest
    return w - s.lr * step, [square, moved]


def _radam_scalars(o: Any, lr: Any, step: Any, state: Any, s: Any) -> None:
    s.keep, s.rest, s.first, s.eps = o.beta2, 1.0 - o.beta2, 1.0 - o.beta1, o.eps
    s.decay, s.shrink = o.weight_decay, 1.0
    if o.decoupled_weight_decay > 0:
        s.decay, s.shrink = 0.0, 1.0 - lr * o.weight_decay
    s.lr = lr / (1.0 - o.beta1 ** float(step))
    power = o.beta2 ** float(step)
    limit = 2.0 / (1.0 - o.beta2) - 1.0
    length = limit - 2.0 * step * power / (1.0 - power)
    # while the variance of the adaptive rate is intractable the step is along the mean alone
    s.direct = 1.0
    if length > 5.0:
        s.direct = 0.0
        rectified = (length - 4.0) * (length - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * length)
        s.lr *= math.sqrt((1.0 - power) * rectified)


def _radam(w: Lanes, g: Lanes, state: State, s: Any) -> tuple[Lanes, State]:
    w, mean, square = _moments(w, g, state, s)
    size = (square.sqrt() + s.eps).where(s.direct <= 0.0, 1.0)
    return w - s.lr * (mean / size), [mean, square]


def _adamax_scalars(o: Any, lr: Any, step: Any, state: Any, s: Any) -> None:
    s.keep, s.first, s.eps, s.decay = o.beta2, 1.0 - o.beta1, o.eps, o.weight_decay
    s.lr = lr / (1.0 - o.beta1 ** float(step))


def _adamax(w: Lanes, g: Lanes, state: State, s: Any) -> tuple[Lanes, State]:
    g = w * s.decay + g
    mean = state[0] + (g - state[0]) * s.first
    norm = (abs(g) + s.eps).maximum(state[1] * s.keep)
    return w - s.lr * (mean / norm), [mean, norm]


def _rprop_scalars(o: Any, lr: Any, step: Any, state: Any, s: Any) -> None:
    s.shrinking, s.growth, s.smallest, s.largest = o.eta1, o.eta2, o.step_size1, o.step_size2
    # the learning rate is the size of the first step alone
    s.lr, s.fresh = lr, 1.0 if step == 1 else 0.0


def _rprop(w: Lanes, g: Lanes, state: State, s: Any) -> tuple[Lanes, State]:
    turn = g * state[0]
    factor = s.growth.where(turn > 0.0, s.shrinking.where(turn < 0.0, 1.0))
    size = s.lr.where(s.fresh > 0.0, state[1]) * factor
    size = size.maximum(s.smallest).minimum(s.largest)
    g = (g * 0.0).where(turn < 0.0, g)  # no step where the sign has changed
    return w - size * sign(g), [g, size]


def _asgd_scalars(o: Any, lr: Any, step: Any, state: Any, s: Any) -> None:
    # torch keeps the rate and the weight of the next step in float32 whatever the type of the parameters
    s.lr = float(np.float32(lr)) if step == 1 else state.eta
    s.decay, s.shrink, s.rest = o.weight_decay, 1.0 - o.lambd * s.lr, state.mu
    state.eta = float(np.float32(lr / (1.0 + o.lambd * lr * step) ** o.alpha))
    state.mu = float(np.float32(1.0 / max(1.0, step - o.t0)))


def _asgd(w: Lanes, g: Lanes, state: State, s: Any) -> tuple[Lanes, State]:
    after = w * s.shrink - s.lr * (w * s.decay + g)
    return after, [after.where(s.rest >= 1.0, state[0] + (after - state[0]) * s.rest)]


class KernelOptimizer(NamedTuple):
    """An optimizer in kernels."""

    name: str
    state: tuple[str, ...]
    """the arrays it keeps of each parameter, by torch's names"""
    scalars: Callable[[Any, Any, Any, Any, Any], None]
    """from `OPTIONS`, learning rate, number of the step (from 1) and the run's state: fills in `SCALARS`"""
    update: Update
    parts: Mapping[str, Mapping[str, float]] = {}
    """the config's parts it computes, with the options that they fix; by default the one of its name"""
    when: Mapping[str, object] = {}
    """the options that a part must have for it"""
    numbers: Mapping[str, float] = {}
    """the numbers that it keeps in the run's state, which start at 1, and their largest values"""


_MOMENTS = ("exp_avg", "exp_avg_sq")
_ADAMS: Mapping[str, Mapping[str, float]] = {"adam": {}, "adamw": {"decoupled_weight_decay": 1.0}}
# Kernels know an optimizer by its index; the first whose options match computes a part.
OPTIMIZERS = (
    KernelOptimizer("sgd", (), _sgd_scalars, _sgd, when={"momentum": 0, "weight_decay": 0}),
    KernelOptimizer("momentum", ("momentum_buffer",), _sgd_scalars, _momentum, {"sgd": {}}),
    KernelOptimizer("adam", _MOMENTS, _adam_scalars, _adam, _ADAMS, {"amsgrad": False}),
    KernelOptimizer("amsgrad", (*_MOMENTS, "max_exp_avg_sq"), _adam_scalars, _adam, _ADAMS),
    KernelOptimizer("nadam", _MOMENTS, _nadam_scalars, _nadam, numbers={"mu_product": 1}),
    KernelOptimizer(
        "rmsprop", ("square_avg", "momentum_buffer"), _rmsprop_scalars, _rmsprop, when={"centered": False}
    ),
    KernelOptimizer(
        "rmsprop_centered",
        ("square_avg", "momentum_buffer", "grad_avg"),
        _rmsprop_scalars,
        _rmsprop,
        {"rmsprop": {}},
    ),
    KernelOptimizer("adagrad", ("sum",), _adagrad_scalars, _adagrad),
    KernelOptimizer("adadelta", ("square_avg", "acc_delta"), _adadelta_scalars, _adadelta),
    KernelOptimizer("radam", _MOMENTS, _radam_scalars, _radam),
    KernelOptimizer("adamax", ("exp_avg", "exp_inf"), _adamax_scalars, _adamax),
    KernelOptimizer("rprop", ("prev", "step_size"), _rprop_scalars, _rprop),
    KernelOptimizer("asgd", ("ax",), _asgd_scalars, _asgd, numbers={"eta": math.inf, "mu": 1}),
)
