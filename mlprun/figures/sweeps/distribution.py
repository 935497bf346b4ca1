"""The final metrics of each configuration over its seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.analysis.summary import describe_counts
from mlprun.figures import style
from mlprun.figures.chart import Axis, Bars, Chart, Interval, Mark, Panel, Points, Text, jitter, joined
from mlprun.figures.figure import SweepFigure, sweep_figures
from mlprun.sweeps.objective import UNSOUND

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.sweep_data import SweepData

ROWS = 30
LABEL = 44
"""characters beside a row"""
DOTS = 300
"""dots of one configuration, at most: evenly spread ones of its sorted metrics"""


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
        labels, count = data.labels(lines, LABEL), len(lines)
        values = [data.values(line) for line in lines]
        marks = [mark for row, line in enumerate(lines) for mark in _row_marks(data, line, row)]
        has_intervals = any(line.stats.interval for line in lines)
        intervals = "with 95% intervals" if has_intervals else "of too few for intervals"
        details = joined(
            data.seeds,
            f"dots are single {data.seed_noun}s, boxes quartiles, diamonds means {intervals}",
            f"the best {count} of {len(every):,} settings" if count < len(every) else "",
            f"left out: {style.count_of(len(data.pruned), 'pruned setting')}" if data.pruned else "",
            f"left out: {data.extremes_note}" if data.extremes else "",
        )
        size = style.SIZE - 1 - (count > 15) - (max(map(len, labels)) > 40)
        # the best is on top
        y = Axis("", "category", (count - 0.4, -0.6), tuple(range(count)), tuple(labels), size)
        x = Axis(data.axis, "log" if style.spans_much(*values) else "linear", margin=0.03)
        return Chart(
            f"{data.metric.capitalize()} of each setting of {data.name}",
            details,
            (Panel(tuple(marks), x, y, grid="x"),),
            height=float(np.clip(1.5 + 0.27 * count, 2.6, 9.2)),
        )


def _row_marks(data: SweepData, line: ConfigurationSummary, row: int) -> list[Mark]:
    """The metrics of one configuration, and how many of its trials have none that counts."""
    marks: list[Mark] = []
    values = np.sort(data.values(line))
    if len(values):
        marks = _value_marks(values, row)
    if line.stats.mean is not None:
        mean, y = np.array([line.stats.mean]), np.array([float(row)])
        low, high = line.stats.interval or (line.stats.mean, line.stats.mean)
        look: Any = {"color": style.VERMILLION, "width": 1.6}
        marks.append(Interval(y, np.array([low]), np.array([high]), along="y", **look))
        marks.append(
            Points(mean, y, color=style.VERMILLION, marker="D", size=18, edge=style.WHITE, edge_width=0.5)
        )
    apart = ", ".join(describe_counts(line.counts, UNSOUND))
    if apart:
        at = np.array([np.inf]), np.array([float(row)])
        marks.append(Text(*at, (apart,), style.VERMILLION, align="left", offset=(4, 0)))
    return marks


def _value_marks(values: NDArray[np.float64], row: int) -> list[Mark]:
    """Quartiles, and dots of which neighbours in size stand apart."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])[:, None]
    start, end = np.array([row - 0.31]), np.array([row + 0.31])
    chosen = values[np.unique(np.linspace(0, len(values) - 1, min(len(values), DOTS)).astype(np.int64))]
    size = float(np.clip(900 / len(chosen), 5, 11))
    box = style.lighter(style.SKY, 0.7)
    return [
        Bars(start, end, high, low, color=box, edge=style.GREY, edge_width=0.7, along="y"),
        Points(chosen, row + 0.56 * jitter(len(chosen)), color=style.BLUE, size=size, opacity=0.5),
        Interval(median, start, end, width=1.2),
    ]
