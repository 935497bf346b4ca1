"""The final metrics of each configuration over its seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.analysis.summary import describe_counts
from mlprun.figures import chart, style
from mlprun.figures.chart import Axis, Bars, Chart, Mark, Panel, Points, Text
from mlprun.figures.figure import SweepFigure, sweep_figures
from mlprun.sweeps.objective import UNSOUND

if TYPE_CHECKING:
    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.sweep_data import SweepData

ROWS = 30
LABEL = 44
"""characters beside a row"""
BOX = 5
"""metrics that have quartiles, at least"""
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
        names = tuple(data.labels(lines, LABEL))
        y = Axis("", "category", (count - 0.4, -0.6), tuple(range(count)), names)
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
