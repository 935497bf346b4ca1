"""Charts as SVG within a page: the same marks as with matplotlib, in colours that follow the page's theme.

Every panel is an image of its own, so that panels stand below one another where a page is narrow. Legends
and colour bars are text of the page above them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.figures import style
from mlprun.figures.chart import Axis, Band, HeatMap, Line, Points, Polygons, Segments, Text
from mlprun.figures.figure import charts_of
from mlprun.report.page import Markup, element, join
from mlprun.report.scales import Scale, Tick, colors_at, png_uri, scale_of, ticks_of
from mlprun.report.svg_marks import COLORS, Drawing, look, markers, short, text_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.figures.chart import Chart, ColorScale, Mark, Panel
    from mlprun.parts.part import Registry

WIDTH = 460.0
"""pixels of a panel by itself, two of which stand side by side on a wide page"""
ALL_COLUMNS = 940.0
"""pixels of all panels of a row"""
LABEL = 34
"""characters of a tick's label"""
WHITE = ("Blues", "surface", "diverging", "signed")
"""colour scales with white, which is dark in a dark page: light and dark change places, hues stay"""


def figure(chart: Chart, *, of: str = "") -> Markup:
    """The chart with its title, which does not repeat the name `of` its page, details, legend and panels."""
    title = chart.title
    if of and f": {of}" in title:  # `Loss: NAME`, `Confusion matrix: NAME, test`
        title = title.replace(f": {of}", "", 1)
    scales = _shared_scales(chart)
    panels = [
        _image(
            _layout(panel, both, _size(chart, index)),
            f"{title}: {panel.title}" if panel.title else title,
            panel.colors or chart.colors,
        )
        for index, (panel, both) in enumerate(zip(chart.panels, scales, strict=True))
    ]
    rows = [panels[start : start + chart.columns] for start in range(0, len(panels), chart.columns)]
    bars = dict.fromkeys(
        scale for scale in (chart.colors, *(one.colors for one in chart.panels)) if scale and scale.label
    )
    legend = [element("li", _swatch(mark), " ", label) for label, mark in _labelled(chart).items()]
    legend += [element("li", _color_bar(scale)) for scale in bars]
    return element(
        "figure",
        element(
            "figcaption",
            element("b", title),
            [element("span", line, class_="soft") for line in chart.details],
        ),
        element("ul", legend, class_="legend") if legend else None,
        [element("div", row, class_="panels") for row in rows],
        class_="wide" if chart.columns > 1 else None,
    )


def figures_of(registry: Registry[Any], data: Any, kinds: Sequence[str]) -> list[Markup]:
    """The figures of these kinds that apply to a run or sweep; none where their data is gone."""
    return [figure(chart, of=data.name) for _, chart in charts_of(registry, data, kinds)]


def _size(chart: Chart, index: int) -> tuple[float, float]:
    """Width and height of a panel in pixels."""
    columns, rows = chart.columns, -(-len(chart.panels) // chart.columns)
    width = WIDTH * min(1.0, chart.width / style.PAGE) if columns == 1 else ALL_COLUMNS
    widths, heights = chart.widths or (1.0,) * columns, chart.heights or (1.0,) * rows
    row, column = divmod(index, columns)
    height = max(190.0 * rows, (chart.height - 0.6) * (80 if columns == 1 else 100))
    return width * widths[column] / sum(widths), height * heights[row] / sum(heights)


def _shared_scales(chart: Chart) -> list[tuple[Scale, Scale]]:
    """The limits of each panel's axes; shared ones are those of all marks of the panels that share them."""

    def panels_with(index: int, side: str) -> Sequence[Panel]:
        if chart.share in (side, "both"):
            return chart.panels
        if chart.share == "row" and side == "y":
            start = index // chart.columns * chart.columns
            return chart.panels[start : start + chart.columns]
        return chart.panels[index : index + 1]

    found = []
    for index, panel in enumerate(chart.panels):
        x = scale_of(panel.x, "x", [mark for one in panels_with(index, "x") for mark in one.marks])
        y = scale_of(panel.y, "y", [mark for one in panels_with(index, "y") for mark in one.marks])
        found.append((x, y))
    return found


# --- legends


def _labelled(chart: Chart) -> dict[str, Mark]:
    """The first mark of each label."""
    found: dict[str, Mark] = {}
    for mark in chart.marks():
        if getattr(mark, "label", ""):
            found.setdefault(mark.label, mark)
    return found


def _swatch(mark: Any) -> Markup:
    """A small picture of a mark beside its label."""
    here = np.array([14.0]), np.array([7.0])
    match mark:
        case Line():
            line = look(stroke=mark.color, width=max(1.5, mark.width), dashes=mark.dashes)
            marker = markers(*here, mark.marker, 3.2, fill=mark.color) if mark.marker else None
            drawn = join(element("path", d="M1 7h26", **line), marker)
        case Segments():
            width = float(np.max(mark.width, initial=1.0))
            drawn = element("path", d="M1 7h26", **look(stroke=mark.color, width=width))
        case Points():
            radius = float(np.clip(math.sqrt(mark.size) / 2, 3.0, 5.0))
            color = style.GREY if mark.values is not None else mark.color
            drawn = markers(*here, mark.marker, radius, fill=color, edge=mark.edge)
        case _:
            opacity = 0.6 if getattr(mark, "hatch", "") else getattr(mark, "opacity", 1.0)
            style_of = look(mark.color, getattr(mark, "edge", ""), opacity=opacity)
            drawn = element("rect", x=2, y=2, width=24, height=10, **style_of)
    return element("svg", drawn, width=28, height=14, viewBox="0 0 28 14", aria_hidden="true")


def _color_bar(scale: ColorScale) -> Markup:
    """A bar of the colours with numbers under it."""
    width, pad, count = 220.0, 18.0, 32
    image = png_uri(np.arange(count)[None], colors_at(scale, count))
    turned = {"class_": "white" if scale.palette in WHITE else None}
    cells = element("image", href=image, x=pad, width=width, height=10, preserveAspectRatio="none", **turned)
    place = Scale(scale.low, scale.high, pad, pad + width, scale.is_log)
    ticks = _apart(ticks_of(Axis(ticks=scale.ticks), place, 4), place)
    texts = [
        element(
            "text", tick.label, x=short(float(place(tick.value))), y=23, text_anchor="middle", class_="tick"
        )
        for tick in ticks
    ]
    ends = f"{scale.label}: from {style.number(scale.low)} to {style.number(scale.high)}"
    whole = short(width + 2 * pad)
    look = {"width": whole, "height": "27", "viewBox": f"0 0 {whole} 27", "role": "img", "aria_label": ends}
    return join(scale.label, " ", element("svg", cells, texts, **look))


def _apart(ticks: list[Tick], scale: Scale, size: float | None = None) -> list[Tick]:
    """Ticks whose labels do not touch; `size` is that of a label along the axis, by default its width."""
    kept, end = list[Tick](), -math.inf
    for tick in sorted(ticks, key=lambda one: float(scale(one.value))):
        half, middle = (size or _longest([tick]) + 10) / 2, float(scale(tick.value))
        if middle - half > end:
            kept.append(tick)
            end = middle + half
    return kept


# --- panels


@dataclass(frozen=True)
class _Layout:
    """A panel with its ticks, scales in pixels, and size."""

    panel: Panel
    x: Scale
    y: Scale
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: float
    height: float
    is_turned: bool
    """labels across are turned, since they would touch"""


def _layout(panel: Panel, scales: tuple[Scale, Scale], size: tuple[float, float]) -> _Layout:
    """Give labels the room that they need, and the rest to the marks."""
    (x, y), (width, height) = scales, size
    x_ticks = [] if panel.x.is_hidden else ticks_of(panel.x, x, int(width / 75))
    y_ticks = [] if panel.y.is_hidden else ticks_of(panel.y, y, max(3, int(height / 45)))
    left = 12 + _longest(y_ticks) + (20 if panel.y.label else 0)
    beside = [text for mark in _texts(panel) if np.isposinf(mark.x).any() for text in mark.texts]
    top, right = 24.0 if panel.title else 8.0, 14.0 + max(map(text_width, beside), default=0.0)
    across = width - left - right
    is_turned = panel.x.tick_labels is not None and len(
        _apart(x_ticks, replace(x, start=0.0, end=across))
    ) < len(x_ticks)
    lines = max((tick.label.count("\n") for tick in x_ticks), default=0)
    bottom = (14 + _longest(x_ticks) * 0.5 if is_turned else 22 + 14 * lines) + (18 if panel.x.label else 0)
    up = height - top - bottom
    if panel.aspect == "equal":
        ratio = abs((y.high - y.low) / (x.high - x.low))
        across, up = min(across, up / ratio), min(up, across * ratio)
    x, y = replace(x, start=left, end=left + across), replace(y, start=top + up, end=top)
    return _Layout(panel, x, y, x_ticks, y_ticks, left + across + right, top + up + bottom, is_turned)


def _longest(ticks: list[Tick]) -> float:
    return max((text_width(_cut(line)) for tick in ticks for line in tick.label.split("\n")), default=0.0)


def _cut(label: str) -> str:
    return style.name(label, LABEL)


def _image(layout: _Layout, title: str, colors: ColorScale | None) -> Markup:
    """The panel as an image with a name and a description."""
    panel, x, y = layout.panel, layout.x, layout.y
    drawing = Drawing(x, y, colors)
    across, up = short(x.end - x.start), short(y.start - y.end)
    box = f"{short(x.start)} {short(y.end)} {across} {up}"
    marks = element(
        "svg",
        map(drawing.mark, panel.marks),
        x=short(x.start),
        y=short(y.end),
        width=across,
        height=up,
        viewBox=box,
    )
    labels = map(drawing.texts, _texts(panel))
    # colours of areas are made for light paper, and so is what is drawn upon them
    is_paper = any(map(_is_area, panel.marks))
    is_white = colors.palette in WHITE if colors else is_paper
    sheet = element("rect", x=short(x.start), y=short(y.end), width=across, height=up, class_="sheet")
    return element(
        "svg",
        element("title", title),
        element("desc", describe(panel)),
        element(
            "g",
            sheet if is_paper else None,
            _grid(layout),
            marks,
            labels,
            class_="paper" if is_paper and not is_white else None,
        ),
        _axes(layout),
        class_="paper white" if is_white else None,
        viewBox=f"0 0 {layout.width:.0f} {layout.height:.0f}",
        width=f"{layout.width:.0f}",
        height=f"{layout.height:.0f}",
        role="img",
    )


def _is_area(mark: Mark) -> bool:
    """Return True for areas in colours that do not follow the page's theme."""
    is_tint = isinstance(mark, Band) and mark.color.lower() not in COLORS
    return is_tint or isinstance(mark, HeatMap | Polygons)


def _texts(panel: Panel) -> list[Text]:
    return [mark for mark in panel.marks if isinstance(mark, Text)]


def _grid(layout: _Layout) -> Markup:
    panel, x, y, d = layout.panel, layout.x, layout.y, ""
    if panel.x.scale != "category":
        d += "".join(f"M{float(x(tick.value)):.1f} {y.end:g}V{y.start:.1f}" for tick in layout.x_ticks)
    if panel.y.scale != "category":
        d += "".join(f"M{x.start:.1f} {float(y(tick.value)):.1f}H{x.end:.1f}" for tick in layout.y_ticks)
    return element("path", d=d, class_="grid") if d else join()


def _axes(layout: _Layout) -> Markup:
    """The frame, ticks with their labels, and the names of the axes and of the panel."""
    panel, x, y, parts = layout.panel, layout.x, layout.y, list[Markup]()
    below = y.start + 15
    for tick in _apart(layout.x_ticks, x, 14 if layout.is_turned else None):
        at = float(x(tick.value))
        turn = f"rotate(-30 {at:.1f} {below:.1f})" if layout.is_turned else None
        anchor = "end" if layout.is_turned else "middle"
        if not layout.is_turned:  # within the image
            half = _longest([tick]) / 2
            at = max(half, min(at, layout.width - half))
        for k, line in enumerate(tick.label.split("\n")):
            place = at, below + 14 * k
            parts.append(_text(_cut(line), *place, "tick", text_anchor=anchor, transform=turn))
    for tick in _apart(layout.y_ticks, y, 12):
        parts.append(
            _text(
                _cut(tick.label.replace("\n", " ")),
                x.start - 6,
                float(y(tick.value)) + 4,
                "tick",
                text_anchor="end",
            )
        )
    middle_x, middle_y = (x.start + x.end) / 2, (y.start + y.end) / 2
    if panel.x.label:
        parts.append(_text(panel.x.label, middle_x, layout.height - 5, "name", text_anchor="middle"))
    if panel.y.label:
        name, turn = panel.y.label.replace("\n", " "), f"rotate(-90 13 {middle_y:.1f})"
        parts.append(_text(name, 13, middle_y, "name", text_anchor="middle", transform=turn))
    if panel.title:
        parts.append(_text(panel.title.replace("\n", ", "), x.start, 15, "panel"))
    down = "" if panel.y.is_hidden else f"M{x.start:.1f} {y.end:g}V{y.start:.1f}"
    across = "" if panel.x.is_hidden else f"M{x.start:.1f} {y.start:.1f}H{x.end:.1f}"
    frame = element("path", d=down + across, class_="axis") if down + across else None
    return element("g", frame, parts)


def _text(text: str, x: float, y: float, class_: str, **attributes: Any) -> Markup:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", class_=class_, **attributes)


def describe(panel: Panel) -> str:
    """What a panel shows, in words."""
    names = [one.label.replace("\n", " ") for one in (panel.y, panel.x) if one.label]
    parts = [" against ".join(names)] if names else []
    for mark in panel.marks:
        label = getattr(mark, "label", "")
        if isinstance(mark, Line) and label and np.ndim(mark.y) == 1 and np.isfinite(mark.y).any():
            known = mark.y[np.isfinite(mark.y)]
            ends = (known[0], known[-1], known.min(), known.max())
            first, last, low, high = (style.number(float(one)) for one in ends)
            parts.append(f"{label}: from {first} to {last}, lowest {low}, highest {high}")
    return ". ".join(parts)
