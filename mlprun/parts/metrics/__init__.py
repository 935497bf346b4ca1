"""Metrics: figures that say how good predictions are, in NumPy and in the user's units."""

from mlprun.parts.metrics import classification, numbers, ranking
from mlprun.parts.metrics.metric import Metric, Predictions, metrics

__all__ = ["Metric", "Predictions", "classification", "metrics", "numbers", "ranking"]
