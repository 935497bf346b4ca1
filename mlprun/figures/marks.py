"""Marks of a chart drawn with matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize, to_rgba_array
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import blended_transform_factory

from mlprun.figures import style
from mlprun.figures.chart import (
    Array,
    Band,
    Bars,
    ColorScale,
    HeatMap,
    Line,
    Panel,
    Points,
    Polygons,
    Region,
    Segments,
    Text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Transform

SMALLEST = 5.0
"""points of the smallest letters in a cell"""


def draw_marks(axes: Axes, panel: Panel, colors: ColorScale | None) -> dict[str, Any]:
    """Draw the marks in their order; returns what stands in a legend by its label."""
    handles: dict[str, Any] = {}
    for index, mark in enumerate(panel.marks):
        handle = _DRAWING[type(mark)](axes, mark, colors, 2 + index / 100)
        label = getattr(mark, "label", "")
        if label:
            handles.setdefault(label, handle)
    return handles


def _on_edges(axes: Axes, x: Array, y: Array) -> tuple[Any, Any, Transform]:
    """Positions with a transform: infinite ones lie on the panel's edges."""
    x_edge, y_edge = (len(side) > 0 and bool(np.isinf(side).all()) for side in (x, y))
    if not (x_edge or y_edge):
        return x, y, axes.transData
    data, edges = axes.transData, axes.transAxes
    transform = blended_transform_factory(edges if x_edge else data, edges if y_edge else data)
    return (x > 0) * 1.0 if x_edge else x, (y > 0) * 1.0 if y_edge else y, transform


def _dashed(dashes: tuple[float, ...]) -> Any:
    return (0, dashes) if dashes else "-"


def _draw_line(axes: Axes, mark: Line, colors: ColorScale | None, zorder: float) -> Any:
    if np.ndim(mark.y) == 2:
        return _draw_lines(axes, mark, colors, zorder)
    x, y, transform = _on_edges(axes, mark.x, mark.y)
    (line,) = axes.plot(
        x,
        y,
        transform=transform,
        color=mark.color,
        linestyle=_dashed(mark.dashes),
        marker=mark.marker or None,
        linewidth=mark.width,
        alpha=mark.opacity,
        drawstyle="steps-pre" if mark.has_steps else "default",
        zorder=zorder,
    )
    return line


def _draw_lines(axes: Axes, mark: Line, colors: ColorScale | None, zorder: float) -> Any:
    """Many curves as one collection."""
    look: dict[str, Any] = {"colors": mark.color}
    if mark.values is not None:
        look = {"array": mark.values, **_colors_of(colors)}
    curves = [np.column_stack([mark.x, y]) for y in mark.y]
    axes.add_collection(
        LineCollection(curves, linewidths=mark.width, alpha=mark.opacity, zorder=zorder, **look)
    )
    axes.autoscale_view()
    return Line2D([], [], color=mark.color, linewidth=mark.width)


def _draw_band(axes: Axes, mark: Band, _: ColorScale | None, zorder: float) -> Any:
    fill = axes.fill_between if mark.along == "x" else axes.fill_betweenx
    look: Any = {"color": mark.color, "alpha": mark.opacity, "linewidth": 0}
    return fill(mark.position, mark.low, mark.high, zorder=zorder, **look)


def _draw_points(axes: Axes, mark: Points, colors: ColorScale | None, zorder: float) -> Line2D:
    x, y, transform = _on_edges(axes, mark.x, mark.y)
    # the rims of many small markers must not cover them
    rim = 0.3 if mark.edge == style.WHITE else min(0.9, mark.size / 10)
    look: dict[str, Any] = {"color": mark.color, "linewidths": 1.1}
    if mark.values is not None:
        look = {"c": mark.values, "edgecolors": mark.edge, "linewidths": rim, **_colors_of(colors)}
    elif mark.marker != "x":
        look = {"facecolors": mark.color, "edgecolors": mark.edge, "linewidths": rim}
    look |= {"alpha": mark.opacity, "transform": transform, "zorder": zorder}
    axes.scatter(x, y, mark.size, marker=mark.marker, **look)
    size = min(10.0, max(3.5, math.sqrt(mark.size)))
    color = mark.color if mark.values is None else style.GREY
    return Line2D(
        [], [], linestyle="none", marker=mark.marker, markersize=size, color=color,
        markeredgecolor=color if mark.edge == style.WHITE else mark.edge,
    )  # fmt: skip


def _draw_bars(axes: Axes, mark: Bars, _: ColorScale | None, zorder: float) -> Any:
    """Bars as one collection, since `Axes.bar` takes seconds for many."""
    look: Any = {"facecolor": mark.color, "edgecolor": mark.edge or "none", "hatch": mark.hatch or None}
    axes.add_collection(PolyCollection(list(mark.corners), linewidths=0.7, zorder=zorder, **look))
    axes.autoscale_view()
    return Rectangle((0, 0), 1, 1, linewidth=0.7, **look)


def _draw_heat_map(axes: Axes, mark: HeatMap, colors: ColorScale | None, _: float) -> None:
    rows, columns = mark.values.shape
    left, right, bottom, top = extent = mark.extent or (-0.5, columns - 0.5, -0.5, rows - 0.5)
    if mark.palette:
        cells = to_rgba_array(mark.palette)[mark.values.astype(np.int64)]
    else:
        scale = _colors_of(colors)
        cells = scale["cmap"](scale["norm"](np.ma.masked_invalid(mark.values)))
    size = right - left, top - bottom
    axes.add_patch(
        Rectangle((left, bottom), *size, facecolor="#eeeeee", edgecolor="#bbbbbb", hatch="////", linewidth=0)
    )
    axes.imshow(
        cells, origin="lower", extent=extent, aspect=axes.get_aspect(), interpolation="nearest", zorder=1.5
    )
    longest = max((len(line) for row in mark.texts for text in row for line in text.split("\n")), default=0)
    room = 72 * (axes.figure.get_size_inches()[0] - 1.8) / columns  # type: ignore[union-attr]
    letters = min(style.SIZE - 1, room / (0.65 * max(1, longest)))
    if not longest or letters < SMALLEST:
        return
    for row, column in np.ndindex(rows, columns):
        *color, opacity = cells[row, column]
        is_dark = opacity > 0 and np.dot(color, [0.299, 0.587, 0.114]) < 0.5
        x, y = left + (column + 0.5) * size[0] / columns, bottom + (row + 0.5) * size[1] / rows
        look: Any = {"ha": "center", "va": "center", "color": "white" if is_dark else "black"}
        axes.text(x, y, mark.texts[row][column], fontsize=letters, **look)


def _draw_region(axes: Axes, mark: Region, _: ColorScale | None, zorder: float) -> None:
    """Outlines at the levels that the values cross; matplotlib warns of the others."""
    crossed = [level for level in mark.levels if mark.values.min() < level < mark.values.max()]
    if not crossed:
        return
    drawn = axes.contour(
        mark.values, extent=mark.extent, levels=crossed, colors=mark.color, linewidths=mark.width,
        linestyles=[_dashed(mark.dashes)], zorder=zorder,
    )  # fmt: skip
    if mark.labels:
        names = dict(zip(mark.levels, mark.labels, strict=True))
        written = [level for level in crossed if names[level]]
        texts = drawn.clabel(written, fmt=names, fontsize=style.SIZE - 2.5, inline_spacing=2)
        for text in texts:
            text.set_zorder(zorder + 1)


def _draw_segments(axes: Axes, mark: Segments, _: ColorScale | None, zorder: float) -> Any:
    ends = np.stack([np.column_stack([mark.x0, mark.y0]), np.column_stack([mark.x1, mark.y1])], axis=1)
    look: Any = {"colors": mark.color, "alpha": mark.opacity, "zorder": zorder}
    axes.add_collection(LineCollection(list(ends), linewidths=mark.width, **look))
    axes.autoscale_view()
    return Line2D([], [], color=mark.color, linewidth=2)


_ACROSS = {-1: "right", 0: "center", 1: "left"}
_UP = {-1: "top", 0: "center", 1: "bottom"}


def _draw_text(axes: Axes, mark: Text, _: ColorScale | None, zorder: float) -> None:
    across, up = (int(np.sign(side)) for side in mark.offset)
    look: Any = {"ha": _ACROSS[across], "va": _UP[up], "color": mark.color, "weight": mark.weight}
    look["bbox"] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
    for x, y, text in zip(mark.x, mark.y, mark.texts, strict=True):
        one_x, one_y, transform = _on_edges(axes, np.array([x]), np.array([y]))
        axes.annotate(
            text, (one_x[0], one_y[0]), xycoords=transform, xytext=mark.offset, textcoords="offset points",
            fontsize=mark.size, annotation_clip=False, zorder=zorder + 2, **look,
        )  # fmt: skip


def _draw_polygons(axes: Axes, mark: Polygons, colors: ColorScale | None, zorder: float) -> None:
    look: Any = {"edgecolors": "face", "linewidths": 0.2, "zorder": zorder, **_colors_of(colors)}
    axes.add_collection(PolyCollection(list(mark.corners), array=mark.values, **look))
    axes.autoscale_view()


_DRAWING: dict[type[Any], Any] = {
    Line: _draw_line,
    Band: _draw_band,
    Points: _draw_points,
    Bars: _draw_bars,
    HeatMap: _draw_heat_map,
    Region: _draw_region,
    Text: _draw_text,
    Segments: _draw_segments,
    Polygons: _draw_polygons,
}


def _colors_of(scale: ColorScale | None) -> dict[str, Any]:
    """The colours of a scale from low to high, and the places of values on it."""
    assert scale is not None
    return {"cmap": colormap(scale), "norm": norm_of(scale)}


def colormap(scale: ColorScale) -> Any:
    """The colours of a scale, from low to high."""
    return LinearSegmentedColormap.from_list(scale.palette, style.PALETTES[scale.palette])


def norm_of(scale: ColorScale) -> Any:
    """The places of values on a scale, between 0 and 1."""
    return (LogNorm if scale.is_log else Normalize)(scale.low, scale.high)
