"""Trained models: metrics of splits, predictions for new rows, and baselines to compare with."""

from mlprun.evaluation.baselines import baselines
from mlprun.evaluation.model import (
    PredictionTable,
    TrainedModel,
    check_initial_weights,
    check_metadata,
    check_tensors,
    load,
    missing_best_warnings,
    snapshots,
    split_rows,
    trajectory,
)

__all__ = [
    "PredictionTable",
    "TrainedModel",
    "baselines",
    "check_initial_weights",
    "check_metadata",
    "check_tensors",
    "load",
    "missing_best_warnings",
    "snapshots",
    "split_rows",
    "trajectory",
]
