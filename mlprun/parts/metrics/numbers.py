"""Metrics of predicted numbers, in the target's units; of several targets the mean of each one's figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from mlprun.parts.metrics.metric import Metric, Predictions, metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _OfNumbers(Metric):
    target: ClassVar[Literal["classes", "numbers"]] = "numbers"
    mode: ClassVar[Literal["min", "max"]] = "min"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def compute(self, predictions: Predictions) -> float:
        truth = np.asarray(predictions.targets, np.float64)
        if not len(truth):
            return math.nan
        return float(np.mean(self._of(predictions.outputs - truth, truth)))

    def _of(self, errors: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
        """[K] figures from the errors [N, K] and the true numbers [N, K]."""
        raise NotImplementedError


@metrics.register
class MeanSquaredError(_OfNumbers):
    """Mean of the squared errors, in squared units of the target."""

    name: Literal["mse"] = "mse"

    def _of(self, errors: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.mean(errors**2, axis=0))


@metrics.register
class RootMeanSquaredError(_OfNumbers):
    """Root of the mean of the squared errors, in the target's units."""

    name: Literal["rmse"] = "rmse"

    def _of(self, errors: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.sqrt(np.mean(errors**2, axis=0)))


@metrics.register
class MeanAbsoluteError(_OfNumbers):
    """Mean size of the errors, in the target's units."""

    name: Literal["mae"] = "mae"

    def _of(self, errors: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.mean(np.abs(errors), axis=0))


@metrics.register
class MaxError(_OfNumbers):
    """Size of the largest error, in the target's units."""

    name: Literal["max_error"] = "max_error"

    def _of(self, errors: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.max(np.abs(errors), axis=0))


@metrics.register
class R2(_OfNumbers):
    """Share of the target's variance that is explained: 1 is perfect, 0 is no better than the mean.

    nan where the target is the same number in every row.
    """

    mode: ClassVar[Literal["min", "max"]] = "max"
    bounds: ClassVar[tuple[float, float]] = (-math.inf, 1.0)

    name: Literal["r2"] = "r2"

    def _of(self, errors: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
        spread = np.sum((truth - truth.mean(axis=0)) ** 2, axis=0)
        spread[np.ptp(truth, axis=0) == 0] = (
            math.nan
        )  # rounding of the mean may leave a little that is not there
        score = np.asarray(1 - np.sum(errors**2, axis=0) / spread)
        score[np.abs(score) < 1e-14] = 0  # rounding: the mean itself scores 0, not -2e-16
        return score
