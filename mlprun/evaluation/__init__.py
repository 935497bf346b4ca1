"""Trained models: metrics of splits, predictions for new rows, and baselines to compare with."""

from mlprun.evaluation.decision import Decision, decide, decided
from mlprun.evaluation.model import (
    PredictionTable,
    TargetMetrics,
    TrainedModel,
    answers,
    at_threshold,
    best,
    check_initial_weights,
    check_metadata,
    check_tensors,
    class_values,
    load,
    missing_best_warnings,
    newest,
    output_columns,
    prediction_table,
    snapshots,
    split_rows,
    target_metrics,
    trajectory,
)
