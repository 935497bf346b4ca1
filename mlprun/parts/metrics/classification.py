"""Metrics of predicted classes: what share is right, and of which class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun.parts.metrics.metric import Metric, Predictions, metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.parts.datasets.dataset import DatasetInfo

Average = Literal["auto", "binary", "macro", "micro", "weighted"]


def confusion(predictions: Predictions) -> NDArray[np.int64]:
    """[C, C] counts of rows: true class by predicted class."""
    # an output may speak of a class that no row has
    count = max(len(predictions.classes or ()), predictions.outputs.shape[1], 2)
    cells = np.asarray(predictions.targets, np.int64) * count + predictions.labels
    return np.bincount(cells, minlength=count * count).reshape(count, count)


def _ratio(numerator: NDArray[np.int64], denominator: NDArray[np.int64]) -> NDArray[np.float64]:
    """The quotient, 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros(np.shape(numerator)), where=denominator != 0)


@metrics.register
class Accuracy(Metric):
    """Share of rows whose class is predicted."""

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    name: Literal["accuracy"] = "accuracy"

    def compute(self, predictions: Predictions) -> float:
        rows = len(predictions.targets)
        if not rows:
            return math.nan
        return float(np.count_nonzero(predictions.labels == predictions.targets)) / rows


@metrics.register
class BalancedAccuracy(Metric):
    """Mean of the recalls of the classes that have rows: every class counts the same.

    Source: Brodersen et al. (2010), doi.org/10.1109/ICPR.2010.764
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    name: Literal["balanced_accuracy"] = "balanced_accuracy"

    def compute(self, predictions: Predictions) -> float:
        counts = confusion(predictions)
        rows = counts.sum(axis=1)
        present = rows > 0
        return float(np.mean(counts.diagonal()[present] / rows[present])) if present.any() else math.nan


class _Averaged(Metric):
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    average: Average = Field(
        "auto",
        description="binary: of class 1, which dataset.positive names; macro: mean over classes; "
        "micro: of all rows together; "
        "weighted: mean weighted by rows; auto: binary for two classes, macro for more",
    )

    def unsupported_reason(self, info: DatasetInfo) -> str | None:
        many = info.classes is not None and len(info.classes) > 2
        if many and self.average == "binary":
            return f"{self.name} with average: binary is of two classes; use macro, micro or weighted"
        return super().unsupported_reason(info)

    def compute(self, predictions: Predictions) -> float:
        counts = confusion(predictions)
        if not counts.any():
            return math.nan
        right, rows, said = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
        average = self.average
        if average == "auto":
            average = "binary" if len(counts) == 2 else "macro"
        if average == "binary":
            return float(self._of(right, rows, said)[1])
        if average == "micro":
            return float(self._of(*(np.array([figures.sum()]) for figures in (right, rows, said)))[0])
        present = (rows > 0) | (said > 0)
        weights = rows[present] if average == "weighted" else None
        return float(np.average(self._of(right, rows, said)[present], weights=weights))

    def _of(
        self, right: NDArray[np.int64], rows: NDArray[np.int64], said: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The figure per class, from counts per class: rightly predicted, truly so, predicted so."""
        raise NotImplementedError


@metrics.register
class Precision(_Averaged):
    """Share of the rows predicted as a class that are of it; 0 where none is predicted."""

    name: Literal["precision"] = "precision"

    def _of(
        self, right: NDArray[np.int64], rows: NDArray[np.int64], said: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        return _ratio(right, said)


@metrics.register
class Recall(_Averaged):
    """Share of the rows of a class that are predicted as it; 0 where it has none."""

    name: Literal["recall"] = "recall"

    def _of(
        self, right: NDArray[np.int64], rows: NDArray[np.int64], said: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        return _ratio(right, rows)


@metrics.register
class F1(_Averaged):
    """Harmonic mean of precision and recall; 0 where a class is neither there nor predicted.

    Source: van Rijsbergen (1979), Information Retrieval, chapter 7, dcs.gla.ac.uk/Keith/Preface.html
    """

    name: Literal["f1"] = "f1"

    def _of(
        self, right: NDArray[np.int64], rows: NDArray[np.int64], said: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        return _ratio(2 * right, rows + said)


@metrics.register
class ConfusionMatrix(Metric):
    """Counts of rows: a list per true class, with an entry per predicted class."""

    scalar: ClassVar[bool] = False

    name: Literal["confusion_matrix"] = "confusion_matrix"

    def compute(self, predictions: Predictions) -> list[list[int]]:
        counts: list[list[int]] = confusion(predictions).tolist()
        return counts
