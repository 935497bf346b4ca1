"""How well classes are told apart: confusion, ranking, probabilities and their calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import style
from mlprun.figures.chart import (
    Axis,
    Bars,
    Chart,
    ColorScale,
    HeatMap,
    Line,
    Mark,
    Panel,
    Text,
    evenly,
    grid_of,
    horizontal,
)
from mlprun.figures.figure import NetworkFigure, run_figures
from mlprun.figures.style import SPLITS, LineStyle
from mlprun.parts import SplitName
from mlprun.parts.metrics import Ranking, rank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.figures.run_data import RunData
    from mlprun.parts.metrics import Predictions

CLASSES = 10
"""classes that have a curve or panel of their own, at most: those with most rows"""
POINTS = 2000
"""points of a drawn curve, at most"""
WRITTEN = 16
"""classes whose counts are written into the cells, at most"""
NAMED = 30
CALIBRATION_BINS, HISTOGRAM_BINS = 10, 20
PANELS = 12
DEFAULT_SPLIT = "split whose rows are drawn; by default test, or dev where there is no test"


class ClassFigure(NetworkFigure):
    """Base of the figures of predicted classes."""

    def check(self, data: RunData) -> str | None:
        return "targets are numbers" if data.classes is None else None


class ProbabilityFigure(ClassFigure):
    """Base of the figures of probabilities of classes."""

    def check(self, data: RunData) -> str | None:
        if data.classes is None:
            return "targets are numbers"
        is_probable = data.predictions(data.splits[0], data.last).probabilistic
        return None if is_probable else "the outputs are no probabilities"


@run_figures.register
class ConfusionMatrix(ClassFigure):
    """Number of rows of each class by predicted class."""

    name: Literal["confusion"] = "confusion"
    split: SplitName | None = Field(None, description=DEFAULT_SPLIT)

    def compute(self, data: RunData) -> Chart:
        epoch, split = self.epoch_of(data), _unseen(data, self.split)
        predicted = data.predictions(split, epoch)
        assert predicted.classes is not None
        count = len(predicted.classes)
        pairs = np.asarray(predicted.targets, np.int64) * count + predicted.labels
        counts = np.bincount(pairs, minlength=count * count).reshape(count, count)
        total, right = int(counts.sum()), float(np.trace(counts)) / max(1, int(counts.sum()))
        details = f"{split}, {total:,} rows; {data.describe(epoch)}; {right:.1%} on the diagonal"
        size = float(np.clip(2.9 + 0.27 * count, 3.3, 6.3))
        return Chart(
            f"Confusion matrix of {data.name}",
            (details,),
            (_confusion_panel(counts, predicted.classes),),
            width=size + 1.1 if count < 12 else style.PAGE,
            height=size,
        )


def _confusion_panel(counts: NDArray[np.int64], classes: tuple[str, ...]) -> Panel:
    """Cells of true classes down and predicted ones across."""
    count, few = len(classes), len(classes) <= 6
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    written = [
        [f"{n:,}" + (f"\n{share:.0%}" if few else "") for n, share in zip(*pair, strict=True)]
        for pair in zip(counts, shares, strict=True)
    ]
    size, marks = style.SIZE - (0 if few else 2), list[Mark]()
    if count <= WRITTEN:
        texts = tuple(
            tuple(text if n else "" for text, n in zip(*pair, strict=True))
            for pair in zip(written, counts, strict=True)
        )
        rows, columns = np.nonzero(counts == 0)
        zeros = tuple(written[row][column] for row, column in zip(rows, columns, strict=True))
        marks = [Text(columns.astype(np.float64), rows.astype(np.float64), zeros, "#999999", size)]
    else:
        texts = ()
    ends = (count - 0.5, -0.5)
    x, y = Axis("predicted class"), Axis("true class", limits=ends)
    if count <= NAMED:
        names, places = tuple(style.name(name, 14) for name in classes), tuple(range(count))
        x = Axis(x.label, "category", ticks=places, tick_labels=names)
        y = Axis(y.label, "category", ends, places, names)
    return Panel(
        (HeatMap(shares, texts=texts, text_size=size), *marks),
        x,
        y,
        "" if count <= NAMED else "class ids",
        aspect="equal",
        grid="none",
        frame=False,
        colors=ColorScale("share of the true class", 0, 1, palette="Blues"),
    )


class ThresholdCurve(NetworkFigure):
    """Base of the figures of one curve for each split or class over all thresholds."""

    title: ClassVar[str]
    labels: ClassVar[tuple[str, str]]
    """of the axes"""

    split: SplitName | None = Field(
        None, description="split whose rows are ranked; by default all splits of two classes, test of more"
    )

    def check(self, data: RunData) -> str | None:
        if data.classes is None:
            return "targets are numbers"
        present = [len(np.unique(data.rows(split).truth)) for split in data.splits]
        return None if max(present) > 1 else "all rows are of one class"

    def compute(self, data: RunData) -> Chart:
        about, ranked = rankings(data, self.epoch_of(data), self.split)
        x, y = (Axis(label, limits=(0, 1)) for label in self.labels)
        panel = Panel(tuple(self._marks(ranked)), x, y, aspect="equal")
        return Chart(f"{self.title} of {data.name}", (about,), (panel,), width=4.7, height=5.1)

    def _marks(self, ranked: dict[str, tuple[Ranking, LineStyle]]) -> list[Mark]:
        raise NotImplementedError


@run_figures.register
class RocCurve(ThresholdCurve):
    """The ROC curve: true against false positives over all thresholds.

    Of more than two classes, each is ranked against all others.
    Source: Fawcett (2006), doi.org/10.1016/j.patrec.2005.10.010
    """

    title: ClassVar[str] = "ROC curve"
    labels: ClassVar[tuple[str, str]] = ("false positive rate", "true positive rate")
    name: Literal["roc"] = "roc"

    def _marks(self, ranked: dict[str, tuple[Ranking, LineStyle]]) -> list[Mark]:
        ends = np.array([0.0, 1.0])
        marks: list[Mark] = [Line(ends, ends, "chance (AUC = 0.50)", **style.GUIDE)]
        for name, (ranking, look) in ranked.items():
            marks.append(_threshold_line(ranking.roc, f"{name} (AUC = {ranking.area:.3f})", look))
        return marks


@run_figures.register
class PrecisionRecall(ThresholdCurve):
    """Precision against recall over all thresholds.

    Of more than two classes, each is ranked against all others.
    AP is the average precision; a thin line shows what chance would give.
    Source: Davis and Goadrich (2006), doi.org/10.1145/1143844.1143874
    """

    title: ClassVar[str] = "Precision and recall"
    labels: ClassVar[tuple[str, str]] = ("recall", "precision")
    name: Literal["precision_recall"] = "precision_recall"

    def _marks(self, ranked: dict[str, tuple[Ranking, LineStyle]]) -> list[Mark]:
        chances, curves = list[Mark](), list[Mark]()
        for name, (ranking, look) in ranked.items():
            share = ranking.positives / (ranking.positives + ranking.negatives)
            color = style.lighter(look.color, 0.4)
            chances.append(horizontal(share, color=color, width=0.7, dashes=look.dashes))
            label = f"{name} (AP = {ranking.average_precision:.3f})"
            curves.append(_threshold_line(ranking.precision_recall, label, look, interpolate="step"))
        nothing = np.empty(0)
        key = Line(nothing, nothing, "chance: share of the class", style.GREY, width=0.7)
        return [*chances, *curves, key]


def _threshold_line(points: Any, label: str, look: LineStyle, interpolate: Any = "linear") -> Line:
    x, y = points
    chosen = evenly(len(x), POINTS)
    return Line(
        np.asarray(x, np.float64)[chosen], np.asarray(y, np.float64)[chosen], label, look.color, look.dashes,
        interpolate=interpolate,
    )  # fmt: skip


def rankings(
    data: RunData, epoch: int, split: str | None
) -> tuple[str, dict[str, tuple[Ranking, LineStyle]]]:
    """Rankings of each split (of two classes) or of each class (of more, on one split), and what they are.

    Those without rows of both kinds are left out.
    """
    classes = data.classes
    assert classes is not None
    ranked: dict[str, tuple[Ranking, LineStyle]] = {}
    if len(classes) <= 2:
        for name in (split,) if split in data.splits else data.splits:
            assert name is not None
            one = data.predictions(name, epoch)
            ranked[name] = rank(_score(one, 1), one.targets == 1), SPLITS[name]
        about = f"{data.describe(epoch)}; positive class: {style.name(classes[-1])}"
    else:
        chosen = _unseen(data, split)
        one = data.predictions(chosen, epoch)
        frequent = frequent_classes(one)
        for k, index in enumerate(frequent):
            look = LineStyle.of(k)._replace(color=style.color_of(k, len(frequent)))
            ranked[f"class {style.name(classes[index])}"] = (
                rank(_score(one, index), one.targets == index),
                look,
            )
        fewer = f"; the {len(frequent)} of {len(classes)} classes with most rows"
        about = f"{chosen}, {data.describe(epoch)}; each class against all others"
        about += fewer if len(frequent) < len(classes) else ""
    return about, {name: pair for name, pair in ranked.items() if pair[0].positives and pair[0].negatives}


def _score(predicted: Predictions, index: int) -> NDArray[np.floating]:
    outputs = predicted.outputs
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, index]


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
    """Histograms of probabilities by true class, of two classes at each epoch of `snapshots:`."""

    name: Literal["probabilities"] = "probabilities"
    split: SplitName | None = Field(None, description=DEFAULT_SPLIT)

    def compute(self, data: RunData) -> Chart:
        epoch, split = self.epoch_of(data), _unseen(data, self.split)
        predicted = data.predictions(split, epoch)
        assert predicted.classes is not None
        about = f"{split}, {len(predicted.targets):,} rows"
        if len(predicted.classes) > 2:
            about += f"; {data.describe(epoch)}"
            labels, axis = ("rows of that class", "rows of all others"), "predicted probability"
            counts = {
                f"class {style.name(predicted.classes[k])}": histogram_of(predicted, k)
                for k in frequent_classes(predicted)
            }
        else:
            first, second = (f"class {style.name(predicted.classes[k])}" for k in (0, -1))
            labels, axis = (second, first), f"probability of {second}"
            counts = {
                data.describe(moment): histogram_of(data.predictions(split, moment), 1)
                for moment in data.kept_epochs(PANELS)
            }
        # whether one bar is so high that the others would vanish
        highest = [max(int(pair[side].max()) for pair in counts.values()) for side in (0, 1)]
        scale: Any = "symlog" if max(highest) > 6 * max(1, min(highest)) else "linear"
        y = Axis("rows", scale, (0, None), format="integer") if scale == "symlog" else Axis("rows")
        panels = [
            Panel(_histogram_marks(pair, labels), Axis(axis, limits=(0, 1)), y, title)
            for title, pair in counts.items()
        ]
        return grid_of(
            f"Probabilities by class of {data.name}", (about,), panels, columns=2 if len(panels) <= 4 else 3,
            height=1.9, alone=3.9, heading=1.3, share="both",
        )  # fmt: skip


def histogram_of(predicted: Predictions, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts [HISTOGRAM_BINS] of rows by the probability of one class: of that class, and of all others."""
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    scores = np.clip(predicted.probabilities[:, index], 0, 1)  # the last bin takes 1 itself
    inside = np.asarray(predicted.targets) == index
    return np.histogram(scores[inside], edges)[0], np.histogram(scores[~inside], edges)[0]


def _histogram_marks(
    counts: tuple[NDArray[np.int64], NDArray[np.int64]], labels: tuple[str, str]
) -> tuple[Mark, ...]:
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    looks = ((1, style.BLUE, ""), (0, style.ORANGE, "/////"))
    return tuple(
        Bars(edges[:-1], edges[1:], counts[side].astype(np.float64), label=labels[side], opacity=0.75,
             color=style.lighter(color, 0.35), edge=color, hatch=hatch)
        for side, color, hatch in looks
    )  # fmt: skip


@run_figures.register
class CalibrationCurve(ProbabilityFigure):
    """Observed frequency against predicted probability in ten bins, with the number of rows per bin below.

    Of two classes it is the probability of the second, of more that of the predicted class. ECE is the
    expected calibration error: the mean distance from the diagonal over rows.
    Source: Guo et al. (2017), arxiv.org/abs/1706.04599
    """

    name: Literal["calibration"] = "calibration"

    def compute(self, data: RunData) -> Chart:
        assert data.classes is not None
        epoch, ends = self.epoch_of(data), np.array([0.0, 1.0])
        names = ("probability of the predicted class", "share of right predictions")
        if len(data.classes) <= 2:
            second = style.name(data.classes[-1])
            names = (f"probability of class {second}", f"share of class {second}")
        curves: list[Mark] = [Line(ends, ends, "perfectly calibrated", **style.GUIDE)]
        counts = list[Mark]()
        edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
        for split in data.splits:
            means, shares, rows = reliability(data.predictions(split, epoch))
            error = float(np.sum(np.abs(means - shares) * rows) / max(1, rows.sum()))
            look = SPLITS[split]
            curves.append(Line(means, shares, f"{split} (ECE = {error:.3f})", *look))
            share = np.histogram(means, edges, weights=rows)[0] / max(1, rows.sum())
            counts.append(
                Bars(
                    edges[:-1],
                    edges[1:],
                    share,
                    color="none",
                    edge=look.color,
                    edge_width=1.4,
                    dashes=look.dashes,
                )
            )
        x, y = Axis(names[0], limits=(0, 1)), Axis(names[1], limits=(-0.02, 1.02))
        return Chart(
            f"Calibration of {data.name}",
            (data.describe(epoch),),
            (Panel(tuple(curves), x, y), Panel(tuple(counts), x, Axis("share of rows"))),
            width=4.9,
            height=5.6,
            share="x",
            heights=(3.2, 1),
        )


def reliability(predicted: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Per bin with any rows: the mean probability, the share that came true, and the number of rows."""
    targets = np.asarray(predicted.targets, np.int64)
    if predicted.classes is not None and len(predicted.classes) <= 2:
        scores, came_true = predicted.probabilities[:, 1], targets == 1
    else:
        scores, came_true = predicted.probabilities.max(axis=1), targets == predicted.labels
    bins = np.clip((scores * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)
    rows = np.bincount(bins, minlength=CALIBRATION_BINS)
    present = rows > 0
    means, shares = (
        np.bincount(bins, weights=values, minlength=CALIBRATION_BINS)[present] / rows[present]
        for values in (scores, came_true)
    )
    return means, shares, rows[present]
