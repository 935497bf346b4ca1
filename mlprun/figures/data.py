"""The rows themselves, in the user's units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import style
from mlprun.figures.plane import input_units, plane_of
from mlprun.figures.plot import Plot, kinds
from mlprun.figures.points import (
    NAMED,
    Points,
    class_handles,
    draw_classes,
    limits,
    marker_size,
    points_of,
    thinning,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.figures.subject import Subject

SEQUENCES = 40
"""rows and symbols of a row that are written out, at most"""


@dataclass(frozen=True)
class Shown:
    """Rows in a plane, or against their target where there is one input, or symbols as they stand."""

    title: str
    details: tuple[str, ...]
    axes: tuple[str, str]
    points: tuple[Points, ...]
    classes: tuple[str, ...] | None
    target: str
    one_input: bool = False
    symbols: NDArray[Any] | None = None


@kinds.register
class DataPoints(Plot):
    """The rows in the plane of two inputs (or principal components), with classes and splits marked."""

    name: Literal["data"] = "data"
    features: tuple[str, str] | None = Field(
        None, description="two inputs for the axes; by default the principal components of more than two"
    )

    def refuses(self, subject: Subject) -> str | None:
        return None if subject.splits else "there are no rows"

    def compute(self, subject: Subject) -> Shown:
        dataset = subject.config.dataset.name
        title = f"Data of {subject.name}" + (f": {dataset}" if dataset != subject.name else "")
        target = style.name(subject.preprocessing.target_names[0])
        if subject.symbols:
            return _sequences(subject, title, target)
        if subject.preprocessing.width == 1:
            points = over_input(subject)
            names = (style.name(subject.preprocessing.names[0]), target)
            return Shown(title, (thinning(points),), names, points, subject.classes, target, one_input=True)
        plane = plane_of(subject, self.features)
        points = points_of(subject, plane.show, subject.splits)
        about = plane.about if self.features is None else ""
        return Shown(title, (about, thinning(points)), plane.names, points, subject.classes, target)

    def draw(self, values: Shown) -> Figure:
        from mlprun.figures import canvas

        if values.symbols is not None:
            return _draw_symbols(values)
        figure = canvas.picture(height=4.6)
        axes = figure.subplots()
        if values.one_input:
            _draw_over_input(axes, values)
        elif values.classes is None:
            draw_numbers(axes, values.points, values.target)
        else:
            draw_classes(axes, values.points, values.classes)
        axes.set_xlabel(values.axes[0])
        axes.set_ylabel(values.axes[1])
        if not values.one_input:
            (left, right), (bottom, top) = limits(values.points, 0.05)
            axes.set(xlim=(left, right), ylim=(bottom, top))
        many = (
            f"{len(values.classes)} classes, dark to light"
            if values.classes and len(values.classes) > NAMED
            else ""
        )
        canvas.entitle(figure, values.title, *values.details, many)
        canvas.show_legend(figure, *handles_of(values.points, values.classes))
        return figure


def draw_numbers(
    axes: Axes,
    points: tuple[Points, ...],
    target: str,
    *,
    limits: tuple[float, float] | None = None,
    bar: bool = True,
) -> None:
    """Rows coloured by a numeric target, a marker for each split; over a surface, in its colours."""
    from matplotlib.colors import Normalize

    values = np.concatenate([one.truth for one in points]).astype(np.float64)
    scale = Normalize(*(limits or (float(values.min()), float(values.max()))))
    colors = style.surface_colors() if limits else "cividis"
    for one in points:
        marks = axes.scatter(
            one.places[:, 0],
            one.places[:, 1],
            c=one.truth,
            norm=scale,
            cmap=colors,
            s=marker_size(points),
            marker=style.SPLIT_LINES[one.split].marker,
            edgecolors="black" if limits else "white",
            linewidths=0.5 if limits else 0.3,
            zorder=3,
            alpha=one.opacity,  # type: ignore[arg-type]  # matplotlib takes one for each mark too
        )
    if bar:
        axes.figure.colorbar(marks, ax=axes, label=target)


def handles_of(points: tuple[Points, ...], classes: tuple[str, ...] | None) -> tuple[dict[str, Any], ...]:
    """Legend entries of the rows in a picture."""
    return (split_handles(points),) if classes is None else class_handles(points, classes)


def split_handles(points: tuple[Points, ...]) -> dict[str, Any]:
    """Legend entries of the splits where colour is the target's."""
    from matplotlib.lines import Line2D

    return {
        f"{one.split} ({one.rows:,} rows)": Line2D(
            [], [], linestyle="none", marker=style.SPLIT_LINES[one.split].marker, color=style.GREY
        )
        for one in points
    }


def over_input(subject: Subject, epoch: int | None = None) -> tuple[Points, ...]:
    """The rows with the only input across and the (first) target or class id up, in the user's units."""
    means, scales = input_units(subject.preprocessing)
    points = points_of(subject, lambda inputs: inputs * scales + means, subject.splits, epoch)
    return tuple(
        Points(one.split, np.column_stack([one.places[:, 0], one.truth]), one.truth, one.rows)
        for one in points
    )


def _draw_over_input(axes: Axes, values: Shown) -> None:
    if values.classes is not None:
        draw_classes(axes, values.points, values.classes)
        axes.set_yticks(range(len(values.classes)), [style.name(name) for name in values.classes])
        return
    for one in values.points:
        line = style.SPLIT_LINES[one.split]
        axes.scatter(
            one.places[:, 0],
            one.places[:, 1],
            s=marker_size(values.points),
            marker=line.marker,
            color=line.color,
            linewidths=0,
        )


def _sequences(subject: Subject, title: str, target: str) -> Shown:
    rows = subject.rows(subject.splits[0])
    shown = rows.inputs[:SEQUENCES, :SEQUENCES]
    fewer = f"the first {len(shown)} of {len(rows):,} rows" if len(shown) < len(rows) else ""
    cut = (
        f"the first {shown.shape[1]} of {rows.inputs.shape[1]:,} symbols"
        if shown.shape[1] < rows.inputs.shape[1]
        else ""
    )
    points = (Points(subject.splits[0], np.empty((0, 2)), rows.truth[:SEQUENCES], len(rows)),)
    details = (f"{subject.splits[0]} rows", fewer, cut)
    about = ", ".join(detail for detail in details if detail)
    return Shown(
        title, (about,), ("position in the row", "row"), points, subject.classes, target, symbols=shown
    )


def _draw_symbols(values: Shown) -> Figure:
    from mlprun.figures import canvas

    assert values.symbols is not None
    rows, width = values.symbols.shape
    figure = canvas.picture(height=min(1.6 + 0.22 * rows, 8.5))
    axes = figure.subplots()
    axes.imshow(values.symbols, aspect="auto", cmap=style.surface_colors())
    for (row, column), symbol in np.ndenumerate(values.symbols):
        axes.text(column, row, str(symbol), ha="center", va="center", fontsize=style.SIZE - 2)
    axes.grid(visible=False)
    axes.set_xticks(range(width)) if width <= 20 else None
    axes.set_yticks(range(rows), [f"{row}  ({values.target}: {_target(values, row)})" for row in range(rows)])
    axes.set_xlabel(values.axes[0])
    axes.set_ylabel(values.axes[1])
    canvas.entitle(figure, values.title, *values.details)
    return figure


def _target(values: Shown, row: int) -> str:
    truth = values.points[0].truth[row]
    if values.classes is not None:
        return style.name(values.classes[int(truth)], 12)
    return ", ".join(style.number(float(number)) for number in np.atleast_1d(truth)[:4])
