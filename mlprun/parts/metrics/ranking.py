"""Metrics of the order in which outputs put the rows, whatever their scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.parts.metrics.metric import Metric, Predictions, metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Scores = NDArray[np.floating]
    Truth = NDArray[np.bool_]


def _one_against_rest(predictions: Predictions) -> Iterator[tuple[Scores, Truth]]:
    """Scores and truth of class 1, or of each class where there are more than two."""
    if len(predictions.classes or ()) <= 2:
        yield predictions.outputs[:, -1], predictions.targets == 1
        return
    for number, scores in enumerate(predictions.outputs.T):
        yield scores, predictions.targets == number


def _mean(predictions: Predictions, figure: Callable[[Scores, Truth], float]) -> float:
    """The mean over the classes for which the figure is defined; nan where it is for none."""
    if np.isnan(predictions.outputs).any():
        return math.nan
    figures = [figure(scores, truth) for scores, truth in _one_against_rest(predictions)]
    defined = [value for value in figures if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def _area(scores: Scores, truth: Truth) -> float:
    positives = np.count_nonzero(truth)
    pairs = positives * (len(truth) - positives)
    if pairs == 0:
        return math.nan
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # equal scores share the mean of their ranks
    above = float(ranks[place[truth]].sum()) - positives * (positives + 1) / 2
    return above / pairs


def _average_precision(scores: Scores, truth: Truth) -> float:
    positives = np.count_nonzero(truth)
    if positives == 0:
        return math.nan
    values, place = np.unique(scores, return_inverse=True)
    right = np.bincount(place[truth], minlength=len(values))[::-1]
    all_rows = np.bincount(place, minlength=len(values))[::-1]
    precision = np.cumsum(right) / np.cumsum(all_rows)
    return float(np.sum(precision * right) / positives)


@metrics.register
class RocAuc(Metric):
    """Probability that a row of the class is put above a row of another; ties count half.

    With more than two classes the mean over classes, each against the rest; nan where one class has all rows.
    Source: Hanley and McNeil (1982), doi.org/10.1148/radiology.143.1.7063747
    """

    name: Literal["roc_auc"] = "roc_auc"

    def compute(self, predictions: Predictions) -> float:
        return _mean(predictions, _area)


@metrics.register
class AveragePrecision(Metric):
    """Precision averaged over the rows of the class, each at the threshold that just takes it in.

    With more than two classes the mean over those that have rows, each against the rest; nan where class 1 of
    two has none.
    Source: Manning, Raghavan and Schuetze (2008), nlp.stanford.edu/IR-book, chapter 8
    """

    name: Literal["average_precision"] = "average_precision"

    def compute(self, predictions: Predictions) -> float:
        return _mean(predictions, _average_precision)
