"""Metrics of predicted probabilities: how much was put on the true class."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np

from mlprun.parts.metrics.metric import Metric, Predictions, metrics


@metrics.register
class LogLoss(Metric):
    """Mean of minus the logarithm of the probability given to the true class.

    Probabilities below the smallest step at 1 of their number format count as that step, so that one certain
    mistake is not infinite.
    """

    goal: ClassVar[Literal["min", "max"]] = "min"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    needs_probabilities: ClassVar[bool] = True

    name: Literal["log_loss"] = "log_loss"

    def compute(self, predictions: Predictions) -> float:
        given = predictions.probabilities
        rows = len(given)
        if not rows:
            return math.nan
        of_truth = given[np.arange(rows), predictions.targets]
        step = float(np.finfo(given.dtype).eps)
        return float(-np.mean(np.log(np.clip(of_truth.astype(np.float64), step, 1 - step))))


@metrics.register
class Brier(Metric):
    """Mean squared difference between probabilities and what happened.

    Of class 1 for two classes (0 to 1), summed over the classes for more (0 to 2).
    Source: Brier (1950), doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2
    """

    goal: ClassVar[Literal["min", "max"]] = "min"
    bounds: ClassVar[tuple[float, float]] = (0.0, 2.0)
    needs_probabilities: ClassVar[bool] = True

    name: Literal["brier"] = "brier"

    def compute(self, predictions: Predictions) -> float:
        given = predictions.probabilities.astype(np.float64)
        rows = len(given)
        if not rows:
            return math.nan
        given[np.arange(rows), predictions.targets] -= 1
        return float(np.sum(given**2)) / (2 * rows if given.shape[1] == 2 else rows)
