"""What predictions of numbers leave over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.plots import style
from mlprun.plots.numbers import Numbers, draw_points, numbers, refuses_numbers
from mlprun.plots.plot import NetworkPlot, kinds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlprun.plots.subject import Subject

BINS = 24


@kinds.register
class Residuals(NetworkPlot):
    """Residuals (predicted minus true) against predictions, and how they are distributed on each split."""

    name: Literal["residuals"] = "residuals"

    def refuses(self, subject: Subject) -> str | None:
        return refuses_numbers(subject)

    def compute(self, subject: Subject) -> Numbers:
        return numbers(subject, self.moment(subject), "Residuals")

    def draw(self, values: Numbers) -> Figure:
        from mlprun.plots import canvas

        figure = canvas.picture(height=1.6 + 2.3 * len(values.targets))
        rows = figure.subplots(len(values.targets), 2, squeeze=False, sharey="row", width_ratios=(3, 1.3))
        total = sum(len(one.true) for one in values.answers)
        for index, (target, (left, right)) in enumerate(zip(values.targets, rows, strict=True)):
            over = [one.predicted[:, index] - one.true[:, index] for one in values.answers]
            edges = np.histogram_bin_edges(np.concatenate(over), BINS)
            for one, residuals in zip(values.answers, over, strict=True):
                draw_points(left, one, one.predicted[:, index], residuals, total)
                look = style.SPLIT_LINES[one.split]
                density = np.histogram(residuals, edges)[0] / max(1, len(residuals))
                right.stairs(
                    density,
                    edges,
                    orientation="horizontal",
                    color=look.color,
                    linestyle=look.dashes,
                    linewidth=1.5,
                )
            for axes in (left, right):
                axes.axhline(0, zorder=1, **style.GUIDE)
            left.set_xlabel(f"predicted {target}")
            left.set_ylabel(f"residual of {target}\n(predicted − true)")
            right.set_xlabel("share of rows")
        canvas.entitle(figure, values.title, *values.details)
        canvas.legend_below(figure, rows[0, 0])
        return figure
