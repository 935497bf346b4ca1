"""Parallel coordinates: every configuration as a line through its values to what it reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.chart import Axis, Chart, ColorScale, Line, Mark, Panel, Text, joined
from mlprun.figures.figure import SweepFigure, sweep_figures
from mlprun.figures.sweeps.dimensions import format_ticks, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.figures.sweeps.sweep_data import SweepData

AXES = 9
LINES = 600
TICKS = 12
FAN = 0.06
"""of the distance between two choices: how far lines through one of them fan out, to either side"""


@sweep_figures.register
class ParallelCoordinates(SweepFigure):
    """Every configuration as a line through its values to the mean it reached; the best is drawn thick."""

    name: Literal["parallel"] = "parallel"

    def unsupported_reason(self, data: SweepData) -> str | None:
        if len(data.dimensions) < 2:
            return "fewer than two parameters vary"
        known = sum(line.stats.mean is not None for line in data.lines)
        return None if known > 1 else "fewer than two settings have a metric"

    def compute(self, data: SweepData) -> Chart:
        dimensions, is_small = data.dimensions[: AXES - 1], data.best_is_small
        complete = [line for line in data.lines if all(one.path in line.setting.values for one in dimensions)]
        known = [(line.stats.mean, line) for line in complete if line.stats.mean is not None]
        known.sort(key=lambda pair: pair[0] if is_small else -pair[0])
        shown = [line for _, line in known[:LINES]]
        pruned = [line for line in complete if line.pruned_at is not None and line.stats.mean is None]
        metrics = np.array([mean for mean, _ in known[:LINES]])
        is_log = style.spans_much(metrics)
        positions = np.column_stack([_fractions(dimensions, shown), _between(metrics, is_log=is_log)])
        colors = ColorScale(
            data.axis, float(metrics.min()), float(metrics.max()), is_log,
            "cividis" if is_small else "cividis_r", good="low" if is_small else "high",
        )  # fmt: skip
        marks = [
            *_pruned_marks(_fractions(dimensions, pruned[:LINES])),
            *_lines(positions, fanned(positions, dimensions), metrics, shown[0].setting.id),
            *_axis_marks([*map(_ticks, dimensions), _round_ticks(colors.low, colors.high, is_log=is_log)]),
        ]
        counts = len(known), len(shown), min(len(pruned), LINES)
        panel = Panel(tuple(marks), *_axes(dimensions, data.axis), grid="none", frame=False, colors=colors)
        return Chart(f"Settings of {data.name}", _details(data, dimensions, counts), (panel,), height=4.3)


def _details(
    data: SweepData, dimensions: Sequence[Dimension], counts: tuple[int, int, int]
) -> tuple[str, ...]:
    """What lines are, and what is left out; `counts` are configurations with a metric, drawn, and pruned."""
    known, shown, pruned = counts
    without = len(data.lines) - known - pruned
    every = len(data.dimensions)
    return joined(
        f"a line is a setting, its colour the mean over {data.seeds}",
        f"left out: {without:,} without a metric" if without else "",
        f"the best {shown:,} of {known:,} settings" if shown < known else "",
        f"the first {len(dimensions)} of {every} parameters" if len(dimensions) < every else "",
        "lines through one choice fan out a little" if any(map(_is_choice, dimensions)) else "",
    )


def _fractions(dimensions: Sequence[Dimension], lines: Sequence[ConfigurationSummary]) -> NDArray[np.float64]:
    """Where configurations stand between 0 and 1 on each axis [N, axes]."""
    rows = [[one.fraction(line.setting.values[one.path]) for one in dimensions] for line in lines]
    return np.array(rows, np.float64).reshape(len(lines), len(dimensions))


def _between(values: NDArray[np.float64], *, is_log: bool) -> NDArray[np.float64]:
    """Values as fractions of the way from the smallest to the largest."""
    on = np.log(values) if is_log else values
    low, high = on.min(), on.max()
    return np.asarray((on - low) / (high - low)) if high > low else np.full(len(on), 0.5)


def _lines(
    positions: NDArray[np.float64], spread: NDArray[np.float64], metrics: NDArray[np.float64], best: int
) -> list[Mark]:
    """Smooth lines that meet each axis level, so that they can be followed across; the good ones on top."""
    x = np.arange(positions.shape[1], dtype=np.float64)
    width = float(np.clip(40 / len(metrics), 0.5, 1.4))
    others = Line(x, spread[:0:-1], width=width, opacity=0.75, interpolate="smooth", values=metrics[:0:-1])
    thick = Line(
        x, positions[:1], f"the best: setting {best}", style.VERMILLION, width=2.4, interpolate="smooth"
    )
    return [others, thick]


def _pruned_marks(positions: NDArray[np.float64]) -> list[Mark]:
    """Pruned configurations as grey lines that end before the metric, which they have none of."""
    if not len(positions):
        return []
    x = np.arange(positions.shape[1], dtype=np.float64)
    label = f"{len(positions):,} pruned, without a final metric"
    return [Line(x, positions, label, style.GREY, width=0.4, opacity=0.45, interpolate="smooth")]


def _axis_marks(ticks: Sequence[list[tuple[float, str]]]) -> list[Mark]:
    """The upright axes with what stands at their ticks."""
    marks: list[Mark] = []
    for index, some in enumerate(ticks):
        x = float(index)
        marks.append(Line(np.array([x, x]), np.array([-0.1, 1.1]), width=0.8))
        ends = np.array([x - 0.012, x + 0.012])
        marks += [Line(ends, np.array([up, up]), width=0.8) for up, _ in some]
        heights, texts = np.array([up for up, _ in some]), tuple(text for _, text in some)
        marks.append(Text(np.full(len(some), x), heights, texts, align="left", offset=(4, 0), box=True))
    return marks


def _axes(dimensions: Sequence[Dimension], metric: str) -> tuple[Axis, Axis]:
    """The names of the upright axes stand under them."""
    names = [style.name(one.name, 16) + ("" if one.is_to_scale else "\n(not to scale)") for one in dimensions]
    count = len(names) + 1
    labels = (*names, metric.replace(" (", "\n("))
    x = Axis("", "category", (-0.12, count - 0.75), tuple(range(count)), labels)
    return x, Axis("", limits=(-0.12, 1.12), ticks=())


def _is_choice(one: Dimension) -> bool:
    """Return True if values are no numbers, so that a line beside one of them is not at another."""
    return one.is_few and not one.is_number and one.is_to_scale


def fanned(positions: NDArray[np.float64], dimensions: Sequence[Dimension]) -> NDArray[np.float64]:
    """The positions, moved a little at choices, so that lines through one of them can be told apart.

    Lines of one choice are in the order of where they come from and go to, so that few of them cross. On the
    axis of a number a line is at its value.
    """
    moved = positions.copy()
    for index, one in enumerate(dimensions):
        if not _is_choice(one):
            continue
        around = positions[:, max(0, index - 1) : index + 2].mean(axis=1)
        width = FAN / max(2, len(one.levels) - 1)
        for level in np.unique(positions[:, index]):
            there = np.flatnonzero(positions[:, index] == level)
            if len(there) > 1:
                order = np.argsort(np.argsort(around[there], kind="stable"), kind="stable")
                moved[there, index] += np.linspace(-width, width, len(there))[order]
    return moved


def _ticks(one: Dimension) -> list[tuple[float, str]]:
    """Positions between 0 and 1, and what is written there."""
    if not (one.is_few or not one.is_number):
        return _round_ticks(float(one.levels[0]), float(one.levels[-1]), is_log=one.scale == "log")
    step = -(-len(one.levels) // TICKS)
    found = [(one.fraction(level), label) for level, label in zip(one.levels, one.labels, strict=True)][
        ::step
    ]
    return [pair for k, pair in enumerate(found) if not k or pair[0] - found[k - 1][0] > 0.03]


def _round_ticks(low: float, high: float, *, is_log: bool) -> list[tuple[float, str]]:
    """Round numbers between two, with their positions between 0 and 1."""
    if not high > low:
        return [(0.5, number(low))]
    points = style.log_ticks(low, high) if is_log else style.round_ticks(low, high)
    positions = _between(np.array([low, *points, high]), is_log=is_log)[1:-1]
    if is_log:
        texts = [style.power(point) if high / low >= 100 else number(point) for point in points]
    else:
        texts = format_ticks(points)
    return list(zip(map(float, positions), texts, strict=True))
