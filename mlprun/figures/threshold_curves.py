"""The curves over all thresholds: the receiver operating characteristic, and precision against recall."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mlprun.figures import style
from mlprun.figures.plot import NetworkPlot, kinds
from mlprun.figures.scores import Rankings, draw_steps, rankings, refuses_ranking
from mlprun.parts import SplitName

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mlprun.figures.subject import Subject


class ThresholdCurve(NetworkPlot):
    """Base of the pictures of one curve for each split or class over all thresholds."""

    title: ClassVar[str]
    labels: ClassVar[tuple[str, str]]
    """of the axes"""

    split: SplitName | None = Field(
        None, description="whose rows; by default all splits of two classes, test of more"
    )

    def refuses(self, subject: Subject) -> str | None:
        return refuses_ranking(subject)

    def compute(self, subject: Subject) -> Rankings:
        return rankings(subject, self.moment(subject), self.split, self.title)

    def draw(self, values: Rankings) -> Figure:
        from mlprun.figures import canvas

        figure = canvas.picture(width=4.7, height=5.1)
        axes = figure.subplots()
        self._draw_curves(axes, values)
        axes.set_xlabel(self.labels[0])
        axes.set_ylabel(self.labels[1])
        canvas.entitle(figure, values.title, *values.details)
        canvas.legend_below(figure)
        return figure

    def _draw_curves(self, axes: Axes, values: Rankings) -> None:
        raise NotImplementedError


@kinds.register
class RocCurve(ThresholdCurve):
    """The ROC curve: true against false positives over all thresholds.

    Of more than two classes, each is ranked against all others.
    Source: Fawcett (2006), doi.org/10.1016/j.patrec.2005.10.010
    """

    title: ClassVar[str] = "ROC curve"
    labels: ClassVar[tuple[str, str]] = ("false positive rate", "true positive rate")
    name: Literal["roc"] = "roc"

    def _draw_curves(self, axes: Axes, values: Rankings) -> None:
        axes.plot([0, 1], [0, 1], label="by chance (area 0.5)", **style.GUIDE)
        for name, (ranking, line) in values.rankings.items():
            draw_steps(axes, *ranking.roc, f"{name} (area {ranking.area:.3f})", line, steps=False)


@kinds.register
class PrecisionRecall(ThresholdCurve):
    """Precision against recall over all thresholds.

    Of more than two classes, each is ranked against all others.
    The area is the average precision; a thin line shows what chance would give.
    Source: Davis and Goadrich (2006), doi.org/10.1145/1143844.1143874
    """

    title: ClassVar[str] = "Precision and recall"
    labels: ClassVar[tuple[str, str]] = ("recall", "precision")
    name: Literal["precision_recall"] = "precision_recall"

    def _draw_curves(self, axes: Axes, values: Rankings) -> None:
        for name, (ranking, line) in values.rankings.items():
            share = ranking.positives / (ranking.positives + ranking.negatives)
            axes.axhline(
                share, color=style.lighter(line.color, 0.4), linewidth=0.7, linestyle=line.dashes, zorder=1
            )
            label = f"{name} (average {ranking.average_precision:.3f})"
            draw_steps(axes, *ranking.precision_recall, label, line, steps=True)
        axes.plot([], [], color=style.GREY, linewidth=0.7, label="by chance: share of the class")
