"""Predicted quantiles as a fan: over the only input, or for rows sorted by their median or an input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import chart, style
from mlprun.figures.chart import Axis, Band, Chart, Line, Mark, Panel, Points
from mlprun.figures.figure import NetworkFigure, run_figures
from mlprun.figures.rows import limits_of, over_input, shown_rows
from mlprun.parts import SplitName
from mlprun.parts.part import suggestion

if TYPE_CHECKING:
    from mlprun.figures.chart import Array
    from mlprun.figures.run_data import RunData
    from mlprun.parts.data import Floats

ROWS = 300
"""rows drawn, at most: evenly spread ones in their order"""


@run_figures.register
class QuantileFan(NetworkFigure):
    """Predicted quantiles as nested bands with the true values, which are marked outside the widest one.

    Of one input the bands are over it. Of more, rows are sorted by their median, or by the input `feature`.
    """

    name: Literal["quantiles"] = "quantiles"
    split: SplitName | None = Field(None, description="split whose rows are drawn; by default the last")
    feature: str | None = Field(None, description="input that rows are sorted by; default: their median")

    def check(self, data: RunData) -> str | None:
        if not data.config.loss.levels:
            return "the outputs are no quantiles"
        names = data.preprocessing.names
        return (
            None
            if self.feature in (None, *names)
            else f"no input {self.feature!r}; {suggestion(self.feature or '', names)}"
        )

    def compute(self, data: RunData) -> Chart:
        epoch, names = self.epoch_of(data), data.preprocessing.names
        split = self.split if self.split in data.splits else data.splits[-1]
        predicted = data.predictions(split, epoch)
        levels, truth = predicted.levels, np.asarray(predicted.targets, np.float64)[:, 0]
        quantiles = np.asarray(predicted.outputs, np.float64)
        outside = (truth < quantiles[:, 0]) | (truth > quantiles[:, -1])
        if len(names) == 1 and not data.has_tokens:
            rows = shown_rows(data, None, (split,), epoch)
            chosen, limits = chart.evenly_spaced(len(truth), ROWS), limits_of(rows)[0]
            means, scales = data.preprocessing.input_units
            at = data.rows(split, epoch).inputs[chosen, 0] * scales[0] + means[0]
            x, drawn = over_input(data, epoch, limits)
            axis, bands = Axis(style.name(names[0]), limits=limits), np.asarray(drawn.outputs, np.float64)
        else:
            order = np.argsort(self._key(data, split, epoch), kind="stable")
            chosen = order[chart.evenly_spaced(len(order), ROWS)]
            at = x = np.arange(len(chosen), dtype=np.float64)
            axis, bands = Axis(f"rows by {style.name(self.feature or 'median')}"), quantiles[chosen]
        marks = _fan(x, bands, levels)
        for side, color, word in ((~outside, style.GREY, "inside"), (outside, style.VERMILLION, "outside")):
            here, share = side[chosen], float(side.mean())
            label = f"{word} ({style.number(round(100 * share, 1))}%)"
            marks.append(Points(at[here], truth[chosen][here], label, color, size=14))
        expected = f"{levels[-1] - levels[0]:.0%} expected inside" if len(levels) > 1 else ""
        fewer = f"{len(chosen)} of {len(truth):,} rows as points" if len(chosen) < len(truth) else ""
        details = chart.joined(data.describe(epoch), expected, fewer)
        y = Axis(style.name(data.preprocessing.target_names[0]))
        return Chart(f"Quantiles: {data.name}, {split}", details, (Panel(tuple(marks), axis, y),))

    def _key(self, data: RunData, split: str, epoch: int) -> Array:
        """[N] what rows are sorted by."""
        if self.feature is None:
            return np.asarray(data.predictions(split, epoch).points[:, 0], np.float64)
        return np.asarray(data.rows(split, epoch).inputs[:, data.preprocessing.names.index(self.feature)])


def _fan(x: Array, quantiles: Floats, levels: tuple[float, ...]) -> list[Mark]:
    """Bands [P] from the outermost pair of quantiles [P, Q] inwards, and a line for one in the middle."""
    last, marks = len(levels) - 1, list[Mark]()
    for k in range(len(levels) // 2):
        label = f"{levels[k]:g} to {levels[last - k]:g}"
        color = style.lighter(style.BLUE, 0.75 - 0.5 * k / max(1, len(levels) // 2))
        marks.append(Band(x, quantiles[:, k], quantiles[:, last - k], label, color))
    if len(levels) % 2:
        middle = len(levels) // 2
        marks.append(Line(x, quantiles[:, middle], f"{levels[middle]:g}", style.BLUE))
    return marks
