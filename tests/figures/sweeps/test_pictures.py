"""Every picture of every shape of sweep, and what holds for all of them."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from mlprun.errors import UsageError
from mlprun.figures import canvas, style
from mlprun.figures import sweeps as pictures
from mlprun.figures.sweeps.parallel import _round_ticks

from .conftest import SHAPES, Shape, history, write

if TYPE_CHECKING:
    from pathlib import Path

    from mlprun.figures.sweeps import Sweep

KINDS = pictures.names()
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
DRAWN = [(shape, kind) for shape, kinds in EXPECTED.items() for kind in sorted(kinds)]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_of_sweep_is_drawn_by_the_pictures_that_make_sense_for_it(
    shape: str, sweeps: dict[str, Sweep]
) -> None:
    reasons = {kind: pictures.make(kind).refuses(sweeps[shape]) for kind in KINDS}
    assert {kind for kind, reason in reasons.items() if reason is None} == EXPECTED[shape]
    for kind, reason in reasons.items():
        if reason is not None:
            with pytest.raises(UsageError, match=f"cannot be drawn of {shape}: "):
                pictures.draw(kind, sweeps[shape])


@pytest.mark.parametrize(("shape", "kind"), DRAWN)
def test_every_picture_is_drawn_and_reads_well(shape: str, kind: str, sweeps: dict[str, Sweep]) -> None:
    sweep = sweeps[shape]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a layout that does not fit and a glyph that is missing are warnings
        figure = pictures.draw(kind, sweep)
        data = canvas.encode(figure, "png", dpi=40)
    assert len(set(Image.open(io.BytesIO(data)).convert("L").tobytes())) > 20  # something is on it
    assert sweep.name in figure.get_suptitle()
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    columns = [label.get_text() for axes in panels for label in axes.get_xticklabels()]
    assert any([axes.get_xlabel() for axes in panels] + columns)
    rows = [label.get_text() for axes in panels for label in axes.get_yticklabels()]
    assert any([axes.get_ylabel() for axes in figure.axes] + rows)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        assert not text.get_parse_math()
        assert all(character.isprintable() or character == "\n" for character in text.get_text())


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_without_a_title_shows_the_same_below_it(kind: str, sweeps: dict[str, Sweep]) -> None:
    whole = pictures.draw(kind, sweeps["grid"])
    with style.without_titles():
        plain = pictures.draw(kind, sweeps["grid"])
    assert (plain.get_suptitle(), plain.texts) == ("", [])
    inches = [figure.axes[0].get_window_extent().height for figure in (whole, plain)]
    assert inches[1] == pytest.approx(inches[0], abs=16)  # of 72 in an inch
    assert plain.get_figheight() < whole.get_figheight() - 0.2


def test_what_is_left_out_is_said(sweeps: dict[str, Sweep]) -> None:
    for kind in ("curves", "parameter", "heat_map", "importance"):
        figure = pictures.draw(kind, sweeps["grid"])
        said = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
        assert "left out: 15 diverged" in said


def test_the_same_picture_is_the_same_bytes_whatever_the_user_has_set(sweeps: dict[str, Sweep]) -> None:
    plot = pictures.make("parallel")
    values = plot.compute(sweeps["grid"])
    before = dict(mpl.rcParams)
    for form, magic in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        first = plot.encode(values, form, dpi=40)
        assert first.startswith(magic)
        with mpl.rc_context({"axes.facecolor": "red", "font.size": 30}):
            assert plot.encode(values, form, dpi=40) == first
    assert dict(mpl.rcParams) == before


def test_what_is_good_is_dark_in_every_picture_and_so_the_bar_says(sweeps: dict[str, Sweep]) -> None:
    grid = sweeps["grid"]
    upward = replace(grid, summary=replace(grid.summary, direction="max", lines=grid.lines[:9][::-1]))
    for kind, sweep, is_small in (
        ("heat_map", grid, True),
        ("heat_map", upward, False),
        ("heat_map", sweeps["random"], True),
        ("parallel", grid, True),
        ("parallel", upward, False),
        ("success", grid, False),
        ("success", sweeps["random"], False),
    ):
        figure = pictures.draw(kind, sweep)
        (bar,) = (axes for axes in figure.axes if axes.get_label() == "<colorbar>")
        shades = [mpl.colors.rgb_to_hsv(color[:3])[2] for color in bar._colorbar.cmap([0.0, 1.0])]
        assert (shades[0] < shades[1]) == is_small
        (good,) = bar.texts
        assert (good.get_text(), good.xy[1]) == ("good", 0.0 if is_small else 1.0)


def test_lines_of_parallel_axes_pass_through_their_values(sweeps: dict[str, Sweep]) -> None:
    for name in ("grid", "cube", "random"):
        values = pictures.make("parallel").compute(sweeps[name])
        axes = pictures.draw("parallel", sweeps[name]).axes[0]
        met = np.array([patch.get_path().vertices[::3, 1] for patch in axes.patches])[::-1]
        assert met[0] == pytest.approx(values.places[0])  # the best
        assert len(met) == len(values.places)
        for place, one in enumerate(values.dimensions):
            off = np.abs(met[:, place] - values.places[:, place]).max()
            assert off == 0 if one.is_number else off < 0.061 / max(2, len(one.levels) - 1)
        assert met[:, -1] == pytest.approx(values.places[:, -1])


def test_settings_that_were_pruned_end_before_the_figure(halved: Sweep) -> None:
    values = pictures.make("parallel").compute(halved)
    assert (len(values.figures), len(values.pruned)) == (6, 6)
    figure = pictures.draw("parallel", halved)
    grey = [patch for patch in figure.axes[0].patches if patch.get_linewidth() < 0.5]
    assert len(grey) == 6
    assert all(patch.get_path().vertices[:, 0].max() == len(values.dimensions) - 1 for patch in grey)
    assert any("6 pruned" in text.get_text() for text in figure.legends[0].get_texts())


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.9741, 0.979, ["0.975", "0.976", "0.977", "0.978", "0.979"]),
        (0.97421, 0.97664, ["0.9745", "0.9750", "0.9755", "0.9760", "0.9765"]),
        (-0.1, 0.31, ["\N{MINUS SIGN}0.1", "0.0", "0.1", "0.2", "0.3"]),
    ],
)
def test_ticks_of_the_figure_say_what_they_stand_at(low: float, high: float, expected: list[str]) -> None:
    ticks = _round_ticks(low, high, is_log=False)
    for place, text in ticks:
        assert low + place * (high - low) == pytest.approx(float(text.replace("\N{MINUS SIGN}", "-")))
    assert [text for _, text in ticks] == expected


def test_settings_are_called_by_the_numbers_that_the_table_has(sweeps: dict[str, Sweep]) -> None:
    grid = sweeps["grid"]
    labels = grid.labels(grid.lines, 40)
    assert labels[0] == "10: hidden 8, lr 0.1"
    assert [int(label.partition(":")[0]) for label in labels] == [line.setting.id for line in grid.lines]
    random = sweeps["random"]
    assert random.labels(random.lines, 44) == [f"setting {line.setting.id}" for line in random.lines]
    assert sweeps["seeds"].labels(sweeps["seeds"].lines, 40) == ["seeds"]


def test_no_two_settings_of_a_picture_have_one_label(sweeps: dict[str, Sweep], tmp_path: Path) -> None:
    twins = [{"dataset.path": f"{'a' * 60}/{k}.csv"} for k in range(3)]
    write(tmp_path / "twins", "twins", Shape(("dataset.path",), twins, 1, lambda _chosen, _seed: 0.5))
    for sweep in (sweeps["odd"], sweeps["random"], pictures.Sweep.of(str(tmp_path / "twins"))):
        for length in (20, 44):
            labels = sweep.labels(sweep.lines, length)
            assert len(set(labels)) == len(labels)
            assert max(map(len, labels)) <= length


def test_titles_of_panels_neither_touch_nor_are_cut_off(sweeps: dict[str, Sweep], tmp_path: Path) -> None:
    long = [
        {"dataset.kind": a, "optimizer.kind": b, "penalty.kind": c}
        for a in ("modified_national_institute", "another_long_choice")
        for b in ("stochastic_gradient_descent", "adam_with_decoupled_decay")
        for c in ("none", "something_else")
    ]
    write(tmp_path / "long", "long", Shape(tuple(long[0]), long, 1, lambda _chosen, _seed: 0.5))
    named = replace(pictures.Sweep.of(str(tmp_path / "long")), history=history)
    for sweep in (sweeps["grid"], sweeps["random"], sweeps["cube"], named):
        with style.styled():
            plot = pictures.make("curves")
            figure = plot.draw(plot.compute(sweep))
            figure.draw_without_rendering()
            titles = [axes.title if axes.get_title() else axes._left_title for axes in figure.axes]
            boxes = [title.get_window_extent() for title in titles]
        for one, box in enumerate(boxes):
            assert box.x1 <= figure.bbox.width
            for other in boxes[one + 1 :]:
                assert not (
                    box.x0 < other.x1 and other.x0 < box.x1 and box.y0 < other.y1 and other.y0 < box.y1
                )


def test_curves_of_pruned_settings_are_grey_and_end_where_they_were_given_up(halved: Sweep) -> None:
    few = replace(halved, summary=replace(halved.summary, lines=halved.lines[:3] + halved.lines[6:]))
    values = pictures.make("curves").compute(few)
    assert (len(values.bands), len(values.pruned)) == (3, 6)
    assert all(bands["train"].epochs[-1] == 4 for bands in values.pruned)
    assert all(bands["train"].epochs[-1] == 12 for bands in values.bands.values())
    assert "grey: 6 pruned settings" in values.details[0]
    drawn = [line for line in pictures.draw("curves", few).axes[0].get_lines() if line.get_linewidth() == 0.4]
    assert len(drawn) == 6
    assert {line.get_xdata()[-1] for line in drawn} == {4}
    many = pictures.make("curves").compute(halved)
    assert (len(many.bands), many.pruned) == (6, ())
    assert "left out: 30 pruned" in many.details[0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_says_that_settings_were_pruned(kind: str, halved: Sweep) -> None:
    figure = pictures.draw(kind, halved)
    written = [text.get_text() for text in figure.findobj(Text)]
    assert "pruned" in " ".join(written)
    canvas.encode(figure, "png", dpi=40)


def test_distributions_have_no_rows_of_pruned_settings(halved: Sweep) -> None:
    values = pictures.make("distribution").compute(halved)
    assert len(values.rows) == 6
    assert "left out: 6 pruned settings" in values.details[0]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("heatmap", {}, "heatmap: no such plot; did you mean heat_map?"),
        ("curves", {"parameters": ("a", "b")}, "parameters: is no option of curves; it has no options"),
        ("heat_map", {"parameters": ("lr", "x")}, "--parameters: x does not vary; expected two of"),
    ],
)
def test_an_unknown_picture_or_option_says_what_is_known(
    kind: str, options: dict[str, Any], message: str, sweeps: dict[str, Sweep]
) -> None:
    with pytest.raises(UsageError) as error:
        pictures.draw(kind, sweeps["grid"], **options)
    assert str(error.value).startswith(message)
