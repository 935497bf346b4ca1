"""A config made into an experiment: splits as arrays, the network with its initial weights, and metrics."""

from mlprun.experiment.experiment import Experiment, InitialWeightCache, SplitArrays, data_key
from mlprun.experiment.metrics import (
    MetricComputer,
    SplitTensors,
    compute_logits,
    compute_metrics,
    history_columns,
    history_metrics,
)
from mlprun.parts import SPLITS

__all__ = [
    "SPLITS",
    "Experiment",
    "InitialWeightCache",
    "MetricComputer",
    "SplitArrays",
    "SplitTensors",
    "compute_logits",
    "compute_metrics",
    "data_key",
    "history_columns",
    "history_metrics",
]
