"""Every weight before and after, as a point."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun.errors import UsageError
from mlprun.figures import style
from mlprun.figures.panels import Panels, head
from mlprun.figures.plane import spread
from mlprun.figures.plot import Plot, kinds
from mlprun.figures.weights import Weights, refuses_weights, weights
from mlprun.parts.part import NonNegativeInt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlprun.figures.subject import Subject

POINTS = 5000


@kinds.register
class WeightChanges(Plot):
    """Each weight after training (or some epochs) against itself before; unchanged ones on the diagonal."""

    needs_data: ClassVar[bool] = False

    name: Literal["weight_changes"] = "weight_changes"
    epochs: tuple[NonNegativeInt, NonNegativeInt] | None = Field(
        None, description="two epochs that networks were kept of; by default 0 and the best"
    )

    def refuses(self, subject: Subject) -> str | None:
        after = subject.last if subject.best is None else subject.best
        return refuses_weights(subject, after if self.epochs is None else self.epochs[1])

    def compute(self, subject: Subject) -> Weights:
        before, after = self.epochs or (
            min(subject.networks),
            subject.last if subject.best is None else subject.best,
        )
        for epoch in (before, after):
            if epoch not in subject.networks:
                kept = ", ".join(map(str, list(subject.networks)[:20]))
                raise UsageError(
                    "--epochs",
                    f"no network was kept of epoch {epoch}",
                    f"there are {kept}; `snapshots:` keeps others",
                )
        return weights(subject, before, after, "Changes of weights")

    def draw(self, values: Weights) -> Figure:
        from mlprun.figures import canvas

        count = len(values.matrices)
        panels = Panels(
            count,
            columns=2 if count in (2, 4) else 3,
            height=3.0 if count in (2, 4) else 2.3,
            alone=4.6,
            heading=0.8,
        )
        for index, (axes, (name, (before, after))) in enumerate(
            zip(panels.axes, values.matrices.items(), strict=True)
        ):
            chosen = spread(len(before), POINTS)
            axes.axline((0, 0), slope=1, label="unchanged", zorder=1, **style.GUIDE)
            color = style.COLORS[index % 3]
            size = float(np.clip(2000 / len(chosen), 4, 26))
            axes.scatter(
                before[chosen],
                after[chosen],
                s=size,
                color=color,
                marker=style.MARKERS[index % 3],
                linewidths=0,
                alpha=0.8,
            )
            axes.margins(0.1)
            axes.set_box_aspect(1)
            fewer = f", {len(chosen):,} shown" if len(chosen) < len(before) else ""
            head(axes, f"{style.name(name)} ({len(before):,}{fewer})")
        panels.label(
            below=f"weight at epoch {values.epochs[0]:,}", left=f"weight at epoch {values.epochs[1]:,}"
        )
        canvas.entitle(panels.figure, values.title, *values.details)
        canvas.legend_below(panels.figure)
        return panels.figure
