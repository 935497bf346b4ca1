"""How the learning rate changes during training: the registry of schedules and their base classes."""

from __future__ import annotations

from mlprun.parts.schedules import annealing, decay, warmup
from mlprun.parts.schedules.plateau import ReduceOnPlateau
from mlprun.parts.schedules.schedule import EpochSchedule, Schedule, schedules

__all__ = [
    "EpochSchedule",
    "ReduceOnPlateau",
    "Schedule",
    "annealing",
    "decay",
    "schedules",
    "warmup",
]
