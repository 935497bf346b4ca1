"""Parallel coordinates: every configuration as a line through its values to what it reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.chart import Axis, Chart, Line, Mark, Panel, Text, evenly_spaced, joined
from mlprun.figures.figure import SweepFigure, sweep_figures
from mlprun.figures.sweeps.dimensions import FEW, number

if TYPE_CHECKING:
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.figures.sweeps.sweep_data import SweepData

AXES = 9
LINES = 600


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
        dimensions, count = data.dimensions[: AXES - 1], len(data.dimensions)
        known = [
            (line, line.stats.mean)
            for line in data.lines
            if line.stats.mean is not None and all(one.path in line.setting.values for one in dimensions)
        ]
        known.sort(key=lambda pair: pair[1] if data.is_minimized else -pair[1])
        shown = known[:LINES]
        metrics = np.array([mean for _, mean in shown])
        colors = data.color_scale(metrics)
        on = np.log(metrics) if colors.is_log else metrics
        heights = np.array(
            [
                [*(one.fraction(line.setting.values[one.path]) for one in dimensions), height]
                for (line, _), height in zip(shown, (on - on.min()) / (np.ptp(on) or 1), strict=True)
            ]
        )
        x = np.arange(len(dimensions) + 1.0)
        width = float(np.clip(40 / len(metrics), 0.5, 1.4))
        best = f"the best: setting {shown[0][0].setting.id}"
        marks: list[Mark] = [
            Line(x, heights[:0:-1], width=width, opacity=0.75, values=metrics[:0:-1]),  # good ones on top
            Line(x, heights[0], best, style.VERMILLION, width=2.4),
        ]
        ends = {0.0: number(colors.low), 1.0: number(colors.high)}
        for place, ticks in enumerate([*map(_ticks, dimensions), ends]):
            at = np.full(len(ticks), float(place))
            marks.append(Line(np.full(2, float(place)), np.array([0.0, 1.0]), width=0.8))
            marks.append(Text(at, np.array(list(ticks)), tuple(ticks.values())))
        names = (*(style.name(one.axis().label, 30) for one in dimensions), data.axis)
        details = joined(
            f"a line is a setting, its colour the mean over {data.seeds} (dark is good)",
            data.left_out(),
            f"the best {len(shown):,} of {len(known):,} settings" if len(shown) < len(known) else "",
            f"the first {len(dimensions)} of {count} parameters" if len(dimensions) < count else "",
        )
        across = Axis("", "category", (-0.1, len(x) - 0.7), tuple(range(len(x))), names)
        panel = Panel(tuple(marks), across, Axis("", limits=(-0.05, 1.05), ticks=()), colors=colors)
        return Chart(f"Settings of {data.name}", details, (panel,), height=4.3)


def _ticks(one: Dimension) -> dict[float, str]:
    """What is written at positions between 0 and 1: the ends of many numbers, else evenly spread values."""
    count = len(one.levels)
    shown = evenly_spaced(count, FEW) if one.is_few or not one.is_number else (0, count - 1)
    return {one.fraction(one.levels[k]): one.labels[k] for k in shown}
