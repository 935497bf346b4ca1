"""Parallel coordinates: every configuration as a line through its values to what it reached."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.chart import Axis, Chart, Line, Mark, Panel, Text, evenly_spaced, intervals, joined
from mlprun.figures.figure import SweepFigure, sweep_figures
from mlprun.figures.sweeps.dimensions import FEW, number

if TYPE_CHECKING:
    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.chart import Array, ColorScale, Scale
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.figures.sweeps.sweep_data import SweepData

AXES = 9
LINES = 600


@sweep_figures.register
class ParallelCoordinates(SweepFigure):
    """Every configuration as a line through its values to the mean it reached; the best is drawn thick."""

    is_default = False

    name: Literal["parallel"] = "parallel"

    def unsupported_reason(self, data: SweepData) -> str | None:
        if len(data.dimensions) < 2:
            return "fewer than two parameters vary"
        known = sum(line.stats.mean is not None for line in data.lines)
        return None if known > 1 else "fewer than two settings have a metric"

    def compute(self, data: SweepData) -> Chart:
        dimensions, count = data.dimensions[: AXES - 1], len(data.dimensions)
        shown, metrics, heights = placed(data)
        known = sum(line.stats.mean is not None for line in data.lines)
        colors = colors_of(data, metrics)
        x = np.arange(len(dimensions) + 1.0)
        width = float(np.clip(40 / len(metrics), 0.5, 1.4))
        marks: list[Mark] = [
            Line(x, heights[:0:-1], width=width, opacity=0.75, values=metrics[:0:-1]),  # good ones on top
            Line(x, heights[0], color=style.BLACK, width=2.4),
        ]
        ends = _between(colors.low, colors.high, "log" if colors.is_log else "linear")
        for place, ticks in enumerate([*map(_ticks, dimensions), ends]):
            at, heights_of = np.full(len(ticks), float(place)), np.array(list(ticks))
            marks.append(Line(np.full(2, float(place)), np.array([0.0, 1.0]), width=1.2))
            marks.append(intervals(heights_of, at - 0.015, at + 0.015, width=1.2, along="y"))
            marks.append(Text(at, heights_of, tuple(ticks.values()), offset=(5, 0), size=style.SIZE - 0.5))
        names = (*(style.name(one.axis().label, 30) for one in dimensions), data.axis)
        details = joined(
            f"a line is a setting, its colour the mean over {data.seeds} (blue is good)",
            f"the thick one is the best, setting {shown[0].setting.id}",
            data.left_out(),
            f"{len(shown):,} of {known:,} settings" if len(shown) < known else "",
            f"the first {len(dimensions)} of {count} parameters" if len(dimensions) < count else "",
        )
        across = Axis("", "category", (-0.1, len(x) - 0.7), tuple(range(len(x))), names)
        panel = Panel(tuple(marks), across, Axis("", limits=(-0.05, 1.05), is_hidden=True), colors=colors)
        return Chart(f"Settings: {data.name}", details, (panel,), height=4.3)


def colors_of(data: SweepData, metrics: Array) -> ColorScale:
    """Colours of lines, without a bar, since the last axis says what they are."""
    palette: Any = "lines" if data.is_minimized else "lines_r"
    return replace(data.color_scale(metrics), label="", palette=palette)


def placed(data: SweepData) -> tuple[list[ConfigurationSummary], Array, Array]:
    """The settings [S] that have a metric, the best first, their means [S] and places on the axes [S, A]."""
    dimensions = data.dimensions[: AXES - 1]
    known = [
        line
        for line in data.lines
        if line.stats.mean is not None and all(one.path in line.setting.values for one in dimensions)
    ]
    means = np.array([line.stats.mean for line in known], np.float64)
    order = np.argsort(means if data.is_minimized else -means, kind="stable")[:LINES]
    shown, means = [known[k] for k in order], means[order]
    on = np.log(means) if data.color_scale(means).is_log else means
    places = [[one.fraction(line.setting.values[one.path]) for one in dimensions] for line in shown]
    return shown, means, np.column_stack([places, (on - on.min()) / (np.ptp(on) or 1.0)])


def _ticks(one: Dimension) -> dict[float, str]:
    """What is written at positions between 0 and 1: round numbers of many, else evenly spread values."""
    if one.is_number and not one.is_few:
        return _between(one.position(one.levels[0]), one.position(one.levels[-1]), one.scale)
    shown = evenly_spaced(len(one.levels), FEW)
    return {one.fraction(one.levels[k]): one.labels[k] for k in shown}


def _between(low: float, high: float, scale: Scale) -> dict[float, str]:
    """Round numbers from `low` to `high` by their positions between 0 and 1."""
    if low == high:
        return {0.0: number(low)}
    if scale != "log":
        return {(tick - low) / (high - low): number(tick) for tick in style.round_ticks(low, high, 4)}
    ends = math.log10(low), math.log10(high)
    exponents = range(math.ceil(ends[0]), math.floor(ends[1]) + 1)
    ticks = [factor * 10.0**k for k in exponents for factor in ((1,) if len(exponents) > 2 else (1, 2, 5))]
    if len(ticks) < 2:
        ticks = [low, high]
    return {
        (math.log10(tick) - ends[0]) / (ends[1] - ends[0]): number(tick)
        for tick in ticks
        if low <= tick <= high
    }
