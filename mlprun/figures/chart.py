"""Charts as data: panels of typed marks, without any drawing library.

A figure computes a `Chart` of a run or a sweep; `mlprun.figures.render` draws it with matplotlib, and
`Chart.to_dict` gives it as JSON. Positions are in the units of the panel's axes. A position of -inf or inf
lies on the panel's left or lower, right or upper edge: a `Line` from (-inf, 0.5) to (inf, 0.5) crosses the
whole panel. Marks are drawn in their order, later ones on top.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlprun.figures import style

if TYPE_CHECKING:
    from collections.abc import Iterable


def _to_list(value: Any) -> Any:
    """Nested lists of exact numbers; JSON has no nan, which is None, and no infinity, which is its name."""
    array = np.asarray(value, np.float64)
    if np.isfinite(array).all():
        return array.tolist()
    values = array.astype(object)
    values[np.isnan(array)] = None
    values[np.isposinf(array)], values[np.isneginf(array)] = "inf", "-inf"
    return values.tolist()


def _to_json(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: _to_list(value) if isinstance(value, np.ndarray) else value for name, value in fields}


Array = NDArray[np.float64]
ArrayOrNumber = NDArray[np.float64] | float
Side = Literal["x", "y"]
Scale = Literal["linear", "log", "category"]
Extent = tuple[float, float, float, float]
"""left, right, bottom, top"""
HEADING = 0.9
"""inches that the title, the details and the labels below take"""
LARGEST = 1e150
"""numbers beyond it are not drawn: their squares and differences overflow"""


@dataclass(frozen=True, eq=False)
class Line:
    """A curve through `x` [P] and `y` [P], or N curves over one `x` where `y` is [N, P]."""

    x: Array
    y: Array
    label: str = ""
    color: str = style.BLACK
    dashes: tuple[float, ...] = ()
    """points on and off in turn; empty for a solid line"""
    marker: str = ""
    """a marker at each point"""
    width: float = 1.5
    opacity: float = 1.0
    has_steps: bool = False
    """the curve jumps at the start of each interval"""
    values: Array | None = None
    """[N] of N curves: their places on the colour scale, in place of `color`"""
    mark: Literal["line"] = "line"


@dataclass(frozen=True, eq=False)
class Band:
    """The area between `low` and `high` [P] over positions [P] on the axis `along`."""

    position: Array
    low: Array
    high: Array
    label: str = ""
    color: str = style.BLUE
    opacity: float = 1.0
    along: Side = "x"
    mark: Literal["band"] = "band"


@dataclass(frozen=True, eq=False)
class Points:
    """Markers at `x` [N] and `y` [N]; without any, an entry of the legend."""

    x: Array
    y: Array
    label: str = ""
    color: str = style.BLACK
    """of the inside"""
    marker: str = "o"
    size: float = 20.0
    """points squared"""
    edge: str = style.WHITE
    opacity: ArrayOrNumber = 1.0
    values: Array | None = None
    """[N] places on the colour scale, in place of `color`"""
    mark: Literal["points"] = "points"


@dataclass(frozen=True, eq=False)
class Bars:
    """Bars from `start` to `end` [N] on the axis `along` and from `base` to `height` [N] on the other."""

    start: Array
    end: Array
    height: Array
    base: ArrayOrNumber = 0.0
    label: str = ""
    color: str = style.BLUE
    edge: str = ""
    hatch: str = ""
    along: Side = "x"
    mark: Literal["bars"] = "bars"

    @property
    def corners(self) -> Array:
        """[N, 4, 2] as those of polygons."""
        low = np.broadcast_to(self.base, np.shape(self.start))
        along = np.stack([self.start, self.start, self.end, self.end], axis=1)
        across = np.stack([low, self.height, self.height, low], axis=1)
        return np.stack((along, across) if self.along == "x" else (across, along), axis=2)


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Cells [R, C] in the colours of their values; the first row is the lowest. A cell of nan is hatched."""

    values: Array
    extent: Extent | None = None
    """by default every cell is 1 wide with its middle at its index"""
    palette: tuple[str, ...] = ()
    """colours of the values 0, 1, ...; without them the colour scale's"""
    texts: tuple[tuple[str, ...], ...] = ()
    """[R, C] what is written in the cells where there is room"""
    mark: Literal["heat_map"] = "heat_map"


@dataclass(frozen=True, eq=False)
class Region:
    """Outlines of the regions where values [R, C] on a grid exceed `levels`; the first row is the lowest."""

    values: Array
    extent: Extent
    """of the first and last points of the grid"""
    levels: tuple[float, ...]
    color: str = style.BLACK
    dashes: tuple[float, ...] = ()
    width: float = 1.0
    labels: tuple[str, ...] = ()
    """what is written on the outlines of each level; none for empty ones"""
    mark: Literal["region"] = "region"


@dataclass(frozen=True, eq=False)
class Text:
    """Words at `x` [N] and `y` [N], moved by `offset` points to the right and up.

    They start to the right of a position, or end to the left of it where they are moved to the left, and are
    centred where they are not moved across; likewise above, below and at its height.
    """

    x: Array
    y: Array
    texts: tuple[str, ...]
    color: str = style.BLACK
    offset: tuple[float, float] = (4.0, 0.0)
    size: float = style.SIZE - 2
    weight: Literal["normal", "bold"] = "normal"
    mark: Literal["text"] = "text"


@dataclass(frozen=True, eq=False)
class Segments:
    """Straight lines from (`x0`, `y0`) to (`x1`, `y1`), each [N]."""

    x0: Array
    y0: Array
    x1: Array
    y1: Array
    label: str = ""
    color: str = style.BLACK
    width: ArrayOrNumber = 1.0
    """points"""
    opacity: float = 1.0
    mark: Literal["segments"] = "segments"


@dataclass(frozen=True, eq=False)
class Polygons:
    """Filled polygons with `corners` [N, V, 2] in the colours of `values` [N] on the colour scale."""

    corners: Array
    values: Array
    mark: Literal["polygons"] = "polygons"


Mark = Line | Band | Points | Bars | HeatMap | Region | Text | Segments | Polygons


@dataclass(frozen=True)
class Axis:
    """What a panel's positions mean. Tick labels that would touch are turned or left out."""

    label: str = ""
    """with its unit"""
    scale: Scale = "linear"
    """`category` has values side by side at 0, 1, ..."""
    limits: tuple[float | None, float | None] | None = None
    """the second may be the smaller; by default all marks and a margin"""
    ticks: tuple[float, ...] | None = None
    tick_labels: tuple[str, ...] | None = None
    is_integer: bool = False
    is_hidden: bool = False
    """without its line, ticks and label"""


@dataclass(frozen=True)
class ColorScale:
    """Which colours values have, and the bar that says so."""

    label: str
    """of the bar; without one there is no bar"""
    low: float
    high: float
    is_log: bool = False
    palette: Literal[
        "cividis", "cividis_r", "Blues", "surface", "diverging", "signed", "lines", "lines_r"
    ] = "cividis"
    """`diverging` and `signed` are white in the middle; `lines` are seen on white and on black"""
    ticks: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Panel:
    """Marks in one pair of axes."""

    marks: tuple[Mark, ...]
    x: Axis = Axis()
    y: Axis = Axis()
    title: str = ""
    aspect: Literal["auto", "equal"] = "auto"
    colors: ColorScale | None = None


@dataclass(frozen=True)
class Chart:
    """A figure: what is said above it, and its panels in rows, each with the legend of its own labels."""

    title: str
    details: tuple[str, ...]
    """what a reader must know besides"""
    panels: tuple[Panel, ...]
    columns: int = 1
    width: float = style.PAGE
    """inches"""
    height: float = 3.9
    """inches, with the title"""
    share: Literal["", "x", "y", "both", "row"] = ""
    """axes that are the same in all panels; `row` is the upward axis of the panels beside one another"""
    widths: tuple[float, ...] = ()
    """of the columns, relative to one another"""
    heights: tuple[float, ...] = ()
    colors: ColorScale | None = None
    """of all panels, with one bar"""
    frames: int = 1
    """groups of panels that are shown one after the other, each under one of the first details"""

    def to_dict(self) -> dict[str, Any]:
        """The chart as JSON holds it: floats exact, arrays as lists."""
        return asdict(self, dict_factory=_to_json)

    def marks(self, kind: type[Any] = object) -> list[Any]:
        """All marks of all panels, or those of one kind."""
        return [mark for panel in self.panels for mark in panel.marks if isinstance(mark, kind)]


def is_drawable(values: Any) -> Any:
    """Return which numbers an axis can hold: finite ones of at most `LARGEST`."""
    return np.abs(values) <= LARGEST


def scale_of(*values: Any, span: float = 30.0) -> Scale:
    """`log` for positive values that span so much that a linear axis would show only the largest."""
    known = np.concatenate([np.ravel(np.asarray(some, np.float64)) for some in values])
    known = known[np.isfinite(known)]
    return "log" if len(known) and known.min() > 0 and known.max() / known.min() >= span else "linear"


def horizontal(y: float, label: str = "", **look: Any) -> Line:
    """A line across the whole panel."""
    return Line(np.array([-np.inf, np.inf]), np.array([y, y]), label, **{**style.GUIDE, **look})


def vertical(x: float, **look: Any) -> Line:
    """A line from the lower edge of the panel to the upper."""
    return Line(np.array([x, x]), np.array([-np.inf, np.inf]), **{**style.GUIDE, **look})


def intervals(
    position: Array, low: Array, high: Array, label: str = "", *, along: Side = "x", **look: Any
) -> Segments:
    """Lines from `low` to `high` [N] at positions [N] on the axis `along`."""
    ends = (position, low, position, high) if along == "x" else (low, position, high, position)
    return Segments(*ends, label, **look)


def diagonal(low: float, high: float, label: str) -> Line:
    """The line on which both positions are equal."""
    ends = np.array([low, high])
    return Line(ends, ends, label, **style.GUIDE)


def legend_entry(label: str, **look: Any) -> Points:
    """A marker that only the legend shows."""
    return Points(np.empty(0), np.empty(0), label, **look)


def grid_of(
    title: str,
    details: Iterable[str],
    panels: Iterable[Panel],
    *,
    columns: int = 4,
    height: float = 2.3,
    alone: float = 3.7,
    **options: Any,
) -> Chart:
    """Panels in one row or, of more than `columns`, in rows of equal length.

    A row is `height` inches high, more where it has few panels; `alone` is the height of a chart with one.
    """
    every = tuple(panels)
    rows = -(-len(every) // columns)
    columns = -(-len(every) // rows)
    tall = alone if len(every) == 1 else rows * (height + 0.3 * max(0, 3 - columns)) + HEADING
    return Chart(title, tuple(filter(None, details)), every, columns, height=tall, **options)


def height_of(panel: Panel, *, columns: int, side: float) -> float:
    """The inches that an equal aspect makes a panel of a row high; `side` is what stands beside it."""
    (left, right), (bottom, top) = (axis.limits or (0.0, 1.0) for axis in (panel.x, panel.y))
    across, up = (right or 0.0) - (left or 0.0), (top or 0.0) - (bottom or 0.0)
    ratio = abs(up / across)
    return float(np.clip((style.PAGE - side) / columns * ratio, 0.4, 4.0))


def evenly_spaced(count: int, most: int) -> NDArray[np.int64]:
    """The indices of at most `most` of `count` rows or points, evenly spread."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def jitter(count: int) -> Array:
    """Shifts [N] between -0.5 and 0.5 that keep equal points from hiding one another."""
    return np.asarray(np.arange(count) * 0.6180339887 % 1 - 0.5, np.float64)


def joined(*parts: str) -> tuple[str, ...]:
    """The parts that say something, as one line."""
    text = "; ".join(part for part in parts if part)
    return (text,) if text else ()
