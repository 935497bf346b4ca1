"""The rows themselves in the user's units, and the curve fitted to those with one input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

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
    evenly,
    joined,
    legend_entry,
)
from mlprun.figures.figure import NetworkFigure, RunFigure, run_figures
from mlprun.figures.style import SPLITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

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
        if data.preprocessing.width == 1:
            rows = over_input(data)
            x = Axis(style.name(data.preprocessing.names[0]))
            panel, note = Panel(_over_input_marks(rows), x, Axis(target)), ""
            if data.classes is not None:
                names = tuple(map(style.name, data.classes))
                y = Axis(target, ticks=tuple(range(len(names))), tick_labels=names)
                panel = Panel(class_marks(rows, data.classes), x, y)
        else:
            plane = data.plane(self.features)
            rows = shown_rows(data, plane.project, data.splits)
            note = plane.note if self.features is None else ""
            x, y = (
                Axis(name, limits=ends) for name, ends in zip(plane.names, limits_of(rows, 0.05), strict=True)
            )
            if data.classes is not None:
                panel = Panel(class_marks(rows, data.classes), x, y)
            else:
                values = np.concatenate([one.truth for one in rows])
                colors = ColorScale(target, float(values.min()), float(values.max()))
                panel = Panel(number_marks(rows), x, y, colors=colors)
        details = (*joined(note, thinning(rows)), *many_classes(data.classes))
        legend = legend_of(rows, data.classes)
        return Chart(title, details, (panel,), height=4.6, legend=legend)


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
        rows = over_input(data, epoch)
        (low, high), _ = limits_of(rows, 0.05)
        inputs = np.linspace(low, high, GRID)
        means, scales = data.preprocessing.input_units
        predicted = data.predict(
            epoch, ((inputs - means[0]) / scales[0])[:, None].astype(data.experiment.dtype)
        )
        outputs = np.asarray(predicted.outputs, np.float64)
        names, what, y = _outputs(data, outputs.shape[1], is_probable=predicted.probabilistic)
        lines = tuple(
            Line(inputs, outputs[:, k], f"{what} {style.name(name)}", width=1.8, dashes=style.DASHES[k],
                 color=style.BLACK if len(names) == 1 else style.COLORS[k])
            for k, name in enumerate(names[:CURVES])
        )  # fmt: skip
        fewer = f"the first {CURVES} of {len(names)} outputs" if len(names) > CURVES else ""
        # class ids stand at 0 and 1, where a probability ends; of more classes they would stand nowhere
        points = _over_input_marks(rows, lighter=0.35) if len(names) == 1 else ()
        x = Axis(style.name(data.preprocessing.names[0]), limits=(low, high))
        details = joined(data.describe(epoch), thinning(rows), fewer)
        return Chart(f"Fit of {data.name}", details, (Panel((*points, *lines), x, Axis(y)),))


def _outputs(data: RunData, count: int, *, is_probable: bool) -> tuple[tuple[str, ...], str, str]:
    """The names of the outputs, what a legend calls them, and the name of their axis."""
    targets = data.preprocessing.target_names
    if data.classes is None:
        return targets, "prediction of", style.name(targets[0]) if len(targets) == 1 else "target"
    names = data.classes if count > 1 else data.classes[-1:]
    return names, "probability of class", "probability" if is_probable else "output"


# --- rows as points, for all charts that show some


@dataclass(frozen=True)
class SplitRows:
    """Rows of one split in a chart: positions [N, 2] and class ids or numbers [N]."""

    split: str
    positions: NDArray[np.float64]
    truth: NDArray[np.float64]
    total: int
    """rows of the split, of which these are some"""
    opacity: NDArray[np.float64] | None = None
    """[N]; None where all are full"""


def shown_rows(
    data: RunData,
    project: Callable[[NDArray[Any]], NDArray[np.float64]],
    splits: tuple[str, ...],
    epoch: int | None = None,
    opacity: Callable[[NDArray[Any]], NDArray[np.float64]] | None = None,
) -> tuple[SplitRows, ...]:
    """The rows of the splits where `project` shows their inputs, with class ids or their first target."""
    found = []
    for split in splits:
        rows = data.rows(split, epoch)
        chosen = evenly(len(rows), ROWS)
        truth = rows.truth[chosen]
        inputs, truth = rows.inputs[chosen], truth if truth.ndim == 1 else truth[:, 0]
        faint = None if opacity is None else opacity(inputs)
        found.append(SplitRows(split, project(inputs), np.asarray(truth, np.float64), len(rows), faint))
    return tuple(found)


def over_input(data: RunData, epoch: int | None = None) -> tuple[SplitRows, ...]:
    """The rows with their only input across and the (first) target or class id up, in the user's units."""
    means, scales = data.preprocessing.input_units
    rows = shown_rows(data, lambda inputs: inputs * scales + means, data.splits, epoch)
    return tuple(replace(one, positions=np.column_stack([one.positions[:, 0], one.truth])) for one in rows)


def thinning(rows: tuple[SplitRows, ...]) -> str:
    """What a chart says where it does not show all rows."""
    fewer = [one for one in rows if len(one.positions) < one.total]
    return ", ".join(f"{len(one.positions):,} of {one.total:,} {one.split} rows shown" for one in fewer)


def many_classes(classes: tuple[str, ...] | None) -> tuple[str, ...]:
    """What a chart says where classes are too many for a legend."""
    return (f"{len(classes)} classes, dark to light",) if classes and len(classes) > NAMED_CLASSES else ()


def limits_of(
    rows: tuple[SplitRows, ...], margin: float = 0.12
) -> tuple[tuple[float, float], tuple[float, float]]:
    """(left, right) and (bottom, top) around all rows."""
    positions = np.concatenate([one.positions for one in rows])
    low, high = positions.min(axis=0), positions.max(axis=0)
    room = np.where(high > low, (high - low) * margin, 1.0)
    (left, bottom), (right, top) = (low - room).tolist(), (high + room).tolist()
    return (left, right), (bottom, top)


def marker_size(rows: tuple[SplitRows, ...]) -> float:
    """Smaller markers where there are many, in points squared."""
    return float(np.clip(9000 / max(1, sum(len(one.positions) for one in rows)), 5, 34))


def class_marks(
    rows: tuple[SplitRows, ...], classes: tuple[str, ...], *, scale: float = 1.0
) -> tuple[Mark, ...]:
    """A marker and colour for each class; train filled, dev hollow, test filled with a black rim."""
    size = marker_size(rows) * scale
    marks: list[Mark] = []
    for one in rows:
        for index in map(int, np.unique(one.truth)):
            look = _split_look(one.split, style.color_of(index, len(classes)), is_alone=len(rows) == 1)
            look["edge_width"] *= min(1.0, size / 9)  # the rims of many small markers must not cover them
            marker = style.MARKERS[index] if len(classes) <= NAMED_CLASSES else "o"
            here = one.truth == index
            opacity: Any = 1.0 if one.opacity is None else one.opacity[here]
            marks.append(
                Points(*_columns(one.positions[here]), size=size, marker=marker, opacity=opacity, **look)
            )
    return tuple(marks)


def number_marks(rows: tuple[SplitRows, ...], *, is_over_surface: bool = False) -> tuple[Mark, ...]:
    """Rows coloured by a numeric target, a marker for each split."""
    edge: Any = {"edge": style.BLACK, "edge_width": 0.5} if is_over_surface else {"edge": style.WHITE}
    return tuple(
        Points(*_columns(one.positions), values=one.truth, marker=SPLITS[one.split].marker,
               size=marker_size(rows), opacity=1.0 if one.opacity is None else one.opacity, **edge)
        for one in rows
    )  # fmt: skip


def _columns(positions: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return positions[:, 0], positions[:, 1]


def _over_input_marks(rows: tuple[SplitRows, ...], lighter: float = 0.0) -> tuple[Mark, ...]:
    return tuple(
        Points(*_columns(one.positions), rows_label(one), style.lighter(SPLITS[one.split].color, lighter),
               SPLITS[one.split].marker, marker_size(rows))
        for one in rows
    )  # fmt: skip


def legend_of(rows: tuple[SplitRows, ...], classes: tuple[str, ...] | None) -> tuple[tuple[Points, ...], ...]:
    """Entries of the classes, and of the splits where there are several or colour is the target's."""
    if classes is None:
        return (
            tuple(
                legend_entry(rows_label(one), color=style.GREY, marker=SPLITS[one.split].marker)
                for one in rows
            ),
        )
    named = (
        legend_entry(class_label(name), color=style.color_of(k, len(classes)), marker=style.MARKERS[k])
        for k, name in enumerate(classes)
        if len(classes) <= NAMED_CLASSES
    )
    splits = (
        legend_entry(rows_label(one), **_split_look(one.split, style.GREY)) for one in rows if len(rows) > 1
    )
    return tuple(named), tuple(splits)


def class_label(name: str) -> str:
    """A class as legends call it; a number by itself would not say that it is one."""
    return f"class {style.name(name)}"


def rows_label(rows: SplitRows) -> str:
    """A split as legends call it."""
    return f"{rows.split} ({rows.total:,} rows)"


def _split_look(split: str, color: str, *, is_alone: bool = False) -> dict[str, Any]:
    if is_alone or split == "train":
        return {"color": color, "edge": style.WHITE, "edge_width": 0.3}
    if split == "dev":
        return {"color": style.WHITE, "edge": color, "edge_width": 1.0}
    return {"color": color, "edge": style.BLACK, "edge_width": 0.9}


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
    cells = HeatMap(
        tokens.astype(np.float64),
        texts=tuple(tuple(map(str, row)) for row in tokens.tolist()),
        text_size=style.SIZE - 2,
    )
    colors = ColorScale("", float(tokens.min()), float(tokens.max()), palette="surface", bar=False)
    panel = Panel((cells,), x, y, grid="none", colors=colors)
    return Chart(title, (f"{split} rows{fewer}{cut}",), (panel,), height=min(1.6 + 0.22 * count, 8.5))


def _target(data: RunData, truth: Any) -> str:
    if data.classes is not None:
        return style.name(data.classes[int(truth)], 12)
    return ", ".join(style.number(float(number)) for number in np.atleast_1d(truth)[:4])
