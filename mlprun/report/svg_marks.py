"""Marks of a chart as SVG: paths of few bytes, in colours that follow the page's theme."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.figures import style
from mlprun.report.page import Markup, element, join
from mlprun.report.scales import STEPS, Scale, colors_at, extent_of, png_uri, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.figures.chart import (
        Array,
        Band,
        Bars,
        ColorScale,
        HeatMap,
        Line,
        Mark,
        Points,
        Polygons,
        Region,
        Segments,
        Text,
    )

FONT = 12.0
LETTER = 0.56
"""width of a letter relative to the size of the font, more or less"""
SMALLEST = 6.0
"""pixels of the smallest letters in a cell"""
TOLERANCE = 0.3
"""pixels by which a simplified curve may differ"""
COLORS = {color.lower(): f"c{index}" for index, color in enumerate(style.COLORS)} | {
    style.GREY: "cg",
    style.WHITE: "cw",
}
COLORS |= {style.test_tint(color): f"t{COLORS[color.lower()][1:]}" for color in (*style.COLORS, style.GREY)}
"""classes of colours that differ between light and dark pages"""
OPACITIES = 5
HUES = 24
"""opacities and colours of curves and points, at most"""
POINT = 1.5
"""pixels of a point of letters, which are larger than in print"""
LABELLED = 25
"""corners of an outline that has room for a label, at least"""
ROOMY = 200
"""pixels across a panel that has room for labels of outlines, at least"""
SMOOTH = 100
"""columns of cells that are points of a surface, at least; rows half as many"""
PIXELS = {"image_rendering": "pixelated"}

SHAPES: dict[str, tuple[tuple[float, float], ...]] = {
    "s": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "^": ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
    "v": ((0, 1.2), (1.1, -0.8), (-1.1, -0.8)),
    "<": ((-1.2, 0), (0.8, 1.1), (0.8, -1.1)),
    ">": ((1.2, 0), (-0.8, 1.1), (-0.8, -1.1)),
    "D": ((0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)),
    "P": ((-0.4, -1.1), (0.4, -1.1), (0.4, -0.4), (1.1, -0.4), (1.1, 0.4), (0.4, 0.4),
          (0.4, 1.1), (-0.4, 1.1), (-0.4, 0.4), (-1.1, 0.4), (-1.1, -0.4), (-0.4, -0.4)),
    "X": ((0, -0.5), (0.6, -1.1), (1.1, -0.6), (0.5, 0), (1.1, 0.6), (0.6, 1.1),
          (0, 0.5), (-0.6, 1.1), (-1.1, 0.6), (-0.5, 0), (-1.1, -0.6), (-0.6, -1.1)),
    "*": tuple((size * math.sin(k * math.pi / 5), -size * math.cos(k * math.pi / 5))
               for k, size in enumerate((1.4, 0.6) * 5)),
}  # fmt: skip
"""corners of markers of radius 1, beside circles and crosses"""


@dataclass(frozen=True)
class Drawing:
    """Where marks of one panel are drawn, and in which colours."""

    x: Scale
    y: Scale
    colors: ColorScale | None

    def mark(self, mark: Mark) -> Markup:
        """One mark by the method of its kind; none of other kinds, and of texts, which `texts` draws."""
        draw: Callable[[Mark], Markup] | None = getattr(self, f"_{mark.mark}", None)
        return join() if draw is None else draw(mark)

    def _line(self, mark: Line) -> Markup:
        if np.ndim(mark.y) == 2:
            return self._lines(mark)
        x, y = self.x(mark.x), self.y(mark.y)
        if mark.has_steps:  # the value of a point holds from the one before it
            x, y = np.repeat(x, 2)[:-1], np.repeat(y, 2)[1:]
        attributes = look(stroke=mark.color, width=mark.width, dashes=mark.dashes, opacity=mark.opacity)
        marker = markers(x, y, mark.marker, 2.8, fill=mark.color) if mark.marker else None
        return join(element("path", d=_path(x, y), **attributes), marker)

    def _lines(self, mark: Line) -> Markup:
        """Many curves over one axis, in few colours."""
        x = self.x(mark.x)
        steps, colors = self._colored(mark.values, mark.color, len(mark.y))
        return join(
            element(
                "path", d="".join(_path(x, self.y(row)) for row in mark.y[steps == step]),
                **look(stroke=colors[step], width=mark.width, opacity=mark.opacity),
            )
            for step in np.unique(steps[steps >= 0])
        )  # fmt: skip

    def _colored(self, values: Array | None, color: str, count: int) -> tuple[Any, list[str]]:
        """Which of some colours `count` curves or points have."""
        if values is None or self.colors is None:
            return np.zeros(count, np.int64), [color]
        return steps_of(self.colors, values, HUES), colors_at(self.colors, HUES)

    def _band(self, mark: Band) -> Markup:
        along, other = (self.x, self.y) if mark.along == "x" else (self.y, self.x)
        place = along(np.concatenate([mark.position, mark.position[::-1]]))
        ends = other(np.concatenate([mark.high, mark.low[::-1]]))
        known = np.isfinite(place) & np.isfinite(ends)
        x, y = (place, ends) if mark.along == "x" else (ends, place)
        return element("path", d=_path(x[known], y[known]) + "z", **look(mark.color, opacity=mark.opacity))

    def _points(self, mark: Points) -> Markup:
        shape = np.shape(mark.x)
        x, y = np.broadcast_to(self.x(mark.x), shape), np.broadcast_to(self.y(mark.y), shape)
        known = np.isfinite(x) & np.isfinite(y)
        opacity = np.broadcast_to(np.ceil(np.asarray(mark.opacity) * OPACITIES) / OPACITIES, shape)
        steps, colors = self._colored(mark.values, mark.color, len(x))
        radius, parts = math.sqrt(mark.size) * 0.6, list[Markup]()
        for share, step in sorted({*zip(opacity[known].tolist(), steps[known].tolist(), strict=True)}):
            here = known & (opacity == share) & (steps == step)
            parts.append(
                markers(
                    x[here], y[here], mark.marker, radius, fill=colors[step], edge=mark.edge, opacity=share
                )
            )
        return join(parts)

    def _bars(self, mark: Bars) -> Markup:
        # hatches are too dense for screens: such bars are paler
        opacity = 0.6 if mark.hatch else 1.0
        bars = "".join(self._outlines(mark.corners))
        return element("path", d=bars, **look(mark.color, mark.edge, width=0.8, opacity=opacity))

    def _outlines(self, corners: Array) -> Any:
        """[N] paths around polygons with `corners` [N, V, 2]; nothing around those without a place."""
        places = np.stack([self.x(corners[:, :, 0]), self.y(corners[:, :, 1])], axis=2)
        paths = [
            f"M{'L'.join(f'{a:.1f} {b:.1f}' for a, b in one)}z" if np.isfinite(one).all() else ""
            for one in places
        ]
        return np.array(paths, object)

    def _heat_map(self, mark: HeatMap) -> Markup:
        rows, columns = mark.values.shape
        left, right, bottom, top = extent_of(mark)
        if mark.palette:
            palette, steps = list(mark.palette), mark.values.astype(np.int64)
        else:
            assert self.colors is not None
            palette = colors_at(self.colors, STEPS)
            steps = steps_of(self.colors, mark.values, STEPS)
        xs, ys = self.x(np.linspace(left, right, columns + 1)), self.y(np.linspace(bottom, top, rows + 1))
        box = {
            "x": short(min(xs[0], xs[-1])),
            "y": short(min(ys[0], ys[-1])),
            "width": short(abs(xs[-1] - xs[0])),
            "height": short(abs(ys[-1] - ys[0])),
        }
        # an axis that runs the other way has its first row on top
        turned = steps[:: -1 if ys[0] < ys[-1] else 1, :: -1 if xs[0] > xs[-1] else 1]
        is_surface = columns >= SMOOTH and 2 * rows >= SMOOTH
        look_of = {"preserveAspectRatio": "none"} | ({} if is_surface and not mark.palette else PIXELS)
        image = element("image", href=png_uri(turned, palette), **box, **look_of)
        empty = element("rect", class_="empty", **box) if (steps < 0).any() else None
        return join(empty, image, self._cell_texts(mark, steps, palette, (xs, ys)))

    def _cell_texts(
        self, mark: HeatMap, steps: Any, palette: list[str], edges: tuple[Array, Array]
    ) -> Markup:
        """What is written in the cells, where there is room."""
        xs, ys = edges
        written = [[text.split("\n") for text in row] for row in mark.texts]
        every = [lines for row in written for lines in row]
        longest = max((text_width(line) for lines in every for line in lines), default=0.0)
        most = max(map(len, every), default=1)
        if not longest:
            return join()
        room = 0.9 * abs(xs[1] - xs[0]) / longest * FONT, abs(ys[1] - ys[0]) / (1.2 * most)
        size = min(FONT, *room)
        if size < SMALLEST:
            return join()
        parts = []
        for (row, column), step in np.ndenumerate(steps):
            red, green, blue = bytes.fromhex(palette[step][1:]) if step >= 0 else (255, 255, 255)
            color = "light" if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else "dark"
            x, y = (xs[column] + xs[column + 1]) / 2, (ys[row] + ys[row + 1]) / 2
            lines = written[row][column]
            for k, line in enumerate(lines):
                below = y + size * (0.35 + 1.15 * (k - (len(lines) - 1) / 2))
                parts.append(element("text", line, x=short(x), y=short(below), class_=color))
        return element("g", parts, font_size=short(size), text_anchor="middle")

    def _region(self, mark: Region) -> Markup:
        import contourpy  # comes with matplotlib

        rows, columns = mark.values.shape
        left, right, bottom, top = mark.extent
        found = contourpy.contour_generator(
            self.x(np.linspace(left, right, columns)), self.y(np.linspace(bottom, top, rows)), mark.values
        )
        names = mark.labels or ("",) * len(mark.levels)
        parts, labels = [], list[Markup]()
        for level, name in zip(mark.levels, names, strict=True):
            lines: list[Any] = list(found.lines(level))
            parts += [_path(*line.T) for line in lines]
            longest = max(lines, key=len, default=())
            if name and len(longest) > LABELLED and abs(self.x.end - self.x.start) > ROOMY:
                x, y = longest[len(longest) // 2]
                place = {"x": short(x), "y": short(y + 4), "class_": "label", "text_anchor": "middle"}
                labels.append(element("text", name, font_size=10, **place))
        outline = look(stroke=mark.color, width=mark.width, dashes=mark.dashes)
        return join(element("path", d="".join(parts), **outline) if parts else None, labels)

    def _segments(self, mark: Segments) -> Markup:
        ends = np.array([self.x(mark.x0), self.y(mark.y0), self.x(mark.x1), self.y(mark.y1)])
        known = np.isfinite(ends).all(axis=0)
        widths = np.round(np.broadcast_to(mark.width, np.shape(mark.x0)), 1)[known]
        lines = np.array([f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" for a, b, c, d in ends.T[known]], object)
        return join(
            element(
                "path",
                d="".join(lines[widths == width]),
                **look(stroke=mark.color, width=width, opacity=mark.opacity),
            )
            for width in np.unique(widths)
        )

    def _polygons(self, mark: Polygons) -> Markup:
        steps, colors = self._colored(mark.values, style.GREY, len(mark.values))
        outlines = self._outlines(mark.corners)
        return join(
            element("path", d="".join(outlines[steps == step]), **look(colors[step]))
            for step in np.unique(steps[steps >= 0])
        )

    def texts(self, mark: Text) -> Markup:
        """The words of a mark, which may stand out over the edge of the panel."""
        right, up = mark.offset
        count, size = len(mark.texts), mark.size * POINT
        xs, ys = np.broadcast_to(self.x(mark.x), count), np.broadcast_to(self.y(mark.y), count)
        attributes = look(mark.color) | {"font_size": short(size)}
        attributes["class_"] = " ".join(filter(None, ("label", mark.weight, attributes.get("class_"))))
        attributes["text_anchor"] = "start" if right > 0 else "end" if right < 0 else "middle"
        below = -up + (0 if up > 0 else 0.75 * size if up < 0 else 0.35 * size)
        return join(
            element("text", line, x=short(x + right), y=short(y + below + 1.15 * size * k), **attributes)
            for x, y, text in zip(xs, ys, mark.texts, strict=True)
            if math.isfinite(x + y)
            for k, line in enumerate(text.split("\n"))
        )


# --- paths and looks


def text_width(text: str) -> float:
    """Pixels of a text, more or less; letters of East Asian scripts are wide."""
    return sum(FONT if ord(letter) > 0x2E80 else FONT * LETTER for letter in text)


def short(value: float) -> str:
    """A number as attributes have it: two decimals at most."""
    return f"{round(float(value), 2):g}"


def _path(x: Array, y: Array) -> str:
    """A curve through points in tenths of pixels, broken at nan, without points that would not be seen."""
    known = np.isfinite(x) & np.isfinite(y)
    breaks = np.flatnonzero(np.diff(known.astype(np.int8))) + 1
    pieces = []
    for start, end in zip([0, *breaks], [*breaks, len(x)], strict=True):
        if end > start and known[start]:
            points = _simplified(np.column_stack([x[start:end], y[start:end]]))
            tenths = np.rint(points * 10).astype(np.int64)
            moves = np.diff(tenths, axis=0)
            moves = moves[(moves != 0).any(axis=1)] if len(moves) else moves
            first = f"M{_tenth(tenths[0, 0])} {_tenth(tenths[0, 1])}"
            pieces.append(
                first + ("l" + " ".join(f"{_tenth(a)} {_tenth(b)}" for a, b in moves) if len(moves) else "h0")
            )
    return "".join(pieces)


def _tenth(value: int) -> str:
    whole, rest = divmod(abs(int(value)), 10)
    return f"{'-' if value < 0 else ''}{whole or ''}{f'.{rest}' if rest else '' if whole else '0'}"


def _simplified(points: Array) -> Array:
    """The points [P, 2] of a curve that lies within TOLERANCE of all. Source: Douglas and Peucker (1973)."""
    keep = np.zeros(len(points), bool)
    keep[[0, -1]] = True
    parts = [(0, len(points) - 1)]
    while parts:
        start, end = parts.pop()
        if end - start < 2:
            continue
        chord = points[end] - points[start]
        inner = points[start + 1 : end] - points[start]
        length = float(np.hypot(*chord))
        apart = np.abs(inner @ np.array([-chord[1], chord[0]])) / length if length else np.hypot(*inner.T)
        farthest = int(apart.argmax())
        if apart[farthest] > TOLERANCE:
            middle = start + 1 + farthest
            keep[middle] = True
            parts += [(start, middle), (middle, end)]
    return points[keep]


def markers(
    x: Array, y: Array, marker: str, radius: float, *, fill: str, edge: str = "", opacity: float = 1.0
) -> Markup:
    """Markers at points as one path; many dots as a line with round ends that is nowhere long."""
    if not len(x):
        return join()
    rim = edge if edge not in (fill, style.WHITE) or fill == style.WHITE else ""
    if marker == "x":
        attributes = look(stroke=fill, width=1.2, opacity=opacity)
    elif marker == "o" and not rim and len(x) > 3:
        attributes = look(stroke=fill, width=2 * radius, opacity=opacity) | {"stroke_linecap": "round"}
        return element(
            "path", d="".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True)), **attributes
        )
    else:
        attributes = look(fill, rim, width=0.9, opacity=opacity)
    outline = _outline(marker, radius)
    return element(
        "path", d="".join(f"M{a:.1f} {b:.1f}{outline}" for a, b in zip(x, y, strict=True)), **attributes
    )


def _outline(marker: str, radius: float) -> str:
    """The outline of a marker as moves from its middle."""
    r = f"{radius:.2g}"
    if marker == "x":
        d = f"{2 * radius:.2g}"
        return f"m-{r}-{r}l{d} {d}m0-{d}l-{d} {d}"
    if marker not in SHAPES:
        d = f"{2 * radius:.3g}"
        return f"m-{r} 0a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0-{d} 0z"
    corners = np.array(SHAPES[marker]) * radius
    moves = np.diff(np.vstack([[0, 0], corners]), axis=0)
    return "m" + " ".join(f"{a:.1f} {b:.1f}" for a, b in moves) + "z"


def look(
    fill: str = "",
    stroke: str = "",
    *,
    width: float = 1.0,
    dashes: tuple[float, ...] = (),
    opacity: float = 1.0,
) -> dict[str, Any]:
    """Attributes of a shape: colours of the palette as classes, which the page's theme gives a colour."""
    found: dict[str, Any] = {} if fill else {"fill": "none"}
    classes = []
    for name, color in (("fill", fill), ("stroke", stroke)):
        known = COLORS.get(color.lower())
        if known:
            classes.append(name[0] + known)
        elif color:
            found[name] = color
    if stroke:
        found["stroke_width"] = short(width)
    if dashes:
        found["stroke_dasharray"] = " ".join(short(one * max(1.0, width)) for one in dashes)
    if opacity < 1:
        found["opacity"] = short(opacity)
    return found | ({"class_": " ".join(classes)} if classes else {})
