"""A checkpoint and a split made into figures, and a checkpoint and new rows made into predictions."""

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
