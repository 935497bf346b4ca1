"""Curves over epochs: what a column of the history becomes, and how the lines are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.figures import style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlprun.figures.subject import Subject

POINTS = 2000
"""points of a drawn curve, more or less; a long history keeps the extremes of each stretch"""
EPOCH_AXIS = "epoch (completed passes over the train rows)"


BEST_LINE: Any = {**style.GUIDE, "linewidth": 0.9, "zorder": 1}
BEST_STAR: Any = {"color": style.BLACK, "marker": "*", "linestyle": "none", "markersize": 11, "zorder": 5}


@dataclass(frozen=True)
class Curve:
    """A figure over epochs."""

    label: str
    epochs: NDArray[Any]
    values: NDArray[Any]
    line: style.Line


@dataclass(frozen=True)
class Mark:
    """The best epoch and its dev figure, where that is a finite number.

    An epoch may be evaluated without being logged, and then the point lies beside the drawn curve.
    """

    epoch: int
    value: float | None
    logged: bool

    @property
    def label(self) -> str:
        """What a legend calls it."""
        return f"best epoch {self.epoch:,}" + ("" if self.logged else " (evaluated, not logged)")


def mark_of(subject: Subject, column: str) -> Mark | None:
    """The best epoch in the picture of a dev column; None where no dev rows chose one or nothing is drawn."""
    epochs = subject.history.get("epoch", ())
    if subject.best is None or not len(epochs):
        return None
    value = subject.best_figures.get(column, math.nan)
    logged = bool(np.isin(subject.best, epochs))
    return Mark(subject.best, value if math.isfinite(value) else None, logged)


def draw_mark(axes: Axes, mark: Mark, label: str = "") -> None:
    """A line at the best epoch and, where its figure is known, a star at that."""
    if mark.value is None:
        axes.axvline(mark.epoch, label=label or mark.label, **BEST_LINE)
        return
    axes.axvline(mark.epoch, **BEST_LINE)
    axes.plot([mark.epoch], [mark.value], label=label or mark.label, **BEST_STAR)


def curve(label: str, history: Mapping[str, NDArray[Any]], column: str, line: style.Line) -> Curve | None:
    """A column of the history without the epochs at which it was not evaluated; None when nothing is left."""
    if column not in history:
        return None
    values = np.asarray(history[column], np.float64)
    known = np.isfinite(values)
    if not known.any():
        return None
    epochs, values = thinned(np.asarray(history["epoch"])[known], values[known])
    return Curve(label, epochs, values, line)


def thinned(
    epochs: NDArray[Any], values: NDArray[Any], points: int = POINTS
) -> tuple[NDArray[Any], NDArray[Any]]:
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


def wants_log(curves: Sequence[Curve], mark: Mark | None = None) -> bool:
    """Whether positive values span so much that a linear axis would show only the largest."""
    marked = [] if mark is None or mark.value is None else [[mark.value]]
    values = np.concatenate([*(one.values for one in curves), *marked])
    return bool(values.min() > 0 and values.max() / values.min() >= 30)


def draw_curves(axes: Axes, curves: Sequence[Curve], *, log: bool) -> None:
    """The curves, each with some markers of its own, over epochs."""
    for number, one in enumerate(curves):
        count = len(one.values)
        step = max(1, count // 8)
        axes.plot(
            one.epochs,
            one.values,
            label=one.label,
            color=one.line.color,
            linestyle=one.line.dashes,
            marker=one.line.marker,
            # markers of different curves stand at different places, so that one does not cover the other
            markevery=1 if count <= 12 else (number * step // max(1, len(curves)), step),
            markersize=4.0,
        )
    if log:
        style.use_log(axes.yaxis)
    axes.margins(x=0.02)
    whole_epochs(axes)


def whole_epochs(axes: Axes) -> None:
    """Whole numbers, with thousands apart, on the axis of epochs."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
