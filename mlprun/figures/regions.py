"""Decision regions, or the predicted number all over a plane: after one epoch and of several."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import chart, style
from mlprun.figures.chart import Array, Axis, Chart, ColorScale, Extent, HeatMap, Mark, Panel, Region
from mlprun.figures.figure import Features, NetworkFigure, RunFigure, run_figures
from mlprun.figures.rows import (
    class_label,
    limits_of,
    many_classes,
    plane_height,
    row_marks,
    shown_rows,
    thinning,
)
from mlprun.parts import SplitName

if TYPE_CHECKING:
    from mlprun.figures.run_data import RunData

GRID = 200
"""points of the grid on each side"""
MIN_SHARE = 0.5
"""of the variance of the train rows that a plane must hold to be drawn unasked"""
PANELS = 4
"""epochs beside one another, at most"""
TITLES = 0.4
"""inches that their names take"""
LEVELS = 8
"""lines of a surface, more or less"""
SHADES = 16
"""of each class, from white where it is as probable as all others to its colour"""
STRONGEST = 0.45
"""share of a class's colour in the strongest shade"""


class PlaneFigure(RunFigure):
    """Base of the figures of outputs all over a plane."""

    features: Features = None

    def check(self, data: RunData) -> str | None:
        if data.has_tokens:
            return "inputs are symbols, which have no place on an axis"
        width = data.preprocessing.width
        if width < 2:
            return "there is only one input; see fit"
        if width > 2 and self.features is None and data.principal_plane.variance_share < MIN_SHARE:
            share = f"{data.principal_plane.variance_share:.0%} of the variance of {width} inputs"
            return f"any plane holds at most {share}; name two of them with --features A,B"
        return None


@run_figures.register
class DecisionRegions(PlaneFigure, NetworkFigure):
    """Where the network chooses which class, or its output as a surface, with the rows over it.

    Two inputs are the axes; of more, `features` names a pair (all others stay at their mean), or the plane
    through the mean in which the train rows vary most is drawn, if half of their variance lies in it. Rows
    off the plane are drawn fainter. The grid has 200 x 200 points.
    """

    name: Literal["regions"] = "regions"
    split: SplitName | None = Field(None, description="only this split's rows; by default all")

    def compute(self, data: RunData) -> Chart:
        return surfaces(data, (self.epoch_of(data),), self.features, self.split)


@run_figures.register
class DecisionFrames(PlaneFigure):
    """Decision regions at epoch 0, at the epochs of `snapshots:`, at the best and the last, side by side."""

    is_default = False

    name: Literal["frames"] = "frames"

    def check(self, data: RunData) -> str | None:
        return super().check(data) or ("there is only one epoch to draw" if len(data.models) < 2 else None)

    def compute(self, data: RunData) -> Chart:
        found = surfaces(data, data.kept_epochs(PANELS), self.features, "train", scale=0.4)
        height = plane_height(found.panels[0], columns=len(found.panels), bar=found.colors is not None)
        height += TITLES
        return replace(
            found,
            title=f"{found.title}, over training",
            columns=len(found.panels),
            height=height,
            share="both",
        )


def surfaces(
    data: RunData,
    epochs: tuple[int, ...],
    features: tuple[str, str] | None,
    split: str | None,
    *,
    scale: float = 1.0,
) -> Chart:
    """A panel for each epoch with the outputs of the network all over one plane and the rows over them."""
    plane, classes = data.plane(features), data.classes
    splits = tuple(name for name in data.splits if split in (None, name)) or data.splits
    rows = shown_rows(data, plane, splits, epochs[-1])
    ends = limits_of(rows)
    inputs = plane.grid(ends, GRID).astype(data.experiment.dtype)
    predicted = [data.predict(epoch, inputs) for epoch in epochs]
    values = [one.points if classes is None else one.scores for one in predicted]
    outputs = [np.asarray(one, np.float64).reshape(GRID, GRID, -1) for one in values]
    extent, colors = (*ends[0], *ends[1]), None
    if classes is not None and outputs[0].shape[2] > 1:
        is_probable = predicted[0].probabilistic and predicted[0].costs is None
        marks = [class_regions(one, is_probable, extent) for one in outputs]
    else:
        numbers, threshold = [one[:, :, 0] for one in outputs], predicted[0].threshold
        known = [*numbers, *(one.truth for one in rows if classes is None)]
        colors = _color_scale(data, [0, 1] if predicted[0].probabilistic else known, threshold)
        marks = [_surface(one, colors, None if classes is None else threshold, extent) for one in numbers]
    targets, count = data.preprocessing.target_names, len(data.models)
    details = (
        *chart.joined(
            data.describe(epochs[0]) if len(epochs) == 1 else "",
            f"slice: {plane.note}; fainter points lie off it" if plane.note else "",
            thinning(rows),
            f"{len(epochs)} of {count} snapshots" if 1 < len(epochs) < count else "",
            f"the first of {len(targets)} targets" if len(targets) > 1 else "",
            "bold line: where the class changes" if classes is not None and colors is not None else "",
        ),
        *many_classes(classes),
    )
    what = "Decision regions" if classes is not None else f"Predicted {style.name(targets[0])}"
    x, y = (Axis(name, limits=side) for name, side in zip(plane.names, ends, strict=True))
    points, aspect = row_marks(rows, classes, scale=scale), "equal" if plane.has_equal_units else "auto"
    panels = tuple(
        Panel((*surface, *points), x, y, data.describe(epoch) if len(epochs) > 1 else "", aspect)  # type: ignore[arg-type]
        for epoch, surface in zip(epochs, marks, strict=True)
    )
    height = plane_height(panels[0], bar=colors is not None)
    return Chart(f"{what}: {data.name}", details, panels, height=height, colors=colors)


def _color_scale(data: RunData, values: list[Any], threshold: float) -> ColorScale:
    """What one output is, with round numbers at which lines are drawn.

    Of classes it is white where both are as probable, or at the threshold of outputs that are no
    probabilities, and as dark at one end as at the other.
    """
    low, high = float(min(map(np.min, values))), float(max(map(np.max, values)))
    if low == high:
        low, high = low - 0.5, high + 0.5
    label, palette = style.name(data.preprocessing.target_names[0]), "surface"
    if data.classes is not None:
        positive, palette = class_label(data.classes[-1]), "diverging"
        if (low, high) == (0, 1):
            label = f"probability of {positive}"
            return ColorScale(label, 0, 1, palette="diverging", ticks=(0.1, 0.3, 0.5, 0.7, 0.9))
        label = f"output ({positive} above {threshold:g})"
        reach = max(high - threshold, threshold - low)
        low, high = threshold - reach, threshold + reach
    ticks = tuple(style.round_ticks(low, high, LEVELS))
    return ColorScale(label, low, high, palette=palette, ticks=ticks)  # type: ignore[arg-type]


def cells(values: Array, extent: Extent, palette: tuple[str, ...] = ()) -> HeatMap:
    """Cells around the points of a grid."""
    left, right, bottom, top = extent
    rows, columns = values.shape
    across, up = (right - left) / (columns - 1) / 2, (top - bottom) / (rows - 1) / 2
    return HeatMap(values, (left - across, right + across, bottom - up, top + up), palette)


def _surface(values: Array, colors: ColorScale, threshold: float | None, extent: Extent) -> list[Mark]:
    """One output with labelled lines at its levels, and a bold one where the class changes."""
    levels = tuple(tick for tick in colors.ticks or () if tick != threshold)
    names = tuple(map(style.number, levels))
    marks: list[Mark] = [
        cells(values, extent),
        Region(values, extent, levels, "#555555", width=0.6, labels=names),
    ]
    if threshold is not None:
        marks.append(Region(values, extent, (threshold,), width=1.6))
    return marks


def class_regions(outputs: Array, is_probable: bool, extent: Extent) -> list[Mark]:  # noqa: FBT001
    """The class with the largest score [R, C, K] at each point, in shades of how probable, with outlines."""
    count, chosen = outputs.shape[2], outputs.argmax(axis=2)
    certainty = (outputs.max(axis=2) - 1 / count) / (1 - 1 / count) if is_probable else np.ones(chosen.shape)
    shade = np.clip(np.rint(certainty * (SHADES - 1)), 0, SHADES - 1)
    palette = tuple(
        style.lighter(style.color_of(k, count), 1 - STRONGEST * step / (SHADES - 1))
        for k in range(count)
        for step in range(SHADES)
    )
    marks: list[Mark] = [cells(chosen * SHADES + shade, extent, palette)]
    return [*marks, *_outlines(outputs, extent)]


def _outlines(outputs: Array, extent: Extent) -> list[Mark]:
    """Lines around the points where each class has the largest output [R, C, K]."""
    marks: list[Mark] = []
    for index in map(int, np.unique(outputs.argmax(axis=2))):
        others = np.delete(outputs, index, axis=2).max(axis=2)
        marks.append(Region(outputs[:, :, index] - others, extent, (0.0,), width=0.9))
    return marks


def boundaries(outputs: Array, data: RunData, extent: Extent) -> list[Mark]:
    """Lines where the predicted class changes, of outputs [R, C, K]."""
    if outputs.shape[2] > 1:
        return _outlines(outputs, extent)
    return [Region(outputs[:, :, 0], extent, (data.experiment.decision_threshold,), width=0.9)]
