"""The receiver operating characteristic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mlprun.parts.splits import SplitName
from mlprun.plots import style
from mlprun.plots.plot import NetworkPlot, kinds
from mlprun.plots.scores import Rankings, draw_steps, rankings, refuses_ranking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlprun.plots.subject import Subject


@kinds.register
class RocCurve(NetworkPlot):
    """The ROC curve: true against false positives over all thresholds.

    Of more than two classes, each is ranked against all others.
    Source: Fawcett (2006), doi.org/10.1016/j.patrec.2005.10.010
    """

    name: Literal["roc"] = "roc"
    split: SplitName | None = Field(
        None, description="whose rows; by default all splits of two classes, test of more"
    )

    def refuses(self, subject: Subject) -> str | None:
        return refuses_ranking(subject)

    def compute(self, subject: Subject) -> Rankings:
        return rankings(subject, self.moment(subject), self.split, "ROC curve")

    def draw(self, values: Rankings) -> Figure:
        from mlprun.plots import canvas

        figure = canvas.picture(width=4.7, height=5.1)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], label="by chance (area 0.5)", **style.GUIDE)
        for name, (ranking, line) in values.rankings.items():
            draw_steps(axes, *ranking.roc, f"{name} (area {ranking.area:.3f})", line, steps=False)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        canvas.entitle(figure, values.title, *values.details)
        canvas.legend_below(figure)
        return figure
