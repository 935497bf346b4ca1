"""A config made into an experiment: splits as arrays, the network with its initial weights, and metrics."""

from mlprun.experiment.experiment import (
    Experiment,
    InitialWeightCache,
    SplitArrays,
    compute_metrics,
    data_key,
    history_columns,
    history_metrics,
    plain,
)
from mlprun.parts import SPLITS
