"""Metrics: how good predictions are, computed in NumPy and in the user's units."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from mlprun.parts.data import short_repr
from mlprun.parts.part import Part, Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from numpy.typing import NDArray

    from mlprun.parts.data import DatasetInfo, Floats, Ints, Names

    Scores = NDArray[np.floating]
    Truth = NDArray[np.bool_]
    Counts: TypeAlias = Ints | Floats
    """of rows, or the sums of their weights"""


MEDIAN = 0.5
"""the level of the quantile that is the median"""
EVEN = 0.5
"""the threshold at which two classes are equally probable"""


@dataclass(frozen=True)
class Predictions:
    """The outputs of a network for N rows, and their targets.

    `outputs` is [N, K] after the output activation (log-probabilities already exponentiated, numbers already
    in the user's units); `targets` is [N] int64 class ids or [N, K] numbers; `probabilistic` says whether
    outputs are probabilities; with one output class 1 means output > `threshold`, and with two outputs too
    where it is not 0.5. With `levels` outputs are quantiles of these levels, in rising order, of targets
    [N, 1]. `weights` [N] are those of the rows, None for 1 each: as scikit-learn's `sample_weight`, weight 2
    counts as two copies of a row. With `multilabel` targets are labels, 0 or 1 in each column, and so is
    output > `threshold`. With `costs` [C][C] of true and predicted classes the class of the smallest expected
    cost is predicted.
    """

    __repr__ = short_repr

    outputs: NDArray[np.floating]
    targets: NDArray[np.generic]
    classes: Names | None
    probabilistic: bool
    threshold: float = EVEN
    levels: tuple[float, ...] = ()
    weights: Floats | None = None
    multilabel: bool = False
    costs: tuple[tuple[float, ...], ...] | None = None

    def target(self, index: int) -> Predictions:
        """What is predicted of one of several targets; a label is two classes."""
        outputs, targets = self.outputs[:, [index]], self.targets[:, [index]]
        if not self.multilabel:
            return replace(self, outputs=outputs, targets=targets)
        ids = targets[:, 0].astype(np.int64)
        return replace(self, outputs=outputs, targets=ids, classes=("0", "1"), multilabel=False)

    @property
    def points(self) -> NDArray[np.floating]:
        """[N, K] the number that is predicted of each target: an output, or of quantiles that nearest 0.5."""
        distances = [abs(level - MEDIAN) for level in self.levels]
        return self.outputs[:, [distances.index(min(distances))]] if distances else self.outputs

    @property
    def total(self) -> float:
        """The number of rows, or the sum of their weights."""
        return len(self.targets) if self.weights is None else float(self.weights.sum())

    def sum(self, values: NDArray[Any]) -> Any:
        """The weighted sum over rows of values [N] or [N, K]."""
        return values.sum(axis=0) if self.weights is None else self.weights @ values

    def mean(self, values: NDArray[Any]) -> Any:
        """The weighted mean over rows of values [N] or [N, K]."""
        return values.mean(axis=0) if self.weights is None else self.sum(values) / self.total

    def with_weight(self) -> Predictions:
        """The rows whose weight is not 0."""
        if self.weights is None or self.weights.all():
            return self
        kept = self.weights > 0
        rows = {name: getattr(self, name)[kept] for name in ("outputs", "targets", "weights")}
        return replace(self, **rows)

    @cached_property
    def labels(self) -> Ints:
        """[N] predicted class ids; [N, K] predicted labels."""
        if self.multilabel:
            return (self.outputs > self.threshold).astype(np.int64)
        count = self.outputs.shape[1]
        if count == 1 or (count == 2 and self.threshold != EVEN):
            return (self.outputs[:, -1] > self.threshold).astype(np.int64)
        return np.asarray(np.argmax(self.scores, axis=1), np.int64)

    @property
    def scores(self) -> NDArray[np.floating]:
        """[N, C] what the predicted class has the most of: outputs, or expected costs with a minus."""
        if self.costs is None:
            return self.outputs
        expected: Floats = self.outputs[:, : len(self.costs)] @ np.array(self.costs)
        return -expected

    @cached_property
    def probabilities(self) -> NDArray[np.floating]:
        """[N, C] probabilities of the classes, both columns for two classes."""
        if self.outputs.shape[1] == 1:
            return np.concatenate([1 - self.outputs, self.outputs], axis=1)
        return self.outputs

    @property
    def of_truth(self) -> NDArray[np.floating]:
        """[N] the probability of each row's class; [N, K] of each label as it is."""
        if self.multilabel:
            return np.where(self.targets == 1, self.outputs, 1 - self.outputs)
        return self.probabilities[np.arange(len(self.targets)), np.asarray(self.targets, np.int64)]


class Metric(Part):
    """Base of all metrics."""

    target: ClassVar[Literal["classes", "labels", "numbers", "quantiles"]] = "classes"
    """what it is of: true and predicted classes, labels or numbers, or numbers and their quantiles"""
    of_labels: ClassVar[bool] = False
    """whether a metric of classes is one of several labels, too"""
    mode: ClassVar[Literal["min", "max"]] = "max"
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """no value is below the first or above the second"""
    scalar: ClassVar[bool] = True
    """False for values that are a table (a confusion matrix): shown by eval, not logged in the history"""
    needs_probabilities: ClassVar[bool] = False
    ranks: ClassVar[bool] = False
    """whether it is of the order of the rows by their outputs, and of no threshold"""
    two_classes_only: ClassVar[bool] = False

    def unsupported_reason(self, info: DatasetInfo) -> str | None:
        """Why it cannot be computed of such targets, ending in what would work; None if it can."""
        if self.two_classes_only and info.classes is not None and len(info.classes) > 2:
            return f"{self.name} is of two classes and these targets have {len(info.classes)}; use accuracy"
        return None

    def compute(self, predictions: Predictions) -> float | list[list[float]]:
        """The value; nan where it is not defined for these rows. Rows of weight 0 do not count."""
        counted = predictions.with_weight()
        return self.compute_rows(counted) if len(counted.targets) else math.nan

    def compute_rows(self, predictions: Predictions) -> float:
        """The value for at least one row; nan where it is not defined."""
        raise NotImplementedError


metrics: Registry[Metric] = Registry("metric", "metrics")


Average = Literal["auto", "binary", "macro", "micro", "weighted"]


def confusion(predictions: Predictions) -> Counts:
    """[C, C] counts of rows, or sums of their weights: true class by predicted class."""
    # an output may speak of a class that no row has
    count = max(len(predictions.classes or ()), predictions.outputs.shape[1], 2)
    cells = np.asarray(predictions.targets, np.int64) * count + predictions.labels
    return np.bincount(cells, predictions.weights, minlength=count * count).reshape(count, count)


def _ratio(numerator: Counts, denominator: Counts) -> Floats:
    """The quotients; 0 where the denominator is 0."""
    return np.asarray(numerator / np.where(denominator > 0, denominator, 1))


@metrics.register
class Accuracy(Metric):
    """Share of rows with the correct class."""

    bounds = (0.0, 1.0)
    name: Literal["accuracy"] = "accuracy"

    def compute_rows(self, predictions: Predictions) -> float:
        return float(predictions.mean(predictions.labels == predictions.targets))


@metrics.register
class LabelAccuracy(Metric):
    """Share of all labels of all rows that are predicted correctly: 1 minus the Hamming loss."""

    target = "labels"
    bounds = (0.0, 1.0)
    name: Literal["label_accuracy"] = "label_accuracy"

    def compute_rows(self, predictions: Predictions) -> float:
        return float(np.mean(predictions.mean(predictions.labels == predictions.targets)))


@metrics.register
class SubsetAccuracy(Metric):
    """Share of rows of which every label is predicted correctly."""

    target = "labels"
    bounds = (0.0, 1.0)
    name: Literal["subset_accuracy"] = "subset_accuracy"

    def compute_rows(self, predictions: Predictions) -> float:
        return float(predictions.mean((predictions.labels == predictions.targets).all(axis=1)))


@metrics.register
class BalancedAccuracy(Metric):
    """Mean recall of the classes that occur in the data.

    Source: Brodersen et al. (2010), doi.org/10.1109/ICPR.2010.764
    """

    bounds = (0.0, 1.0)
    name: Literal["balanced_accuracy"] = "balanced_accuracy"

    def compute_rows(self, predictions: Predictions) -> float:
        counts = confusion(predictions)
        rows = counts.sum(axis=1)
        return float(np.mean(counts.diagonal()[rows > 0] / rows[rows > 0]))


class _Averaged(Metric):
    bounds = (0.0, 1.0)
    of_labels = True

    average: Average = Field(
        "auto",
        description="binary: for the positive class (dataset.positive); macro: mean over classes or labels; "
        "micro: over all rows; weighted: mean weighted by class counts; "
        "auto: binary for two classes, macro for more and for labels",
    )

    def unsupported_reason(self, info: DatasetInfo) -> str | None:
        many = info.classes is not None and len(info.classes) > 2
        if (many or info.multilabel) and self.average == "binary":
            return f"{self.name} with average: binary is of two classes; use macro, micro or weighted"
        return super().unsupported_reason(info)

    def compute_rows(self, predictions: Predictions) -> float:
        if predictions.multilabel:
            truth, labels = np.asarray(predictions.targets, np.int64), predictions.labels
            correct, actual, predicted = map(predictions.sum, (truth * labels, truth, labels))
        else:
            table = confusion(predictions)
            correct, actual, predicted = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
        average = self.average
        if average == "auto":
            average = "binary" if len(actual) == 2 and not predictions.multilabel else "macro"
        if average == "micro":  # of classes all three are the same: a row that one misses, another takes
            return float(_ratio(*self._per_class(correct.sum(), actual.sum(), predicted.sum())))
        values = _ratio(*self._per_class(correct, actual, predicted))
        if average == "binary":
            return float(values[1])
        counted = (actual + predicted > 0) | predictions.multilabel
        weights = actual[counted] if average == "weighted" and actual.any() else None
        return float(np.average(values[counted], weights=weights))

    def _per_class(self, correct: Counts, actual: Counts, predicted: Counts) -> Any:
        """Numerator and denominator of each class, from its rows: correct ones, its own, predicted as it."""
        raise NotImplementedError


@metrics.register
class Precision(_Averaged):
    """TP / (TP + FP); 0 if no row is predicted as the class."""

    name: Literal["precision"] = "precision"

    def _per_class(self, correct: Counts, actual: Counts, predicted: Counts) -> Any:
        return correct, predicted


@metrics.register
class Recall(_Averaged):
    """TP / (TP + FN); 0 if the class has no rows."""

    name: Literal["recall"] = "recall"

    def _per_class(self, correct: Counts, actual: Counts, predicted: Counts) -> Any:
        return correct, actual


@metrics.register
class F1(_Averaged):
    """Harmonic mean of precision and recall; 0 if the class neither occurs nor is predicted.

    Source: van Rijsbergen (1979), Information Retrieval, chapter 7, dcs.gla.ac.uk/Keith/Preface.html
    """

    name: Literal["f1"] = "f1"

    def _per_class(self, correct: Counts, actual: Counts, predicted: Counts) -> Any:
        return 2 * correct, actual + predicted


@metrics.register
class ConfusionMatrix(Metric):
    """Counts of rows, or sums of their weights, by true class (lists) and predicted class (entries)."""

    scalar = False

    name: Literal["confusion_matrix"] = "confusion_matrix"

    def compute(self, predictions: Predictions) -> list[list[float]]:
        counts: list[list[float]] = confusion(predictions).tolist()
        return counts


class _OfNumbers(Metric):
    target = "numbers"
    mode: ClassVar[Literal["min", "max"]] = "min"
    bounds = (0.0, math.inf)

    def compute_rows(self, predictions: Predictions) -> float:
        truth = np.asarray(predictions.targets, np.float64)
        return float(np.mean(self._per_target(predictions.points - truth, predictions)))

    def _per_target(self, errors: Floats, predictions: Predictions) -> Any:
        """[K] values from the errors [N, K]."""
        raise NotImplementedError


@metrics.register
class MeanSquaredError(_OfNumbers):
    """Mean squared error, in squared units of the target."""

    name: Literal["mse"] = "mse"

    def _per_target(self, errors: Floats, predictions: Predictions) -> Any:
        return predictions.mean(errors**2)


@metrics.register
class RootMeanSquaredError(_OfNumbers):
    """Root mean squared error, in units of the target."""

    name: Literal["rmse"] = "rmse"

    def _per_target(self, errors: Floats, predictions: Predictions) -> Any:
        return np.sqrt(predictions.mean(errors**2))


@metrics.register
class MeanAbsoluteError(_OfNumbers):
    """Mean absolute error, in units of the target."""

    name: Literal["mae"] = "mae"

    def _per_target(self, errors: Floats, predictions: Predictions) -> Any:
        return predictions.mean(np.abs(errors))


@metrics.register
class MaxError(_OfNumbers):
    """Maximum absolute error, in units of the target."""

    name: Literal["max_error"] = "max_error"

    def _per_target(self, errors: Floats, predictions: Predictions) -> Any:
        return np.abs(errors).max(axis=0)


@metrics.register
class R2(_OfNumbers):
    """Coefficient of determination: 1 is perfect, 0 is no better than the mean.

    nan where the target is the same number in every row.
    """

    mode = "max"
    bounds = (-math.inf, 1.0)

    name: Literal["r2"] = "r2"

    def _per_target(self, errors: Floats, predictions: Predictions) -> Any:
        truth = np.asarray(predictions.targets, np.float64)
        spread = predictions.sum((truth - predictions.mean(truth)) ** 2)
        spread[np.ptp(truth, axis=0) == 0] = math.nan  # rounding of the mean may leave a little
        score = 1 - predictions.sum(errors**2) / spread
        score[np.abs(score) < 1e-14] = 0  # rounding: the mean itself scores 0, not -2e-16
        return score


@metrics.register
class LogLoss(Metric):
    """Mean negative log-probability of the true class, or of each label as it is.

    Probabilities below the smallest step at 1 of their number format count as that step, so that one certain
    mistake is not infinite.
    """

    mode = "min"
    bounds = (0.0, math.inf)
    needs_probabilities = True
    of_labels = True

    name: Literal["log_loss"] = "log_loss"

    def compute_rows(self, predictions: Predictions) -> float:
        of_truth = predictions.of_truth
        step = float(np.finfo(of_truth.dtype).eps)
        logs = np.log(np.clip(of_truth.astype(np.float64), step, 1 - step))
        return float(-np.mean(predictions.mean(logs)))


@metrics.register
class Brier(Metric):
    """Mean squared difference between predicted probabilities and outcomes.

    Of class 1 for two classes and of each label (0 to 1), summed over the classes for more (0 to 2).
    Source: Brier (1950), doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2
    """

    mode = "min"
    bounds = (0.0, 2.0)
    needs_probabilities = True
    of_labels = True

    name: Literal["brier"] = "brier"

    def compute_rows(self, predictions: Predictions) -> float:
        if predictions.multilabel:
            return float(np.mean(predictions.mean((1 - predictions.of_truth.astype(np.float64)) ** 2)))
        probabilities = predictions.probabilities.astype(np.float64)
        probabilities[np.arange(len(probabilities)), predictions.targets] -= 1
        squares, weights, total = probabilities**2, predictions.weights, predictions.total
        summed = np.sum(squares if weights is None else squares * weights[:, None])
        return float(summed) / (2 * total if probabilities.shape[1] == 2 else total)


class ProbabilityBins(NamedTuple):
    """Bins of equally many rows by probability [B], or fewer where many rows are equally probable."""

    means: Floats
    """mean probabilities"""
    shares: Floats
    """how many came true"""
    rows: Ints
    mass: Floats
    """rows, or the sums of their weights"""
    scores: Floats
    """[N] the probability of each row: of class 1 of two classes, of more that of the predicted one"""


def probability_bins(predictions: Predictions, count: int = 10) -> ProbabilityBins:
    """How often probabilities came true; rows of one probability are in one bin."""
    targets = np.asarray(predictions.targets, np.int64)
    probabilities = np.asarray(predictions.probabilities, np.float64)
    if probabilities.shape[1] == 2:
        scores, came_true = probabilities[:, 1], targets == 1
    else:
        scores, came_true = probabilities.max(axis=1), targets == probabilities.argmax(axis=1)
    weights = np.ones(len(scores)) if predictions.weights is None else predictions.weights
    _, group = np.unique(scores, return_inverse=True)
    groups = np.bincount(group, weights)
    before = np.cumsum(groups) - groups  # of smaller probability
    _, bins, rows = np.unique(
        np.floor(count * before / groups.sum())[group], return_inverse=True, return_counts=True
    )
    mass = np.asarray(np.bincount(bins, weights), np.float64)
    means, shares = (np.bincount(bins, weights * values) / mass for values in (scores, came_true))
    return ProbabilityBins(means, shares, rows, mass, scores)


@metrics.register
class ECE(Metric):
    """Expected calibration error: mean distance of probabilities from the shares of rows that come true.

    Over ten bins of equally many rows by the probability of class 1 of two classes, or else of the predicted
    class.
    Source: Guo et al. (2017), arxiv.org/abs/1706.04599; equal bins: Nguyen and O'Connor (2015),
    doi.org/10.18653/v1/D15-1182
    """

    mode = "min"
    bounds = (0.0, 1.0)
    needs_probabilities = True

    name: Literal["ece"] = "ece"

    def compute_rows(self, predictions: Predictions) -> float:
        found = probability_bins(predictions)
        return float(np.sum(np.abs(found.means - found.shares) * found.mass) / found.mass.sum())


def _mean(predictions: Predictions, metric: Callable[[Ranking], float]) -> float:
    """The mean over class 1, or each of more than two or each label, where it is defined; else nan."""
    outputs, targets = predictions.outputs, predictions.targets
    if np.isnan(outputs).any():
        return math.nan
    weights = predictions.weights
    if predictions.multilabel:
        values = [metric(rank(*pair, weights)) for pair in zip(outputs.T, targets.T == 1, strict=True)]
    else:
        of_two = len(predictions.classes or ()) <= 2
        scores = {1: outputs[:, -1]} if of_two else dict(enumerate(outputs.T))
        values = [metric(rank(some, targets == number, weights)) for number, some in scores.items()]
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


@dataclass(frozen=True)
class Ranking:
    """Rows ranked by the score of one class: counts [T] (or weights) of the rows above each threshold.

    Entry 0 is the threshold that no row passes.
    """

    true_positives: Counts
    false_positives: Counts

    @property
    def positives(self) -> float:
        """Rows of the class, or the sum of their weights."""
        return float(self.true_positives[-1])

    @property
    def negatives(self) -> float:
        """Rows of other classes, or the sum of their weights."""
        return float(self.false_positives[-1])

    @property
    def roc(self) -> tuple[Floats, Floats]:
        """False and true positive rates."""
        return self.false_positives / (self.negatives or 1), self.true_positives / (self.positives or 1)

    @property
    def area(self) -> float:
        """Area under the ROC curve; nan where all rows are of the class, or none is."""
        pairs = self.positives * self.negatives
        # pairs in the right order, those of equal score counted half: exact up to 2^53
        above = (self.true_positives[1:] + self.true_positives[:-1]) / 2
        ordered = np.sum(np.diff(self.false_positives) * above)
        return float(ordered) / pairs if pairs else math.nan

    @property
    def precision_recall(self) -> tuple[Floats, Floats]:
        """Recall and precision; where nothing is above the threshold, precision is 1."""
        above = self.true_positives + self.false_positives
        precision = np.where(above > 0, _ratio(self.true_positives, above), 1.0)
        return self.true_positives / (self.positives or 1), precision

    @property
    def average_precision(self) -> float:
        """The mean of precision over the rows of the class; nan where there are none."""
        _, precision = self.precision_recall
        gained = float(np.sum(precision[1:] * np.diff(self.true_positives)))
        return gained / self.positives if self.positives else math.nan


def rank(scores: Scores, positive: Truth, weights: Floats | None = None) -> Ranking:
    """The ranking of rows by `scores` [N], those of equal score together."""
    order = np.argsort(-scores, kind="stable")
    is_last = np.append(np.diff(scores[order]) != 0, True)[: len(scores)]  # of those with its score
    ends = np.flatnonzero(is_last)
    counts = np.ones(len(scores), np.int64) if weights is None else weights
    right, wrong = (np.cumsum((side * counts)[order])[ends] for side in (positive, ~positive))
    return Ranking(np.append(0, right), np.append(0, wrong))


class _OfRanking(Metric):
    bounds = (0.0, 1.0)
    of_labels = True
    ranks = True


@metrics.register
class RocAuc(_OfRanking):
    """Probability that a row of the class is ranked above a row of another class; ties count half.

    With more than two classes the mean over classes, each against the rest; of labels the mean over those
    that differ between rows. nan where one class has all rows.
    Source: Hanley and McNeil (1982), doi.org/10.1148/radiology.143.1.7063747
    """

    name: Literal["roc_auc"] = "roc_auc"

    def compute_rows(self, predictions: Predictions) -> float:
        return _mean(predictions, lambda ranking: ranking.area)


@metrics.register
class AveragePrecision(_OfRanking):
    """Mean precision over the rows of the class, each at the threshold that just includes it.

    With more than two classes, and of labels, the mean over those that have rows, each against the rest; nan
    where class 1 of two has none.
    Source: Manning, Raghavan and Schuetze (2008), nlp.stanford.edu/IR-book, chapter 8
    """

    name: Literal["average_precision"] = "average_precision"

    def compute_rows(self, predictions: Predictions) -> float:
        return _mean(predictions, lambda ranking: ranking.average_precision)


class _OfQuantiles(Metric):
    target = "quantiles"
    mode: ClassVar[Literal["min", "max"]] = "min"
    bounds = (0.0, math.inf)


@metrics.register
class Pinball(_OfQuantiles):
    """Mean pinball loss of the predicted quantiles, in units of the target.

    Source: Koenker & Bassett (1978), doi.org/10.2307/1913643
    """

    name: Literal["pinball"] = "pinball"

    def compute_rows(self, predictions: Predictions) -> float:
        errors = np.asarray(predictions.targets, np.float64) - predictions.outputs
        levels = np.array(predictions.levels)
        return float(np.mean(predictions.mean(np.maximum(levels * errors, (levels - 1) * errors))))


@metrics.register
class Coverage(_OfQuantiles):
    """Share of rows between the lowest and the highest quantile, both included.

    It should be near the difference of their levels: 0.8 for quantiles of 0.1 and 0.9.
    """

    mode = "max"
    bounds = (0.0, 1.0)

    name: Literal["coverage"] = "coverage"

    def compute_rows(self, predictions: Predictions) -> float:
        truth, outputs = np.asarray(predictions.targets, np.float64)[:, 0], predictions.outputs
        return float(predictions.mean((truth >= outputs[:, 0]) & (truth <= outputs[:, -1])))


@metrics.register
class IntervalWidth(_OfQuantiles):
    """Mean distance from the lowest to the highest quantile, in units of the target."""

    name: Literal["interval_width"] = "interval_width"

    def compute_rows(self, predictions: Predictions) -> float:
        return float(predictions.mean(predictions.outputs[:, -1] - predictions.outputs[:, 0]))
