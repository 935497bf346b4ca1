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
            seconds=fused - coverage.STARTUP if engine == "fused" else torch,
            bytes=rows * len(columns(config)) * FIGURE + weights,
            tensors=2 * len(shapes),
            saved=torch - (fused - coverage.STARTUP),
            form=hash(tuple(shapes.items())),
        )


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
