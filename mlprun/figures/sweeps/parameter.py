"""The metric against each parameter: means with intervals where values can be compared, and dots."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.analysis import comparisons, statistics
from mlprun.figures import style
from mlprun.figures.chart import (
    Array,
    Axis,
    Chart,
    Line,
    Mark,
    Panel,
    Points,
    grid_of,
    intervals,
    joined,
    scale_of,
)
from mlprun.figures.figure import SweepFigure, sweep_figures
from mlprun.figures.style import LineStyle, format_count

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.figures.sweeps.sweep_data import SweepData

PANELS = 6
DOTS = 1500
GROUPS = 6
"""values of the other parameter that have a line of their own, at most"""
MIN_CONFIGURATIONS = 5
"""configurations that were drawn with one value, at least, for an interval of their mean"""


@dataclass(frozen=True)
class Means:
    """A line over the values of a parameter: the mean at each and its interval, nan where there is none."""

    label: str
    positions: Array
    means: Array
    low: Array
    high: Array
    counts: tuple[int, ...]
    """how many metrics each mean is over"""
    few: bool = True
    """whether values are so few that a line joins their means"""

    @classmethod
    def of(cls, label: str, one: Dimension, metrics: Sequence[Sequence[float]], enough: int = 2) -> Means:
        """The means of metrics at each level, with intervals of at least `enough`."""
        rows, counts = [], []
        for level, some in zip(one.levels, metrics, strict=True):
            found = statistics.sample_stats(some)
            if found.mean is not None:
                interval = found.interval if found.n >= enough else None
                rows.append((one.position(level), found.mean, *(interval or (np.nan, np.nan))))
                counts.append(found.n)
        positions, means, low, high = np.array(rows, np.float64).reshape(-1, 4).T
        return cls(label, positions, means, low, high, tuple(counts), one.is_few)


@dataclass(frozen=True)
class Averages:
    """The lines of one parameter, and what they are."""

    lines: tuple[Means, ...] = ()
    over: Literal["seed", "setting", ""] = ""
    """what the means are over; empty where there are none"""
    left_out: int = 0
    """metrics without a partner at another value"""


@sweep_figures.register
class AgainstParameter(SweepFigure):
    """The metric against each parameter: means with 95% intervals over seeds, or dots of configurations."""

    name: Literal["parameter"] = "parameter"

    def unsupported_reason(self, data: SweepData) -> str | None:
        return data.no_metric_reason() if data.dimensions else "no parameter has two values"

    def compute(self, data: SweepData) -> Chart:
        chosen, every = data.dimensions[:PANELS], len(data.dimensions)
        averaged = [averages(data, one) for one in chosen]
        dots = [
            _dots(data, one, has_means=bool(found.lines)) for one, found in zip(chosen, averaged, strict=True)
        ]
        y = Axis(data.axis, scale_of(*(points.y for points in dots)))
        against = style.name(chosen[0].name) if every == 1 else "parameters"
        left_out = max(one.left_out for one in averaged)
        details = joined(
            *(_means_text(data, over, averaged) for over in ("seed", "setting")),
            f"dots are {f'single {data.seed_noun}s' if every == 1 else f'settings ({data.seeds})'}",
            f"means leave out up to {format_count(left_out, 'trial')} without a partner at another value"
            if left_out
            else "",
            f"the first {PANELS} of {every} parameters" if every > PANELS else "",
            data.left_out(),
        )
        # lines of two panels with labels have looks of their own
        starts = accumulate((sum(bool(line.label) for line in one.lines) for one in averaged), initial=0)
        panels = [
            Panel((points, *_mean_marks(found, start)), one.axis(), y)
            for one, found, points, start in zip(chosen, averaged, dots, starts, strict=False)
        ]
        title = f"{data.metric.capitalize()} against {against}: {data.name}"
        return grid_of(title, details, panels, columns=3, height=2.5, share="y")


def averages(data: SweepData, one: Dimension) -> Averages:
    """What can be averaged at each value of a parameter so that its values are compared like with like.

    Of one or two parameters each mean is of one configuration, over its own seeds. Of more in a grid it is
    over configurations alike in all else, seed by seed; a trial without a metric takes away those beside it.
    Of configurations that were drawn at random it is over those with that value. Otherwise there are none:
    configurations that a search chose, or that differ in several parameters at once, differ by more than this
    value.
    """
    known = [line for line in data.lines if line.stats.n and one.path in line.setting.values]
    levels = one.by_level(known)
    is_drawn = one.path in data.random
    if len(data.dimensions) == 1 or (max(map(len, levels)) == 1 and not is_drawn):
        line = _of_seeds("", one, levels)
        return Averages((line,), "seed") if one.is_few or max(line.counts) > 1 else Averages()
    if not one.is_few:
        return Averages()
    others = [other for other in data.dimensions if other.path != one.path]
    if len(others) == 1 and len(others[0].levels) <= GROUPS and data.is_grid:
        (other,) = others
        groups = zip(other.labels, other.by_level(known), strict=True)
        lines = (
            _of_seeds(f"{other.name} {label}", one, one.by_level(some)) for label, some in groups if some
        )
        return Averages(tuple(lines), "seed")
    if not is_drawn:
        return _over_others(one, known)
    if data.is_adaptive or data.description.definition.get("grid") or data.pruned:
        return Averages()  # not drawn independently, or pruned for what they reached
    metrics = [[line.stats.mean for line in lines if line.stats.mean is not None] for lines in levels]
    return Averages((Means.of("", one, metrics, MIN_CONFIGURATIONS),), "setting")


def _of_seeds(label: str, one: Dimension, levels: Sequence[Sequence[ConfigurationSummary]]) -> Means:
    """Means of single configurations over their seeds."""
    return Means.of(label, one, [list(lines[0].values.values()) if lines else [] for lines in levels])


def _over_others(one: Dimension, known: Sequence[ConfigurationSummary]) -> Averages:
    """Means over configurations alike in all but this parameter, as `sweep compare --by` takes them.

    A value of which less than half of the trials are left has none.
    """
    values: dict[int, Mapping[Hashable, comparisons.Values]] = {
        one.index(json.loads(value)): {others: line.values for others, line in lines.items()}
        for value, lines in comparisons.group_by_value(known, one.path).items()
    }
    every = {(others, seed) for value in values.values() for others, some in value.items() for seed in some}
    most = {k: value for k, value in values.items() if sum(map(len, value.values())) * 2 >= len(every)}
    found = comparisons.center_by_configuration(list(most.values()))
    metrics: list[list[float]] = [[] for _ in one.levels]
    for k, means in zip(most, found.means, strict=True):
        metrics[k] = list(means.values())
    return Averages((Means.of("", one, metrics),), "seed", found.left_out) if any(metrics) else Averages()


def _means_text(data: SweepData, over: str, averaged: Sequence[Averages]) -> str:
    """What means are over, and whether they have intervals."""
    means = [line for one in averaged if one.over == over for line in one.lines]
    if not means:
        return ""
    most = max(count for line in means for count in line.counts)
    some = any(np.isfinite(line.low).any() for line in means)
    others = ", averaged over the other parameters" if over == "seed" and len(data.dimensions) > 2 else ""
    if not any(line.few for line in means):
        return f"large dots are means over {format_count(most, data.seed_noun if over == 'seed' else over)}"
    return (
        f"means over {format_count(most, data.seed_noun if over == 'seed' else over)}"
        f"{' with 95% intervals' if some else ', too few for intervals'}{others}"
    )


def _dots(data: SweepData, one: Dimension, *, has_means: bool) -> Points:
    """Trials where one parameter varies, else configurations; pale ones behind means."""
    pairs = [
        (one.position(line.setting.values[one.path]), value)
        for line in data.lines
        if one.path in line.setting.values and line.stats.n
        for value in (line.values.values() if len(data.dimensions) == 1 else (line.stats.mean,))
    ]
    x, y = np.array(pairs[:DOTS], np.float64).reshape(-1, 2).T
    size = float(np.clip(3000 / max(1, len(x)), 5, 18))
    color, opacity = (style.GREY, 0.55) if has_means else (style.BLUE, 0.8)
    return Points(x, y, color=color, size=size, opacity=opacity)


def _mean_marks(averaged: Averages, start: int) -> list[Mark]:
    """A line through the means with their intervals, or only the means of many values."""
    marks: list[Mark] = []
    for index, line in enumerate(averaged.lines, start):
        look = LineStyle.of(index)
        if not line.few:
            marks.append(Points(line.positions, line.means, line.label, look.color, size=22))
            continue
        known = np.isfinite(line.low)
        bounds = np.minimum(line.low, line.means)[known], np.maximum(line.high, line.means)[known]
        marks.append(intervals(line.positions[known], *bounds, color=look.color))
        marks.append(Line(line.positions, line.means, style.name(line.label, 30), *look, width=1.3))
    return marks
