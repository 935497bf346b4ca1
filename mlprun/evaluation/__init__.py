"""A checkpoint and a split made into figures, and a checkpoint and new rows made into predictions."""

from mlprun.evaluation.baselines import baselines
from mlprun.evaluation.loaded import (
    Answers,
    Figures,
    Loaded,
    check_metadata,
    check_tensors,
    figures,
    load,
    rows_of,
    snapshots,
)

__all__ = [
    "Answers",
    "Figures",
    "Loaded",
    "baselines",
    "check_metadata",
    "check_tensors",
    "figures",
    "load",
    "rows_of",
    "snapshots",
]
