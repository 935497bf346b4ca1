"""Precision against recall."""

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
class PrecisionRecall(NetworkPlot):
    """Precision against recall over all thresholds.

    Of more than two classes, each is ranked against all others.
    The area is the average precision; a thin line shows what chance would give.
    Source: Davis and Goadrich (2006), doi.org/10.1145/1143844.1143874
    """

    name: Literal["precision_recall"] = "precision_recall"
    split: SplitName | None = Field(
        None, description="whose rows; by default all splits of two classes, test of more"
    )

    def refuses(self, subject: Subject) -> str | None:
        return refuses_ranking(subject)

    def compute(self, subject: Subject) -> Rankings:
        return rankings(subject, self.moment(subject), self.split, "Precision and recall")

    def draw(self, values: Rankings) -> Figure:
        from mlprun.plots import canvas

        figure = canvas.picture(width=4.7, height=5.1)
        axes = figure.subplots()
        for name, (ranking, line) in values.rankings.items():
            share = ranking.positives / (ranking.positives + ranking.negatives)
            axes.axhline(
                share, color=style.lighter(line.color, 0.4), linewidth=0.7, linestyle=line.dashes, zorder=1
            )
            draw_steps(
                axes,
                *ranking.precision_recall,
                f"{name} (average {ranking.average_precision:.3f})",
                line,
                steps=True,
            )
        axes.plot([], [], color=style.GREY, linewidth=0.7, label="by chance: share of the class")
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        canvas.entitle(figure, values.title, *values.details)
        canvas.legend_below(figure)
        return figure
