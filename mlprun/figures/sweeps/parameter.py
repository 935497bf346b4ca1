"""The metric against each parameter: means with intervals where values can be compared, and dots."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.analysis import pooling, statistics
from mlprun.figures import style
from mlprun.figures.chart import (
    Axis,
    Chart,
    Interval,
    Line,
    Mark,
    Panel,
    Points,
    Text,
    grid_of,
    jitter,
    joined,
)
from mlprun.figures.figure import SweepFigure, sweep_figures
from mlprun.figures.style import LineStyle, count_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.analysis.pooling import Values
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
    positions: NDArray[np.float64]
    means: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    counts: tuple[int, ...]
    """how many metrics each mean is over"""


@dataclass(frozen=True)
class Averages:
    """The lines of one parameter, and what they are."""

    lines: tuple[Means, ...] = ()
    other: str = ""
    """the parameter that the lines are values of; empty where there is one line"""
    over: Literal["seeds", "settings", ""] = ""
    """what the means are over; empty where there are none"""
    left_out: int = 0
    """metrics without a partner at another value"""
    without: int = 0
    """values without a mean, since most of their trials lack a metric"""


@sweep_figures.register
class AgainstParameter(SweepFigure):
    """The metric against each parameter: means with 95% intervals over seeds, or dots of configurations."""

    name: Literal["parameter"] = "parameter"

    def unsupported_reason(self, data: SweepData) -> str | None:
        return data.no_metric_reason() if data.dimensions else "no parameter has two values"

    def compute(self, data: SweepData) -> Chart:
        chosen = data.dimensions[:PANELS]
        count, every = len(chosen), len(data.dimensions)
        averaged = [averages(data, one) for one in chosen]
        dots = [_dots(data, one) for one in chosen]
        is_log = style.spans_much(*(y for _, y in dots))
        y = Axis(data.axis, "log" if is_log else "linear")
        panels = [
            _panel(data, *three, y, has_legend=count > 1)
            for three in zip(chosen, averaged, dots, strict=True)
        ]
        against = style.name(chosen[0].name) if every == 1 else "parameters"
        diverged = any(line.counts.get("diverged") for line in data.lines)
        pruned = any(data.pruned_value(line) is not None for line in data.lines)
        details = joined(
            *_about(data, averaged),
            f"the first {PANELS} of {every} parameters" if count < every else "",
            data.left_out(),
            "crosses: trials that diverged" if diverged else "",
            "triangles: pruned settings, by what they had reached" if pruned else "",
        )
        return grid_of(
            f"{data.metric.capitalize()} against {against} of {data.name}",
            details,
            panels,
            columns=2 if count in (2, 4) else 3,
            height=3.1 if count > 1 and any(one.other for one in averaged) else 2.6,
            alone=3.9,
            share="y",
        )


# --- means


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
        return Averages((line,), over="seeds") if one.is_few or max(line.counts) > 1 else Averages()
    if not one.is_few:
        return Averages()
    other = _other(data, one)
    if other is not None:
        groups = zip(other.labels, other.by_level(known), strict=True)
        lines = tuple(_of_seeds(label, one, one.by_level(some)) for label, some in groups if some)
        return Averages(lines, other.name, "seeds")
    if not is_drawn:
        return _over_others(one, known)
    # configurations drawn independently, and none of them pruned for what it reached
    is_plain = not (data.is_adaptive or data.description.definition.get("grid") or data.pruned)
    return Averages((_of_configurations(one, levels),), over="settings") if is_plain else Averages()


def _other(data: SweepData, one: Dimension) -> Dimension | None:
    """The parameter whose values have lines of their own: the only other one of a grid, with few values."""
    others = [other for other in data.dimensions if other.path != one.path]
    is_alone = len(others) == 1 and len(others[0].levels) <= GROUPS and data.is_grid
    return others[0] if is_alone else None


def _of_seeds(label: str, one: Dimension, levels: Sequence[Sequence[ConfigurationSummary]]) -> Means:
    """Means of single configurations over their seeds."""
    return _means(label, one, [list(lines[0].values.values()) if lines else [] for lines in levels])


def _of_configurations(one: Dimension, levels: Sequence[Sequence[ConfigurationSummary]]) -> Means:
    """Means over configurations that were drawn independently of one another."""
    metrics = [[line.stats.mean for line in lines if line.stats.mean is not None] for lines in levels]
    return _means("", one, metrics, MIN_CONFIGURATIONS)


def _means(label: str, one: Dimension, metrics: Sequence[Sequence[float]], enough: int = 2) -> Means:
    rows, counts = [], []
    for level, some in zip(one.levels, metrics, strict=True):
        found = statistics.sample_stats(some)
        if found.mean is not None:
            interval = found.interval if found.n >= enough else None
            rows.append((one.position(level), found.mean, *(interval or (np.nan, np.nan))))
            counts.append(found.n)
    positions, means, low, high = np.array(rows, np.float64).reshape(-1, 4).T
    return Means(label, positions, means, low, high, tuple(counts))


def _over_others(one: Dimension, known: Sequence[ConfigurationSummary]) -> Averages:
    """Means over configurations alike in all but this parameter, as `sweep compare --by` takes them."""
    by_value = pooling.group_by_value(known, one.path)
    values: dict[int, Mapping[Hashable, Values]] = {
        one.index(json.loads(value)): {others: line.values for others, line in lines.items()}
        for value, lines in by_value.items()
    }
    every = {(others, seed) for value in values.values() for others, some in value.items() for seed in some}
    most = {k: value for k, value in values.items() if sum(map(len, value.values())) * 2 >= len(every)}
    found = pooling.center_by_configuration(list(most.values()))
    metrics: list[list[float]] = [[] for _ in one.levels]
    for k, means in zip(most, found.means, strict=True):
        metrics[k] = list(means.values())
    if not any(metrics):
        return Averages()
    without = sum(k in values and not some for k, some in enumerate(metrics))
    return Averages((_means("", one, metrics),), "", "seeds", found.left_out, without)


# --- details


def _about(data: SweepData, averaged: Sequence[Averages]) -> list[str]:
    """What dots, lines and intervals are, and what is left out of them."""
    is_lone = len(data.dimensions) == 1
    parts = []
    for over in ("seeds", "settings"):
        some = [one for one in averaged if one.over == over]
        if some:
            parts.append(_means_text(data, some))
    if not any(one.other for one in averaged):
        parts.append(f"dots are {f'single {data.seed_noun}s' if is_lone else 'settings'}")
        if not any(one.over for one in averaged) and not is_lone:
            parts[-1] += f" ({data.seeds})"
    left = max(one.left_out for one in averaged)
    without = sum(one.without for one in averaged)
    if left:
        parts.append(f"means leave out up to {count_of(left, 'trial')} without a partner at another value")
    if without:
        parts.append(f"no mean at {count_of(without, 'value')} of which few trials are left")
    return parts


def _means_text(data: SweepData, some: Sequence[Averages]) -> str:
    """What means are over, and whether they have intervals."""
    means = [line for one in some for line in one.lines]
    counts = [count for line in means for count in line.counts]
    low, high, of_seeds = min(counts), max(counts), some[0].over == "seeds"
    if of_seeds and high == 1 and (some[0].other or len(data.dimensions) == 1):
        return f"one {data.seed_noun} each, and so no intervals"
    over = count_of(high, data.seed_noun if of_seeds else "setting")
    over = over if low == high else f"{low:,} to {over}"
    known = np.concatenate([np.isfinite(line.low) for line in means])
    intervals = ", too few for intervals"
    if known.any():
        intervals = " with 95% intervals" + ("" if known.all() else " where there are enough")
    is_averaged = of_seeds and len(data.dimensions) > 1 and not some[0].other
    others = ", averaged over the other parameters" if is_averaged else ""
    return f"means over {over}{'' if of_seeds else ' of one value'}{intervals}{others}"


# --- panels

Dots = tuple["NDArray[np.float64]", "NDArray[np.float64]"]
"""positions and metrics"""


def _dots(data: SweepData, one: Dimension) -> Dots:
    """Of trials where one parameter varies, else of configurations."""
    is_lone = len(data.dimensions) == 1
    return _columns(
        (one.position(line.setting.values[one.path]), value)
        for line in data.lines
        if one.path in line.setting.values and line.stats.n
        for value in (line.values.values() if is_lone else (line.stats.mean,))
    )


def _pruned_dots(data: SweepData, one: Dimension) -> Dots:
    """Pruned configurations, by what they had reached until then."""
    return _columns(
        (one.position(line.setting.values[one.path]), value)
        for line in data.lines
        if one.path in line.setting.values and (value := data.pruned_value(line)) is not None
    )


def _columns(dots: Any) -> Dots:
    table = np.array(list(dots)[:DOTS], np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _panel(
    data: SweepData, one: Dimension, averaged: Averages, dots: Dots, y: Axis, *, has_legend: bool
) -> Panel:
    marks: list[Mark] = []
    x, metrics = _pruned_dots(data, one)
    if len(x):
        look: Any = {"color": "none", "edge": style.GREY, "edge_width": 0.4, "opacity": 0.7}
        marks.append(Points(_jittered(x, one), metrics, marker="v", size=10, **look))
    x, metrics = dots
    if not averaged.other:
        size = float(np.clip(3000 / max(1, len(x)), 5, 18))
        marks.append(Points(_jittered(x, one), metrics, color=style.GREY, size=size, opacity=0.55))
    for index in range(len(averaged.lines)):
        look = LineStyle.of(index) if averaged.other else LineStyle(style.BLUE, marker="o")
        marks += _mean_marks(one, averaged, index, look, has_legend=has_legend)
    marks += _diverged_marks(data, one, is_labelled=not has_legend)
    title = style.name(averaged.other, 30) if has_legend and averaged.other else None
    return Panel(tuple(marks), one.axis(), y, legend=title)


def _mean_marks(
    one: Dimension, averaged: Averages, index: int, look: LineStyle, *, has_legend: bool
) -> list[Mark]:
    """A line of means with its intervals, beside those of the other lines."""
    line, count = averaged.lines[index], len(averaged.lines)
    shift = np.full(len(line.positions), (index - (count - 1) / 2) * 0.07)
    x = one.shifted(line.positions, shift)
    label = ""
    if averaged.other:  # a legend of the panel's own has the parameter's name for its title
        label = style.name(line.label, 14) if has_legend else f"{style.name(averaged.other, 18)} {line.label}"
    known = np.isfinite(line.low)
    cap = 2.5 if one.is_few else 0.0
    bounds = np.minimum(line.low, line.means)[known], np.maximum(line.high, line.means)[known]
    intervals = [Interval(x[known], *bounds, color=look.color, cap=cap)] if known.any() else []
    return [*intervals, Line(x, line.means, label, *look, width=1.3)]


def _diverged_marks(data: SweepData, one: Dimension, *, is_labelled: bool) -> list[Mark]:
    """Crosses on the upper edge; where values are few, with how many trials they stand for."""
    found: dict[float, tuple[int, int]] = {}
    for line in data.lines:
        if one.path in line.setting.values:
            position = one.position(line.setting.values[one.path])
            diverged, total = found.get(position, (0, 0))
            found[position] = diverged + line.counts.get("diverged", 0), total + sum(line.counts.values())
    found = {position: counts for position, counts in found.items() if counts[0]}
    if not found:
        return []
    x, top = np.array(list(found)), np.full(len(found), np.inf)
    label = "trials that diverged" if is_labelled else ""
    crosses = Points(x, top, label, style.VERMILLION, "x", edge_width=1.1)
    if not (is_labelled and one.is_few):
        return [crosses]
    texts = tuple(f"{count}/{total}" for count, total in found.values())
    return [crosses, Text(x, top, texts, style.VERMILLION, align="left", offset=(5, 0))]


def _jittered(positions: NDArray[np.float64], one: Dimension) -> NDArray[np.float64]:
    """Positions with some width where they are few."""
    return one.shifted(positions, 0.5 * jitter(len(positions))) if one.is_few else positions
