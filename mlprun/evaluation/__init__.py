"""A checkpoint and a split made into figures, and a checkpoint and new rows made into predictions."""

from mlprun.evaluation.baselines import baselines
from mlprun.evaluation.loaded import Figures, Loaded, figures, load, rows_of

__all__ = ["Figures", "Loaded", "baselines", "figures", "load", "rows_of"]
