"""What the fused engine can run, and what it is worth taking for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlprun.engines.fused import encoding
from mlprun.parts.activations import each
from mlprun.parts.architectures.mlp import Mlp
from mlprun.parts.metrics import R2, Accuracy, Metric
from mlprun.parts.penalties import L1, L2
from mlprun.parts.schedules import EpochSchedule, ReduceOnPlateau

if TYPE_CHECKING:
    from mlprun.experiment import Experiment
    from mlprun.parts.activations import Activation

# `auto` compares the torch engine's time with the start-up of the kernels: only their ratio matters. CPU
# times, measured with tests/benchmarks/auto_constants.py: a fast server (2023) takes 120 us for a step of
# two hidden layers and 0.6 s for the start-up, a slow machine with two cores (2026) 540 us and 1.2 s, which
# makes 5000 and 2200 steps for a start-up. The constants are the geometric mean, in the server's seconds:
# at the threshold the engine that is chosen takes at most 1.5 times as long as the other, on both kinds of
# machine. On the slow one a step takes 150 us, each linear layer 130 more, an optimizer with state 300, and
# an evaluation of dev 360.
TORCH_STEP = 50e-6
"""seconds that a step of the torch engine takes beside its layers, nearly all of it overhead"""
TORCH_LAYER = 45e-6
"""seconds that it takes for each linear layer, however small"""
TORCH_STATE = 100e-6
"""seconds that it takes for an optimizer that keeps a state, beyond plain sgd"""
TORCH_EVALUATION = 120e-6
"""seconds that it takes to evaluate dev"""
TORCH_PRODUCTS = 80e9
"""multiplications per second of the torch engine in wide layers"""
TORCH_UNIT = 1.3e-9
"""seconds that the torch engine takes for the activation of a unit in a row, there and back"""
FUSED_PRODUCTS = 60e9
"""multiplications per second of the kernels, what else they compute included"""
STARTUP = 0.6
"""seconds that the kernels take to be imported and read from disk"""


def refuses(experiment: Experiment) -> str | None:
    """Why the kernels cannot run an experiment; None if they can."""
    config = experiment.config
    if config.device != "cpu":
        return f"it runs on the CPU, not on device {config.device}"
    return _refused_architecture(experiment) or _refused_training(experiment)


def _refused_architecture(experiment: Experiment) -> str | None:
    architecture = experiment.config.architecture
    if type(architecture) is not Mlp:
        return f"it has no kernel for the architecture {architecture.name}"
    if architecture.embedding is not None:
        return "it has no kernel for embeddings"
    for layer in architecture.hidden_layers:
        if layer.dropout:
            return "it has no kernel for dropout"
        if layer.norm != "none":
            return f"it has no kernel for {layer.norm} norm"
    given: list[Activation] = []
    for layer in architecture.hidden_layers:
        assert layer.activation is not None
        given += each(layer.activation)
    if not experiment.config.loss.activation and architecture.output_activation is not None:
        given.append(architecture.output_activation)
    unknown = [part.name for part in given if encoding.activation(part) is None]
    return f"it has no kernel for the activation {unknown[0]}" if unknown else None


def _refused_training(experiment: Experiment) -> str | None:
    config = experiment.computed
    if encoding.loss(config.loss) is None:
        return f"it has no kernel for the loss {config.loss.name} with these options"
    if encoding.rule(config.optimizer) is None:
        return f"it has no kernel for the optimizer {config.optimizer.name}"
    strange = [part.name for part in config.penalties if type(part) not in (L1, L2)]
    if strange:
        return f"it has no kernel for the penalty {strange[0]}"
    schedule = config.schedule
    if not isinstance(schedule, EpochSchedule) and type(schedule) is not ReduceOnPlateau:
        return f"it has no kernel for the schedule {schedule.name}"
    return None


def kernels_compute_metrics(experiment: Experiment) -> bool:
    """Whether kernels compute all figures that are logged; others are computed outside, between two calls."""
    config = experiment.config
    figures = [part for part in config.metrics if not isinstance(part, Metric) or part.scalar]
    if experiment.has("dev") and "dev" not in experiment.fixed:
        return False
    if not figures:
        return True
    if len(figures) > 1:
        return False
    if type(figures[0]) is Accuracy:
        return True
    return type(figures[0]) is R2 and config.loss.activation is None


def estimated_seconds(experiment: Experiment) -> tuple[float, float]:
    """What the run takes of the torch engine and of this one, by published constants and the config alone."""
    config = experiment.config
    rows = len(experiment.fixed["train"])
    batch = rows if config.training.batch_size == "full" else min(config.training.batch_size, rows)
    steps = config.training.epochs * -(-rows // batch)
    shapes = (config.architecture.shapes(experiment.width) or {}).values()
    matrices = [shape for shape in shapes if len(shape) == 2]
    units, products = sum(m[0] for m in matrices), 3 * sum(m[0] * m[1] for m in matrices)
    overhead = TORCH_STEP + len(matrices) * TORCH_LAYER
    optimizer = config.optimizer
    if optimizer.name != "sgd" or getattr(optimizer, "momentum", None):
        overhead += TORCH_STATE
    torch = steps * (overhead + batch * (products / TORCH_PRODUCTS + units * TORCH_UNIT))
    if experiment.has("dev") and kernels_compute_metrics(experiment):  # otherwise both engines evaluate alike
        torch += config.training.epochs / config.training.evaluate_every * TORCH_EVALUATION
    # rows are computed in whole registers of sixteen
    return torch, STARTUP + steps * products * (-(-batch // 16) * 16) / FUSED_PRODUCTS
