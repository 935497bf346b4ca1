"""Every figure of sweeps drawn once, and what holds for all of them."""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pytest
from matplotlib.text import Text
from PIL import Image

from mlprun import figures
from mlprun.errors import UsageError
from mlprun.figures import SweepData, render, style

from .conftest import SHAPES, Shape, history, write

if TYPE_CHECKING:
    from pathlib import Path

KINDS = [part.names()[0] for part in figures.sweep_figures]
EXPECTED = {
    "grid": set(KINDS),
    "rates": {"curves", "parameter", "success", "distribution"},
    "seeds": {"curves", "distribution"},
    "random": set(KINDS) - {"distribution"},
    "cube": set(KINDS) - {"success"},
    "odd": set(KINDS),
    "folds": {"curves", "parameter", "success", "distribution"},
    "gone": {"success"},
    "begun": {"curves", "parameter", "success"},
    "equal": {"curves", "parameter", "success"},
}
DRAWN = [
    *(("grid", kind) for kind in KINDS),
    *(("odd", kind) for kind in KINDS if kind != "curves"),
    ("rates", "curves"),
    ("rates", "success"),
    ("random", "heat_map"),
    ("seeds", "distribution"),
]


def test_each_shape_of_sweep_has_the_figures_that_apply_to_it(sweeps: dict[str, SweepData]) -> None:
    assert set(EXPECTED) == set(SHAPES)
    for shape, data in sweeps.items():
        reasons = {kind: figures.sweep_figures[kind]().unsupported_reason(data) for kind in KINDS}
        assert {kind for kind, reason in reasons.items() if reason is None} == EXPECTED[shape]
        for kind in EXPECTED[shape]:
            chart = figures.compute(kind, data)
            assert data.name in chart.title
            assert json.loads(json.dumps(chart.to_dict(), allow_nan=False))["title"] == chart.title
        for kind in set(KINDS) - EXPECTED[shape]:
            with pytest.raises(UsageError, match=f"cannot be drawn of {shape}: "):
                figures.compute(kind, data)


@pytest.mark.parametrize(("shape", "kind"), DRAWN)
def test_every_figure_is_drawn_and_reads_well(shape: str, kind: str, sweeps: dict[str, SweepData]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a layout that does not fit and a glyph that is missing are warnings
        figure = render.to_matplotlib(figures.compute(kind, sweeps[shape]))
        data = figure._repr_png_()
    assert len(set(Image.open(io.BytesIO(data)).convert("L").tobytes())) > 20  # something is on it
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    columns = [label.get_text() for axes in panels for label in axes.get_xticklabels()]
    assert any([axes.get_xlabel() for axes in panels] + columns)
    rows = [label.get_text() for axes in panels for label in axes.get_yticklabels()]
    assert any([axes.get_ylabel() for axes in figure.axes] + rows) or kind == "parallel"  # its axes are marks
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        assert not text.get_parse_math()
        assert all(character.isprintable() or character == "\n" for character in text.get_text())


@pytest.mark.parametrize("kind", ["curves", "importance"])
def test_a_figure_without_a_title_shows_the_same_below_it(kind: str, sweeps: dict[str, SweepData]) -> None:
    chart = figures.compute(kind, sweeps["grid"])
    whole = render.to_matplotlib(chart)
    with figures.without_titles():
        plain = render.to_matplotlib(chart)
    assert (plain.get_suptitle(), plain.texts) == ("", [])
    inches = [figure.axes[0].get_window_extent().height for figure in (whole, plain)]
    assert inches[1] == pytest.approx(inches[0], abs=16)  # of 72 in an inch
    assert plain.get_figheight() < whole.get_figheight() - 0.2


def test_what_is_left_out_is_said(sweeps: dict[str, SweepData]) -> None:
    for kind in ("curves", "parameter", "heat_map", "importance"):
        assert "left out: 15 diverged" in " ".join(figures.compute(kind, sweeps["grid"]).details)


def test_what_is_good_is_dark_in_every_figure_and_so_the_details_say(sweeps: dict[str, SweepData]) -> None:
    grid = sweeps["grid"]
    upward = replace(grid, summary=replace(grid.summary, direction="max", lines=grid.lines[:9][::-1]))
    for kind, data, is_small in (
        ("heat_map", grid, True),
        ("heat_map", upward, False),
        ("heat_map", sweeps["random"], True),
        ("parallel", grid, True),
        ("parallel", upward, False),
        ("success", grid, False),
        ("success", sweeps["random"], False),
    ):
        chart = figures.compute(kind, data)
        colors = chart.colors or chart.panels[0].colors
        assert colors is not None
        ends = style.colors_between(style.PALETTES[colors.palette], 2)
        shades = [mpl.colors.rgb_to_hsv(mpl.colors.to_rgb(color))[2] for color in ends]
        assert (shades[0] < shades[1]) == is_small
        words = {"parallel": "blue is good", "heat_map": "dark is good", "success": ""}
        assert words[kind] in chart.details[0]


def test_settings_are_called_by_the_numbers_that_the_table_has(sweeps: dict[str, SweepData]) -> None:
    grid = sweeps["grid"]
    labels = grid.labels(grid.lines, 40)
    assert labels[0] == "10: hidden 8, lr 0.1"
    assert [int(label.partition(":")[0]) for label in labels] == [line.setting.id for line in grid.lines]
    random = sweeps["random"]
    assert random.labels(random.lines, 44) == [f"setting {line.setting.id}" for line in random.lines]
    assert sweeps["seeds"].labels(sweeps["seeds"].lines, 40) == ["seeds"]


def test_no_two_settings_of_a_chart_have_one_label(sweeps: dict[str, SweepData], tmp_path: Path) -> None:
    twins = [{"dataset.path": f"{'a' * 60}/{k}.csv"} for k in range(3)]
    write(tmp_path / "twins", "twins", Shape(("dataset.path",), twins, 1, lambda _chosen, _seed: 0.5))
    for sweep in (sweeps["odd"], sweeps["random"], SweepData.of(str(tmp_path / "twins"))):
        for length in (20, 44):
            labels = sweep.labels(sweep.lines, length)
            assert len(set(labels)) == len(labels)
            assert max(map(len, labels)) <= length


def test_titles_of_panels_neither_touch_nor_are_cut_off(tmp_path: Path) -> None:
    long = [
        {"dataset.kind": a, "optimizer.kind": b, "penalty.kind": c}
        for a in ("modified_national_institute", "another_long_choice")
        for b in ("stochastic_gradient_descent", "adam_with_decoupled_decay")
        for c in ("none", "something_else")
    ]
    write(tmp_path / "long", "long", Shape(tuple(long[0]), long, 1, lambda _chosen, _seed: 0.5))
    data = replace(SweepData.of(str(tmp_path / "long")), history=history)
    figure = render.to_matplotlib(figures.compute("curves", data))
    with render.styled():
        boxes = [axes._left_title.get_window_extent() for axes in figure.axes]
    for one, box in enumerate(boxes):
        assert box.x1 <= figure.bbox.width
        for other in boxes[one + 1 :]:
            assert not (box.x0 < other.x1 and other.x0 < box.x1 and box.y0 < other.y1 and other.y0 < box.y1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_chart_says_that_settings_were_pruned(kind: str, halved: SweepData) -> None:
    chart = figures.compute(kind, halved)
    labels = [getattr(mark, "label", "") for mark in chart.marks()]
    cells = [text for mark in chart.marks() for row in getattr(mark, "texts", ()) for text in row]
    assert "pruned" in " ".join([*chart.details, *labels, *cells])


def test_distributions_have_no_rows_of_pruned_settings(halved: SweepData) -> None:
    chart = figures.compute("distribution", halved)
    assert len(chart.panels[0].y.tick_labels or ()) == 6
    assert "left out: 30 pruned" in chart.details[0]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("heatmap", {}, "heatmap: no such plot; did you mean heat_map?"),
        ("curves", {"parameters": ("a", "b")}, "parameters: is no option of curves; it has no options"),
        ("heat_map", {"parameters": ("lr", "x")}, "--parameters: x does not vary; expected two of"),
    ],
)
def test_an_unknown_figure_or_option_says_what_is_known(
    kind: str, options: dict[str, Any], message: str, sweeps: dict[str, SweepData]
) -> None:
    with pytest.raises(UsageError) as error:
        figures.compute(kind, sweeps["grid"], **options)
    assert str(error.value).startswith(message)
