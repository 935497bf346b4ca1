"""Parallel coordinates: every setting as a line through its values to what it reached."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.plot import SweepPlot, sweep_kinds
from mlprun.figures.sweeps import colors
from mlprun.figures.sweeps.dimensions import number, round_numbers
from mlprun.figures.sweeps.subject import wants_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.figures.sweeps.subject import Sweep

AXES = 9
LINES = 600
TICKS = 12


APART = 0.06
"""of the distance between two choices: how far lines through one of them fan out, to either side"""


@dataclass(frozen=True)
class Parallel:
    """Settings [N], best first, as places between 0 and 1 on each axis [N, axes], the figure on the last."""

    title: str
    details: tuple[str, ...]
    axis: str
    dimensions: tuple[Dimension, ...]
    places: NDArray[np.float64]
    figures: NDArray[np.float64]
    pruned: NDArray[np.float64]
    """places of settings that were given up [settings, axes - 1]: they have no figure like those of others"""
    best: int
    """the number of the best setting"""
    is_log: bool
    best_is_small: bool


@sweep_kinds.register
class ParallelCoordinates(SweepPlot):
    """Every setting as a line through its values to the mean it reached; the best is drawn thick."""

    name: Literal["parallel"] = "parallel"

    def refuses(self, sweep: Sweep) -> str | None:
        if len(sweep.dimensions) < 2:
            return "fewer than two parameters vary"
        known = sum(line.stats.mean is not None for line in sweep.lines)
        return None if known > 1 else "fewer than two settings have a figure"

    def compute(self, sweep: Sweep) -> Parallel:
        dimensions = sweep.dimensions[: AXES - 1]
        complete = [
            line for line in sweep.lines if all(one.path in line.setting.values for one in dimensions)
        ]
        known = [(line, line.stats.mean) for line in complete if line.stats.mean is not None]
        known.sort(key=lambda pair: pair[1] if sweep.best_is_small else -pair[1])
        shown = known[:LINES]
        figures = np.array([mean for _, mean in shown])
        is_log = wants_log(figures)
        pruned = [line for line in complete if line.pruned_at is not None and line.stats.mean is None][:LINES]
        places = _places(dimensions, [line for line, _ in shown])
        return Parallel(
            f"Settings of {sweep.name}",
            (_details(sweep, dimensions, (len(known), len(shown), len(pruned))),),
            sweep.axis,
            dimensions,
            np.column_stack([places, _share(figures, is_log=is_log)]),
            figures,
            _places(dimensions, pruned),
            shown[0][0].setting.id,
            is_log,
            sweep.best_is_small,
        )

    def draw(self, values: Parallel) -> Figure:
        from matplotlib.cm import ScalarMappable

        from mlprun.figures import canvas

        figure = canvas.picture(height=4.3)
        axes = figure.subplots()
        count = len(values.dimensions) + 1
        limits = float(values.figures.min()), float(values.figures.max())
        norm = colors.between(*limits, is_log=values.is_log)
        shades = ScalarMappable(norm=norm, cmap=colors.shades(best_is_small=values.best_is_small))
        _draw_pruned(axes, values)
        spread = _apart(values)
        thin = float(np.clip(40 / len(values.figures), 0.5, 1.4))
        for place in reversed(range(1, len(values.figures))):  # good settings lie on top
            _draw_line(axes, spread[place], shades.to_rgba(values.figures[place]), thin, alpha=0.75, zorder=2)
        _draw_line(axes, values.places[0], style.VERMILLION, 2.4, zorder=4)
        axes.plot([], [], color=style.VERMILLION, linewidth=2.4, label=f"the best: setting {values.best}")
        for place in range(count):
            axes.plot([place, place], [-0.1, 1.1], color="black", linewidth=0.8, zorder=3)
            ticks = _figure_ticks(values) if place == count - 1 else _ticks(values.dimensions[place])
            _write(axes, place, ticks)
        _dress(axes, values)
        colors.bar(axes, shades, values.axis, is_log=values.is_log, best_is_small=values.best_is_small)
        canvas.entitle(figure, values.title, *values.details)
        canvas.legend_below(figure, axes)
        return figure


def _places(dimensions: Sequence[Dimension], lines: Sequence[ConfigurationSummary]) -> NDArray[np.float64]:
    """Where settings stand on each axis [settings, axes]."""
    rows = [[one.scaled(line.setting.values[one.path]) for one in dimensions] for line in lines]
    return np.array(rows, np.float64).reshape(len(lines), len(dimensions))


def _details(sweep: Sweep, dimensions: Sequence[Dimension], counts: tuple[int, int, int]) -> str:
    """What lines are, and what is left out; `counts` are settings with a figure, drawn, and pruned."""
    known, shown, pruned = counts
    gone = len(sweep.lines) - known - pruned
    parts = [f"a line is a setting, its colour the mean over {sweep.seeds}"]
    parts += [f"left out: {gone:,} without a figure"] if gone else []
    parts += [f"the best {shown:,} of {known:,} settings"] if shown < known else []
    fewer = len(dimensions) < len(sweep.dimensions)
    parts += [f"the first {len(dimensions)} of {len(sweep.dimensions)} parameters"] if fewer else []
    parts += ["lines through one choice fan out a little"] if any(map(_is_choice, dimensions)) else []
    return "; ".join(parts)


def _is_choice(one: Dimension) -> bool:
    """Whether values are not numbers, so that a line beside one of them is not at another."""
    return one.is_few and not one.is_number and one.is_to_scale


def _draw_line(axes: Axes, places: NDArray[np.float64], color: Any, width: float, **look: Any) -> None:
    """A smooth line through the places that meets each axis level, so that it can be followed across."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points, codes = [(0.0, places[0])], [Path.MOVETO]
    for place, (here, there) in enumerate(pairwise(places)):
        points += [(place + 1 / 3, here), (place + 2 / 3, there), (place + 1.0, there)]
        codes += [Path.CURVE4] * 3
    axes.add_patch(PathPatch(Path(points, codes), fill=False, edgecolor=color, linewidth=width, **look))


def _draw_pruned(axes: Axes, values: Parallel) -> None:
    """Settings that were given up: grey lines that end before the figure."""
    if not len(values.pruned):
        return
    for places in values.pruned:
        _draw_line(axes, places, style.GREY, 0.4, alpha=0.45, zorder=1)
    label = f"{len(values.pruned):,} pruned, without a figure of the end"
    axes.plot([], [], color=style.GREY, linewidth=0.6, label=label)


def _dress(axes: Axes, values: Parallel) -> None:
    """Name the axes, and take away what belongs to none of them."""
    count = len(values.dimensions) + 1
    names = [
        style.name(one.name, 16) + ("" if one.is_to_scale else "\n(not to scale)")
        for one in values.dimensions
    ]
    axes.set_xticks(range(count), [*names, values.axis.replace(" (", "\n(")])
    axes.tick_params(axis="x", length=0, pad=6)
    axes.set(xlim=(-0.12, count - 1 + 0.25), ylim=(-0.12, 1.12), yticks=[])
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _share(figures: NDArray[np.float64], *, is_log: bool) -> NDArray[np.float64]:
    on = np.log(figures) if is_log else figures
    low, high = on.min(), on.max()
    return np.asarray((on - low) / (high - low)) if high > low else np.full(len(on), 0.5)


def _apart(values: Parallel) -> NDArray[np.float64]:
    """The places, moved a little at choices, so that lines through one of them can be told apart.

    Lines of one choice stand in the order of where they come from and go to, so that few of them cross. On
    the axis of a number a line stands at its value.
    """
    places = values.places
    moved = places.copy()
    for place, one in enumerate(values.dimensions):
        if not _is_choice(one):
            continue
        around = places[:, max(0, place - 1) : place + 2].mean(axis=1)
        width = APART / max(2, len(one.levels) - 1)
        for level in np.unique(places[:, place]):
            there = np.flatnonzero(places[:, place] == level)
            if len(there) > 1:
                order = np.argsort(np.argsort(around[there], kind="stable"), kind="stable")
                moved[there, place] += np.linspace(-width, width, len(there))[order]
    return moved


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
        LogLocator(numticks=7)
        if wide
        else LogLocator(subs=(1.0, 2.0, 5.0))
        if is_log
        else MaxNLocator(6, steps=[1, 2, 5, 10])
    )
    points = [point for point in locator.tick_values(low, high) if low <= point <= high]
    places = _share(np.array([low, *points, high]), is_log=is_log)[1:-1]
    power = style.log_labels()
    texts = (
        map(power, points)
        if wide
        else (number(point) for point in points)
        if is_log
        else round_numbers(points)
    )
    return list(zip(map(float, places), texts, strict=True))


def _write(axes: Axes, place: int, ticks: list[tuple[float, str]]) -> None:
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
