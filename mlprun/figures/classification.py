"""How well classes are told apart: confusion, ranking, probabilities and their calibration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from mlprun.analysis.statistics import success_rate
from mlprun.figures import chart, style
from mlprun.figures.chart import Array, Axis, Bars, Chart, ColorScale, HeatMap, Line, Mark, Panel, Points
from mlprun.figures.figure import NetworkFigure, run_figures
from mlprun.figures.rows import class_label
from mlprun.figures.style import SPLITS, LineStyle
from mlprun.parts import SplitName
from mlprun.parts.metrics import ECE, Predictions, Ranking, confusion, probability_bins, rank

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlprun.figures.run_data import RunData

CLASSES = 10
"""classes that have a panel of their own, at most: those with most rows"""
CURVES = 5
"""classes that have a curve of their own, at most: those that are told apart worst"""
AVERAGED = 501
"""points at which curves of classes are averaged"""
POINTS = 2000
"""points of a drawn curve, at most"""
NAMED = 30
"""classes whose names are beside the cells, at most"""
HISTOGRAM_BINS = 20
CALIBRATION_ROWS = 50
"""rows of which a calibration says something, at least"""
DETAILED = 5
"""classes whose cells have shares beside counts, at most"""


class ClassFigure(NetworkFigure):
    """Base of the figures of predicted classes on one split."""

    split: SplitName | None = Field(
        None, description="split whose rows are drawn; by default test, or dev where there is no test"
    )

    def drawn(self, data: RunData) -> tuple[int, str, Predictions]:
        """The epoch, the split, and what is predicted there."""
        epoch, split = self.epoch_of(data), _unseen(data, self.split)
        return epoch, split, data.predictions(split, epoch)

    def check(self, data: RunData) -> str | None:
        return _no_classes(data)


def _no_classes(data: RunData) -> str | None:
    """Why a figure of classes cannot be drawn, if so."""
    if data.classes is not None:
        return None
    return f"targets are {'labels' if data.preprocessing.multilabel else 'numbers'}"


class ProbabilityFigure(ClassFigure):
    """Base of the figures of probabilities of classes."""

    def check(self, data: RunData) -> str | None:
        reason = super().check(data)
        if reason is None and not data.predictions(data.splits[0], data.last).probabilistic:
            return "the outputs are no probabilities"
        return reason


@run_figures.register
class ConfusionMatrix(ClassFigure):
    """Number of rows of each class by predicted class."""

    name: Literal["confusion"] = "confusion"

    def compute(self, data: RunData) -> Chart:
        epoch, split, predicted = self.drawn(data)
        assert predicted.classes is not None
        count, counts = len(predicted.classes), confusion(predicted)
        total, right = int(counts.sum()), float(np.trace(counts)) / max(1, int(counts.sum()))
        details = f"{data.describe(epoch, counts_rows=True)}; {right:.1%} of {total:,} rows on the diagonal"
        size = float(np.clip(2.9 + 0.27 * count, 3.5, style.PAGE))
        panel = _confusion_panel(counts, tuple(style.name(name, 14) for name in predicted.classes))
        title = f"Confusion matrix: {data.name}, {split}"
        return Chart(title, (details,), (panel,), width=min(size + 0.5, style.PAGE), height=size)


def _confusion_panel(counts: NDArray[Any], names: tuple[str, ...]) -> Panel:
    """Cells of true classes down and predicted ones across."""
    count = len(names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if count <= DETAILED:
        pairs = zip(counts.ravel().tolist(), shares.ravel().tolist(), strict=True)
        written = np.reshape([f"{n:,}\n{share:.0%}" for n, share in pairs], counts.shape)
    else:
        written = np.reshape([f"{n:,}" if n else "" for n in counts.ravel().tolist()], counts.shape)
    texts = tuple(map(tuple, written.tolist()))
    axis = Axis("", "category", (-0.5, count - 0.5))
    if count <= NAMED:
        axis = replace(axis, ticks=tuple(range(count)), tick_labels=names)
    return Panel(
        (HeatMap(shares, texts=texts),),
        replace(axis, label="predicted class"),
        replace(axis, label="true class", limits=(count - 0.5, -0.5)),
        aspect="equal",
        colors=ColorScale("", 0, 1, palette="Blues"),
    )


class Curve(NamedTuple):
    """The curve of a split or a class over all thresholds."""

    label: str
    x: Array
    y: Array
    area: float
    point: tuple[float, float]
    """where the network's own threshold or choice lies"""
    look: LineStyle
    share: float
    """of the rows that are of the class"""


class ThresholdCurve(NetworkFigure):
    """Base of the figures of one curve for each split or class over all thresholds."""

    title: ClassVar[str]
    labels: ClassVar[tuple[str, str]]
    """of the axes"""
    area: ClassVar[str]
    """what the area under the curve is called"""
    has_steps: ClassVar[bool] = False

    split: SplitName | None = Field(
        None, description="split whose rows are ranked; by default all splits of two classes, test of more"
    )

    def check(self, data: RunData) -> str | None:
        if not data.preprocessing.multilabel and (reason := _no_classes(data)):
            return reason
        present = [len(np.unique(data.rows(split).truth)) for split in data.splits]
        return None if max(present) > 1 else "all rows are of one class"

    def compute(self, data: RunData) -> Chart:
        classes, name = data.classes or data.preprocessing.target_names, data.name
        unit, about = ("classes", "each class against all others") if data.classes else ("labels", "")
        epoch, is_binary = self.epoch_of(data), unit == "classes" and len(classes) <= 2
        splits = data.splits if is_binary and self.split not in data.splits else (_unseen(data, self.split),)
        curves = [curve for split in splits for curve in self._curves(data, split, epoch)]
        marks = self.guides([one.share for one in curves])
        if is_binary:
            about = f"positive class: {style.name(classes[-1])}"
        else:
            name = f"{data.name}, {splits[0]}"
            grid, area = np.linspace(0, 1, AVERAGED), float(np.mean([curve.area for curve in curves]))
            macro = np.mean([self.at(curve, grid) for curve in curves], axis=0)
            label = f"mean of {len(curves)} {unit} ({self.area} {area:.3f})"
            marks.append(Line(grid, macro, label, width=2.4))
            worst = sorted(range(len(curves)), key=lambda k: (curves[k].area, k))[:CURVES]
            curves = [curves[k] for k in sorted(worst)]
            if len(curves) < len(classes):
                cut = f"the {len(curves)} of {len(classes)} {unit} with the smallest {self.area}"
                about = f"{about}; {cut}" if about else cut
        for one in curves:
            shown = chart.evenly_spaced(len(one.x), POINTS)
            label = f"{one.label} ({self.area} {one.area:.3f})"
            marks.append(Line(one.x[shown], one.y[shown], label, *one.look[:2], has_steps=self.has_steps))
            x, y = np.array(one.point)[:, None]
            marks.append(Points(x, y, color=one.look.color, size=30))
        threshold = data.predictions(splits[0], epoch).threshold
        chosen = f"at the threshold {threshold:.3g}"
        where = chosen if is_binary or unit == "labels" else "predicted class"
        marks.append(chart.legend_entry(where, color=style.GREY, size=30))
        across, up = (Axis(label, limits=(-0.01, 1.01)) for label in self.labels)
        panel = Panel(tuple(marks), across, up, aspect="equal")
        details = chart.joined(data.describe(epoch, counts_rows=True), about)
        return Chart(f"{self.title}: {name}", details, (panel,), width=4.5, height=4.7)

    def _curves(self, data: RunData, split: str, epoch: int) -> Iterator[Curve]:
        """The curve of the second of two classes, or of each class or label that has rows, on a split."""
        one = data.predictions(split, epoch)
        names = tuple(map(class_label, one.classes or data.preprocessing.target_names))
        count, is_binary = len(names), one.classes is not None and len(names) <= 2
        for index in (count - 1,) if is_binary else range(count):
            look = LineStyle(style.color_of(index, count), style.DASHES[index % len(style.DASHES)])
            label, look = (split, SPLITS[split]) if is_binary else (names[index], look)
            answer, of = (one.target(index), 1) if one.multilabel else (one, index)
            positive = np.asarray(answer.targets) == of
            ranking = rank(one.outputs[:, -1 if is_binary else index], positive)
            if ranking.positives and ranking.negatives:
                yield self.curve(label, ranking, positive, answer.labels == of, look)

    def guides(self, shares: list[float]) -> list[Mark]:
        """What chance would give for classes with these shares of the rows."""
        raise NotImplementedError

    def curve(self, label: str, ranking: Ranking, positive: Any, chosen: Any, look: LineStyle) -> Curve:
        """The curve of one ranking; `chosen` rows [N] are those that the network says are of the class."""
        raise NotImplementedError

    def at(self, curve: Curve, x: Array) -> Array:
        """The height [P] of a curve at `x` [P]."""
        raise NotImplementedError


@run_figures.register
class RocCurve(ThresholdCurve):
    """The ROC curve: true against false positives over all thresholds.

    Of more than two classes, each is ranked against all others: the five with the smallest area, and the mean
    over all classes. Dots are the network's own choices.
    Source: Fawcett (2006), doi.org/10.1016/j.patrec.2005.10.010
    """

    title, area = "ROC curve", "AUC"
    labels = ("false positive rate", "true positive rate")
    name: Literal["roc"] = "roc"

    def guides(self, shares: list[float]) -> list[Mark]:
        return [chart.diagonal(0, 1, "")]

    def curve(self, label: str, ranking: Ranking, positive: Any, chosen: Any, look: LineStyle) -> Curve:
        point = float(np.mean(chosen[~positive])), float(np.mean(chosen[positive]))
        return Curve(label, *ranking.roc, ranking.area, point, look, float(positive.mean()))

    def at(self, curve: Curve, x: Array) -> Array:
        heights = np.interp(x, curve.x, curve.y)
        heights[0] = 0.0
        return heights


@run_figures.register
class PrecisionRecall(ThresholdCurve):
    """Precision against recall over all thresholds.

    Of more than two classes, each is ranked against all others: the five with the smallest area, and the mean
    over all classes. AP is the average precision; a thin line shows what chance would give, and dots are the
    network's own choices.
    Source: Davis and Goadrich (2006), doi.org/10.1145/1143844.1143874
    """

    title, area = "Precision and recall", "AP"
    labels = ("recall", "precision")
    name: Literal["precision_recall"] = "precision_recall"

    has_steps = True

    def guides(self, shares: list[float]) -> list[Mark]:
        return [chart.horizontal(float(np.mean(shares)))] if shares else []

    def curve(self, label: str, ranking: Ranking, positive: Any, chosen: Any, look: LineStyle) -> Curve:
        """Of thresholds with one recall the highest precision; nothing is known at recall 0 itself."""
        recall, precision = ranking.precision_recall
        gained = np.flatnonzero(np.diff(recall, prepend=0.0) > 0)
        x, y = np.append(0.0, recall[gained]), precision[gained][[0, *range(len(gained))]]
        hits = float(np.sum(chosen & positive))
        point = hits / ranking.positives, hits / max(1.0, float(np.sum(chosen)))
        return Curve(label, x, y, ranking.average_precision, point, look, float(positive.mean()))

    def at(self, curve: Curve, x: Array) -> Array:
        return curve.y[np.minimum(np.searchsorted(curve.x, x), len(curve.y) - 1)]


def frequent_classes(predicted: Predictions) -> list[int]:
    """The classes with most rows, as many as a chart has room for, in the order of their ids."""
    assert predicted.classes is not None
    counts = np.bincount(np.asarray(predicted.targets, np.int64), minlength=len(predicted.classes))
    return sorted(int(index) for index in np.argsort(-counts, kind="stable")[:CLASSES])


def _unseen(data: RunData, split: str | None) -> str:
    """The split that is asked for, or the one that training used least."""
    return split if split in data.splits else data.splits[-1]


@run_figures.register
class ProbabilityHistograms(ProbabilityFigure):
    """Histograms of the probability that rows of each class give it, rightly predicted ones and others."""

    is_default = False

    name: Literal["probabilities"] = "probabilities"

    def compute(self, data: RunData) -> Chart:
        epoch, split, predicted = self.drawn(data)
        panels, edges = [], np.linspace(0, 1, HISTOGRAM_BINS + 1)
        assert predicted.classes is not None
        for index in frequent_classes(predicted):
            right, wrong = (counts.astype(np.float64) for counts in of_class(predicted, index))
            bars = (
                Bars(edges[:-1], edges[1:], right, label="correct", color=style.SKY),
                Bars(edges[:-1], edges[1:], right + wrong, right, "incorrect", style.VERMILLION),
            )
            x = Axis("probability of its class", limits=(0, 1), ticks=(0, 0.5, 1))
            panels.append(
                Panel(bars, x, Axis("rows", is_integer=True), class_label(predicted.classes[index]))
            )
        title = f"Predicted probabilities: {data.name}, {split}"
        about = data.describe(epoch, counts_rows=True)
        about += f"; {len(predicted.targets):,} rows, each in the panel of its class"
        height = 2.3 if len(panels) <= 4 else 1.7
        return chart.grid_of(title, (about,), panels, columns=5, height=height, share="both")


def of_class(predicted: Predictions, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts [HISTOGRAM_BINS] of the rows of a class by its probability: rightly predicted ones, others."""
    inside = np.asarray(predicted.targets) == index
    scores, right = predicted.probabilities[inside, index], predicted.labels[inside] == index
    return _histogram(scores[right]), _histogram(scores[~right])


def _histogram(scores: Array) -> NDArray[np.int64]:
    return np.histogram(np.clip(scores, 0, 1), np.linspace(0, 1, HISTOGRAM_BINS + 1))[0]


@run_figures.register
class CalibrationCurve(ProbabilityFigure):
    """Observed frequency against predicted probability in bins of equally many rows, with their intervals.

    Of two classes it is the probability of the second, of more that of the predicted class. Intervals are
    Wilson's with 95% confidence. ECE is the expected calibration error: the mean distance of the bins from
    the diagonal over rows. Below is how the probabilities are distributed.
    Source: Guo et al. (2017), arxiv.org/abs/1706.04599
    """

    is_default = False

    name: Literal["calibration"] = "calibration"

    def check(self, data: RunData) -> str | None:
        reason = super().check(data)
        if reason is None:
            split = _unseen(data, self.split)
            count = len(data.rows(split))
            if count < CALIBRATION_ROWS:
                return f"{split} has {count} rows; {CALIBRATION_ROWS} say something about probabilities"
        return reason

    def compute(self, data: RunData) -> Chart:
        assert data.classes is not None
        epoch, split, predicted = self.drawn(data)
        names = ("probability of the predicted class", "share of correct predictions")
        if len(data.classes) <= 2:
            second = class_label(data.classes[-1])
            names = (f"probability of {second}", f"share of {second}")
        found, error = probability_bins(predicted), ECE().compute_rows(predicted)
        counts = zip(found.shares.tolist(), found.rows.tolist(), strict=True)
        rates = [success_rate(round(share * rows), rows) for share, rows in counts]
        low, high = np.array([rate.interval for rate in rates], np.float64).T
        color, total = SPLITS[split].color, int(found.rows.sum())
        least, most = int(found.rows.min()), int(found.rows.max())
        curve: tuple[Mark, ...] = (
            chart.diagonal(0, 1, "perfectly calibrated"),
            chart.intervals(found.means, low, high, color=color),
            Line(found.means, found.shares, f"{split} (ECE {error:.3f})", color, marker="o", width=1.2),
        )
        edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
        rows = _histogram(found.scores).astype(np.float64)
        bars = Bars(edges[:-1], edges[1:], rows, color=style.lighter(color, 0.6), edge=color)
        x, y = Axis(names[0], limits=(0, 1)), Axis(names[1], limits=(-0.02, 1.02))
        each = f"{least}" if least == most else f"{least} to {most}"
        about = data.describe(epoch, counts_rows=True)
        about += f"; bins of {each} of {total:,} rows; Wilson's 95% intervals"
        return Chart(
            f"Calibration: {data.name}, {split}",
            (about,),
            (Panel(curve, x, y), Panel((bars,), x, Axis("rows", is_integer=True))),
            width=4.5,
            height=5.0,
            share="x",
            heights=(3.6, 1),
        )
