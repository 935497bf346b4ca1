"""Trained models: metrics of splits, predictions for new rows, and baselines to compare with."""

from mlprun.evaluation.baselines import baselines
from mlprun.evaluation.model import (
    PredictionTable,
    SplitMetrics,
    TrainedModel,
    check_initial_weights,
    check_metadata,
    check_tensors,
    evaluate,
    load,
    missing_best_warnings,
    snapshots,
    split_tensors,
)

__all__ = [
    "PredictionTable",
    "SplitMetrics",
    "TrainedModel",
    "baselines",
    "check_initial_weights",
    "check_metadata",
    "check_tensors",
    "evaluate",
    "load",
    "missing_best_warnings",
    "snapshots",
    "split_tensors",
]
