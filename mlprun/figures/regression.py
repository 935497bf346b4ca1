"""Predicted against true numbers, the residuals, and predicted quantiles as a fan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from pydantic import Field

from mlprun.figures import chart, style
from mlprun.figures.chart import (
    Array,
    Axis,
    Band,
    Chart,
    ColorScale,
    Line,
    Mark,
    Panel,
    Points,
    Polygons,
    Text,
)
from mlprun.figures.figure import NetworkFigure, run_figures
from mlprun.figures.rows import limits_of, over_input, shown_rows
from mlprun.figures.style import SPLITS
from mlprun.parts import SplitName
from mlprun.parts.part import suggestion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlprun.figures.run_data import RunData
    from mlprun.parts.data import Floats

TARGETS = 4
BINS = 24
HEXAGONS = 5000
"""rows from which on hexagons show how many there are, in place of points"""
COUNTED = 200_000
"""rows of a split that are counted, at most"""
ACROSS = 40
"""hexagons beside one another"""
FAN_ROWS = 300
"""rows of a fan, at most: evenly spread ones in their order"""


class SplitPredictions(NamedTuple):
    """True and predicted numbers [N] of one target on one split, in the user's units."""

    split: str
    true: Array
    predicted: Array
    total: int
    """rows of the split, of which these are some"""

    @property
    def is_dense(self) -> bool:
        """Whether the rows are too many for points."""
        return self.total > HEXAGONS

    def marks(self, x: Array, y: Array, ends: tuple[tuple[float, float], tuple[float, float]]) -> list[Mark]:
        """The rows as points in the split's colour, or as hexagons in the colours of their number."""
        if self.is_dense:
            found = hexagons(np.column_stack([x, y]), ends)
            return [Polygons(found.corners, found.counts.astype(np.float64))]
        size = float(np.clip(3000 / max(1, len(x)), 4, 22))
        return [Points(x, y, color=SPLITS[self.split].color, size=size, opacity=0.7)]

    @property
    def quality(self) -> Text:
        """R² and the root mean square error, in the upper left corner."""
        error = self.predicted - self.true
        rmse, spread = float(np.sqrt(np.mean(error**2))), float(np.var(self.true))
        score = f"R² {style.format_mathtext(f'{1 - rmse**2 / spread:.3f}')}\n" if spread else ""
        text = f"{score}RMSE {style.number(rmse, 3)}"
        return Text(np.array([-np.inf]), np.array([np.inf]), (text,), offset=(4, -3))


class RegressionFigure(NetworkFigure):
    """Base of the figures of predicted numbers."""

    def check(self, data: RunData) -> str | None:
        labels = "targets are labels" if data.preprocessing.multilabel else None
        return "targets are classes" if data.classes is not None else labels

    def targets(self, data: RunData) -> dict[str, list[SplitPredictions]]:
        """What the network predicts for the rows of every split, for the first targets."""
        epoch, found = self.epoch_of(data), dict[str, list[SplitPredictions]]()
        for k, target in enumerate(data.preprocessing.target_names[:TARGETS]):
            some = found.setdefault(style.name(target), [])
            for split in data.splits:
                one = data.predictions(split, epoch)
                rows = chart.evenly_spaced(len(one.outputs), COUNTED)
                true, predicted = (
                    np.asarray(side[rows, k], np.float64) for side in (one.targets, one.points)
                )
                some.append(SplitPredictions(split, true, predicted, len(one.outputs)))
        return found

    def details(self, data: RunData) -> tuple[str, ...]:
        """The epoch, and which targets are shown."""
        count = len(data.preprocessing.target_names)
        cut = f"the first {TARGETS} of {count} targets" if count > TARGETS else ""
        return chart.joined(data.describe(self.epoch_of(data), counts_rows=True), cut)


def _counts(panels: Sequence[Panel]) -> ColorScale | None:
    """The colours of hexagons, where there are any."""
    values = [mark.values for panel in panels for mark in panel.marks if isinstance(mark, Polygons)]
    return (
        ColorScale("rows", 1, float(max(map(np.max, values))), is_log=True, palette="Blues")
        if values
        else None
    )


@run_figures.register
class PredictedAgainstTrue(RegressionFigure):
    """Predicted against true numbers, a panel for each split; a perfect prediction lies on the diagonal.

    Beyond 5,000 rows hexagons show how many there are.
    """

    name: Literal["predictions"] = "predictions"

    def compute(self, data: RunData) -> Chart:
        panels = []
        for target, splits in self.targets(data).items():
            ends = _with_room([side for one in splits for side in (one.true, one.predicted)])
            ticks = tuple(style.round_ticks(*ends, 4))
            x, y = (Axis(f"{word} {target}", limits=ends, ticks=ticks) for word in ("true", "predicted"))
            for one in splits:
                points = one.marks(one.true, one.predicted, (ends, ends))
                marks = *points, chart.diagonal(*ends, ""), one.quality
                panels.append(Panel(marks, x, y, f"{one.split} ({one.total:,})", aspect="equal"))
        return chart.grid_of(
            f"Predicted and true values: {data.name}", self.details(data), panels, columns=len(splits),
            height=2.3, alone=4.4, colors=_counts(panels),
        )  # fmt: skip


@run_figures.register
class Residuals(RegressionFigure):
    """Residuals (predicted minus true) against predictions, a panel for each split, and their distributions.

    Beyond 5,000 rows hexagons show how many there are.
    """

    name: Literal["residuals"] = "residuals"

    def compute(self, data: RunData) -> Chart:
        panels, zero = list[Panel](), chart.horizontal(0)
        for target, splits in self.targets(data).items():
            residuals = [one.predicted - one.true for one in splits]
            low, high = _with_room(residuals)  # and room for the quality on top
            ends = _with_room([one.predicted for one in splits]), (low, high + 0.25 * (high - low))
            edges, shares = np.linspace(*ends[1], BINS + 1), list[Line]()
            x, y = Axis(f"predicted {target}", limits=ends[0]), Axis(f"residual of {target}", limits=ends[1])
            for one, values in zip(splits, residuals, strict=True):
                marks = *one.marks(one.predicted, values, ends), zero, one.quality
                panels.append(Panel(marks, x, y, f"{one.split} ({one.total:,})"))
                heights = np.histogram(values, edges)[0] / max(1, len(values))
                outline = np.array([0, *heights, 0]), np.append(edges[0], edges)
                shares.append(Line(*outline, one.split, *SPLITS[one.split][:2], has_steps=True))
            panels.append(Panel((zero, *shares), Axis("share of rows"), y, "distribution"))
        return chart.grid_of(
            f"Residuals (predicted − true): {data.name}", self.details(data), panels, columns=len(splits) + 1,
            height=2.4, share="row", colors=_counts(panels),
        )  # fmt: skip


def _with_room(some: Sequence[Array]) -> tuple[float, float]:
    """The ends of an axis of all these values."""
    values = np.concatenate(some)
    low, high = float(values.min()), float(values.max())
    room = (high - low) * 0.05 or 1.0
    return low - room, high + room


class Hexagons(NamedTuple):
    """The hexagons of a tiling with any points in them."""

    corners: Array
    """[C, 6, 2]"""
    counts: NDArray[np.int64]
    """[C] points in each"""
    cells: NDArray[np.int64]
    """[N] the hexagon of each point"""


def hexagons(points: Array, ends: Sequence[tuple[float, float]]) -> Hexagons:
    """Points [N, 2] in hexagons that are regular where (left, right) and (bottom, top) are of one length.

    The middles are two grids of rectangles, one shifted by half a cell; a point belongs to the nearest.
    Source: Carr et al. (1987), doi.org/10.1080/01621459.1987.10478445
    """
    low = np.array([side[0] for side in ends])
    cell = np.array([(right - left) for left, right in ends]) / (ACROSS, ACROSS / np.sqrt(3))
    places = (points - low) / cell
    one, other = np.rint(places), np.floor(places) + 0.5
    metric = np.array([1.0, 3.0])  # cells are sqrt(3) times as high as wide
    is_other = (metric * (places - other) ** 2).sum(axis=1) < (metric * (places - one) ** 2).sum(axis=1)
    middles = np.where(is_other[:, None], other, one)
    kept, cells, counts = np.unique(middles, axis=0, return_inverse=True, return_counts=True)
    corners = np.array([(0, 1 / 3), (0.5, 1 / 6), (0.5, -1 / 6), (0, -1 / 3), (-0.5, -1 / 6), (-0.5, 1 / 6)])
    return Hexagons((kept[:, None] + corners) * cell + low, counts, cells.ravel())


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
            chosen, limits = chart.evenly_spaced(len(truth), FAN_ROWS), limits_of(rows)[0]
            means, scales = data.preprocessing.input_units
            at = data.rows(split, epoch).inputs[chosen, 0] * scales[0] + means[0]
            x, drawn = over_input(data, epoch, limits)
            axis, bands = Axis(style.name(names[0]), limits=limits), np.asarray(drawn.outputs, np.float64)
        else:
            order = np.argsort(self._key(data, split, epoch), kind="stable")
            chosen = order[chart.evenly_spaced(len(order), FAN_ROWS)]
            at = x = np.arange(len(chosen), dtype=np.float64)
            axis = Axis(f"rows by {style.name(self.feature or 'median')}", is_integer=True)
            bands = quantiles[chosen]
        marks = _fan(x, bands, levels)
        for side, color, word in ((~outside, style.GREY, "inside"), (outside, style.VERMILLION, "outside")):
            here, share = side[chosen], float(side.mean())
            label = f"{word} ({style.number(round(100 * share, 1))}%)"
            marks.append(Points(at[here], truth[chosen][here], label, color, size=14))
        expected = f"{levels[-1] - levels[0]:.0%} expected inside" if len(levels) > 1 else ""
        fewer = f"{len(chosen)} of {len(truth):,} rows as points" if len(chosen) < len(truth) else ""
        details = chart.joined(data.describe(epoch, counts_rows=True), expected, fewer)
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
