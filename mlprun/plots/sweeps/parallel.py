"""Parallel coordinates: every setting as a line through its values to what it reached."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.plots import style
from mlprun.plots.sweeps import colors
from mlprun.plots.sweeps.dimensions import number
from mlprun.plots.sweeps.plot import SweepPlot, kinds
from mlprun.plots.sweeps.subject import wants_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.plots.sweeps.dimensions import Dimension
    from mlprun.plots.sweeps.subject import Sweep

AXES = 9
LINES = 600
TICKS = 12


@dataclass(frozen=True)
class Parallel:
    """Settings [N], best first, as places between 0 and 1 on each axis [N, axes], the figure on the last."""

    title: str
    details: tuple[str, ...]
    axis: str
    dimensions: tuple[Dimension, ...]
    places: NDArray[np.float64]
    figures: NDArray[np.float64]
    is_log: bool
    best_is_small: bool


@kinds.register
class ParallelCoordinates(SweepPlot):
    """Every setting as a line through its values to the mean it reached; the best is drawn thick."""

    name: Literal["parallel"] = "parallel"

    def refuses(self, sweep: Sweep) -> str | None:
        if len(sweep.dimensions) < 2:
            return "fewer than two parameters vary"
        known = sum(line.sample.mean is not None for line in sweep.lines)
        return None if known > 1 else "fewer than two settings have a figure"

    def compute(self, sweep: Sweep) -> Parallel:
        dimensions = sweep.dimensions[: AXES - 1]
        known = [
            (line, line.sample.mean)
            for line in sweep.lines
            if line.sample.mean is not None and all(one.path in line.setting.chosen for one in dimensions)
        ]
        known.sort(key=lambda pair: sweep.sign * pair[1])
        shown = known[:LINES]
        figures = np.array([mean for _, mean in shown])
        is_log = wants_log(figures)
        places = np.array(
            [[one.scaled(line.setting.chosen[one.path]) for one in dimensions] for line, _ in shown]
        )
        of_figure = _share(figures, is_log=is_log)
        gone, beyond = len(sweep.lines) - len(known), len(known) - len(shown)
        details = [f"a line is a setting, its colour the mean over {sweep.seeds}"]
        details += [f"left out: {gone:,} without a figure"] if gone else []
        details += [f"the best {LINES} of {len(known):,} settings"] if beyond else []
        details += (
            [f"the first {len(dimensions)} parameters"] if len(dimensions) < len(sweep.dimensions) else []
        )
        return Parallel(
            f"Settings of {sweep.name}",
            ("; ".join(details),),
            sweep.axis,
            dimensions,
            np.column_stack([places, of_figure]),
            figures,
            is_log,
            sweep.summary.goal == "min",
        )

    def draw(self, values: Parallel) -> Figure:
        from matplotlib.cm import ScalarMappable

        from mlprun.plots import canvas

        figure = canvas.picture(height=4.3)
        axes = figure.subplots()
        count = len(values.dimensions) + 1
        limits = float(values.figures.min()), float(values.figures.max())
        norm = colors.between(*limits, is_log=values.is_log)
        # good settings are dark and lie on top
        shades = ScalarMappable(norm=norm, cmap="cividis" if values.best_is_small else "cividis_r")
        spread = _apart(values)
        thin = float(np.clip(40 / len(values.figures), 0.5, 1.4))
        for place in reversed(range(len(values.figures))):
            best = place == 0
            axes.plot(
                *_smooth(spread[place]),
                color=style.VERMILLION if best else shades.to_rgba(values.figures[place]),
                linewidth=2.4 if best else thin,
                alpha=1.0 if best else 0.75,
                zorder=4 if best else 2,
                label="the best setting" if best else None,
            )
        for place in range(count):
            axes.plot([place, place], [-0.1, 1.1], color="black", linewidth=0.8, zorder=3)
            ticks = _figure_ticks(values) if place == count - 1 else _ticks(values.dimensions[place])
            _write(axes, place, ticks, last=place == count - 1)
        _dress(axes, values)
        colors.bar(axes, shades, values.axis, is_log=values.is_log)
        canvas.entitle(figure, values.title, *values.details)
        canvas.legend_below(figure, axes)
        return figure


def _dress(axes: Axes, values: Parallel) -> None:
    """Name the axes, and take away what belongs to none of them."""
    count = len(values.dimensions) + 1
    names = [style.name(one.name, 16) for one in values.dimensions]
    axes.set_xticks(range(count), [*names, values.axis.replace(" (", "\n(")])
    axes.tick_params(axis="x", length=0, pad=6)
    axes.set(xlim=(-0.12, count - 1 + 0.25), ylim=(-0.12, 1.12), yticks=[])
    axes.set_xlabel("parameter")
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _share(figures: NDArray[np.float64], *, is_log: bool) -> NDArray[np.float64]:
    on = np.log(figures) if is_log else figures
    low, high = on.min(), on.max()
    return np.asarray((on - low) / (high - low)) if high > low else np.full(len(on), 0.5)


def _apart(values: Parallel) -> NDArray[np.float64]:
    """The places, moved a little where values are few, so that lines through one value fan out.

    Lines of one value stand in the order of where they come from and go to, so that few of them cross.
    """
    places = values.places
    moved = places.copy()
    for place, one in enumerate(values.dimensions):
        if not one.is_few:
            continue
        around = places[:, max(0, place - 1) : place + 2].mean(axis=1)
        width = 0.36 / max(4, len(one.levels))
        for level in np.unique(places[:, place]):
            there = np.flatnonzero(places[:, place] == level)
            if len(there) > 1:
                order = np.argsort(np.argsort(around[there], kind="stable"), kind="stable")
                moved[there, place] += np.linspace(-width, width, len(there))[order]
    return moved


def _smooth(places: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A line through the places that meets each axis level, so that lines can be followed across it."""
    between = np.linspace(0, 1, 16)
    ease = between * between * (3 - 2 * between)
    across = np.concatenate([k + between for k in range(len(places) - 1)])
    up = np.concatenate([a + (b - a) * ease for a, b in pairwise(places)])
    return across, up


def _ticks(one: Dimension) -> list[tuple[float, str]]:
    """Places between 0 and 1 and what stands there."""
    if one.is_few or not one.is_number:
        step = -(-len(one.levels) // TICKS)
        found = [(one.scaled(level), label) for level, label in zip(one.levels, one.labels, strict=True)]
        return [
            pair for k, pair in enumerate(found[::step]) if not k or pair[0] - found[::step][k - 1][0] > 0.03
        ]
    return _round_ticks(float(one.levels[0]), float(one.levels[-1]), is_log=one.scale == "log")


def _figure_ticks(values: Parallel) -> list[tuple[float, str]]:
    return _round_ticks(float(values.figures.min()), float(values.figures.max()), is_log=values.is_log)


def _round_ticks(low: float, high: float, *, is_log: bool) -> list[tuple[float, str]]:
    """Round numbers between two, with their places between 0 and 1."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    if not high > low:
        return [(0.5, number(low))]
    wide = is_log and high / low >= 100
    locator = (
        LogLocator(numticks=7) if wide else LogLocator(subs=(1.0, 2.0, 5.0)) if is_log else MaxNLocator(6)
    )
    points = [point for point in locator.tick_values(low, high) if low <= point <= high]
    places = _share(np.array([low, *points, high]), is_log=is_log)[1:-1]
    power = style.log_labels()
    return [
        (place, power(point) if wide else number(point)) for place, point in zip(places, points, strict=True)
    ]


def _write(axes: Axes, place: int, ticks: list[tuple[float, str]], *, last: bool) -> None:
    for up, text in ticks:
        axes.plot([place - 0.012, place + 0.012], [up, up], color="black", linewidth=0.8, zorder=5)
        axes.annotate(
            text,
            (place, up),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            ha="left",
            fontsize=style.SIZE - 2,
            zorder=6,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
            annotation_clip=False,
        )
