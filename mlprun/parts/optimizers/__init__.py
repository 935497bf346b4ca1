"""How parameters are updated: the registry of optimizers and their base class."""

from __future__ import annotations

from mlprun.parts.optimizers import adam, adaptive, descent, lbfgs, mixed
from mlprun.parts.optimizers.optimizer import Optimizer, TorchOptimizer, optimizers

__all__ = [
    "Optimizer",
    "TorchOptimizer",
    "adam",
    "adaptive",
    "descent",
    "lbfgs",
    "mixed",
    "optimizers",
]
