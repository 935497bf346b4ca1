"""Decision regions, or the predicted number all over a plane: after one epoch, of several, and animated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import style
from mlprun.figures.chart import (
    Axis,
    Chart,
    ColorScale,
    HeatMap,
    Line,
    Mark,
    Panel,
    Points,
    Region,
    grid_of,
    joined,
)
from mlprun.figures.figure import NetworkFigure, RunFigure, run_figures
from mlprun.figures.rows import (
    NAMED_CLASSES,
    class_marks,
    legend_of,
    limits_of,
    many_classes,
    number_marks,
    shown_rows,
    thinning,
)
from mlprun.parts import SplitName

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.figures.plane import Plane
    from mlprun.figures.rows import SplitRows
    from mlprun.figures.run_data import RunData

GRID = 200
"""points of the grid on each side"""
MIN_SHARE = 0.5
"""of the variance of the train rows that a plane must hold to be drawn unasked"""
PANELS = 12
FRAMES = 60
"""frames of an animation, at most"""
STEPS = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
PROBABILITIES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


class PlaneFigure(RunFigure):
    """Base of the figures of outputs all over a plane."""

    features: tuple[str, str] | None = Field(
        None, description="two inputs for the axes; by default the principal components of more than two"
    )

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
        epoch = self.epoch_of(data)
        surfaces = Surfaces.of(data, (epoch,), self.features, self.split)
        panel = replace(surfaces.panel(0), title="", colors=surfaces.colors)
        details = joined(data.describe(epoch), *surfaces.details)
        return Chart(surfaces.title, details, (panel,), height=4.9, legend=surfaces.legend)


@run_figures.register
class DecisionFrames(PlaneFigure):
    """Decision regions at epoch 0, at the epochs of `snapshots:`, at the best and the last, side by side."""

    name: Literal["frames"] = "frames"

    def check(self, data: RunData) -> str | None:
        return super().check(data) or ("there is only one epoch to draw" if len(data.networks) < 2 else None)

    def compute(self, data: RunData) -> Chart:
        surfaces, details = _over_training(data, self.features, PANELS)
        count = len(surfaces.epochs)
        return grid_of(
            f"{surfaces.title} over training",
            details,
            (surfaces.panel(k, scale=0.4, is_small=True) for k in range(count)),
            columns=2 if count in (2, 4) else 3,
            height=2.9 if count in (2, 4) else 2.1,
            heading=1.2,
            share="both",
            colors=surfaces.colors,
            legend=surfaces.legend,
        )


@run_figures.register
class Animation(PlaneFigure):
    """Decision regions from epoch 0 to the last as an animated GIF, a frame for each kept epoch."""

    name: Literal["animation"] = "animation"
    formats: ClassVar[tuple[str, ...]] = ("gif",)

    def check(self, data: RunData) -> str | None:
        few = "there are too few epochs; name some under `snapshots:` in the config"
        return super().check(data) or (few if len(data.networks) < 3 else None)

    def compute(self, data: RunData) -> Chart:
        surfaces, details = _over_training(data, self.features, FRAMES)
        first, last = surfaces.epochs[0], surfaces.epochs[-1]
        left, right, _, _ = surfaces.extent
        panels = []
        for index, epoch in enumerate(surfaces.epochs):
            # how far training is, as a bar above the panel, because snapshots need not be evenly spaced
            end = left + (right - left) * (epoch - first) / max(1, last - first)
            progress = Line(np.array([left, end]), np.array([np.inf, np.inf]), width=4)
            panel = surfaces.panel(index)
            marks = (*panel.marks, progress)
            panels.append(replace(panel, marks=marks, title=f"epoch {epoch:,} of {last:,}"))
        return Chart(
            f"{surfaces.title} over training",
            details,
            tuple(panels),
            height=4.9,
            colors=surfaces.colors,
            legend=surfaces.legend,
            is_animated=True,
        )


def _over_training(
    data: RunData, features: tuple[str, str] | None, most: int
) -> tuple[Surfaces, tuple[str, ...]]:
    epochs, count = data.kept_epochs(most), len(data.networks)
    fewer = f"{len(epochs)} of {count} snapshots" if len(epochs) < count else ""
    surfaces = Surfaces.of(data, epochs, features, "train")
    return surfaces, joined("train rows", fewer, *surfaces.details)


@dataclass(frozen=True)
class Surfaces:
    """Outputs [GRID, GRID, K] of the network after some epochs in one plane, in the user's units."""

    title: str
    details: tuple[str, ...]
    plane: Plane
    epochs: tuple[int, ...]
    extent: tuple[float, float, float, float]
    """left, right, bottom, top: the first and last points of the grid"""
    outputs: tuple[NDArray[np.float64], ...]
    threshold: float
    """with one output, class 1 lies above it"""
    rows: tuple[SplitRows, ...]
    classes: tuple[str, ...] | None
    levels: tuple[float, ...]
    """of a surface of one output, from the smallest value to the largest"""
    colors: ColorScale | None
    """of one output"""

    @classmethod
    def of(
        cls, data: RunData, epochs: tuple[int, ...], features: tuple[str, str] | None, split: str | None
    ) -> Surfaces:
        """The outputs after some epochs, all in the same plane and on the same scale."""
        plane, classes = data.plane(features), data.classes
        splits = tuple(name for name in data.splits if split in (None, name)) or data.splits
        rows = shown_rows(
            data, plane.project, splits, epochs[-1], plane.opacity if plane.slice_note else None
        )
        (left, right), (bottom, top) = limits_of(rows)
        across, up = np.meshgrid(np.linspace(left, right, GRID), np.linspace(bottom, top, GRID))
        inputs = plane.unproject(np.column_stack([across.ravel(), up.ravel()]))
        predicted = [data.predict(epoch, inputs.astype(data.experiment.dtype)) for epoch in epochs]
        outputs = tuple(np.asarray(one.outputs, np.float64).reshape(GRID, GRID, -1) for one in predicted)
        several, targets = outputs[0].shape[2] > 1, data.preprocessing.target_names
        threshold = predicted[0].threshold
        label, levels = _scale(data, outputs, rows, threshold, is_probable=predicted[-1].probabilistic)
        colors = None
        if classes is None or not several:
            ticks = levels if levels == PROBABILITIES else levels[1:-1]
            colors = ColorScale(label, levels[0], levels[-1], palette="surface", ticks=ticks)
        named = classes is not None and several and len(classes) <= NAMED_CLASSES
        details = (
            plane.slice_note,
            thinning(rows),
            f"the first of {len(targets)} targets" if classes is None and several else "",
            "bold line: where the class changes" if classes is not None and not several else "",
            "large hollow markers name the regions" if named else "",
            *many_classes(classes),
        )
        what = "Decision regions" if classes is not None else f"Predicted {style.name(targets[0])}"
        extent = (left, right, bottom, top)
        return cls(
            f"{what} of {data.name}", tuple(filter(None, details)), plane, epochs, extent, outputs, threshold,
            rows, classes, levels, colors,
        )  # fmt: skip

    @property
    def legend(self) -> tuple[tuple[Points, ...], ...]:
        """Entries of classes and splits."""
        return legend_of(self.rows, self.classes)

    def panel(self, index: int, *, scale: float = 1.0, is_small: bool = False) -> Panel:
        """The surface after one of the epochs with the rows over it."""
        outputs = self.outputs[index]
        if self.classes is not None and outputs.shape[2] > 1:
            marks, above = self._regions(outputs, len(self.classes))
        else:
            marks, above = self._surface(outputs[:, :, 0]), []
        if self.classes is not None:
            rows = class_marks(self.rows, self.classes, scale=scale)
        else:
            rows = number_marks(self.rows, is_over_surface=True)
        left, right, bottom, top = self.extent
        names = self.plane.short if is_small else self.plane.names
        x, y = Axis(names[0], limits=(left, right)), Axis(names[1], limits=(bottom, top))
        return Panel((*marks, *rows, *above), x, y, f"epoch {self.epochs[index]:,}", grid="none")

    def _cells(self, values: NDArray[np.float64], palette: tuple[str, ...] = ()) -> HeatMap:
        left, right, bottom, top = self.extent
        across, up = (right - left) / (GRID - 1) / 2, (top - bottom) / (GRID - 1) / 2
        return HeatMap(values, (left - across, right + across, bottom - up, top + up), palette)

    def _surface(self, values: NDArray[np.float64]) -> list[Mark]:
        """One output with lines at its levels."""
        inner = self.levels[1:-1]
        if self.classes is None:
            lines = [Region(values, self.extent, inner, "#555555", width=0.6)]
        else:
            thin = tuple(level for level in inner if level != self.threshold)
            lines = [
                Region(values, self.extent, thin, "#555555", style.DASHES[2], 0.6),
                Region(values, self.extent, (self.threshold,), width=1.6),
            ]
        return [self._cells(values), *lines]

    def _regions(self, outputs: NDArray[np.float64], count: int) -> tuple[list[Mark], list[Mark]]:
        """The class with the largest output, and above the rows the markers of the larger regions."""
        chosen = outputs.argmax(axis=2)
        palette = tuple(style.lighter(style.color_of(k, count), 0.62) for k in range(count))
        marks: list[Mark] = [self._cells(chosen.astype(np.float64), palette)]
        for index in map(int, np.unique(chosen)):
            others = np.delete(outputs, index, axis=2).max(axis=2)
            marks.append(Region(outputs[:, :, index] - others, self.extent, (0.0,), width=0.9))
        large = [k for k in map(int, np.unique(chosen)) if (chosen == k).mean() > 0.01]
        named = large if count <= NAMED_CLASSES else []
        return marks, [self._region_marker(chosen == k, style.MARKERS[k]) for k in named]

    def _region_marker(self, inside: NDArray[np.bool_], marker: str) -> Points:
        """A class's marker, large and hollow, in its region: colours alone would not say whose it is."""
        row, column = _innermost(inside)
        left, right, bottom, top = self.extent
        x, y = np.linspace(left, right, GRID)[[column]], np.linspace(bottom, top, GRID)[[row]]
        return Points(
            x, y, color=style.WHITE, marker=marker, size=85, edge=style.BLACK, edge_width=1.3, opacity=0.9
        )


def _innermost(inside: NDArray[np.bool_]) -> tuple[int, int]:
    """A cell [row, column] far from the region's rim, found by eroding the region."""
    while True:
        eroded = inside.copy()
        eroded[1:-1, 1:-1] &= inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        eroded[[0, -1]] = eroded[:, [0, -1]] = False
        if not eroded.any():
            rows, columns = np.nonzero(inside)
            return int(rows[len(rows) // 2]), int(columns[len(columns) // 2])
        inside = eroded


def _scale(
    data: RunData,
    outputs: tuple[NDArray[np.float64], ...],
    rows: tuple[SplitRows, ...],
    threshold: float,
    *,
    is_probable: bool,
) -> tuple[str, tuple[float, ...]]:
    """What one output is, and the levels at which lines are drawn."""
    values = [one[:, :, 0].ravel() for one in outputs]
    if data.classes is None:
        values += [one.truth for one in rows]
    low, high = min(float(one.min()) for one in values), max(float(one.max()) for one in values)
    levels = (low, *(tick for tick in style.round_ticks(low, high, 8, STEPS) if low < tick < high), high)
    if low == high:
        levels = (low - 0.5, high + 0.5)
    if data.classes is None:
        return style.name(data.preprocessing.target_names[0]), levels
    positive = style.name(data.classes[-1])
    if is_probable:
        return f"probability of class {positive}", PROBABILITIES
    return f"output (class {positive} above {threshold:g})", levels
