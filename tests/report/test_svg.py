"""Charts as SVG: positions are those of the axes, marks are complete, and names are only text."""

import base64
import re
import struct
import xml.etree.ElementTree as ET
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from mlprun.figures import style
from mlprun.figures.chart import (
    Axis,
    Band,
    Bars,
    Chart,
    ColorScale,
    HeatMap,
    Line,
    Panel,
    Points,
    Polygons,
    Region,
    Segments,
    Text,
    intervals,
)
from mlprun.report import scales, svg
from mlprun.report.page import Section, assemble
from mlprun.report.scales import Scale, scale_of, ticks_of

ONE = np.array([1.0, 2.0, 4.0])


AXES = Axis("x"), Axis("y")


def chart_of(*marks, x=AXES[0], y=AXES[1], **options):
    return Chart("title", ("detail",), (Panel(marks, x, y, **options),))


def panels(chart):
    """The images of panels, parsed as XML, which is stricter than HTML."""
    markup = svg.figure(chart).html
    root = ET.fromstring(markup)
    return root.findall("div/svg")


def drawn(chart):
    """The elements of the marks of a chart's first panel, in their order."""
    return list(panels(chart)[0].find("g/svg"))


def moves(path):
    """The corners of a path of absolute and relative moves."""
    x, y, corners = 0.0, 0.0, []
    for command, numbers in re.findall(r"([MlL])([^A-Za-z]*)", path):
        values = [float(one) for one in numbers.replace("-", " -").split()]
        for a, b in zip(values[::2], values[1::2], strict=True):
            x, y = (x + a, y + b) if command == "l" else (a, b)
            corners.append((x, y))
    return corners


def test_a_line_goes_through_its_points_between_the_ends_of_the_axes():
    limits = Axis("x", limits=(0, 10)), Axis("y", "log", limits=(1, 100))
    (path,) = drawn(
        chart_of(Line(np.array([0.0, 5.0, 10.0]), np.array([1.0, 100.0, 10.0])), x=limits[0], y=limits[1])
    )
    (x0, y0), (x1, y1), (x2, y2) = moves(path.get("d"))
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y2 == pytest.approx((y0 - y1) / 2, abs=0.2), "ten is half way from one to a hundred"
    assert y1 == pytest.approx(8, abs=0.1), "the largest value is at the upper edge"


def test_a_line_is_broken_at_nan_and_infinite_ends_lie_on_the_edges():
    (path,) = drawn(chart_of(Line(np.arange(5.0), np.array([0, 1, np.nan, 1, 0.0]))))
    assert path.get("d").count("M") == 2
    across = Line(np.array([-np.inf, np.inf]), np.array([0.5, 0.5]))
    image = panels(chart_of(across, x=Axis(limits=(0, 1)), y=Axis(limits=(0, 1))))[0]
    inner = image.find("g/svg")
    (first, last) = moves(inner[0].get("d"))
    assert first[0] == pytest.approx(float(inner.get("x")), abs=0.1)
    assert last[0] - first[0] == pytest.approx(float(inner.get("width")), abs=0.2)


def test_a_long_curve_is_simplified_by_less_than_a_pixel():
    x = np.linspace(0, 1, 20_000)
    (path,) = drawn(chart_of(Line(x, np.sin(9 * x))))
    corners = np.array(moves(path.get("d")))
    assert len(corners) < 400
    between = np.interp(x, (corners[:, 0] - corners[0, 0]) / np.ptp(corners[:, 0]), corners[:, 1])
    low, high = between.min(), between.max()
    assert np.abs(between - (low + (1 - np.sin(9 * x)) / 2 * (high - low))).max() < 1


def test_markers_of_every_kind_are_drawn_at_every_point():
    for marker in (*style.MARKERS, "x"):
        (path,) = drawn(chart_of(Points(ONE, ONE, marker=marker, edge=style.BLACK, color=style.BLUE)))
        assert path.get("d").count("M") == 3, marker
    values = Points(np.arange(30.0), np.arange(30.0), values=np.linspace(0, 1, 30))
    paths = drawn(chart_of(values, colors=ColorScale("v", 0, 1)))
    assert sum(path.get("d").count("M") for path in paths) == 30
    assert len({path.get("stroke") or path.get("fill") for path in paths}) > 10


def test_every_kind_of_mark_is_drawn():
    grid = np.add.outer(np.arange(4.0), np.arange(4.0))
    marks = (
        Line(ONE, np.stack([ONE, ONE + 1]), values=np.array([0.0, 1.0])),
        Line(ONE, ONE, marker="s", has_steps=True),
        Band(ONE, ONE, ONE + 1, opacity=0.5),
        Bars(ONE, ONE + 0.5, ONE, hatch="////", edge=style.BLACK),
        Bars(ONE, ONE + 0.5, ONE, along="y"),
        HeatMap(grid, texts=(("a",) * 4,) * 4),
        HeatMap(np.zeros((30, 30)), palette=("#ff0000",)),
        intervals(ONE, ONE, ONE + 1),
        Region(grid, (0, 3, 0, 3), (2.5,), labels=("2.5",)),
        Segments(ONE, ONE, ONE + 1, ONE + 2, width=np.array([1.0, 2.0, 1.0])),
        Polygons(np.zeros((2, 3, 2)) + np.arange(3)[:, None], np.array([1.0, 5.0])),
        Text(ONE, ONE, ("a", "b", "c")),
    )
    for mark in marks:
        (image,) = panels(chart_of(mark, colors=ColorScale("v", 0, 6)))
        content = ET.tostring(image.find("g"), encoding="unicode")
        assert re.search(r"<(path|image|text|rect) ", content), mark.mark
        assert "nan" not in content.lower().replace("nance", "")
        assert image.find("title").text == "title"
        assert "y against x" in image.find("desc").text


def test_lines_of_a_text_stand_below_one_another():
    marks = Line(ONE, ONE), Text(np.array([2.0]), np.array([2.0]), ("R² 0.5\nRMSE 3",), size=8)
    found = [one for one in panels(chart_of(*marks))[0].iter("text") if "label" in one.get("class")]
    assert [one.text for one in found] == ["R² 0.5", "RMSE 3"]
    assert found[0].get("x") == found[1].get("x")
    assert 12 <= float(found[1].get("y")) - float(found[0].get("y")) <= 16


@pytest.mark.parametrize(("mark", "palette", "kind"), [
    (HeatMap(np.eye(2)), "cividis", "paper"),
    (HeatMap(np.eye(2)), "Blues", "paper white"),
    (HeatMap(np.zeros((2, 2)), palette=("#ff0000",)), None, "paper white"),
    (Band(ONE, ONE, ONE + 1, color=style.lighter(style.BLUE, 0.7)), None, "paper white"),
    (Band(ONE, ONE, ONE + 1), None, ""),
    (Points(ONE, ONE, values=ONE, edge=style.BLACK), "signed", "paper white"),
    (Points(ONE, ONE, values=ONE, edge=style.BLACK), "cividis", ""),
    (Line(ONE, np.array([ONE, ONE]), values=np.array([1.0, 2.0])), "lines", ""),
])  # fmt: skip
def test_areas_of_colours_are_as_on_paper_and_white_ones_turned_in_dark_pages(mark, palette, kind):
    colors = None if palette is None else ColorScale("", 0, 4, palette=palette)
    markup = svg.figure(chart_of(mark, colors=colors)).html
    assert re.findall('class="(paper[^"]*)"', markup) == [kind] * bool(kind)


def test_an_image_has_its_first_row_at_the_bottom():
    steps, red, green = np.array([[0, 1, -1], [1, 1, 1]]), [255, 0, 0, 255], [0, 255, 0, 255]
    data = base64.b64decode(scales.png_uri(steps, ["#ff0000", "#00ff00"]).partition(",")[2])
    assert struct.unpack(">II", data[16:24]) == (3, 2)
    start = data.index(b"IDAT") + 4
    (size,) = struct.unpack(">I", data[start - 8 : start - 4])
    assert list(zlib.decompress(data[start : start + size])) == [0, *green * 3, 0, *red, *green, *[0] * 4]


def test_colours_of_a_scale_are_those_of_matplotlib():
    import matplotlib as mpl

    for name in ("cividis", "Blues"):
        found = scales.colors_at(ColorScale("", 0, 1, palette=name), 9)
        expected = [mpl.colormaps[name](share, bytes=True)[:3] for share in np.linspace(0, 1, 9)]
        apart = [
            np.abs(np.subtract(list(bytes.fromhex(a[1:])), b, dtype=float)).max()
            for a, b in zip(found, expected, strict=True)
        ]
        assert max(apart) < 8


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-3, 1000, ["0", "200", "400", "600", "800", "1,000"]),
        (0.12, 0.18, ["0.12", "0.13", "0.14", "0.15", "0.16", "0.17", "0.18"]),
        (-1, 1, ["−1.0", "−0.5", "0.0", "0.5", "1.0"]),
        (1960, 2010, ["1960", "1970", "1980", "1990", "2000", "2010"]),
        (900, 6100, ["1,000", "2,000", "3,000", "4,000", "5,000", "6,000"]),
    ],
)
def test_ticks_are_round_numbers(low, high, expected):
    assert [tick.label for tick in ticks_of(Axis(), Scale(low, high, 0, 1), 6)] == expected


def test_logarithmic_ticks_are_few_and_within_the_limits():
    for low, high in ((1e-6, 1), (0.02, 0.4), (0.5, 0.9), (1, 1e12)):
        ticks = ticks_of(Axis(scale="log"), Scale(low, high, 0, 1, is_log=True), 6)
        assert 2 <= len(ticks) <= 8
        assert all(low <= tick.value * (1 + 1e-6) and tick.value <= high * (1 + 1e-6) for tick in ticks)


def test_limits_hold_all_marks_and_bars_stand_on_the_edge():
    marks = (Bars(ONE, ONE + 1, ONE), Line(ONE, np.array([np.nan, 7.0, np.inf])))
    x, y = scale_of(Axis(), "x", marks), scale_of(Axis(), "y", marks)
    assert x.low < 1
    assert x.high > 5
    assert y.low == 0
    assert 7 < y.high < 8
    flat = scale_of(Axis(), "y", (Line(ONE, np.ones(3)),))
    assert flat.low < 1 < flat.high


def test_names_in_a_chart_are_only_text():
    hostile = "</title><script>canary()</script>\u202e\" onload='canary()"
    axis = Axis(hostile, "category", ticks=(0, 1), tick_labels=(hostile, hostile))
    marks = (
        Line(ONE, ONE, hostile),
        Text(ONE, ONE, (hostile,) * 3),
        HeatMap(np.zeros((1, 1)), texts=((hostile,),)),
    )
    chart = Chart(hostile, (hostile,), (Panel(marks, axis, axis, hostile, colors=ColorScale(hostile, 0, 1)),))
    page = assemble("t", [Section("s", svg.figure(chart))]).decode()
    names = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: names.extend([tag, *(name for name, _ in attributes)])
    parser.feed(page)
    assert names.count("script") == 1
    assert not [name for name in names if name.startswith("on")]
    assert "\u202e" not in page
