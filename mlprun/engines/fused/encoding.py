"""Parts of a config under the names and options by which kernels know them; loads neither Numba nor LLVM."""

from __future__ import annotations

from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mlprun.engines.state_spec import Array, Number, steps_so_far
from mlprun.parts.losses import HuberLike

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlprun.engines.state_spec import Expected, Slots
    from mlprun.experiment import Experiment
    from mlprun.parts.activations import Activation
    from mlprun.parts.losses import Loss
    from mlprun.parts.optimizers import Optimizer
    from mlprun.parts.part import Part

P = TypeVar("P")
T = TypeVar("T")
ACTIVATIONS = (
    "identity", "logistic", "tanh", "relu", "leaky_relu", "hard_tanh", "hard_logistic", "elu", "gelu",
    "gelu_tanh", "softplus", "swish", "mish", "exp",
)  # fmt: skip
BY_VALUE = 6
"""the derivatives of so many, from the first, follow from their values"""
LOSSES = (
    "bce", "bce_without_log", "mse", "mae", "smooth_l1", "huber", "hinge", "poisson_nll", "cross_entropy"
)  # fmt: skip
RULES: dict[str, tuple[str, ...]] = {
    "sgd": (),
    "momentum": ("momentum_buffer",),
    "adam": ("exp_avg", "exp_avg_sq"),
    "amsgrad": ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"),
    "nadam": ("exp_avg", "exp_avg_sq"),
    "rmsprop": ("square_avg", "momentum_buffer"),
    "rmsprop_centered": ("square_avg", "momentum_buffer", "grad_avg"),
    "adagrad": ("sum",),
    "adadelta": ("square_avg", "acc_delta"),
}
"""the rules of optimizers and the names that torch gives their slots"""
_DISTRIBUTIONS = ("cross_entropy", "nll", "kl_div")


def once(function: Callable[[P], T]) -> Callable[[P], T]:
    """`function` of a part, computed once for equal ones: a sweep asks of the same part for every trial."""
    kept = lru_cache(maxsize=1024)(function)

    @wraps(function)
    def remembering(part: P) -> T:
        try:
            return kept(part)
        except TypeError:  # one of a user may have options in a list
            return function(part)

    return remembering


def _is_ours(part: Part) -> bool:
    """Whether a part is built in: one of a user may have the name of one of ours and mean something else."""
    return type(part).__module__.startswith("mlprun.parts.")


def code(names: tuple[str, ...] | dict[str, Any], name: str) -> int:
    """The number under which kernels know a name."""
    return list(names).index(name)


def activation(part: Activation) -> tuple[str, float, float] | None:
    """The name and the two options under which kernels compute an activation; None if they do not."""
    name, given = type(part).names()[0], part.model_dump()
    options: dict[str, tuple[str, Any, Any]] = {
        "leaky_relu": (name, given.get("slope"), 0.0),
        "hard_logistic": (name, given.get("slope"), given.get("offset")),
        "elu": (name, given.get("alpha"), 1.0),
        "selu": ("elu", 1.6732632423543772, 1.0507009873554805),
        "gelu": ("gelu" if given.get("approximate") == "none" else "gelu_tanh", 0.0, 0.0),
        "softplus": (name, given.get("beta"), given.get("threshold")),
        "swish": (name, given.get("beta"), 0.0),
    }
    found, first, second = options.get(name, (name, 0.0, 0.0))
    if found not in ACTIVATIONS or not _is_ours(part):
        return None
    return found, float(first), float(second)


@once
def loss(part: Loss) -> tuple[str, float] | None:
    """The name and the option under which kernels compute a loss; None if they do not."""
    if isinstance(part, HuberLike) and isinstance(getattr(part, part.width), tuple):
        return None  # one for each of several targets
    name, given = type(part).names()[0], part.model_dump()
    if not _is_ours(part) or given.get("full"):
        return None
    if name in _DISTRIBUTIONS:
        return "cross_entropy", 0.0
    if name == "smooth_l1" and given["beta"] == 0:
        return "mae", 0.0
    return (name, float(given.get("beta", given.get("delta", 0.0)))) if name in LOSSES else None


def distributions(part: Loss, targets: NDArray[Any], outputs: int) -> tuple[NDArray[Any], ...]:
    """Encoded targets as columns [N, K], with the weight [N] and the constant [N] of each row.

    The mean divides by the sum of weights; constants are added to the loss and have no derivative. For
    cross entropy a column is what its class weighs in the row: weights of classes and smoothing are in it.
    """
    rows = len(targets)
    name, given = type(part).names()[0], part.model_dump()
    nothing = np.zeros(rows)
    if name not in _DISTRIBUTIONS:
        return targets.reshape(rows, outputs), np.full(rows, float(outputs)), nothing
    if name == "kl_div":
        wanted = targets.astype(np.float64)
        logs = np.log(wanted, out=np.zeros_like(wanted), where=wanted > 0)
        return wanted, np.full(rows, float(outputs)), (wanted * logs).sum(axis=1)
    weights = np.array(given.get("class_weights") or [1.0] * outputs)
    smoothing = float(given.get("label_smoothing", 0.0))
    columns = np.eye(outputs)[targets] * weights * (1 - smoothing) + weights * (smoothing / outputs)
    return columns, weights[targets], nothing


def adds_constant(part: Loss) -> bool:
    """Whether rows have a constant that is added to their loss."""
    return type(part).names()[0] == "kl_div"


@once
def rule(part: Optimizer) -> str | None:
    """The name of the rule for an optimizer with its options; None if there is none."""
    name, given = type(part).names()[0], part.model_dump()
    if not _is_ours(part):
        return None
    if name == "sgd":
        return "momentum" if given["momentum"] or given["weight_decay"] else "sgd"
    if name in ("adam", "adamw"):
        return "amsgrad" if given["amsgrad"] else "adam"
    if name == "rmsprop":
        return "rmsprop_centered" if given["centered"] else "rmsprop"
    return name if name in RULES else None


def expected(experiment: Experiment, epoch: int) -> Expected:
    """What is kept of each parameter after so many epochs, in the terms of torch's engine."""
    found = rule(experiment.config.optimizer)
    names = RULES[found] if found is not None else ()
    if not names:
        return [{}]
    slots: Slots = {"step": Number(1, steps_so_far(experiment, epoch), whole=True)}
    if found == "nadam":
        slots["mu_product"] = Number(0, 1)
    shapes = experiment.config.architecture.shapes(experiment.width) or {}
    dtype = str(experiment.dtype)
    return [{name: {**slots, **dict.fromkeys(names, Array(dtype, shape))} for name, shape in shapes.items()}]
