"""Predicted against true numbers, and the residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from mlprun.figures import chart, style
from mlprun.figures.chart import Axis, Chart, Line, Panel, Points
from mlprun.figures.figure import NetworkFigure, run_figures
from mlprun.figures.rows import ROWS
from mlprun.figures.style import SPLITS

if TYPE_CHECKING:
    from mlprun.figures.chart import Array
    from mlprun.figures.run_data import RunData

TARGETS = 6
BINS = 24


class SplitPredictions(NamedTuple):
    """True and predicted numbers [N] of one target on one split, in the user's units."""

    split: str
    true: Array
    predicted: Array
    total: int
    """rows of the split, of which these are some"""

    def points(self, x: Array, y: Array) -> Points:
        """The rows as points in the split's colour and marker."""
        color, _, marker = SPLITS[self.split]
        size = float(np.clip(3000 / max(1, len(x)), 6, 26))
        return Points(x, y, f"{self.split} ({self.total:,} rows)", color, marker, size)


class RegressionFigure(NetworkFigure):
    """Base of the figures of predicted numbers."""

    def check(self, data: RunData) -> str | None:
        return "targets are classes" if data.classes is not None else None

    def targets(self, data: RunData) -> dict[str, list[SplitPredictions]]:
        """What the network predicts for some rows of every split, for the first targets."""
        epoch, found = self.epoch_of(data), dict[str, list[SplitPredictions]]()
        for k, target in enumerate(data.preprocessing.target_names[:TARGETS]):
            some = found.setdefault(style.name(target), [])
            for split in data.splits:
                one = data.predictions(split, epoch)
                rows = chart.evenly_spaced(len(one.outputs), ROWS)
                true, predicted = (
                    np.asarray(side[rows, k], np.float64) for side in (one.targets, one.outputs)
                )
                some.append(SplitPredictions(split, true, predicted, len(one.outputs)))
        return found

    def details(self, data: RunData) -> tuple[str, ...]:
        """The epoch, and which rows and targets are shown."""
        counts = {split: len(data.rows(split)) for split in data.splits}
        fewer = [f"{ROWS:,} of {total:,} {split} rows" for split, total in counts.items() if total > ROWS]
        count = len(data.preprocessing.target_names)
        cut = f"the first {TARGETS} of {count} targets" if count > TARGETS else ""
        return chart.joined(data.describe(self.epoch_of(data)), *fewer, cut)


@run_figures.register
class PredictedAgainstTrue(RegressionFigure):
    """Predicted against true numbers on every split; a perfect prediction lies on the diagonal."""

    name: Literal["predictions"] = "predictions"

    def compute(self, data: RunData) -> Chart:
        panels = []
        for target, splits in self.targets(data).items():
            both = np.concatenate([side for one in splits for side in (one.true, one.predicted)])
            low, high = float(both.min()), float(both.max())
            room = (high - low) * 0.04 or 1.0
            ends = low - room, high + room
            diagonal = chart.diagonal(*ends, "predicted = true")
            points = (one.points(one.true, one.predicted) for one in splits)
            x, y = (Axis(f"{word} {target}", limits=ends) for word in ("true", "predicted"))
            panels.append(Panel((diagonal, *points), x, y, aspect="equal"))
        title = f"Predicted and true values of {data.name}"
        return chart.grid_of(title, self.details(data), panels, columns=2, height=2.9, alone=5.4)


@run_figures.register
class Residuals(RegressionFigure):
    """Residuals (predicted minus true) against predictions, and how they are distributed on each split."""

    name: Literal["residuals"] = "residuals"

    def compute(self, data: RunData) -> Chart:
        panels, zero = list[Panel](), chart.horizontal(0)
        for target, splits in self.targets(data).items():
            residuals = [one.predicted - one.true for one in splits]
            edges = np.histogram_bin_edges(np.concatenate(residuals), BINS)
            points, shares = list[Points](), list[Line]()
            for one, values in zip(splits, residuals, strict=True):
                points.append(one.points(one.predicted, values))
                heights = np.histogram(values, edges)[0] / max(1, len(values))
                outline = np.array([0, *heights, 0]), np.append(edges[0], edges)
                shares.append(Line(*outline, "", *SPLITS[one.split][:2], has_steps=True))
            y = Axis(f"residual of {target}\n(predicted − true)")
            panels.append(Panel((zero, *points), Axis(f"predicted {target}"), y))
            panels.append(Panel((zero, *shares), Axis("share of rows")))
        return chart.grid_of(
            f"Residuals of {data.name}", self.details(data), panels, columns=2, share="row", widths=(3, 1.3)
        )
