"""Every output of every row at kept epochs: how classes separate, how predictions find their targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import style
from mlprun.figures.chart import (
    Axis,
    Bars,
    ColorScale,
    HeatMap,
    Mark,
    Panel,
    Points,
    evenly,
    grid_of,
    horizontal,
    joined,
    vertical,
)
from mlprun.figures.figure import RunFigure, run_figures
from mlprun.figures.rows import NAMED_CLASSES, class_label
from mlprun.parts import SplitName

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.figures.chart import Chart
    from mlprun.figures.run_data import RunData
    from mlprun.parts.metrics import Predictions

PANELS = 12
ROWS = 200
"""rows drawn, at most"""


@run_figures.register
class OutputFigure(RunFigure):
    """A bar for every output at epoch 0, those of `snapshots:`, the best and the last, sorted by truth.

    Several outputs are shades in a grid of rows and outputs instead.
    """

    name: Literal["outputs"] = "outputs"
    split: SplitName = Field("train", description="split whose rows are drawn")

    def check(self, data: RunData) -> str | None:
        has_rows = self.split in data.splits or self.split == "train"
        return None if has_rows else f"there are no {self.split} rows"

    def compute(self, data: RunData) -> Chart:
        epochs, rows = data.kept_epochs(PANELS), data.rows(self.split)
        chosen = _sorted_rows(rows.truth)
        truth = rows.truth[chosen]
        every = {epoch: data.predict(epoch, rows.inputs[chosen]) for epoch in epochs}
        last = every[epochs[-1]]
        # targets have scales of their own, which one axis cannot show together
        shown = last.outputs.shape[1] if last.classes else 1
        outputs = {epoch: np.asarray(one.outputs[:, :shown], np.float64) for epoch, one in every.items()}
        label, colors = _label(data, last), None
        if shown > 1:
            low = min(0.0, *(float(one.min()) for one in outputs.values()))
            colors = ColorScale(label, low, max(float(one.max()) for one in outputs.values()))
        panels = [
            _grid_panel(one, truth, last, epoch)
            if shown > 1
            else _bar_panel(one[:, 0], truth, last, label, epoch)
            for epoch, one in outputs.items()
        ]
        names, count = data.preprocessing.target_names, len(panels)
        details = joined(
            f"{self.split} rows sorted by their {'class' if last.classes else 'true value'}",
            f"{len(chosen)} of {len(rows):,} rows shown" if len(chosen) < len(rows) else "",
            f"{count} of {len(data.networks)} epochs shown" if count < len(data.networks) else "",
            f"the first of {len(names)} targets" if last.classes is None and len(names) > 1 else "",
            f"outputs of {shown} classes, the first on top" if last.classes and shown > NAMED_CLASSES else "",
        )
        columns = 1 if count == 1 else 2 if count <= 4 else 3
        return grid_of(
            f"Outputs of {data.name}", details, panels, columns=columns, height=1.75, alone=3.4, heading=1.4,
            share="both", colors=colors,
        )  # fmt: skip


def _sorted_rows(truth: NDArray[Any]) -> NDArray[np.int64]:
    """Evenly spread rows in the order of their truth, those of equal truth in their own order."""
    order = np.argsort(truth if truth.ndim == 1 else truth[:, 0], kind="stable")
    return np.asarray(order[evenly(len(order), ROWS)], np.int64)


def _label(data: RunData, predicted: Predictions) -> str:
    if predicted.classes is None:
        return style.name(data.preprocessing.target_names[0])
    if not predicted.probabilistic:
        return "output"
    one = predicted.outputs.shape[1] == 1
    return f"probability of class {style.name(predicted.classes[-1])}" if one else "probability"


def _bar_panel(
    outputs: NDArray[np.float64], truth: NDArray[Any], predicted: Predictions, label: str, epoch: int
) -> Panel:
    rows = np.arange(len(outputs), dtype=np.float64)
    marks: list[Mark] = []
    if predicted.classes is None:
        true = np.asarray(truth if truth.ndim == 1 else truth[:, 0], np.float64)
        size = float(np.clip(400 / max(1, len(rows)), 1.5, 12))
        marks = [_bars(rows, outputs, "predicted", style.SKY), Points(rows, true, "true", size=size)]
    else:
        for index, name in enumerate(predicted.classes):
            here = truth == index
            if here.any():
                hatch = style.HATCHES[index % len(style.HATCHES)] if len(rows) <= 60 else ""
                color = style.color_of(index, len(predicted.classes))
                marks.append(_bars(rows[here], outputs[here], class_label(name), color, hatch))
        look = {"color": style.BLACK, "width": 0.8}
        marks.append(horizontal(predicted.threshold, f"threshold {predicted.threshold:g}", **look))
        edges = np.flatnonzero(np.diff(truth)) + 0.5
        marks += [vertical(edge, color=style.BLACK, width=0.6, dashes=()) for edge in edges]
    x = Axis("row", limits=(-0.6, len(rows) - 0.4))
    return Panel(tuple(marks), x, Axis(label if len(label) < 30 else "output"), f"epoch {epoch:,}", grid="y")


def _bars(
    rows: NDArray[np.float64], heights: NDArray[np.float64], label: str, color: str, hatch: str = ""
) -> Bars:
    # bars and gaps narrower than a dot would make patterns that are not in the data
    half = 0.42 if len(rows) <= 25 else 0.5
    return Bars(rows - half, rows + half, heights, label=label, color=color, hatch=hatch)


def _grid_panel(
    outputs: NDArray[np.float64], truth: NDArray[Any], predicted: Predictions, epoch: int
) -> Panel:
    classes = predicted.classes or ()
    count, marks = outputs.shape[1], list[Mark]([HeatMap(outputs.T)])
    y = Axis("", limits=(count - 0.5, -0.5))
    if count <= NAMED_CLASSES:
        names = tuple(style.name(name, 12) for name in classes)
        y = Axis("output of", "category", (count - 0.5, -0.5), tuple(range(count)), names)
        edges = np.flatnonzero(np.diff(truth)) + 0.5
        marks += [vertical(edge, color=style.WHITE, width=0.8, dashes=()) for edge in edges]
    return Panel(tuple(marks), Axis("row"), y, f"epoch {epoch:,}", grid="none")
