"""Metrics of outputs before they become classes: predicted probabilities, and the order of the rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from mlprun.parts.metrics.metric import Metric, Predictions, metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Scores = NDArray[np.floating]
    Truth = NDArray[np.bool_]


@metrics.register
class LogLoss(Metric):
    """Mean of minus the logarithm of the probability given to the true class.

    Probabilities below the smallest step at 1 of their number format count as that step, so that one certain
    mistake is not infinite.
    """

    mode: ClassVar[Literal["min", "max"]] = "min"
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

    mode: ClassVar[Literal["min", "max"]] = "min"
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


def _one_against_rest(predictions: Predictions) -> Iterator[tuple[Scores, Truth]]:
    """Scores and truth of class 1, or of each class where there are more than two."""
    if len(predictions.classes or ()) <= 2:
        yield predictions.outputs[:, -1], predictions.targets == 1
        return
    for number, scores in enumerate(predictions.outputs.T):
        yield scores, predictions.targets == number


def _mean(predictions: Predictions, figure: Callable[[Ranking], float]) -> float:
    """The mean over the classes for which the figure is defined; nan where it is for none."""
    if np.isnan(predictions.outputs).any():
        return math.nan
    figures = [figure(rank(scores, truth)) for scores, truth in _one_against_rest(predictions)]
    defined = [value for value in figures if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


@dataclass(frozen=True)
class Ranking:
    """Rows ranked by the score of one class: how many at each threshold are rightly and wrongly above it.

    Entry 0 is the threshold that no row passes; `right` and `wrong` are counts of rows, [T].
    """

    right: NDArray[np.int64]
    wrong: NDArray[np.int64]

    @property
    def positives(self) -> int:
        """Rows of the class."""
        return int(self.right[-1])

    @property
    def negatives(self) -> int:
        """Rows of other classes."""
        return int(self.wrong[-1])

    @property
    def roc(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """False and true positive rates."""
        return self.wrong / max(1, self.negatives), self.right / max(1, self.positives)

    @property
    def area(self) -> float:
        """Area under the ROC curve; nan where all rows are of the class, or none is."""
        pairs = self.positives * self.negatives
        # pairs that stand in the right order, those of equal score counted half: exact up to 2^53
        ordered = np.sum(np.diff(self.wrong) * ((self.right[1:] + self.right[:-1]) / 2))
        return float(ordered) / pairs if pairs else math.nan

    @property
    def precision_recall(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Recall and precision; where nothing is above the threshold, precision is 1."""
        above = self.right + self.wrong
        precision = np.where(above > 0, self.right / np.maximum(above, 1), 1.0)
        return self.right / max(1, self.positives), precision

    @property
    def average_precision(self) -> float:
        """The mean of precision over the rows of the class; nan where there are none."""
        _, precision = self.precision_recall
        gained = float(np.sum(precision[1:] * np.diff(self.right)))
        return gained / self.positives if self.positives else math.nan


def rank(scores: Scores, positive: Truth) -> Ranking:
    """The ranking of rows by `scores` [N], those of equal score together."""
    order = np.argsort(-scores, kind="stable")
    is_last = np.append(np.diff(scores[order]) != 0, True)[: len(scores)]  # of those with its score
    ends = np.flatnonzero(is_last)
    right = np.cumsum(positive[order])[ends]
    return Ranking(np.append(0, right), np.append(0, ends + 1 - right))


@metrics.register
class RocAuc(Metric):
    """Probability that a row of the class is put above a row of another; ties count half.

    With more than two classes the mean over classes, each against the rest; nan where one class has all rows.
    Source: Hanley and McNeil (1982), doi.org/10.1148/radiology.143.1.7063747
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    name: Literal["roc_auc"] = "roc_auc"

    def compute(self, predictions: Predictions) -> float:
        return _mean(predictions, lambda ranking: ranking.area)


@metrics.register
class AveragePrecision(Metric):
    """Precision averaged over the rows of the class, each at the threshold that just takes it in.

    With more than two classes the mean over those that have rows, each against the rest; nan where class 1 of
    two has none.
    Source: Manning, Raghavan and Schuetze (2008), nlp.stanford.edu/IR-book, chapter 8
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    name: Literal["average_precision"] = "average_precision"

    def compute(self, predictions: Predictions) -> float:
        return _mean(predictions, lambda ranking: ranking.average_precision)
