"""The metric and the success rate over two parameters, as maps; the success rate over one, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlprun.analysis import report_text, statistics
from mlprun.analysis.summary import describe_counts
from mlprun.errors import UsageError
from mlprun.figures import style
from mlprun.figures.chart import (
    Axis,
    Chart,
    ColorScale,
    HeatMap,
    Interval,
    Line,
    Mark,
    Panel,
    Points,
    Text,
    is_drawable,
    joined,
)
from mlprun.figures.figure import SweepFigure, sweep_figures
from mlprun.figures.sweeps.importance import most_important
from mlprun.sweeps.objective import APART, SILENT, UNSOUND
from mlprun.sweeps.objective import mean as mean_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlprun.analysis.statistics import SuccessRate
    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.figures.sweeps.sweep_data import SweepData

    Texts = tuple[tuple[str, ...], ...]
    Cells = list[list[list[ConfigurationSummary]]]

CELLS = 20
"""values of a parameter that have a row or a column of their own, at most"""
ROOM = 62
"""characters that a row of cells has room for"""
SMALLEST = 5.0
"""points of the smallest letters in a cell"""


class TwoParameterFigure(SweepFigure):
    """Base of the maps over two parameters."""

    parameters: tuple[str, str] | None = Field(
        None, description="the two parameters, across and up; by default the two most important"
    )

    def chosen(self, data: SweepData) -> tuple[Dimension, Dimension]:
        """The two parameters. Raises UsageError for one that does not vary."""
        if self.parameters is None:
            wide = _spread_parameters(data)
            best = (most_important(data, wide) or wide)[:2]
            across, up = (one for one in data.dimensions if one in best)
            return across, up
        known = {name: one for one in data.dimensions for name in (one.path, one.name)}
        for name in self.parameters:
            if name not in known:
                paths = ", ".join(one.path for one in data.dimensions)
                raise UsageError("--parameters", f"{name} does not vary", f"expected two of {paths}")
        return known[self.parameters[0]], known[self.parameters[1]]

    def choice_note(self, data: SweepData) -> str:
        """How the two were chosen where more parameters vary."""
        count, wide = len(data.dimensions), _spread_parameters(data)
        if count < 3 or self.parameters is not None:
            return ""
        if most_important(data, wide) is None:
            return f"two of {count} parameters"
        among = "parameters" if len(wide) == count else "that spread"
        return f"the two most important of {len(wide)} {among}"


@sweep_figures.register
class MetricMap(TwoParameterFigure):
    """The mean of the metric over two parameters."""

    name: Literal["heat_map"] = "heat_map"

    def unsupported_reason(self, data: SweepData) -> str | None:
        return "fewer than two parameters vary" if len(data.dimensions) < 2 else data.no_metric_reason()

    def compute(self, data: SweepData) -> Chart:
        across, up = self.chosen(data)
        title = f"{data.metric.capitalize()} over two parameters of {data.name}"
        what, averaged, starred = f"means over {data.seeds}", "", ""
        if are_cells(across, up):
            cells = cells_of(data, across, up)
            means = [[_mean(lines) for lines in row] for row in cells]
            values = np.array(
                [[np.nan if mean is None else mean for mean in row] for row in means], np.float64
            )
            texts = tuple(
                tuple(_cell_text(lines, mean) for lines, mean in zip(*pair, strict=True))
                for pair in zip(cells, means, strict=True)
            )
            panel = _cell_panel(values, texts, across, up)
            averaged = "averaged over the other parameters" if len(data.dimensions) > 2 else ""
            if any(text.endswith("*") for row in texts for text in row):
                starred = "* of those trials of a cell that have a metric"
        else:
            what = f"a dot is a setting, its colour the mean over {data.seeds}"
            values = np.array([line.stats.mean for line in data.lines], np.float64)
            panel = _dot_panel(data, values, across, up)
        known = values[np.isfinite(values)]
        is_small = data.best_is_small
        colors = ColorScale(
            data.axis, float(known.min()), float(known.max()), style.spans_much(known),
            "cividis" if is_small else "cividis_r", good="low" if is_small else "high",
        )  # fmt: skip
        details = joined(what, self.choice_note(data), averaged, data.left_out(), starred)
        return _map(title, details, panel, colors, len(up.levels) if are_cells(across, up) else None)


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
        title, success = f"Success rate of {data.name}", f"success: {data.description.success['text']}"
        if len(data.dimensions) == 1:
            details = joined(success, "Wilson's 95% intervals", _not_describe_counts(data))
            return Chart(title, details, (_rate_panel(data),), height=3.7)
        across, up = self.chosen(data)
        averaged, rows = "", None
        if are_cells(across, up):
            rates = [[_rate(lines) for lines in row] for row in cells_of(data, across, up)]
            values = np.array([[rate.rate for rate in row] for row in rates], np.float64)
            panel, rows = _cell_panel(values, _rate_texts(rates), across, up), len(up.levels)
            if len(data.dimensions) > 2:
                averaged = "all values of the other parameters together"
        else:
            values = np.array(
                [line.success.rate if line.success else None for line in data.lines], np.float64
            )
            panel = _dot_panel(data, values, across, up)
        details = joined(success, self.choice_note(data), averaged, _not_describe_counts(data))
        colors = ColorScale("share of successful trials", 0, 1, palette="cividis_r", good="high")
        return _map(title, details, panel, colors, rows)


def _spread_parameters(data: SweepData) -> Sequence[Dimension]:
    """The parameters that spread over a plane where there are two of these, else all."""
    wide = [
        one for one in data.dimensions if one.is_continuous or (one.is_number and len(one.levels) > CELLS)
    ]
    return wide if len(wide) > 1 else data.dimensions


def are_cells(across: Dimension, up: Dimension) -> bool:
    """Return True if values are few enough for a row or a column each, and not numbers from a range."""
    return all(len(one.levels) <= CELLS and not one.is_continuous for one in (across, up))


def cells_of(data: SweepData, across: Dimension, up: Dimension) -> Cells:
    """The configurations in each cell."""
    cells: Cells = [[[] for _ in across.levels] for _ in up.levels]
    for line in data.lines:
        chosen = line.setting.values
        if across.path in chosen and up.path in chosen:
            cells[up.index(chosen[up.path])][across.index(chosen[across.path])].append(line)
    return cells


def _map(title: str, details: tuple[str, ...], panel: Panel, colors: ColorScale, rows: int | None) -> Chart:
    """The chart of cells in so many rows, or of dots."""
    height = 4.0 if rows is None else float(np.clip(1.7 + 0.34 * rows, 2.9, 7.5))
    return Chart(title, details, (panel,), height=height, colors=colors)


def _cell_panel(values: NDArray[np.float64], texts: Texts, across: Dimension, up: Dimension) -> Panel:
    columns = values.shape[1]
    longest = max(len(text) for row in texts for text in row)
    size = min(style.SIZE - 1, (style.SIZE - 1) * ROOM / max(1, longest * columns))
    x, y = (
        Axis(
            style.name(one.name, 30),
            "category",
            ticks=tuple(range(len(one.levels))),
            tick_labels=tuple(one.labels),
        )
        for one in (across, up)
    )
    cells = HeatMap(values, texts=texts if size >= SMALLEST else (), text_size=size)
    return Panel((cells,), x, y, grid="none", frame=False)


def _dot_panel(data: SweepData, values: NDArray[np.float64], across: Dimension, up: Dimension) -> Panel:
    """A dot for each configuration where values of the parameters rarely meet."""
    x, y = (
        np.array([one.position(line.setting.values.get(one.path)) for line in data.lines])
        for one in (across, up)
    )
    known, pruned = is_drawable(values), np.array([line.pruned_at is not None for line in data.lines])
    size = float(np.clip(8000 / max(1, len(values)), 12, 60))
    marks: list[Mark] = [Points(x[known], y[known], values=values[known], size=size, edge=style.BLACK)]
    unsuccessful, pruned = ~known & ~pruned, ~known & pruned
    if unsuccessful.any():
        look: Any = {"color": style.VERMILLION, "marker": "x", "size": size * 0.7, "edge_width": 1.1}
        marks.append(Points(x[unsuccessful], y[unsuccessful], "no trial ended well", **look))
    if pruned.any():
        look = {"color": "none", "marker": "v", "size": 14.0, "edge": style.GREY, "edge_width": 0.5}
        marks.append(Points(x[pruned], y[pruned], "pruned", **look))
    return Panel(tuple(marks), across.axis(), up.axis())


def _mean(lines: list[ConfigurationSummary]) -> float | None:
    means = [line.stats.mean for line in lines if line.stats.mean is not None]
    return mean_of(means) if means else None


def _cell_text(lines: list[ConfigurationSummary], mean: float | None) -> str:
    """Three significant digits, those at the end too; a star where trials of the cell are missing."""
    if mean is None:
        return next((one for one in UNSOUND if any(line.counts.get(one) for line in lines)), "")
    starred = any(line.counts.get(one) for line in lines for one in APART)
    return style.typeset(f"{mean:#.3g}".removesuffix(".")) + ("*" if starred else "")


def _rate(lines: list[ConfigurationSummary]) -> SuccessRate:
    rates = [line.success for line in lines if line.success is not None]
    return statistics.success_rate(
        sum(rate.successes for rate in rates),
        sum(rate.n for rate in rates),
        sum(rate.independent for rate in rates),
    )


def _rate_texts(rates: list[list[SuccessRate]]) -> Texts:
    """Counts such as 39/40; where there is no room for them, percent."""
    texts = tuple(tuple(report_text.fraction(rate) if rate.n else "" for rate in row) for row in rates)
    if max(len(text) for row in texts for text in row) * len(texts[0]) <= ROOM:
        return texts
    return tuple(tuple("" if rate.rate is None else f"{rate.rate:.0%}" for rate in row) for row in rates)


def _not_describe_counts(data: SweepData) -> str:
    counts = data.summary.counts
    diverged, silent = counts.get("diverged", 0), describe_counts(counts, SILENT)
    failed = f"{diverged:,} diverged, which {'is' if diverged == 1 else 'are'} no success" if diverged else ""
    return "; ".join(filter(None, (failed, f"left out: {', '.join(silent)}" if silent else "")))


def _rate_panel(data: SweepData) -> Panel:
    """Success rates with their intervals over one parameter."""
    one, rows, texts = data.dimensions[0], list[tuple[float, ...]](), list[str]()
    for level, lines in zip(one.levels, one.by_level(data.lines), strict=True):
        rate = _rate(lines)
        if rate.rate is not None and rate.interval is not None:
            rows.append((one.position(level), rate.rate, *rate.interval))
            texts.append(report_text.fraction(rate))
    x, rates, low, high = np.array(rows, np.float64).T
    marks: list[Mark] = [
        Interval(x, np.minimum(low, rates), np.maximum(high, rates), color=style.BLUE, cap=3),
        Line(x, rates, color=style.BLUE, marker="o", width=1.2),
    ]
    if len(x) <= CELLS:
        marks.append(Text(x, high, tuple(texts), offset=(0, 4), baseline="bottom"))
    y = Axis("share of successful trials", limits=(0, 1.06), ticks=tuple(np.linspace(0, 1, 6).tolist()))
    return Panel(tuple(marks), one.axis(), y)
