"""Curves over epochs: the loss, the metrics and the learning rate of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.chart import (
    Axis,
    Chart,
    Line,
    Mark,
    Panel,
    Points,
    grid_of,
    is_drawable,
    joined,
    vertical,
)
from mlprun.figures.figure import RunFigure, run_figures
from mlprun.figures.style import LineStyle
from mlprun.parts.losses import Loss

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from mlprun.figures.run_data import RunData
    from mlprun.schema import Config

POINTS = 2000
"""points of a drawn curve, more or less; a long history keeps the extremes of each stretch"""
PANELS = 40
LOSS_COLORS = (style.GREEN, style.PURPLE, style.SKY, style.ORANGE)
"""of the losses that are logged beside the trained one"""
EPOCHS = Axis("epoch (completed passes over the train rows)", format="integer", margin=0.02)
EPOCHS_SHORT = Axis("epoch", format="integer", margin=0.02)


@run_figures.register
class LossCurves(RunFigure):
    """The loss on train and dev over epochs, with the best epoch marked.

    All are means over rows and outputs, without reduction, scale or penalties; the differentiated objective
    is drawn too where penalties make it another number. Losses that are logged beside the trained one are in
    the same figure.
    """

    needs_data: ClassVar[bool] = False

    name: Literal["loss"] = "loss"

    def check(self, data: RunData) -> str | None:
        return None if loss_curves(data) else "the history has no loss that is a finite number"

    def compute(self, data: RunData) -> Chart:
        config, lines = data.config, loss_curves(data)
        extra = [part.name for part in config.metrics if isinstance(part, Loss)]
        names = " and ".join(dict.fromkeys([config.loss.name, *extra]))
        unit = ", of standardised targets" if data.scaled_targets else ""
        best = BestMarker.of(data, "dev_loss")
        known = [] if best is None or best.value is None else [best.value]
        is_log = style.spans_much(known, *(line.y for line in lines))
        details = joined(
            "logarithmic axis" if is_log else "",
            f"best epoch by {config.best.metric}" if data.best is not None else "no dev rows",
        )
        marks: tuple[Mark, ...] = tuple(lines)
        if best is not None:
            value = "" if best.value is None else f", dev loss {style.number(best.value)}"
            marks = best.around(marks, value)
        loss = Axis(f"{names} (mean{unit})", "log" if is_log else "linear")
        return Chart(f"Loss of {data.name}", details, (Panel(marks, EPOCHS, loss),))


@run_figures.register
class MetricCurves(RunFigure):
    """Every logged metric on train and dev over epochs, with the best epoch marked."""

    needs_data: ClassVar[bool] = False

    name: Literal["metrics"] = "metrics"

    def check(self, data: RunData) -> str | None:
        return None if metric_curves(data) else "no metric was logged, or none is a finite number"

    def compute(self, data: RunData) -> Chart:
        curves = metric_curves(data)
        by = f"best epoch by {data.config.best.metric}" if data.best is not None else ""
        panels = []
        for name, lines in list(curves.items())[:PANELS]:
            best = BestMarker.of(data, f"dev_{name}")
            marks = lines if best is None else best.around(lines)
            panels.append(Panel(marks, EPOCHS_SHORT, Axis(name)))
        details = (by, not_shown(list(curves)[PANELS:]))
        columns = 3 if len(panels) == 3 else 2
        return grid_of(f"Metrics of {data.name}", details, panels, columns=columns, height=2.3, alone=3.9)


@run_figures.register
class LearningRate(RunFigure):
    """The learning rate over epochs, where a schedule changes it."""

    needs_data: ClassVar[bool] = False

    name: Literal["learning_rate"] = "learning_rate"

    def check(self, data: RunData) -> str | None:
        rates = data.history.get("lr", np.empty(0))
        known = rates[np.isfinite(rates)]
        return None if len(known) and known.min() < known.max() else "the learning rate never changes"

    def compute(self, data: RunData) -> Chart:
        line = curve("", data.history, "lr", LineStyle(style.BLUE))
        assert line is not None
        rate = Axis("learning rate", "log" if style.spans_much(line.y) else "linear")
        details = (f"schedule {data.config.schedule.name}",)
        return Chart(f"Learning rate of {data.name}", details, (Panel((line,), EPOCHS, rate),), height=3.2)


@dataclass(frozen=True)
class BestMarker:
    """The best epoch and its dev metric, where that is a finite number.

    An epoch may be evaluated without being logged; the point then lies beside the drawn curve.
    """

    epoch: int
    value: float | None
    is_logged: bool

    @classmethod
    def of(cls, data: RunData, column: str) -> BestMarker | None:
        """The best epoch for a dev column; None where no dev rows chose one or the history is empty."""
        epochs = data.history.get("epoch", ())
        if data.best is None or not len(epochs):
            return None
        value = data.best_metrics.get(column, math.nan)
        return cls(data.best, value if is_drawable(value) else None, bool(np.isin(data.best, epochs)))

    def around(self, marks: tuple[Mark, ...], suffix: str = "") -> tuple[Mark, ...]:
        """The marks with a line at the best epoch and, where its metric is known, a star."""
        label = f"best epoch {self.epoch:,}" + ("" if self.is_logged else " (evaluated, not logged)") + suffix
        if self.value is None:
            return (vertical(self.epoch, label, width=0.9), *marks)
        star = Points(np.array([self.epoch]), np.array([self.value]), label, marker="*", size=121)
        return (vertical(self.epoch, width=0.9), *marks, star)


def loss_curves(data: RunData) -> list[Line]:
    """The trained loss and the losses among the metrics on train and dev, and the objective."""
    config, history = data.config, data.history
    extra = tuple(dict.fromkeys(part.name for part in config.metrics if isinstance(part, Loss)))
    lines = []
    for index, name in enumerate((None, *extra)):
        for split in ("train", "dev"):
            look = style.SPLITS[split]
            if index:
                color = LOSS_COLORS[(index - 1) % len(LOSS_COLORS)]
                look = LineStyle(color, look.dashes, style.MARKERS[2 + index % 6])
            label = f"{split} {name or config.loss.name}" if extra else split
            lines.append(curve(label, history, f"{split}_{name or 'loss'}", look))
    if _objective_differs(config):
        look = LineStyle(style.GREY, style.DASHES[3])
        lines.append(curve("train, with penalties", history, "train_objective", look))
    return [line for line in lines if line is not None]


def metric_curves(data: RunData) -> dict[str, tuple[Line, ...]]:
    """The curves on train and dev of each logged metric that is no loss."""
    losses = {"loss", "objective", *(part.name for part in data.config.metrics if isinstance(part, Loss))}
    names = [column.removeprefix("train_") for column in data.history if column.startswith("train_")]
    curves = {}
    for name in [name for name in names if name not in losses]:
        both = (
            curve(split, data.history, f"{split}_{name}", style.SPLITS[split]) for split in ("train", "dev")
        )
        known = tuple(line for line in both if line is not None)
        if known:
            curves[name] = known
    return curves


def curve(label: str, history: Mapping[str, NDArray[Any]], column: str, look: LineStyle) -> Line | None:
    """A column of the history without the epochs at which it was not evaluated; None when nothing is left."""
    if column not in history:
        return None
    values = np.asarray(history[column], np.float64)
    known = is_drawable(values)
    if not known.any():
        return None
    return line_of(label, np.asarray(history["epoch"])[known], values[known], look)


def line_of(label: str, epochs: NDArray[Any], values: NDArray[np.float64], look: LineStyle) -> Line:
    """A curve over epochs, thinned where it is long."""
    epochs, values = thinned(np.asarray(epochs, np.float64), values)
    return Line(epochs, values, label, look.color, look.dashes, look.marker)


def thinned(
    epochs: NDArray[np.float64], values: NDArray[np.float64], points: int = POINTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """About `points` of the points: of each stretch its first, smallest and largest, and the very last."""
    count = len(values)
    if count <= points:
        return epochs, values
    starts = np.linspace(0, count, points // 3 + 1).astype(np.int64)
    kept = {count - 1}
    for start, stop in pairwise(starts):
        stretch = values[start:stop]
        kept |= {int(start), int(start + stretch.argmin()), int(start + stretch.argmax())}
    index = np.array(sorted(kept))
    return epochs[index], values[index]


def not_shown(names: Sequence[str]) -> str:
    """What a chart with too many panels says of the others."""
    return f"not shown: {', '.join(map(style.name, names))}" if names else ""


def _objective_differs(config: Config) -> bool:
    """Return True if the differentiated objective is another number than the loss, on the same scale."""
    return bool(config.penalties) and config.loss.reduction == "mean" and config.loss.scale == 1.0
