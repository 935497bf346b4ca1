"""The metric and the success rate over two parameters, as maps; the success rate over one, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlprun.analysis import report_text, statistics
from mlprun.analysis.summary import ConfigurationSummary, describe_counts
from mlprun.errors import UsageError
from mlprun.figures import chart, style
from mlprun.figures.chart import Axis, Chart, ColorScale, HeatMap, Line, Mark, Panel, Points, Text
from mlprun.figures.figure import SweepFigure, sweep_figures
from mlprun.figures.sweeps.importance import most_important
from mlprun.sweeps.objective import SILENT, UNSOUND
from mlprun.sweeps.objective import mean as mean_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.analysis.statistics import SuccessRate
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.figures.sweeps.sweep_data import SweepData

CELLS = 20
"""values of a parameter that have a row or a column of their own, at most"""


class TwoParameterFigure(SweepFigure):
    """Base of the maps over two parameters."""

    parameters: tuple[str, str] | None = Field(
        None, description="the two parameters, across and up; by default the two most important"
    )

    def chosen(self, data: SweepData) -> tuple[Dimension, Dimension]:
        """The two parameters. Raises UsageError for one that does not vary."""
        if self.parameters is None:
            best = most_important(data)[:2]
            across, up = (one for one in data.dimensions if one in best)
            return across, up
        known = {name: one for one in data.dimensions for name in (one.path, one.name)}
        for name in self.parameters:
            if name not in known:
                paths = ", ".join(one.path for one in data.dimensions)
                raise UsageError("--parameters", f"{name} does not vary", f"expected two of {paths}")
        return known[self.parameters[0]], known[self.parameters[1]]

    def value(self, lines: Sequence[ConfigurationSummary]) -> tuple[float | None, str]:
        """What the colour of some settings stands for, and how it is written."""
        raise NotImplementedError

    def draw(self, data: SweepData, title: str, notes: Sequence[str], colors: ColorScale | None) -> Chart:
        """Cells where values are few enough for a row or a column each, else a dot for each setting."""
        across, up = self.chosen(data)
        is_map = all(len(one.levels) <= CELLS and not one.is_continuous for one in (across, up))
        if is_map:
            rows = [[self.value(lines) for lines in across.by_level(row)] for row in up.by_level(data.lines)]
            texts = tuple(tuple(text for _, text in row) for row in rows)
            values = np.array([[value for value, _ in row] for row in rows], np.float64)
            x, y = (
                Axis(one.axis().label, "category", None, tuple(range(len(one.levels))), tuple(one.labels))
                for one in (across, up)
            )
            panel = Panel((HeatMap(values, texts=texts),), x, y)
        else:
            values = np.array([self.value([line])[0] for line in data.lines], np.float64)
            panel = Panel(_dots(data, values, across, up), across.axis(), up.axis())
        count = len(data.dimensions)
        details = chart.joined(
            *notes,
            f"the two most important of {count} parameters" if count > 2 and not self.parameters else "",
            "over all values of the other parameters" if count > 2 and is_map else "",
            "a dot is a setting" if not is_map else "",
            "dark is good" if colors is None else "",
        )
        height = float(np.clip(1.7 + 0.34 * len(values), 2.9, 7.5)) if is_map else 4.0
        return Chart(title, details, (panel,), height=height, colors=colors or data.color_scale(values))


@sweep_figures.register
class MetricMap(TwoParameterFigure):
    """The mean of the metric over two parameters."""

    name: Literal["heat_map"] = "heat_map"

    def unsupported_reason(self, data: SweepData) -> str | None:
        return "fewer than two parameters vary" if len(data.dimensions) < 2 else data.no_metric_reason()

    def compute(self, data: SweepData) -> Chart:
        title = f"{data.metric.capitalize()} over two parameters: {data.name}"
        return self.draw(data, title, (f"means over {data.seeds}", data.left_out()), None)

    def value(self, lines: Sequence[ConfigurationSummary]) -> tuple[float | None, str]:
        """Three significant digits."""
        means = [line.stats.mean for line in lines if line.stats.mean is not None]
        if not means:
            return None, next((one for one in UNSOUND if any(line.counts.get(one) for line in lines)), "")
        return mean_of(means), style.format_mathtext(f"{mean_of(means):#.3g}".removesuffix("."))


@sweep_figures.register
class SuccessMap(TwoParameterFigure):
    """How often trials succeed: over two parameters as a map, over one with Wilson's intervals."""

    name: Literal["success"] = "success"

    def unsupported_reason(self, data: SweepData) -> str | None:
        if data.description.success is None:
            return "the sweep does not say what success is"
        if not data.dimensions:
            return "no parameter has two values"
        return None if any(line.successes for line in data.lines) else "no trial has ended"

    def compute(self, data: SweepData) -> Chart:
        assert data.description.success is not None
        counts = data.summary.counts
        diverged, silent = counts.get("diverged", 0), describe_counts(counts, SILENT)
        title, notes = f"Success rate: {data.name}", [f"success: {data.description.success['text']}"]
        notes += [f"{style.format_count(diverged, 'diverged trial')} without success"] if diverged else []
        notes += [f"left out: {', '.join(silent)}"] if silent else []
        if len(data.dimensions) == 1:
            details = chart.joined(*notes, "Wilson's 95% intervals")
            return Chart(title, details, (_rate_panel(data),), height=3.7)
        return self.draw(data, title, notes, ColorScale("share of successful trials", 0, 1, palette="Blues"))

    def value(self, lines: Sequence[ConfigurationSummary]) -> tuple[float | None, str]:
        rate = _rate(lines)
        return rate.rate, report_text.fraction(rate) if rate.n else ""


def _dots(data: SweepData, values: chart.Array, across: Dimension, up: Dimension) -> tuple[Mark, ...]:
    """A dot for each configuration where values of the parameters rarely meet."""
    x, y = (
        np.array([one.position(line.setting.values.get(one.path)) for line in data.lines])
        for one in (across, up)
    )
    known, size = chart.is_drawable(values), float(np.clip(8000 / max(1, len(values)), 12, 60))
    dots = Points(x[known], y[known], values=values[known], size=size, edge=style.BLACK)
    look: Any = {"color": style.VERMILLION, "marker": "x", "size": size * 0.7}
    others = Points(x[~known], y[~known], "without a result", **look)
    return (dots,) if known.all() else (dots, others)


def _rate(lines: Sequence[ConfigurationSummary]) -> SuccessRate:
    rates = [line.success for line in lines if line.success is not None]
    return statistics.success_rate(
        sum(rate.successes for rate in rates),
        sum(rate.n for rate in rates),
        sum(rate.independent for rate in rates),
    )


def _rate_panel(data: SweepData) -> Panel:
    """Success rates with their intervals over one parameter."""
    one, rows, texts = data.dimensions[0], list[tuple[float, ...]](), list[str]()
    for level, lines in zip(one.levels, one.by_level(data.lines), strict=True):
        rate = _rate(lines)
        if rate.rate is not None and rate.interval is not None:
            rows.append((one.position(level), rate.rate, *rate.interval))
            texts.append(report_text.fraction(rate) if one.is_few else "")
    x, rates, low, high = np.array(rows, np.float64).T
    marks: tuple[Mark, ...] = (
        chart.intervals(x, np.minimum(low, rates), np.maximum(high, rates), color=style.BLUE),
        Line(x, rates, color=style.BLUE, marker="o", width=1.2),
        Text(x, high, tuple(texts), offset=(0, 4)),
    )
    return Panel(marks, one.axis(), Axis("share of successful trials", limits=(0, 1.06)))
