"""The learning rate over epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.curves import EPOCH_AXIS, Curve, curve, draw_curves, wants_log
from mlprun.figures.plot import Plot, kinds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlprun.figures.subject import Subject


@dataclass(frozen=True)
class Rate:
    """The learning rate that each epoch was trained with."""

    title: str
    details: tuple[str, ...]
    curve: Curve


@kinds.register
class LearningRate(Plot):
    """The learning rate over epochs, where a schedule changes it."""

    needs_data: ClassVar[bool] = False

    name: Literal["learning_rate"] = "learning_rate"

    def refuses(self, subject: Subject) -> str | None:
        rates = subject.history.get("lr", np.empty(0))
        known = rates[np.isfinite(rates)]
        return None if len(known) and known.min() < known.max() else "the learning rate never changes"

    def compute(self, subject: Subject) -> Rate:
        found = curve("learning rate", subject.history, "lr", style.Line(style.BLUE, "-", ""))
        assert found is not None
        return Rate(f"Learning rate of {subject.name}", (f"schedule {subject.config.schedule.name}",), found)

    def draw(self, values: Rate) -> Figure:
        from mlprun.figures import canvas

        figure = canvas.picture(height=3.2)
        axes = figure.subplots()
        draw_curves(axes, [values.curve], log=wants_log([values.curve]))
        axes.set_xlabel(EPOCH_AXIS)
        axes.set_ylabel("learning rate")
        canvas.entitle(figure, values.title, *values.details)
        return figure
