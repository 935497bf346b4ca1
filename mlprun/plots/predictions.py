"""Predicted against true numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.plots import style
from mlprun.plots.numbers import Numbers, draw_points, numbers, refuses_numbers
from mlprun.plots.panels import Panels, head
from mlprun.plots.plot import NetworkPlot, kinds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlprun.plots.subject import Subject


@kinds.register
class PredictedAgainstTrue(NetworkPlot):
    """Predicted against true numbers on every split; a perfect prediction lies on the diagonal."""

    name: Literal["predictions"] = "predictions"

    def refuses(self, subject: Subject) -> str | None:
        return refuses_numbers(subject)

    def compute(self, subject: Subject) -> Numbers:
        return numbers(subject, self.moment(subject), "Predicted and true values")

    def draw(self, values: Numbers) -> Figure:
        from mlprun.plots import canvas

        panels = Panels(
            len(values.targets),
            columns=2,
            height=2.9,
            alone=5.4,
            width=4.9 if len(values.targets) == 1 else style.PAGE,
        )
        total = sum(len(one.true) for one in values.answers)
        for index, (axes, target) in enumerate(zip(panels.axes, values.targets, strict=True)):
            both = np.concatenate(
                [side[:, index] for one in values.answers for side in (one.true, one.predicted)]
            )
            low, high = float(both.min()), float(both.max())
            axes.axline((low, low), slope=1, label="predicted = true", zorder=1, **style.GUIDE)
            for one in values.answers:
                draw_points(axes, one, one.true[:, index], one.predicted[:, index], total)
            room = (high - low) * 0.04 or 1.0
            axes.set(xlim=(low - room, high + room), ylim=(low - room, high + room))
            axes.set_box_aspect(1)
            axes.set_xlabel(f"true {target}")
            axes.set_ylabel(f"predicted {target}")
            if len(values.targets) > 1:
                head(axes, target)
        canvas.entitle(panels.figure, values.title, *values.details)
        canvas.legend_below(panels.figure)
        return panels.figure
