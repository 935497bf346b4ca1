"""Marks of a chart drawn with matplotlib."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize, to_rgb, to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from matplotlib.transforms import blended_transform_factory

from mlprun.figures import style
from mlprun.figures.chart import Band, Bars, HeatMap, Interval, Line, Points, Region, Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Transform
    from numpy.typing import NDArray

    from mlprun.figures.chart import ColorScale, Panel

SURFACE = LinearSegmentedColormap.from_list(
    "mlprun-surface", ["#6FA3CB", "#B4CFE3", "#E2E8EA", "#F8EDD5", "#FFF2CF"]
)
"""from blue to cream, ever lighter, so that it reads in black and white and points stand out"""


def draw_marks(axes: Axes, panel: Panel, colors: ColorScale | None) -> dict[str, Any]:
    """Draw the marks in their order; returns what stands in a legend by its label."""
    handles: dict[str, Any] = {}
    with_markers = [mark for mark in panel.marks if isinstance(mark, Line) and mark.marker]
    for index, mark in enumerate(panel.marks):
        zorder = 2 + index / 100
        handle: Any = None
        match mark:
            case Line(y=y) if np.ndim(y) == 2:
                handle = _draw_lines(axes, mark, colors, zorder)
            case Line():
                number = with_markers.index(mark) if mark in with_markers else 0
                handle = _draw_line(axes, panel, mark, (number, len(with_markers)), zorder)
            case Band():
                handle = _draw_band(axes, mark, zorder)
            case Points():
                handle = _draw_points(axes, mark, colors, zorder)
            case Bars():
                handle = _draw_bars(axes, mark, zorder)
            case HeatMap():
                _draw_heat_map(axes, mark, colors)
            case Interval():
                handle = _draw_interval(axes, mark, zorder)
            case Region():
                _draw_region(axes, mark, zorder)
            case Text():
                _draw_text(axes, mark, zorder)
        label = getattr(mark, "label", "")
        if label:
            handles.setdefault(label, handle)
    return handles


def _on_edges(axes: Axes, x: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any], Transform, bool]:
    """Positions with a transform: infinite ones lie on the panel's edges. The last is True where some do."""
    x, y = np.atleast_1d(np.asarray(x, np.float64)), np.atleast_1d(np.asarray(y, np.float64))
    x_edge, y_edge = (bool(len(one)) and bool(np.isinf(one).all()) for one in (x, y))
    transform = blended_transform_factory(
        axes.transAxes if x_edge else axes.transData, axes.transAxes if y_edge else axes.transData
    )
    if not (x_edge or y_edge):
        return x, y, axes.transData, False
    return (x > 0) * 1.0 if x_edge else x, (y > 0) * 1.0 if y_edge else y, transform, True


def _dashed(dashes: tuple[float, ...]) -> Any:
    return (0, dashes) if dashes else "-"


def _draw_line(axes: Axes, panel: Panel, mark: Line, order: tuple[int, int], zorder: float) -> Any:
    number, count = order
    x, y, transform, on_edge = _on_edges(axes, mark.x, mark.y)
    points = len(x)
    step = max(1, points // 8)
    (line,) = axes.plot(
        x,
        y,
        transform=transform,
        color=mark.color,
        linestyle=_dashed(mark.dashes),
        marker=mark.marker or None,
        # markers of different curves stand at different points, so that one does not cover the other
        markevery=1 if points <= 12 else (number * step // max(1, count), step),
        markersize=4.0,
        linewidth=mark.width,
        alpha=mark.opacity,
        drawstyle="steps-pre" if mark.interpolate == "step" else "default",
        solid_capstyle="butt" if on_edge else "projecting",
        clip_on=not _is_inside(x, y, panel) and not (on_edge and mark.width > 2),
        zorder=zorder,
    )
    return line


def _is_inside(x: NDArray[Any], y: NDArray[Any], panel: Panel) -> bool:
    """Return True for a line along an edge of the panel, of which clipping would take away half."""
    limits = [one for axis in (panel.x, panel.y) for one in axis.limits or (None,)]
    if None in limits or not len(x):
        return False
    left, right, bottom, top = limits
    return bool(left <= x.min() and x.max() <= right and bottom <= y.min() and y.max() <= top)


def _draw_lines(axes: Axes, mark: Line, colors: ColorScale | None, zorder: float) -> Any:
    """Many curves as one collection."""
    paths = [_path(np.asarray(mark.x), y, mark.interpolate) for y in mark.y]
    edges: Any = mark.color
    if mark.values is not None:
        assert colors is not None
        edges = colormap(colors)(norm_of(colors)(mark.values))
    lines = PathCollection(
        paths, facecolors="none", edgecolors=edges, linewidths=mark.width, alpha=mark.opacity, zorder=zorder
    )
    lines.set_transform(axes.transData)
    axes.add_collection(lines)
    x = np.asarray(mark.x)
    if len(mark.y) and mark.y.size:
        axes.update_datalim([(x.min(), np.nanmin(mark.y)), (x.max(), np.nanmax(mark.y))])
        axes.autoscale_view()
    return Line2D([], [], color=mark.color, linewidth=mark.width)


def _path(x: NDArray[Any], y: NDArray[Any], interpolate: str) -> Path:
    if interpolate != "smooth":
        return Path(np.column_stack([x, y]))
    points, codes = [(x[0], y[0])], [Path.MOVETO]
    for (left, here), (right, there) in pairwise(zip(x, y, strict=True)):
        third = (right - left) / 3
        points += [(left + third, here), (right - third, there), (right, there)]
        codes += [Path.CURVE4] * 3
    return Path(points, codes)


def _draw_band(axes: Axes, mark: Band, zorder: float) -> Any:
    fill = axes.fill_between if mark.along == "x" else axes.fill_betweenx
    return fill(
        mark.position,
        mark.low,
        mark.high,
        facecolor=to_rgba(mark.color, mark.opacity),
        edgecolor=to_rgba(mark.edge, min(1.0, mark.opacity * 2.7)) if mark.edge else "none",
        linewidth=mark.edge_width if mark.edge else 0,
        hatch=mark.hatch or None,
        zorder=zorder,
    )


def point_handle(mark: Points) -> Line2D:
    """The entry of a legend for points."""
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=mark.marker,
        markersize=6.0 if not len(mark.x) else min(10.0, max(3.5, math.sqrt(mark.size))),
        color=style.GREY if mark.values is not None else mark.color,
        markerfacecolor=style.GREY if mark.values is not None else mark.color,
        markeredgecolor=mark.edge or mark.color,
        markeredgewidth=mark.edge_width if mark.edge else 1.0 if mark.marker in "x+" else 0,
    )


def _draw_points(axes: Axes, mark: Points, colors: ColorScale | None, zorder: float) -> Line2D:
    x, y, transform, on_edge = _on_edges(axes, mark.x, mark.y)
    look: dict[str, Any] = {"c": mark.color} if mark.values is None else {"c": mark.values}
    if mark.values is not None:
        assert colors is not None
        look |= {"norm": norm_of(colors), "cmap": colormap(colors)}
    elif mark.marker in "x+":
        look = {"c": mark.color, "linewidths": mark.edge_width}
    elif mark.color == "none":
        look = {"facecolors": "none"}
    if mark.marker not in "x+":
        look |= {"edgecolors": mark.edge or "none", "linewidths": mark.edge_width if mark.edge else 0}
    look |= {"alpha": mark.opacity, "transform": transform, "clip_on": not on_edge}
    axes.scatter(
        x, y, s=mark.size, marker=mark.marker, zorder=zorder, **look,
    )  # fmt: skip
    if on_edge:  # a scatter plot on an edge does not widen the axes by its positions
        axes.plot(x, y, linestyle="none", transform=transform)
    return point_handle(mark)


def _draw_bars(axes: Axes, mark: Bars, zorder: float) -> Any:
    start, end = np.asarray(mark.start), np.asarray(mark.end)
    joined = len(start) > 1 and np.array_equal(start[1:], end[:-1]) and np.isscalar(mark.base)
    is_open = mark.color == "none"
    look: dict[str, Any] = {
        "facecolor": "none" if is_open else to_rgba(mark.color, mark.opacity),
        "edgecolor": mark.edge or None,
        "linewidth": mark.edge_width if mark.edge else 0,
        "linestyle": _dashed(mark.dashes),
        "hatch": mark.hatch or None,
        "zorder": zorder,
    }
    if joined:
        edges = np.append(start, end[-1])
        orientation: Any = "vertical" if mark.along == "x" else "horizontal"
        if is_open:
            axes.stairs(
                mark.height, edges, baseline=mark.base, orientation=orientation, color=mark.edge,
                linewidth=mark.edge_width, linestyle=_dashed(mark.dashes), zorder=zorder,
            )  # fmt: skip
            return Line2D([], [], color=mark.edge, linestyle=_dashed(mark.dashes))
        axes.stairs(mark.height, edges, baseline=mark.base, orientation=orientation, fill=True, **look)
    else:
        _draw_rectangles(axes, mark, look)
    return Rectangle((0, 0), 1, 1, **look)


def _draw_rectangles(axes: Axes, mark: Bars, look: dict[str, Any]) -> None:
    """Separate bars as one collection, since `Axes.bar` takes seconds for many."""
    low = np.broadcast_to(np.asarray(mark.base, np.float64), np.shape(mark.start))
    along = np.stack([mark.start, mark.start, mark.end, mark.end], axis=1)
    across = np.stack([low, mark.height, mark.height, low], axis=1)
    corners = (along, across) if mark.along == "x" else (across, along)
    look = {f"{key}s" if key.endswith("color") else key: value for key, value in look.items()}
    axes.add_collection(PolyCollection(list(np.stack(corners, axis=2)), **look))
    axes.autoscale_view()


def _draw_heat_map(axes: Axes, mark: HeatMap, colors: ColorScale | None) -> None:
    rows, columns = mark.values.shape
    left, right, bottom, top = mark.extent or (-0.5, columns - 0.5, -0.5, rows - 0.5)
    if mark.palette:
        cells = np.array([to_rgb(color) for color in mark.palette])[mark.values.astype(np.int64)]
    else:
        assert colors is not None
        cells = colormap(colors)(norm_of(colors)(np.ma.masked_invalid(mark.values)))[..., :3]
    axes.imshow(
        cells, origin="lower", extent=(left, right, bottom, top), aspect=axes.get_aspect(),
        interpolation="nearest", zorder=0,
    )  # fmt: skip
    across, up = (right - left) / columns, (top - bottom) / rows
    for row, column in np.argwhere(np.isnan(mark.values)):
        corner = (left + column * across, bottom + row * up)
        cell = Rectangle(corner, across, up, facecolor="#eeeeee", hatch="////", linewidth=0)
        cell.set_edgecolor("#bbbbbb")
        axes.add_patch(cell)
    for (row, column), known in np.ndenumerate(np.isfinite(mark.values)):
        text = mark.texts[row][column] if mark.texts else ""
        if text:
            is_dark = known and cells[row, column] @ [0.299, 0.587, 0.114] < 0.5
            box = None if known else {"facecolor": "#eeeeee", "edgecolor": "none", "pad": 1}
            axes.text(
                left + (column + 0.5) * across, bottom + (row + 0.5) * up, text, ha="center", va="center",
                color="white" if is_dark else "black", fontsize=mark.text_size, bbox=box,
            )  # fmt: skip


def _draw_interval(axes: Axes, mark: Interval, zorder: float) -> Any:
    lines = axes.vlines if mark.along == "x" else axes.hlines
    lines(mark.position, mark.low, mark.high, color=mark.color, linewidth=mark.width, zorder=zorder)
    if mark.cap:
        marker = "_" if mark.along == "x" else "|"
        for end in (mark.low, mark.high):
            where = (mark.position, end) if mark.along == "x" else (end, mark.position)
            axes.plot(
                *where, linestyle="none", marker=marker, color=mark.color, markersize=2 * mark.cap,
                markeredgewidth=mark.width, zorder=zorder,
            )  # fmt: skip
    return Line2D([], [], color=mark.color, linewidth=mark.width)


def _draw_region(axes: Axes, mark: Region, zorder: float) -> None:
    """Outlines at the levels that the values cross; matplotlib warns of the others."""
    crossed = [level for level in mark.levels if mark.values.min() < level < mark.values.max()]
    if not crossed:
        return
    rows, columns = mark.values.shape
    left, right, bottom, top = mark.extent
    places = np.linspace(left, right, columns), np.linspace(bottom, top, rows)
    axes.contour(
        *places, mark.values, levels=crossed, colors=mark.color, linewidths=mark.width,
        linestyles=[_dashed(mark.dashes)], zorder=zorder,
    )  # fmt: skip


def _draw_text(axes: Axes, mark: Text, zorder: float) -> None:
    xs, ys, transform, _ = _on_edges(axes, mark.x, mark.y)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6} if mark.box else None
    for x, y, text in zip(xs, ys, mark.texts, strict=True):
        axes.annotate(
            text, (x, y), xycoords=transform, xytext=mark.offset, textcoords="offset points",
            ha=mark.align, va=mark.baseline, color=mark.color, fontsize=mark.size, bbox=box,
            annotation_clip=False, zorder=zorder + 2,
        )  # fmt: skip


def colormap(scale: ColorScale) -> Any:
    """The colours of a scale, from low to high."""
    return SURFACE if scale.palette == "surface" else mpl.colormaps[scale.palette]


def norm_of(scale: ColorScale) -> Any:
    """The places of values on a scale, between 0 and 1."""
    return (LogNorm if scale.is_log else Normalize)(scale.low, scale.high)
