"""What the fused engine supports, which kernel computes a part of a config, and how long a run takes.

Nothing here loads Numba or LLVM: `engine: auto` asks before it is known whether they are needed.
"""

from __future__ import annotations

import math
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from mlprun.engines.capabilities import MLP, Capabilities
from mlprun.engines.fused.functions import ACTIVATIONS
from mlprun.engines.fused.losses import LOSSES
from mlprun.engines.fused.optimizers import OPTIMIZERS, OPTIONS
from mlprun.engines.state_spec import Array, Number
from mlprun.parts.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from mlprun.engines.fused.functions import KernelActivation
    from mlprun.engines.fused.losses import KernelLoss
    from mlprun.engines.fused.optimizers import KernelOptimizer
    from mlprun.engines.state_spec import OptimizerSpec, Slots
    from mlprun.experiment import Experiment
    from mlprun.parts.activations import Activation
    from mlprun.parts.architectures.architecture import Layer
    from mlprun.parts.losses import Loss
    from mlprun.parts.optimizers import Optimizer
    from mlprun.parts.part import Part

K = TypeVar("K", "KernelActivation", "KernelLoss", "KernelOptimizer")
P = ParamSpec("P")
T = TypeVar("T")


class Costs(NamedTuple):
    """Seconds that an engine takes for a step, by what there is in it."""

    step: float
    layer: float
    norm: float
    dropout: float
    state: float
    """of an optimizer, beyond plain sgd"""
    evaluation: float
    """of dev"""
    parameter: float
    """to read and update it, whatever the number of rows"""
    product: float
    """this and the following for each row, forward and backward"""
    unit: float
    unit_norm: float
    unit_dropout: float

    def of_step(self, experiment: Experiment, rows: int) -> float:
        """Return the seconds of a training step of so many rows."""
        config = experiment.config
        shapes = (config.architecture.shapes(experiment.width) or {}).values()
        matrices = [shape for shape in shapes if len(shape) == 2]
        parameters, units = sum(map(math.prod, matrices)), sum(shape[0] for shape in matrices)
        hidden: tuple[Layer, ...] = getattr(config.architecture, "hidden_layers", ())
        norms = [layer.units for layer in hidden if layer.norm in ("batch", "layer")]
        dropouts = [layer.units for layer in hidden if layer.dropout]
        has_state = config.optimizer.name != "sgd" or bool(getattr(config.optimizer, "momentum", None))
        row = 3 * parameters * self.product + units * self.unit
        row += sum(norms) * self.unit_norm + sum(dropouts) * self.unit_dropout
        layers = len(matrices) * self.layer + len(norms) * self.norm + len(dropouts) * self.dropout
        return self.step + layers + has_state * self.state + parameters * self.parameter + rows * row

    def of_evaluation(self, experiment: Experiment, rows: int) -> float:
        """Return the seconds of an evaluation of so many rows: a third of the products of a step."""
        forward = (self.of_step(experiment, rows) - self.of_step(experiment, 0)) / 3
        return self.evaluation + forward


# `auto` compares the time of whole commands: only ratios matter. CPU times on one thread of an AMD EPYC
# (Zen 4), measured with tests/benchmarks/auto_constants.py.
TORCH = Costs(
    step=165e-6,
    layer=40e-6,
    norm=90e-6,
    dropout=130e-6,
    state=230e-6,
    evaluation=260e-6,
    parameter=1.62e-9,
    product=1 / 39e9,
    unit=4.3e-9,
    unit_norm=2e-9,
    unit_dropout=10e-9,
)
FUSED = Costs(
    step=0.5e-6,
    layer=0.0,
    norm=0.0,
    dropout=0.0,
    state=0.0,
    evaluation=0.0,
    parameter=0.9e-9,
    product=1 / 44e9,
    unit=0.3e-9,
    unit_norm=1e-9,
    unit_dropout=4e-9,
)
STARTUP, TORCH_STARTUP = 0.1, 1.8
"""seconds to load the kernels from disk, and to import torch, which runs on the kernels do without"""


def cached(function: Callable[P, T]) -> Callable[P, T]:
    """Cache a function of parts, by value: a sweep asks about equal parts for every trial."""
    cache = lru_cache(maxsize=1024)(function)

    @wraps(function)
    def wrapper(*arguments: P.args, **options: P.kwargs) -> T:
        try:
            return cache(*arguments, **options)  # type: ignore[arg-type]
        except TypeError:  # a part that a user wrote may have lists as options
            return function(*arguments, **options)

    return wrapper


def _find(kernels: Sequence[K], part: Part) -> tuple[K, dict[str, Any]] | None:
    """Return the first kernel that computes a part, and all options of the part by name."""
    if not type(part).__module__.startswith("mlprun.parts."):
        return None  # a part that a user wrote may have the name of a built-in one
    name, options = type(part).names()[0], dict(part)
    several = [(name, values) for name, values in options.items() if isinstance(values, tuple)]
    options |= {f"{name[:-1]}{i}": value for name, values in several for i, value in enumerate(values, 1)}
    for kernel in kernels:
        parts = kernel.parts or {kernel.name: {}}
        if name in parts and all(options.get(key, value) == value for key, value in kernel.when.items()):
            return kernel, {**options, **parts[name]}
    return None


def kernel_activation(part: Activation) -> tuple[KernelActivation, tuple[float, ...]] | None:
    """Return the kernel for an activation and its options, or None if there is none."""
    match = _find(ACTIVATIONS, part)
    return match and (match[0], tuple(float(match[1][name]) for name in match[0].options))


@cached
def kernel_loss(part: Loss) -> tuple[KernelLoss, float | tuple[float, ...]] | None:
    """Return the kernel for a loss and its option, one for each output in a tuple; None if there is none."""
    match = _find(LOSSES, part)
    if match is None:
        return None
    kernel, options = match
    return kernel, options[kernel.options[0]] if kernel.options else 0.0


@cached
def kernel_optimizer(part: Optimizer) -> tuple[KernelOptimizer, dict[str, Any]] | None:
    """Return the kernel for an optimizer and its options, or None if there is none."""
    match = _find(OPTIMIZERS, part)
    decay = max((group.weight_decay or 0.0 for group in part.groups), default=0.0)
    if match is not None and decay > 0:  # one that has it, for all groups
        other = _find(OPTIMIZERS, part.model_copy(update={"weight_decay": decay}))
        return None if other is None else (other[0], match[1])
    return match


def optimizer_spec(experiment: Experiment, epoch: int) -> OptimizerSpec:
    """Return what the optimizer keeps of each parameter after some epochs, in the torch engine's terms."""
    match = kernel_optimizer(experiment.config.optimizer)
    if match is None or not match[0].state:
        return [{}]
    slots: Slots = {"step": Number(1, epoch * experiment.steps_per_epoch, whole=True)}
    slots |= {name: Number(0, most) for name, most in match[0].numbers.items()}
    config, dtype = experiment.config, str(experiment.dtype)
    shapes = config.architecture.shapes(experiment.width) or {}
    trained = config.optimizer.update_rules(config.freeze, shapes)
    return [{name: slots | dict.fromkeys(match[0].state, Array(dtype, shapes[name])) for name in trained}]


def _known_options(kernels: Sequence[Any], part: Part, *others: str) -> Collection[str] | None:
    """Return the options that a part's kernels read or are chosen by, and `others`; None without a kernel."""
    name = type(part).names()[0]
    serving = [kernel for kernel in kernels if name in (kernel.parts or {kernel.name: {}})]
    read = {option for kernel in serving for option in (*getattr(kernel, "options", ()), *kernel.when)}
    return None if _find(kernels, part) is None else read | set(others)


_LOSS_OPTIONS = ("reduction", "scale", "units", "class_weights", "label_smoothing")
_OPTIMIZER_OPTIONS = (
    *("lr", "groups", "betas", "etas", "step_sizes", "initial_accumulator_value"),
    *(OPTIONS.names or ()),
)
CAPABILITIES = Capabilities(
    lacks="it has no kernel for",
    architectures={"mlp": (*MLP, "embedding")},
    layers=("dropout", "batch norm", "layer norm"),
    activation=lambda part: _known_options(ACTIVATIONS, part),
    loss=lambda part: _known_options(LOSSES, part, *_LOSS_OPTIONS),
    optimizer=lambda part: _known_options(OPTIMIZERS, part, *_OPTIMIZER_OPTIONS),
)


def unsupported_reason(experiment: Experiment) -> str | None:
    """Return why the engine cannot run an experiment; None if it can."""
    config = experiment.config
    if config.training.dtype == "float32" and (config.architecture.vocabulary or 0) > 2**24:
        return f"float32 numbers the symbols of an embedding up to {2**24} only; set training.dtype=float64"
    if config.optimizer.name == "asgd" and any(group.lr is not None for group in config.optimizer.groups):
        return "asgd decays one learning rate there, not one for each of optimizer.groups"
    return CAPABILITIES.missing(experiment)


METRICS = ("precision", "f1", "recall", "r2", "mse", "rmse", "mae", "max_error")
PRECISION, F1, RECALL, R2, MSE, RMSE, MAE, MAX_ERROR = range(len(METRICS))
AVERAGES = ("binary", "macro", "micro", "weighted", "present")
BINARY, MACRO, MICRO, WEIGHTED, PRESENT = range(len(AVERAGES))
"""over classes; the last one over those that have rows"""
_RECALLS = {"accuracy": "micro", "balanced_accuracy": "present"}
"""metrics that are an average of recall"""


def kernel_metrics(experiment: Experiment) -> list[tuple[int, int]] | None:
    """Return kind and average of each metric that is logged; None if kernels do not compute all of them.

    All are computed between two calls of a kernel then.
    """
    config, metrics = experiment.config, []
    in_python = config.threshold is not None or experiment.preprocessing.multilabel
    if in_python or (experiment.has("dev") and "dev" not in experiment.fixed):
        return None
    if not experiment.preprocessing.has_linear_targets:
        return None
    for part in config.metrics:
        if isinstance(part, Metric) and not part.scalar:
            continue
        if not isinstance(part, Metric) or not type(part).__module__.startswith("mlprun.parts."):
            return None
        name, average = part.name, getattr(part, "average", "binary")
        if name in _RECALLS:
            name, average = "recall", _RECALLS[name]
        of_outputs = config.loss.activation is None and not config.loss.levels
        if name not in METRICS or (part.target == "numbers" and not of_outputs):
            return None
        if average == "auto":
            average = "macro" if (config.architecture.outputs or 0) > 2 else "binary"
        metrics.append((METRICS.index(name), AVERAGES.index(average)))
    return metrics


def estimated_seconds(experiment: Experiment) -> tuple[float, float]:
    """Return the seconds of a run on the torch engine and on this one, without start-up, from the config."""
    training, rows = experiment.config.training, len(experiment.fixed["train"])
    batch = experiment.config.training.batch_rows(rows)
    steps = training.epochs * -(-rows // batch)
    computed = -(-batch // 16) * 16  # kernels compute rows in whole vectors of sixteen
    torch, fused = steps * TORCH.of_step(experiment, batch), steps * FUSED.of_step(experiment, computed)
    # with metrics in Python both engines evaluate alike
    if experiment.has("dev") and kernel_metrics(experiment) is not None:
        dev, evaluations = len(experiment.fixed["dev"]), training.epochs / training.evaluate_every
        torch += evaluations * TORCH.of_evaluation(experiment, dev)
        fused += evaluations * FUSED.of_evaluation(experiment, dev)
    return torch, fused
