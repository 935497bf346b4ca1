"""Predicted against true numbers, and the residuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.chart import (
    Axis,
    Bars,
    Chart,
    Line,
    Mark,
    Panel,
    Points,
    evenly,
    grid_of,
    horizontal,
    joined,
)
from mlprun.figures.figure import NetworkFigure, run_figures
from mlprun.figures.rows import ROWS
from mlprun.figures.style import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.figures.run_data import RunData

TARGETS = 6
BINS = 24


class RegressionFigure(NetworkFigure):
    """Base of the figures of predicted numbers."""

    def check(self, data: RunData) -> str | None:
        return "targets are classes" if data.classes is not None else None


@dataclass(frozen=True)
class SplitPredictions:
    """True and predicted numbers [N, K] of one split, in the user's units."""

    split: str
    true: NDArray[np.float64]
    predicted: NDArray[np.float64]
    total: int


def predictions_of(data: RunData, epoch: int) -> list[SplitPredictions]:
    """What the network after `epoch` predicts for some rows of every split, for the first targets."""
    found = []
    for split in data.splits:
        one = data.predictions(split, epoch)
        chosen, total = evenly(len(one.outputs), ROWS), len(one.outputs)
        true, predicted = (
            np.asarray(values[chosen], np.float64)[:, :TARGETS] for values in (one.targets, one.outputs)
        )
        found.append(SplitPredictions(split, true, predicted, total))
    return found


@run_figures.register
class PredictedAgainstTrue(RegressionFigure):
    """Predicted against true numbers on every split; a perfect prediction lies on the diagonal."""

    name: Literal["predictions"] = "predictions"

    def compute(self, data: RunData) -> Chart:
        epoch = self.epoch_of(data)
        splits, names = predictions_of(data, epoch), _targets(data)
        panels = []
        for index, target in enumerate(names):
            both = [side[:, index] for one in splits for side in (one.true, one.predicted)]
            low, high = float(np.min(np.concatenate(both))), float(np.max(np.concatenate(both)))
            room = (high - low) * 0.04 or 1.0
            ends = np.array([low - room, high + room])
            diagonal = Line(ends, ends, "predicted = true", **style.GUIDE)
            points = (_points(splits, one, one.true[:, index], one.predicted[:, index]) for one in splits)
            x, y = (
                Axis(f"{word} {target}", limits=(low - room, high + room)) for word in ("true", "predicted")
            )
            title = target if len(names) > 1 else ""
            panels.append(Panel((diagonal, *points), x, y, title, aspect="square"))
        return grid_of(
            f"Predicted and true values of {data.name}", _details(data, epoch, splits), panels, columns=2,
            height=2.9, alone=5.4, width=4.9 if len(panels) == 1 else style.PAGE,
        )  # fmt: skip


@run_figures.register
class Residuals(RegressionFigure):
    """Residuals (predicted minus true) against predictions, and how they are distributed on each split."""

    name: Literal["residuals"] = "residuals"

    def compute(self, data: RunData) -> Chart:
        epoch = self.epoch_of(data)
        splits, panels = predictions_of(data, epoch), list[Panel]()
        zero = horizontal(0)
        for index, target in enumerate(_targets(data)):
            residuals = [one.predicted[:, index] - one.true[:, index] for one in splits]
            edges = np.histogram_bin_edges(np.concatenate(residuals), BINS)
            points = [
                _points(splits, one, one.predicted[:, index], values)
                for one, values in zip(splits, residuals, strict=True)
            ]
            shares = [
                _histogram(one.split, values, edges) for one, values in zip(splits, residuals, strict=True)
            ]
            y = Axis(f"residual of {target}\n(predicted − true)")
            panels.append(Panel((zero, *points), Axis(f"predicted {target}"), y))
            panels.append(Panel((zero, *shares), Axis("share of rows")))
        return Chart(
            f"Residuals of {data.name}", _details(data, epoch, splits), tuple(panels), columns=2,
            height=1.6 + 1.15 * len(panels), share="row", widths=(3, 1.3),
        )  # fmt: skip


def _targets(data: RunData) -> tuple[str, ...]:
    return tuple(style.name(name) for name in data.preprocessing.target_names[:TARGETS])


def _details(data: RunData, epoch: int, splits: list[SplitPredictions]) -> tuple[str, ...]:
    fewer = [
        f"{len(one.true):,} of {one.total:,} {one.split} rows" for one in splits if len(one.true) < one.total
    ]
    count = len(data.preprocessing.target_names)
    cut = f"the first {TARGETS} of {count} targets" if count > TARGETS else ""
    return joined(data.describe(epoch), *fewer, cut)


def _points(
    splits: list[SplitPredictions], one: SplitPredictions, x: NDArray[np.float64], y: NDArray[np.float64]
) -> Mark:
    look, is_hollow = SPLITS[one.split], one.split == "dev"
    size = float(np.clip(5000 / max(1, sum(len(other.true) for other in splits)), 6, 26))
    return Points(
        x, y, f"{one.split} ({one.total:,} rows)", "none" if is_hollow else look.color, look.marker, size,
        edge=look.color if is_hollow else style.WHITE, edge_width=0.9 if is_hollow else 0.2,
    )  # fmt: skip


def _histogram(split: str, values: NDArray[np.float64], edges: NDArray[np.float64]) -> Bars:
    shares = np.histogram(values, edges)[0] / max(1, len(values))
    look = SPLITS[split]
    return Bars(
        edges[:-1], edges[1:], shares, color="none", edge=look.color, edge_width=1.5, dashes=look.dashes,
        along="y",
    )  # fmt: skip
