"""What a trial takes, by its config and published constants: seconds, and bytes in its cohort's file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlprun.engines.fused import coverage
from mlprun.experiment import columns

if TYPE_CHECKING:
    from mlprun.experiment import Experiment

STARTUP = coverage.STARTUP
FIGURE = 8
"""bytes of a number in a history"""


TRIAL = 1e-3
"""seconds of a trial beside its epochs"""
CALL = 0.6e-6
"""seconds of an epoch with an evaluation in the kernels, however few its rows"""
SMALL, WIDE = 10e9, 40e9
"""multiplications per second of the kernels in small networks, and in those of more than `MANY` weights"""
MANY = 10_000


@dataclass(frozen=True)
class Cost:
    """The cost of one trial, or of several together."""

    seconds: float
    """of one core"""
    bytes: int
    tensors: int
    saved: float = 0.0
    """seconds that the fused engine takes less than the torch engine, not counting its start"""
    form: int = 0
    """equal for trials whose weights have equal shapes"""

    @classmethod
    def of(cls, experiment: Experiment, engine: str) -> Cost:
        """The cost of a trial with this engine."""
        config = experiment.config
        torch, fused = coverage.seconds(experiment)
        shapes = config.architecture.shapes(experiment.width) or {}
        numbers = sum(_product(shape) for shape in shapes.values())
        rows = -(-config.training.epochs // config.training.log_every)
        weights = 2 * numbers * experiment.dtype.itemsize
        return cls(
            seconds=TRIAL + (_kernels(experiment, numbers) if engine == "fused" else torch),
            bytes=rows * len(columns(config)) * FIGURE + weights,
            tensors=2 * len(shapes),
            saved=torch - (fused - coverage.STARTUP),
            form=hash(tuple(shapes.items())),
        )


def _kernels(experiment: Experiment, numbers: int) -> float:
    """Seconds in the kernels, by what one core of a common machine does."""
    training, rows = experiment.config.training, len(experiment.fixed["train"])
    batch = rows if training.batch_size == "full" else min(training.batch_size, rows)
    steps = training.epochs * -(-rows // batch)
    seen = len(experiment.fixed["dev"]) if "dev" in experiment.fixed else 0
    trained = 3 * steps * (-(-batch // 16) * 16)
    evaluated = training.epochs / training.evaluate_every * (-(-seen // 16) * 16)
    return steps * CALL + (trained + evaluated) * numbers / (SMALL if numbers < MANY else WIDE)


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
