"""The trainer above the engines: new and resumed runs, trained, saved and measured."""

from __future__ import annotations

from mlprun.training.metadata import record_of, trained_config
from mlprun.training.recorder import best_from
from mlprun.training.reproducing import Reproduction, reproduce
from mlprun.training.resuming import resume
from mlprun.training.run import TrainResult, start
from mlprun.training.trainer import Callback

__all__ = [
    "Callback",
    "Reproduction",
    "TrainResult",
    "best_from",
    "record_of",
    "reproduce",
    "resume",
    "start",
    "trained_config",
]
