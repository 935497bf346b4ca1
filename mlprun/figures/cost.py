"""What a training step costs over a size of the work: a panel per size, a curve per way of computing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlprun.figures import style
from mlprun.figures.panels import head

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT = 3.8
LABELS = 5
"""ticks of an axis at most; more are thinned"""


@dataclass(frozen=True)
class CostPanel:
    """Microseconds over `sizes` by engine; None where one was not measured."""

    heading: str
    axis: str
    sizes: tuple[int, ...]
    microseconds: Mapping[str, Sequence[float | None]]


def draw_costs(panels: Sequence[CostPanel], *details: str) -> Figure:
    """All panels side by side on one scale; to be called inside `style.styled()`."""
    from mlprun.figures import canvas

    figure = canvas.picture(height=HEIGHT)
    canvas.leave_above(figure, 0.07)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)
    # the last is the quickest, and the solid line is its
    names = list(dict.fromkeys(name for panel in panels for name in panel.microseconds))[::-1]
    for axes, panel in zip(grid.flat, panels, strict=True):
        for index, name in enumerate(names):
            _draw_curve(axes, panel, name, index)
        _scale(axes, panel.sizes)
        axes.set_xlabel(panel.axis)
        head(axes, panel.heading)
    style.use_log(grid[0, 0].yaxis)
    grid[0, 0].set_ylabel("µs per step of a run")
    canvas.entitle(figure, "What a training step costs", *details)
    canvas.legend_below(figure)
    return figure


def _draw_curve(axes: Axes, panel: CostPanel, name: str, index: int) -> None:
    known = [
        (size, cost)
        for size, cost in zip(panel.sizes, panel.microseconds.get(name, ()), strict=False)
        if cost is not None
    ]
    if known:
        axes.plot(
            *zip(*known, strict=True),
            label=name,
            color=style.COLORS[index % len(style.COLORS)],
            linestyle=style.dashes_of(index),
            marker=style.marker_of(index),
            markersize=3.2,
        )


def _scale(axes: Axes, sizes: Sequence[int]) -> None:
    """A logarithmic axis whose ticks are sizes that were measured."""
    from matplotlib.ticker import FixedLocator, NullFormatter

    axes.set_xscale("log")
    every = -(-len(sizes) // LABELS)
    shown = list(sizes[::every])
    axes.set_xticks(shown, [str(size) for size in shown])
    axes.xaxis.set_minor_locator(FixedLocator(list(sizes)))
    axes.xaxis.set_minor_formatter(NullFormatter())
