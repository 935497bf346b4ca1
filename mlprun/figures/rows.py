"""The rows themselves in the user's units, and the curve fitted to those with one input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import chart, style
from mlprun.figures.chart import Axis, Chart, ColorScale, HeatMap, Line, Mark, Panel, Points
from mlprun.figures.figure import NetworkFigure, RunFigure, run_figures
from mlprun.figures.style import SPLITS

if TYPE_CHECKING:
    from mlprun.figures.chart import Array
    from mlprun.figures.plane import Plane
    from mlprun.figures.run_data import RunData

ROWS = 2000
"""rows of a split in one chart, at most: evenly spread ones"""
NAMED_CLASSES = len(style.COLORS)
"""classes that have a colour and a marker of their own and an entry in the legend, at most"""
SEQUENCES = 40
"""rows and tokens of a row that are written out, at most"""
GRID = 500
CURVES = 6


@run_figures.register
class DataFigure(RunFigure):
    """The rows in the plane of two inputs (or principal components), with classes and splits marked."""

    name: Literal["data"] = "data"
    features: tuple[str, str] | None = Field(
        None, description="two inputs for the axes; by default the principal components of more than two"
    )

    def check(self, data: RunData) -> str | None:
        return None if data.splits else "there are no rows"

    def compute(self, data: RunData) -> Chart:
        dataset = data.config.dataset.name
        title = f"Data of {data.name}" + (f": {dataset}" if dataset != data.name else "")
        target = style.name(data.preprocessing.target_names[0])
        if data.has_tokens:
            return _sequences(data, title, target)
        colors, note = None, ""
        if data.preprocessing.width == 1:
            rows = shown_rows(data, None, data.splits)
            marks, x, y = split_marks(rows), Axis(style.name(data.preprocessing.names[0])), Axis(target)
            if data.classes is not None:
                names = tuple(map(style.name, data.classes))
                y = Axis(target, ticks=tuple(range(len(names))), tick_labels=names)
        else:
            plane = data.plane(self.features)
            rows = shown_rows(data, replace(plane, spread=np.inf), data.splits)
            note = plane.note if self.features is None else ""
            x, y = (Axis(name, limits=ends) for name, ends in zip(plane.names, limits_of(rows), strict=True))
            marks = row_marks(rows, data.classes)
            if data.classes is None:
                values = np.concatenate([one.truth for one in rows])
                colors = ColorScale(target, float(values.min()), float(values.max()))
        details = (*chart.joined(note, thinning(rows)), *many_classes(data.classes))
        return Chart(title, details, (Panel(marks, x, y),), height=4.6, colors=colors)


@run_figures.register
class FittedCurve(NetworkFigure):
    """The network's outputs over its only input, with the rows that it learnt from."""

    name: Literal["fit"] = "fit"

    def check(self, data: RunData) -> str | None:
        if data.has_tokens:
            return "inputs are symbols, which have no place on an axis"
        return "there is more than one input" if data.preprocessing.width > 1 else None

    def compute(self, data: RunData) -> Chart:
        epoch = self.epoch_of(data)
        rows = shown_rows(data, None, data.splits, epoch)
        (low, high), _ = limits_of(rows)
        inputs = np.linspace(low, high, GRID)
        means, scales = data.preprocessing.input_units
        scaled = ((inputs - means[0]) / scales[0])[:, None]
        predicted = data.predict(epoch, scaled.astype(data.experiment.dtype))
        outputs = np.asarray(predicted.outputs, np.float64)
        names, axis = data.preprocessing.target_names, "target"
        if data.classes is not None:
            names = data.classes if outputs.shape[1] > 1 else data.classes[-1:]
            axis = "probability" if predicted.probabilistic else "output"
        lines = tuple(
            Line(inputs, outputs[:, k], f"network: {style.name(name)}", style.COLORS[k + 2], style.DASHES[k])
            for k, name in enumerate(names[:CURVES])
        )
        fewer = f"the first {CURVES} of {len(names)} outputs" if len(names) > CURVES else ""
        # class ids stand at 0 and 1, where a probability ends; of more classes they would stand nowhere
        points = split_marks(rows) if len(names) == 1 else ()
        x = Axis(style.name(data.preprocessing.names[0]), limits=(low, high))
        y = Axis(style.name(names[0]) if data.classes is None and len(names) == 1 else axis)
        details = chart.joined(data.describe(epoch), thinning(rows), fewer)
        return Chart(f"Fit of {data.name}", details, (Panel((*points, *lines), x, y),))


# --- rows as points, for all charts that show some


@dataclass(frozen=True)
class SplitRows:
    """Rows of one split in a chart: positions [N, 2] and class ids or numbers [N]."""

    split: str
    positions: Array
    truth: Array
    total: int
    """rows of the split, of which these are some"""
    opacity: Array


def shown_rows(
    data: RunData, plane: Plane | None, splits: tuple[str, ...], epoch: int | None = None
) -> tuple[SplitRows, ...]:
    """The rows of the splits in a plane, with class ids or their first target.

    Without a plane, their only input is across and the truth up, in the user's units.
    """
    found, (means, scales) = [], data.preprocessing.input_units
    for split in splits:
        rows = data.rows(split, epoch)
        chosen = chart.evenly_spaced(len(rows), ROWS)
        inputs, truth = rows.inputs[chosen], np.asarray(rows.truth, np.float64)[chosen]
        truth = truth if truth.ndim == 1 else truth[:, 0]
        if plane is None:
            positions, opacity = np.column_stack([inputs * scales + means, truth]), np.ones(len(truth))
        else:
            positions, opacity = plane.project(inputs), plane.opacity(inputs)
        found.append(SplitRows(split, positions, truth, len(rows), opacity))
    return tuple(found)


def thinning(rows: tuple[SplitRows, ...]) -> str:
    """What a chart says where it does not show all rows."""
    fewer = [one for one in rows if len(one.positions) < one.total]
    return ", ".join(f"{len(one.positions):,} of {one.total:,} {one.split} rows shown" for one in fewer)


def many_classes(classes: tuple[str, ...] | None) -> tuple[str, ...]:
    """What a chart says where classes are too many for a legend."""
    return (f"{len(classes)} classes, dark to light",) if classes and len(classes) > NAMED_CLASSES else ()


def limits_of(rows: tuple[SplitRows, ...]) -> list[tuple[float, float]]:
    """(left, right) and (bottom, top) around all rows."""
    positions = np.concatenate([one.positions for one in rows])
    low, high = positions.min(axis=0), positions.max(axis=0)
    room = np.where(high > low, (high - low) * 0.08, 1.0)
    return list(zip((low - room).tolist(), (high + room).tolist(), strict=True))


def marker_size(rows: tuple[SplitRows, ...]) -> float:
    """Smaller markers where there are many, in points squared."""
    return float(np.clip(9000 / max(1, sum(len(one.positions) for one in rows)), 5, 34))


def row_marks(
    rows: tuple[SplitRows, ...], classes: tuple[str, ...] | None, *, scale: float = 1.0
) -> tuple[Mark, ...]:
    """Rows with a marker and colour for each class, or coloured by their target, and their legend.

    Of classes, train is filled, dev hollow, and test filled with a black rim.
    """
    size, marks = marker_size(rows) * scale, list[Mark]()
    for one in rows:
        label, (x, y) = rows_label(one), one.positions.T
        if classes is None:
            marker, values = SPLITS[one.split].marker, one.truth
            look: Any = {"marker": marker, "edge": style.BLACK, "values": values, "opacity": one.opacity}
            marks.append(Points(x, y, label, size=size, **look))
            continue
        marks.append(chart.legend_entry(label, **_split_look(one.split, style.GREY)))
        for index in map(int, np.unique(one.truth)):
            look = _split_look(one.split, style.color_of(index, len(classes)))
            look["marker"] = style.MARKERS[index] if len(classes) <= NAMED_CLASSES else "o"
            here = one.truth == index
            marks.append(Points(x[here], y[here], size=size, opacity=one.opacity[here], **look))
    for k, name in enumerate(classes or ()):
        if len(classes or ()) <= NAMED_CLASSES:
            marks.append(
                chart.legend_entry(class_label(name), color=style.COLORS[k], marker=style.MARKERS[k])
            )
    return tuple(marks)


def split_marks(rows: tuple[SplitRows, ...]) -> tuple[Mark, ...]:
    """Rows with a marker and colour for each split."""
    marks = []
    for one in rows:
        (x, y), (color, _, marker) = one.positions.T, SPLITS[one.split]
        marks.append(Points(x, y, rows_label(one), color, marker, marker_size(rows)))
    return tuple(marks)


def class_label(name: str) -> str:
    """A class as legends call it; a number by itself would not say that it is one."""
    return f"class {style.name(name)}"


def rows_label(rows: SplitRows) -> str:
    """A split as legends call it."""
    return f"{rows.split} ({rows.total:,} rows)"


def _split_look(split: str, color: str) -> dict[str, Any]:
    if split == "dev":
        return {"color": style.WHITE, "edge": color}
    return {"color": color, "edge": style.WHITE if split == "train" else style.BLACK}


# --- sequences of tokens


def _sequences(data: RunData, title: str, target: str) -> Chart:
    """Rows of tokens written out, with their targets beside them."""
    split = data.splits[0]
    rows = data.rows(split)
    tokens = np.asarray(rows.inputs[:SEQUENCES, :SEQUENCES])
    count, width = tokens.shape
    fewer = f", the first {count} of {len(rows):,} rows" if count < len(rows) else ""
    length = rows.inputs.shape[1]
    cut = f", the first {width} of {length:,} symbols" if width < length else ""
    labels = tuple(f"{row}  ({target}: {_target(data, rows.truth[row])})" for row in range(count))
    x = Axis("position in the row", ticks=tuple(range(width)) if width <= 20 else None)
    y = Axis("row", "category", (count - 0.5, -0.5), tuple(range(count)), labels)
    texts = tuple(tuple(map(str, row)) for row in tokens.tolist())
    panel = Panel((HeatMap(tokens.astype(np.float64), texts=texts),), x, y)
    colors = ColorScale("symbol", float(tokens.min()), float(tokens.max()), palette="surface")
    height = min(1.6 + 0.22 * count, 8.5)
    return Chart(title, (f"{split} rows{fewer}{cut}",), (panel,), height=height, colors=colors)


def _target(data: RunData, truth: Any) -> str:
    if data.classes is not None:
        return style.name(data.classes[int(truth)], 12)
    return ", ".join(style.number(float(number)) for number in np.atleast_1d(truth)[:4])
