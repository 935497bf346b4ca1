"""What each configuration reached: as a line through its values, and over its seeds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.analysis.summary import ConfigurationSummary, describe_counts
from mlprun.figures import chart, style
from mlprun.figures.chart import Array, Axis, Bars, Chart, ColorScale, Line, Mark, Panel, Points, Scale, Text
from mlprun.figures.figure import SweepFigure, sweep_figures
from mlprun.figures.sweeps.dimensions import FEW, Dimension, number
from mlprun.sweeps.objective import UNSOUND

if TYPE_CHECKING:
    from mlprun.figures.sweeps.sweep_data import SweepData

AXES = 9
LINES = 600
ROWS = 30
DECADES = 10
"""powers of ten on an axis, at most"""
LABEL = 34
"""characters beside a row"""
BOX = 5
"""metrics that have quartiles, at least"""
DOTS = 300
"""dots of one configuration, at most: evenly spread ones of its sorted metrics"""


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
            marks.append(chart.intervals(heights_of, at - 0.015, at + 0.015, width=1.2, along="y"))
            marks.append(Text(at, heights_of, tuple(ticks.values()), offset=(5, 0), size=style.SIZE - 0.5))
        names = (*(style.name(one.axis().label, 30) for one in dimensions), data.axis)
        details = chart.joined(
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
    shown = chart.evenly_spaced(len(one.levels), FEW)
    return {one.fraction(one.levels[k]): one.labels[k] for k in shown}


def _between(low: float, high: float, scale: Scale) -> dict[float, str]:
    """Round numbers from `low` to `high` by their positions between 0 and 1."""
    if low == high:
        return {0.0: number(low)}
    if scale != "log":
        return {(tick - low) / (high - low): number(tick) for tick in style.round_ticks(low, high, 4)}
    ends = math.log10(low), math.log10(high)
    exponents = range(math.ceil(ends[0]), math.floor(ends[1]) + 1)
    exponents = exponents[:: max(1, -(-len(exponents) // DECADES))]
    ticks = [factor * 10.0**k for k in exponents for factor in ((1,) if len(exponents) > 2 else (1, 2, 5))]
    if len(ticks) < 2:
        ticks = [low, high]
    return {
        (math.log10(tick) - ends[0]) / (ends[1] - ends[0]): number(tick)
        for tick in ticks
        if low <= tick <= high
    }


@sweep_figures.register
class DistributionFigure(SweepFigure):
    """The final metrics of each configuration over its seeds: dots, quartiles, the mean with its interval."""

    name: Literal["distribution"] = "distribution"

    def unsupported_reason(self, data: SweepData) -> str | None:
        few = all(line.stats.n < 2 for line in data.lines)
        return data.no_metric_reason() or ("no setting has two seeds" if few else None)

    def compute(self, data: SweepData) -> Chart:
        every = [line for line in data.lines if line.pruned_at is None]
        lines = every[:ROWS]
        count = len(lines)
        marks = [mark for row, line in enumerate(lines) for mark in _row_marks(data, line, row)]
        has_intervals = any(line.stats.interval for line in lines)
        intervals = "with 95% intervals" if has_intervals else "of too few for intervals"
        boxes = "boxes quartiles, " if any(len(line.values) >= BOX for line in lines) else ""
        details = chart.joined(
            data.seeds,
            f"dots are single {data.seed_noun}s, {boxes}diamonds means {intervals}",
            f"the best {count} of {len(every):,} settings" if count < len(every) else "",
            data.left_out(),
        )
        # the best is on top
        names = tuple(data.labels(lines, LABEL, has_names=False))
        varied = ", ".join(style.name(one.name) for one in data.dimensions)
        y = Axis(varied and f"setting: {varied}", "category", (count - 0.4, -0.6), tuple(range(count)), names)
        x = Axis(data.axis, chart.scale_of(*map(data.values, lines)))
        title = f"{data.metric.capitalize()} of each setting: {data.name}"
        height = float(np.clip(1.5 + 0.27 * count, 2.6, 9.2))
        return Chart(title, details, (Panel(tuple(marks), x, y),), height=height)


def _row_marks(data: SweepData, line: ConfigurationSummary, row: int) -> list[Mark]:
    """The metrics of one configuration, and how many of its trials have none that counts."""
    marks: list[Mark] = []
    values, y = np.sort(data.values(line)), np.array([float(row)])
    if len(values):
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])[:, None]
        dots = values[chart.evenly_spaced(len(values), DOTS)]
        across = row + 0.56 * chart.jitter(len(dots))
        size = float(np.clip(900 / len(dots), 5, 16))
        marks = [Points(dots, across, color=style.BLUE, size=size, opacity=0.5)]
        if len(values) >= BOX:
            box = Bars(y - 0.31, y + 0.31, high, low, color=style.WHITE, edge=style.GREY, along="y")
            marks = [box, *marks, chart.intervals(median, y - 0.31, y + 0.31, width=1.2)]
    mean = line.stats.mean
    if mean is not None:
        low, high = np.array(line.stats.interval or (mean, mean))[:, None]
        marks.append(chart.intervals(y, low, high, color=style.VERMILLION, width=1.6, along="y"))
        marks.append(Points(np.array([mean]), y, color=style.VERMILLION, marker="D", size=18))
    apart = ", ".join(describe_counts(line.counts, UNSOUND))
    if apart:
        marks.append(Text(np.array([np.inf]), y, (apart,), style.VERMILLION))
    return marks
