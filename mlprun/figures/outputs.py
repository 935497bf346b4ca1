"""Every output of every row at kept epochs: how classes separate, how predictions find their targets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import chart, style
from mlprun.figures.chart import Array, Axis, Bars, Chart, ColorScale, HeatMap, Mark, Panel, Points
from mlprun.figures.figure import RunFigure, run_figures
from mlprun.figures.rows import NAMED_CLASSES, class_label
from mlprun.parts import SplitName

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.figures.run_data import RunData
    from mlprun.parts.metrics import Predictions

PANELS = 4
ROWS = 200
"""rows drawn, at most"""


@run_figures.register
class OutputFigure(RunFigure):
    """A bar for every output at epoch 0, those of `snapshots:`, the best and the last, sorted by truth.

    Several outputs are shades in a grid of rows and outputs instead.
    """

    is_default = False

    name: Literal["outputs"] = "outputs"
    split: SplitName = Field("train", description="split whose rows are drawn")

    def check(self, data: RunData) -> str | None:
        has_rows = self.split in data.splits or self.split == "train"
        return None if has_rows else f"there are no {self.split} rows"

    def compute(self, data: RunData) -> Chart:
        epochs, rows = data.kept_epochs(PANELS), data.rows(self.split)
        # evenly spread rows in the order of their truth, those of equal truth in their own order
        truth = rows.truth if rows.truth.ndim == 1 else rows.truth[:, 0]
        order = np.argsort(truth, kind="stable")
        chosen = order[chart.evenly_spaced(len(order), ROWS)]
        truth = truth[chosen]
        every = [data.predict(epoch, rows.inputs[chosen]) for epoch in epochs]
        last = every[-1]
        # targets have scales of their own, which one axis cannot show together
        shown = last.outputs.shape[1] if last.classes else 1
        outputs = [np.asarray(one.points[:, :shown], np.float64) for one in every]
        label, colors = _label(data, last), None
        if shown > 1:
            panels = [
                _grid_panel(one, truth, last, epoch) for one, epoch in zip(outputs, epochs, strict=True)
            ]
            colors = ColorScale(label, min(0.0, float(np.min(outputs))), float(np.max(outputs)))
        else:
            panels = [
                _bar_panel(one[:, 0], truth, last, label, epoch)
                for one, epoch in zip(outputs, epochs, strict=True)
            ]
        names, count = data.preprocessing.target_names, len(panels)
        details = chart.joined(
            f"{self.split} rows sorted by their {'class' if last.classes else 'true value'}",
            f"{len(chosen)} of {len(rows):,} rows shown" if len(chosen) < len(rows) else "",
            f"{count} of {len(data.models)} epochs shown" if count < len(data.models) else "",
            f"the first of {len(names)} targets" if len(names) > 1 else "",
        )
        return chart.grid_of(
            f"Outputs: {data.name}", details, panels, height=2.0, share="both", colors=colors
        )


def _label(data: RunData, predicted: Predictions) -> str:
    if predicted.classes is None:
        return style.name(data.preprocessing.target_names[0])
    if not predicted.probabilistic:
        return "output"
    one = predicted.outputs.shape[1] == 1
    return f"probability of {class_label(predicted.classes[-1])}" if one else "probability"


def _bar_panel(outputs: Array, truth: NDArray[Any], predicted: Predictions, label: str, epoch: int) -> Panel:
    rows, marks = np.arange(len(outputs), dtype=np.float64), list[Mark]()
    start, end = rows - 0.5, rows + 0.5
    if predicted.classes is None:
        marks = [
            Bars(start, end, outputs, label="predicted", color=style.SKY),
            Points(rows, truth, "true", size=float(np.clip(400 / len(rows), 1.5, 12))),
        ]
    for index, name in enumerate(predicted.classes or ()):
        here, color = truth == index, style.color_of(index, len(predicted.classes or ()))
        if here.any():
            marks.append(Bars(start[here], end[here], outputs[here], label=class_label(name), color=color))
    if predicted.classes is not None:
        marks.append(chart.horizontal(predicted.threshold, f"threshold {predicted.threshold:g}"))
    y = Axis(label if len(label) < 30 else "output")
    return Panel(
        tuple(marks), Axis("row", limits=(-0.6, len(rows) - 0.4), is_integer=True), y, f"epoch {epoch:,}"
    )


def _grid_panel(outputs: Array, truth: NDArray[Any], predicted: Predictions, epoch: int) -> Panel:
    """Rows across and outputs down, with lines between the classes of rows."""
    count, marks = outputs.shape[1], list[Mark]([HeatMap(outputs.T)])
    y = Axis("output of", "category", (count - 0.5, -0.5))
    if count <= NAMED_CLASSES:
        names = tuple(style.name(name, 12) for name in predicted.classes or ())
        y = replace(y, ticks=tuple(range(count)), tick_labels=names)
        edges = np.flatnonzero(np.diff(truth)) + 0.5
        marks += [chart.vertical(edge, color=style.WHITE, width=0.8, dashes=()) for edge in edges]
    return Panel(tuple(marks), Axis("row", is_integer=True), y, f"epoch {epoch:,}")
