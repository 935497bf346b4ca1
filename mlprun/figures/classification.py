"""How well classes are told apart: confusion, ranking, probabilities and their calibration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import chart, style
from mlprun.figures.chart import Axis, Bars, Chart, ColorScale, HeatMap, Line, Mark, Panel
from mlprun.figures.figure import NetworkFigure, run_figures
from mlprun.figures.rows import class_label
from mlprun.figures.style import SPLITS, LineStyle
from mlprun.parts import SplitName
from mlprun.parts.metrics import Ranking, confusion, rank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.figures.chart import Array
    from mlprun.figures.run_data import RunData
    from mlprun.parts.metrics import Predictions

CLASSES = 10
"""classes that have a curve or panel of their own, at most: those with most rows"""
POINTS = 2000
"""points of a drawn curve, at most"""
NAMED = 30
"""classes whose names are beside the cells, at most"""
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
        reason = super().check(data)
        if reason is None and not data.predictions(data.splits[0], data.last).probabilistic:
            return "the outputs are no probabilities"
        return reason


@run_figures.register
class ConfusionMatrix(ClassFigure):
    """Number of rows of each class by predicted class."""

    name: Literal["confusion"] = "confusion"
    split: SplitName | None = Field(None, description=DEFAULT_SPLIT)

    def compute(self, data: RunData) -> Chart:
        epoch, split = self.epoch_of(data), _unseen(data, self.split)
        predicted = data.predictions(split, epoch)
        assert predicted.classes is not None
        count, counts = len(predicted.classes), confusion(predicted)
        total, right = int(counts.sum()), float(np.trace(counts)) / max(1, int(counts.sum()))
        details = f"{split}, {total:,} rows; {data.describe(epoch)}; {right:.1%} on the diagonal"
        size = float(np.clip(3 + 0.27 * count, 3.6, style.PAGE))
        panel = _confusion_panel(counts, tuple(style.name(name, 14) for name in predicted.classes))
        width = min(size + 1.1, style.PAGE)
        return Chart(f"Confusion matrix of {data.name}", (details,), (panel,), width=width, height=size)


def _confusion_panel(counts: NDArray[np.int64], names: tuple[str, ...]) -> Panel:
    """Cells of true classes down and predicted ones across."""
    count = len(names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    texts = tuple(tuple(f"{n:,}" for n in row) for row in counts)
    axis = Axis("", "category", (-0.5, count - 0.5))
    if count <= NAMED:
        axis = replace(axis, ticks=tuple(range(count)), tick_labels=names)
    return Panel(
        (HeatMap(shares, texts=texts),),
        replace(axis, label="predicted class"),
        replace(axis, label="true class", limits=(count - 0.5, -0.5)),
        aspect="equal",
        colors=ColorScale("share of the true class", 0, 1, palette="Blues"),
    )


class ThresholdCurve(NetworkFigure):
    """Base of the figures of one curve for each split or class over all thresholds."""

    title: ClassVar[str]
    labels: ClassVar[tuple[str, str]]
    """of the axes"""
    has_steps: ClassVar[bool] = False

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
        across, up = (Axis(label, limits=(-0.01, 1.01)) for label in self.labels)
        marks = self.guides(list(ranked.values()))
        for name, (ranking, look) in ranked.items():
            (x, y), area = self.curve(ranking)
            shown, label = chart.evenly_spaced(len(x), POINTS), f"{name} ({area})"
            marks.append(Line(x[shown], y[shown], label, *look[:2], has_steps=self.has_steps))
        panel = Panel(tuple(marks), across, up, aspect="equal")
        return Chart(f"{self.title} of {data.name}", (about,), (panel,), width=4.7, height=5.1)

    def guides(self, ranked: list[tuple[Ranking, LineStyle]]) -> list[Mark]:
        """What chance would give."""
        raise NotImplementedError

    def curve(self, ranking: Ranking) -> tuple[Any, str]:
        """The points of a curve and the area under it."""
        raise NotImplementedError


@run_figures.register
class RocCurve(ThresholdCurve):
    """The ROC curve: true against false positives over all thresholds.

    Of more than two classes, each is ranked against all others.
    Source: Fawcett (2006), doi.org/10.1016/j.patrec.2005.10.010
    """

    title = "ROC curve"
    labels = ("false positive rate", "true positive rate")
    name: Literal["roc"] = "roc"

    def guides(self, ranked: list[tuple[Ranking, LineStyle]]) -> list[Mark]:
        return [chart.diagonal(0, 1, "chance (AUC = 0.50)")]

    def curve(self, ranking: Ranking) -> tuple[Any, str]:
        return ranking.roc, f"AUC = {ranking.area:.3f}"


@run_figures.register
class PrecisionRecall(ThresholdCurve):
    """Precision against recall over all thresholds.

    Of more than two classes, each is ranked against all others.
    AP is the average precision; a thin line shows what chance would give.
    Source: Davis and Goadrich (2006), doi.org/10.1145/1143844.1143874
    """

    title = "Precision and recall"
    labels = ("recall", "precision")
    name: Literal["precision_recall"] = "precision_recall"

    has_steps = True

    def guides(self, ranked: list[tuple[Ranking, LineStyle]]) -> list[Mark]:
        shares = [one.positives / (one.positives + one.negatives) for one, _ in ranked]
        return [chart.horizontal(share, "chance: share of the class") for share in dict.fromkeys(shares)]

    def curve(self, ranking: Ranking) -> tuple[Any, str]:
        return ranking.precision_recall, f"AP = {ranking.average_precision:.3f}"


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
            ranked[name] = rank(one.outputs[:, -1], one.targets == 1), SPLITS[name]
        about = f"{data.describe(epoch)}; positive class: {style.name(classes[-1])}"
    else:
        chosen = _unseen(data, split)
        one = data.predictions(chosen, epoch)
        frequent = frequent_classes(one)
        for k, index in enumerate(frequent):
            ranking = rank(one.outputs[:, index], one.targets == index)
            ranked[class_label(classes[index])] = ranking, LineStyle.of(k)
        about = f"{chosen}, {data.describe(epoch)}; each class against all others"
        if len(frequent) < len(classes):
            about += f"; the {len(frequent)} of {len(classes)} classes with most rows"
    return about, {name: pair for name, pair in ranked.items() if pair[0].positives and pair[0].negatives}


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
        about, classes = f"{split}, {len(predicted.targets):,} rows", predicted.classes
        if len(classes) > 2:
            about += f"; {data.describe(epoch)}"
            labels, axis = ("rows of that class", "rows of all others"), "predicted probability"
            counts = {
                class_label(classes[k]): histogram_of(predicted, k) for k in frequent_classes(predicted)
            }
        else:
            labels = class_label(classes[-1]), class_label(classes[0])
            axis = f"probability of {labels[0]}"
            counts = {
                data.describe(moment): histogram_of(data.predictions(split, moment), 1)
                for moment in data.kept_epochs(PANELS)
            }
        edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
        looks = ((1, style.BLUE, ""), (0, style.ORANGE, "/////"))
        panels = [
            Panel(
                tuple(
                    Bars(edges[:-1], edges[1:], pair[side].astype(np.float64), label=labels[side],
                         color=style.lighter(color, 0.5), edge=color, hatch=hatch)
                    for side, color, hatch in looks
                ),
                Axis(axis, limits=(0, 1)), Axis("rows"), title,
            )
            for title, pair in counts.items()
        ]  # fmt: skip
        return chart.grid_of(
            f"Probabilities by class of {data.name}", (about,), panels, height=1.9, share="x"
        )


def histogram_of(predicted: Predictions, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts [HISTOGRAM_BINS] of rows by the probability of one class: of that class, and of all others."""
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    scores = np.clip(predicted.probabilities[:, index], 0, 1)  # the last bin takes 1 itself
    inside = np.asarray(predicted.targets) == index
    return np.histogram(scores[inside], edges)[0], np.histogram(scores[~inside], edges)[0]


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
        epoch, curves, counts = self.epoch_of(data), list[Mark](), list[Mark]()
        names = ("probability of the predicted class", "share of right predictions")
        if len(data.classes) <= 2:
            second = class_label(data.classes[-1])
            names = (f"probability of {second}", f"share of {second}")
        edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
        for split in data.splits:
            means, shares, rows = reliability(data.predictions(split, epoch))
            error = float(np.sum(np.abs(means - shares) * rows) / max(1, rows.sum()))
            look = SPLITS[split]
            curves.append(Line(means, shares, f"{split} (ECE = {error:.3f})", *look))
            heights = np.histogram(means, edges, weights=rows)[0] / max(1, rows.sum())
            outline = np.append(edges, 1), np.array([0, *heights, 0])
            counts.append(Line(*outline, "", look.color, look.dashes, has_steps=True))
        curves.append(chart.diagonal(0, 1, "perfectly calibrated"))
        x, y = Axis(names[0], limits=(0, 1)), Axis(names[1], limits=(-0.02, 1.02))
        panels = Panel(tuple(curves), x, y), Panel(tuple(counts), x, Axis("share of rows"))
        return Chart(
            f"Calibration of {data.name}",
            (data.describe(epoch),),
            panels,
            width=4.9,
            height=5.6,
            share="x",
            heights=(3.2, 1),
        )


def reliability(predicted: Predictions) -> tuple[Array, Array, NDArray[np.int64]]:
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
