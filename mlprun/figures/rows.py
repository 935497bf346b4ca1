"""The rows themselves in the user's units, and the curve fitted to those with one input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.figures import chart, style
from mlprun.figures.chart import (
    Array,
    Axis,
    Chart,
    ColorScale,
    HeatMap,
    Line,
    Mark,
    Panel,
    Points,
    Region,
    Text,
)
from mlprun.figures.figure import Features, NetworkFigure, RunFigure, run_figures
from mlprun.figures.style import SPLITS

if TYPE_CHECKING:
    from mlprun.figures.plane import Plane
    from mlprun.figures.run_data import RunData
    from mlprun.parts.metrics import Predictions

ROWS = 2000
"""rows drawn as points in one chart, at most: evenly spread ones"""
DENSITY_BINS = 60
NAMING, NEIGHBOURS = 600, 8
"""rows that places of class names are chosen from, at most, and their neighbours that count"""
APART = 0.15, 0.07
"""shares of the plane across and up by which names of classes are apart, where there is a choice"""
FEW = 40
"""rows beside which names of classes are written, at most; those of more are written over them"""
NAMED_CLASSES = len(style.COLORS)
"""classes that have a colour and a marker of their own and an entry in the legend, at most"""
SEQUENCES = 40
"""rows and tokens of a row that are written out, at most"""
GRID = 500
CURVES = 6


@run_figures.register
class DataFigure(RunFigure):
    """The rows in the plane of two inputs (or principal components), with classes and splits marked."""

    is_default = False

    name: Literal["data"] = "data"
    features: Features = None

    def check(self, data: RunData) -> str | None:
        return None if data.splits else "there are no rows"

    def compute(self, data: RunData) -> Chart:
        dataset = data.config.dataset.name
        title = f"Data: {data.name}" + (f" ({dataset})" if not data.name.startswith(dataset) else "")
        target = style.name(data.preprocessing.target_names[0])
        if data.has_tokens:
            return _sequences(data, title, target)
        if data.preprocessing.width == 1:
            rows = shown_rows(data, None, data.splits)
            x, y = Axis(style.name(data.preprocessing.names[0])), Axis(target)
            if data.classes is not None:
                names = tuple(map(style.name, data.classes))
                y = Axis(target, ticks=tuple(range(len(names))), tick_labels=names)
            return Chart(title, chart.joined(thinning(rows)), (Panel(split_marks(rows), x, y),))
        plane = data.plane(self.features)
        rows = shown_rows(data, replace(plane, spread=np.inf), data.splits)
        ends, colors, marks = limits_of(rows), None, row_marks(rows, data.classes)
        if data.classes is None:
            values = np.concatenate([one.truth for one in rows])
            colors = ColorScale(target, float(values.min()), float(values.max()), palette="lines")
        x, y = (Axis(name, limits=side) for name, side in zip(plane.names, ends, strict=True))
        panel = Panel(marks, x, y, aspect="equal" if plane.has_equal_units else "auto")
        note = plane.note if self.features is None else ""
        details = (*chart.joined(note, thinning(rows)), *many_classes(data.classes))
        height = plane_height(panel, bar=colors is not None)
        return Chart(title, details, (panel,), height=height, colors=colors)


@run_figures.register
class FittedCurve(NetworkFigure):
    """The network's outputs over its only input, with the rows that it learnt from."""

    name: Literal["fit"] = "fit"

    def check(self, data: RunData) -> str | None:
        if data.has_tokens:
            return "inputs are symbols, which have no place on an axis"
        if data.config.loss.levels:
            return "outputs are quantiles; see quantiles"
        return "there is more than one input" if data.preprocessing.width > 1 else None

    def compute(self, data: RunData) -> Chart:
        epoch = self.epoch_of(data)
        rows = shown_rows(data, None, data.splits, epoch)
        (low, high), _ = limits_of(rows)
        inputs, predicted = over_input(data, epoch, (low, high))
        outputs = np.asarray(predicted.outputs, np.float64)
        names, axis = data.preprocessing.target_names, "target"
        if data.classes is not None:
            names = data.classes if outputs.shape[1] > 1 else data.classes[-1:]
            axis = "probability" if predicted.probabilistic else "output"
        lines = tuple(
            Line(
                inputs,
                outputs[:, k],
                "network" if len(names) == 1 else style.name(name),
                style.COLORS[k + 2],
                style.DASHES[k],
            )
            for k, name in enumerate(names[:CURVES])
        )
        fewer = f"the first {CURVES} of {len(names)} outputs" if len(names) > CURVES else ""
        # class ids stand at 0 and 1, where a probability ends; of more classes they would stand nowhere
        points = split_marks(rows) if len(names) == 1 else ()
        x = Axis(style.name(data.preprocessing.names[0]), limits=(low, high))
        y = Axis(style.name(names[0]) if data.classes is None and len(names) == 1 else axis)
        details = chart.joined(data.describe(epoch), thinning(rows), fewer)
        return Chart(f"Fit: {data.name}", details, (Panel((*points, *lines), x, y),))


def over_input(data: RunData, epoch: int, limits: tuple[float, float]) -> tuple[Array, Predictions]:
    """A grid of the only input in the user's units, and what the network predicts there."""
    inputs = np.linspace(*limits, GRID)
    means, scales = data.preprocessing.input_units
    scaled = ((inputs - means[0]) / scales[0])[:, None]
    return inputs, data.predict(epoch, scaled.astype(data.experiment.dtype))


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
    """Some rows of the splits in a plane, with class ids or their first target: ROWS of all splits together.

    Without a plane, their only input is across and the truth up, in the user's units.
    """
    found, (means, scales) = [], data.preprocessing.input_units
    every = {split: data.rows(split, epoch) for split in splits}
    share = ROWS / max(ROWS, sum(map(len, every.values())))
    for split, rows in every.items():
        chosen = chart.evenly_spaced(len(rows), max(1, int(len(rows) * share)))
        truth = np.asarray(rows.truth, np.float64)
        truth = truth if truth.ndim == 1 else truth[:, 0]
        if plane is None:
            positions = np.column_stack([rows.inputs[chosen] * scales + means, truth[chosen]])
            opacity = np.ones(len(chosen))
        else:
            positions, opacity = plane.project(rows.inputs[chosen]), plane.opacity(rows.inputs[chosen])
        found.append(SplitRows(split, positions, truth[chosen], len(rows), opacity))
    return tuple(found)


def is_dense(rows: tuple[SplitRows, ...]) -> bool:
    """Return True for more rows than are drawn as points."""
    return sum(one.total for one in rows) > ROWS


def thinning(rows: tuple[SplitRows, ...]) -> str:
    """What a chart says where it does not show all rows."""
    shown, total = (
        sum(counts) for counts in zip(*((len(one.positions), one.total) for one in rows), strict=True)
    )
    return f"{shown:,} of {total:,} rows as points" if shown < total else ""


def many_classes(classes: tuple[str, ...] | None) -> tuple[str, ...]:
    """What a chart says where classes are too many for a legend."""
    return (f"{len(classes)} classes, dark to light",) if classes and len(classes) > NAMED_CLASSES else ()


def limits_of(rows: tuple[SplitRows, ...]) -> list[tuple[float, float]]:
    """(left, right) and (bottom, top) around all rows."""
    positions = np.concatenate([one.positions for one in rows])
    low, high = positions.min(axis=0), positions.max(axis=0)
    room = np.where(high > low, (high - low) * 0.08, 1.0)
    return list(zip((low - room).tolist(), (high + room).tolist(), strict=True))


def plane_height(panel: Panel, *, columns: int = 1, bar: bool = False) -> float:
    """The height of a chart with one row of panels in a plane."""
    if panel.aspect == "auto":
        return 4.4 if columns == 1 else 2.9
    return chart.HEADING + max(1.2, chart.height_of(panel, columns=columns, side=1.6 if bar else 0.7))


def marker_size(rows: tuple[SplitRows, ...]) -> float:
    """Smaller markers where there are many, in points squared."""
    return float(np.clip(9000 / max(1, sum(len(one.positions) for one in rows)), 5, 30))


def row_marks(
    rows: tuple[SplitRows, ...], classes: tuple[str, ...] | None, *, scale: float = 1.0
) -> tuple[Mark, ...]:
    """Rows with a marker and colour for each class and its name among them, or coloured by their target.

    Of classes, train is filled, dev hollow, and test in between. Of more rows than are drawn, outlines show
    where half and nine tenths of a class are.
    """
    size, marks = marker_size(rows) * scale, list[Mark]()
    for one in rows:
        label, (x, y) = rows_label(one), one.positions.T
        if classes is None:
            marker, values = SPLITS[one.split].marker, one.truth
            look: Any = {"marker": marker, "edge": "#444444", "values": values, "opacity": one.opacity}
            marks.append(Points(x, y, label, size=size, **look))
            continue
        if len(rows) > 1:
            marks.append(chart.legend_entry(label, **_split_look(one.split, style.GREY)))
        for index in map(int, np.unique(one.truth)):
            look = _split_look(one.split, style.color_of(index, len(classes)))
            look["marker"] = style.MARKERS[index] if len(classes) <= NAMED_CLASSES else "o"
            here = one.truth == index
            marks.append(Points(x[here], y[here], size=size, opacity=one.opacity[here], **look))
    if classes is not None and len(classes) <= NAMED_CLASSES:
        marks += _outlines(rows) if is_dense(rows) else []
        marks += [_names(rows, classes)] if scale == 1.0 else []
    return tuple(marks)


def _names(rows: tuple[SplitRows, ...], classes: tuple[str, ...]) -> Text:
    """The name of each class where its rows are many and those of others far away."""
    places, truth = (np.concatenate([getattr(one, side) for one in rows]) for side in ("positions", "truth"))
    chosen = chart.evenly_spaced(len(places), NAMING)
    truth, known = truth[chosen], places[chosen]
    unit = (known - known.min(axis=0)) / np.maximum(np.ptp(known, axis=0), 1e-300)
    distances = np.linalg.norm(unit[:, None] - unit[None], axis=2)
    at, names, taken = list[Any](), list[str](), np.empty((0, 2))
    for index in map(int, np.unique(truth)):
        here = truth == index
        own = np.sort(distances[here][:, here], axis=1)[:, : 1 + NEIGHBOURS].mean(axis=1)
        others = distances[here][:, ~here].min(axis=1, initial=1.0)
        is_taken = (np.abs(unit[here][:, None] - taken) < APART).all(axis=2).any(axis=1)
        best = np.argmax(others - 2 * own - 9 * is_taken)
        at.append(known[here][best])
        taken = np.vstack([taken, unit[here][best]])
        names.append(style.name(classes[index], 16))
    x, y = np.array(at).T
    # among few rows a name would hide the one at its place
    right = 6.0 if len(places) < FEW else 0.0
    return Text(x, y, tuple(names), offset=(right, 0.0), size=style.SIZE, weight="bold")


def _outlines(rows: tuple[SplitRows, ...]) -> list[Mark]:
    """Where the densest half and nine tenths of each class are."""
    from scipy.ndimage import gaussian_filter

    places, truth = (np.concatenate([getattr(one, side) for one in rows]) for side in ("positions", "truth"))
    ends = limits_of(rows)
    marks = list[Mark]()
    for index in map(int, np.unique(truth)):
        x, y = places[truth == index].T
        counts = np.histogram2d(x, y, DENSITY_BINS, ends)[0].T
        density = gaussian_filter(counts, 1.5, mode="constant")
        ordered = np.sort(density.ravel())[::-1]
        mass = np.cumsum(ordered) / ordered.sum()
        levels = sorted({float(ordered[np.searchsorted(mass, share)]) for share in (0.5, 0.9)})
        left, right, bottom, top = (end for side in ends for end in side)
        across, up = (right - left) / DENSITY_BINS / 2, (top - bottom) / DENSITY_BINS / 2
        extent = left + across, right - across, bottom + up, top - up
        marks.append(Region(density, extent, tuple(levels), style.COLORS[index], width=1.4))
    return marks


def split_marks(rows: tuple[SplitRows, ...]) -> tuple[Mark, ...]:
    """Rows with a marker and colour for each split."""
    marks = []
    for one in rows:
        (x, y), (color, _, marker) = one.positions.T, SPLITS[one.split]
        marks.append(Points(x, y, rows_label(one), color, marker, marker_size(rows)))
    return tuple(marks)


def class_label(name: str) -> str:
    """A class as legends call it; a number by itself would not say that it is one."""
    return f"class {name}" if name.isdecimal() else style.name(name)


def rows_label(rows: SplitRows) -> str:
    """A split as legends call it."""
    return f"{rows.split} ({rows.total:,})"


def _split_look(split: str, color: str) -> dict[str, Any]:
    fill = {"train": color, "dev": style.WHITE, "test": style.test_tint(color)}[split]
    return {"color": fill, "edge": style.WHITE if split == "train" else color}


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
