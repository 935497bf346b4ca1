"""Every figure of runs drawn once, and what holds for all of them."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.text import Text as MplText
from PIL import Image

import mlprun.api as mlprun
from mlprun import figures
from mlprun.errors import CheckpointError, DataError, UsageError
from mlprun.figures import Chart, Line, Panel, Points, render, style
from mlprun.figures.chart import Axis, ColorScale, HeatMap, Region, Text
from mlprun.figures.marks import colormap
from mlprun.figures.rows import NAMED_CLASSES
from mlprun.storage import runs

if TYPE_CHECKING:
    from pathlib import Path

    from mlprun.figures import RunData

KINDS = [part.names()[0] for part in figures.run_figures]
MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "gif": b"GIF8"}


def drawn(kind: str, data: RunData, form: str | None = None) -> bytes:
    chart = figures.compute(kind, data)
    return figures.encode(chart, form or ("gif" if chart.frames > 1 else "png"), dpi=40)


NUMBERS = {"fit", "predictions", "residuals", "quantiles"}
EXPLAINED = {"importance", "partial_dependence"}
INSIDE = {"network", "gradients", "landscape", "animation"}
EXPECTED = {
    "moons": set(KINDS) - {*NUMBERS},
    "hinge": set(KINDS) - {*NUMBERS, "learning_rate", "probabilities", "calibration"},
    "odd": set(KINDS) - {*NUMBERS, "learning_rate", "calibration"},
    "line": {
        "loss",
        "metrics",
        "data",
        "fit",
        "outputs",
        "predictions",
        "residuals",
        "weights",
        "weight_changes",
        *INSIDE,
        *EXPLAINED,
    },
    "quantiles": {
        *("loss", "metrics", "data", "outputs", "predictions", "residuals", "quantiles"),
        *("weights", "weight_changes"),
        *INSIDE,
        *EXPLAINED,
    },
    "labels": {
        *("loss", "metrics", "data", "regions", "frames", "outputs", "roc", "precision_recall"),
        *("weights", "weight_changes", "units"),
        *INSIDE,
        *EXPLAINED,
    },
    "two_targets": {
        *("loss", "metrics", "data", "regions", "frames", "outputs", "predictions", "residuals"),
        *("weights", "weight_changes", "units"),
        *INSIDE,
        *EXPLAINED,
    },
    "symbols": {
        *("loss", "metrics", "data", "outputs", "confusion", "roc", "precision_recall", "probabilities"),
        *("weights", "weight_changes", "gradients", "landscape", "animation", "importance"),
    },
    "fresh": set(KINDS) - {*NUMBERS, "learning_rate", "calibration"},
    "untrained": {
        *(
            "data",
            "regions",
            "outputs",
            "confusion",
            "roc",
            "precision_recall",
            "probabilities",
            "network",
            "units",
            "landscape",
            "importance",
            "partial_dependence",
        )
    },
    "no_dev": set(KINDS) - {*NUMBERS, "learning_rate", "calibration", *EXPLAINED},
}


def test_each_shape_of_run_has_the_figures_that_apply_to_it(run_data: dict[str, RunData]) -> None:
    for shape, data in run_data.items():
        reasons = {kind: figures.run_figures[kind]().unsupported_reason(data) for kind in KINDS}
        assert {kind for kind, reason in reasons.items() if reason is None} == EXPECTED[shape]
        for kind, reason in reasons.items():
            if reason is not None:
                with pytest.raises(UsageError, match="cannot be drawn of"):
                    figures.compute(kind, data)
    assert set.union(*EXPECTED.values()) == set(KINDS)


# each figure is drawn once of a plain run and, where names from users appear, of odd ones
DRAWN = [
    *(("moons", kind) for kind in KINDS if kind in EXPECTED["moons"]),
    *(("line", kind) for kind in ("fit", "predictions", "residuals")),
    *(
        ("odd", kind)
        for kind in ("data", "regions", "outputs", "confusion", "probabilities", "weights", "network")
    ),
    ("symbols", "data"),
    ("quantiles", "quantiles"),
    *(("labels", kind) for kind in ("outputs", "roc", "animation")),
    ("two_targets", "regions"),
    ("hinge", "outputs"),
]


@pytest.mark.parametrize(("shape", "kind"), DRAWN)
def test_every_figure_is_drawn_and_reads_well(shape: str, kind: str, run_data: dict[str, RunData]) -> None:
    data = run_data[shape]
    chart = figures.compute(kind, data)
    assert data.name in chart.title
    for side in ("x", "y"):
        axes = [getattr(panel, side) for panel in chart.panels]
        assert any(axis.label or axis.tick_labels or axis.is_hidden for axis in axes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a layout that does not fit and a glyph that is missing are warnings
        figure = render.to_matplotlib(chart)
        image = figure._repr_png_()
    assert len(set(Image.open(io.BytesIO(image)).convert("L").tobytes())) > 20  # something is on it
    for text in figure.findobj(MplText):
        assert isinstance(text, MplText)
        assert not text.get_parse_math()
        assert all(character.isprintable() or character == "\n" for character in text.get_text())
        assert not any(character in text.get_text() for character in "\x1b\u202e")


def test_a_name_is_escaped_where_no_font_can_write_it_and_shortened() -> None:
    assert render.escape(style.name("a\x1b[31m\u202eb\nc")) == r"a\x1b[31m\u202eb\nc"
    assert render.escape(style.name(r"$\frac{1}{2}$")) == r"$\frac{1}{2}$"
    assert render.escape(style.name("\U0001f9ff")) == r"\U0001f9ff"
    assert len(style.name("x" * 100)) == style.NAME_LENGTH
    assert style.name("registered month sin", 9) == "regi… sin"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0, 30_000), ["0", "10,000", "20,000", "30,000"]),
        ((1990, 2020), ["1990", "2000", "2010", "2020"]),
        ((-2000, 1000), ["−2,000", "−1,000", "0", "1,000"]),
        ((0, 0.003), ["0.000", "0.001", "0.002", "0.003"]),
    ],
)
def test_ticks_have_commas_between_thousands_except_years(
    values: tuple[float, float], expected: list[str]
) -> None:
    low, high = values
    axis = Axis(ticks=tuple(np.linspace(low, high, 4)), limits=values)
    line = Line(np.array([0.0, 1.0]), np.array(values, float))
    figure = render.to_matplotlib(Chart("t", (), (Panel((line,), Axis(), axis),)))
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == expected


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (1463.2, 3, "1,463"),
        (-84_690.4, 4, "−84,690"),
        (999.97, 4, "1,000"),
        (2.5e6, 4, "2.5e6"),
        (1e-5, 4, "1e−5"),
    ],
)
def test_numbers_from_a_thousand_to_a_million_have_all_their_digits(
    value: float, digits: int, expected: str
) -> None:
    assert style.number(value, digits) == expected


@pytest.mark.parametrize("form", figures.FORMATS)
def test_the_same_chart_is_the_same_bytes_whatever_the_user_has_set(
    form: str, run_data: dict[str, RunData]
) -> None:
    before = dict(mpl.rcParams)
    first = drawn("confusion", run_data["odd"], form)
    assert first.startswith(MAGIC[form])
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30, "svg.hashsalt": "other"}):
        assert drawn("confusion", run_data["odd"], form) == first
    assert b"/CreationDate" not in first
    assert b"<dc:date>" not in first
    assert dict(mpl.rcParams) == before


def test_charts_need_no_drawing_library_and_are_the_same_bytes_in_another_process(
    trained: dict[str, mlprun.Run],
) -> None:
    script = """
import hashlib, sys
from mlprun import figures
from mlprun.storage import runs
data = figures.RunData.of(runs.open_run(sys.argv[1]))
for part in figures.run_figures:
    if part().unsupported_reason(data) is None:
        part().compute(data)
figures.sweep_figures
print("matplotlib" in sys.modules)
for form in figures.FORMATS:
    print(hashlib.sha256(figures.encode(figures.compute("loss", data), form, dpi=40)).hexdigest())
print("matplotlib.pyplot" in sys.modules)
"""
    command = [sys.executable, "-c", script, trained["moons"].path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    here = [drawn("loss", trained["moons"].figure_data, form) for form in figures.FORMATS]
    assert done.stdout.split() == ["False", *(hashlib.sha256(data).hexdigest() for data in here), "False"]


def test_a_notebook_shows_a_figure_without_pyplot(trained: dict[str, mlprun.Run]) -> None:
    figure: Any = trained["moons"].plot()
    assert figure._repr_png_().startswith(MAGIC["png"])
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert "8" in labels or "0" in labels  # ticks are labelled in our style, not later in the user's


def test_an_animation_has_a_frame_for_each_snapshot_and_holds_the_last(run_data: dict[str, RunData]) -> None:
    data = run_data["moons"]
    for form in ("gif", "apng"):
        image: Any = Image.open(io.BytesIO(drawn("animation", data, form)))
        assert image.n_frames == len(data.snapshots) == 9  # 8 epochs and the start
        frames, durations = set(), []
        for frame in range(image.n_frames):
            image.seek(frame)
            frames.add(image.convert("RGB").tobytes())
            durations.append(image.info["duration"])
        assert len(frames) == image.n_frames
        assert durations[-1] > 5 * max(durations[:-1])


@pytest.mark.parametrize(
    ("shape", "mark"), [("moons", Region), ("two_targets", HeatMap), ("symbols", HeatMap), ("line", Points)]
)
def test_an_animation_shows_regions_or_a_confusion_matrix_or_predictions(
    shape: str, mark: Any, run_data: dict[str, RunData]
) -> None:
    data = run_data[shape]
    found = figures.compute("animation", data)
    assert found.frames == len(data.snapshots)
    pictures, curves = found.panels[::2], found.panels[1::2]
    assert all(any(isinstance(one, mark) for one in panel.marks) for panel in pictures)
    assert (
        len({(panel.x, panel.y) for panel in pictures}) == len({(panel.x, panel.y) for panel in curves}) == 1
    )
    for detail, epoch in zip(found.details, data.snapshots, strict=False):
        assert detail.startswith(f"epoch {epoch:,}")
    last = data.history["dev_loss"][-1]
    assert f"dev {style.number(last)}" in found.details[found.frames - 1]


def test_a_run_whose_table_is_gone_still_shows_its_curves_and_weights(
    trained: dict[str, mlprun.Run], tmp_path: Path
) -> None:
    import mlprun.api as api

    table = tmp_path / "t.csv"
    table.write_text("a,y\n" + "".join(f"{k},{k % 7}.5\n" for k in range(40)))
    config = {"dataset": {"name": "table", "path": str(table), "target": "y"}, "training": {"epochs": 2}}
    folder = api.train(config, out=str(tmp_path / "runs")).folder
    table.unlink()
    data = figures.RunData.of(folder)
    for kind in ("loss", "metrics", "weights", "weight_changes"):
        assert figures.compute(kind, data)
    with pytest.raises(DataError, match=r"t\.csv"):
        figures.compute("fit", data)


def test_a_folder_without_a_checkpoint_is_refused(trained: dict[str, mlprun.Run], tmp_path: Path) -> None:
    source = trained["moons"].path
    target = tmp_path / "moons-001"
    target.mkdir()
    for name in ("config.yaml", "run.json", "status.json"):
        shutil.copy(f"{source}/{name}", target)
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        figures.RunData.of(runs.open_run(str(target)))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("lsos", {}, "lsos: no such plot; did you mean loss?"),
        ("loss", {"splitt": "dev"}, "splitt: is no option of loss"),
        ("regions", {"split": "deev"}, "regions.split: input should be 'train', 'dev' or 'test'"),
        ("regions", {"feature": ("a", "b")}, "feature: is no option of regions; did you mean features?"),
    ],
)
def test_an_unknown_figure_or_option_says_what_is_known(
    kind: str, options: dict[str, Any], message: str, run_data: dict[str, RunData]
) -> None:
    with pytest.raises(UsageError) as error:
        figures.compute(kind, run_data["moons"], **options)
    assert str(error.value).startswith(message)


def test_a_chart_is_saved_in_the_format_of_its_name(run_data: dict[str, RunData], tmp_path: Path) -> None:
    chart = figures.compute("loss", run_data["moons"])
    figures.save(chart, str(tmp_path / "loss.svg"))
    assert (tmp_path / "loss.svg").read_bytes().startswith(MAGIC["svg"])
    with pytest.raises(UsageError, match="is no figure's name"):
        figures.save(chart, str(tmp_path / "loss.jpg"))


def test_classes_differ_by_more_than_colour() -> None:
    for count in range(1, NAMED_CLASSES + 1):
        assert len({style.color_of(k, count) for k in range(count)}) == count
    assert len(set(style.MARKERS)) >= NAMED_CLASSES
    surface = colormap(ColorScale("", 0, 1, palette="surface"))(np.linspace(0, 1, 50))
    # from dark to light, so that a copy in grey says the same
    assert (np.diff(surface[:, :3] @ [0.2126, 0.7152, 0.0722]) > 0).all()


def test_colour_scales_are_those_that_their_names_promise() -> None:
    places = np.linspace(0, 1, 41)
    for name in ("cividis", "cividis_r", "Blues"):
        drawn = colormap(ColorScale("", 0, 1, palette=name))(places)  # type: ignore[arg-type]
        np.testing.assert_allclose(drawn[:, :3], mpl.colormaps[name](places)[:, :3], atol=0.07)
    both = colormap(ColorScale("", 0, 1, palette="diverging"))
    assert both(0.5)[:3] == pytest.approx((1, 1, 1), abs=0.01)  # 256 colours have none just in the middle
    low, high = (lab(mpl.colors.to_rgba_array(both(end))[:, :3] ** 2.2)[0, 0] for end in (0.0, 1.0))
    assert low == pytest.approx(high, abs=1)


def test_shades_of_many_classes_are_cividis() -> None:
    colors = [mpl.colors.to_rgb(style.color_of(k, 40)) for k in range(40)]
    np.testing.assert_allclose(colors, mpl.colormaps["cividis"](np.linspace(0, 1, 40))[:, :3], atol=0.07)


# Machado, Oliveira and Fernandes (2009), doi.org/10.1109/TVCG.2009.113, of full severity, on linear RGB
SEEN_BY = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no long ones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no middle ones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no short ones": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(linear: np.ndarray) -> np.ndarray:
    """CIELAB [N, 3] of linear sRGB [N, 3]."""
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.119192, 0.9503041],
    ]
    of_white = linear @ np.transpose(to_xyz) / [0.95047, 1, 1.08883]
    fx, fy, fz = np.where(of_white > 0.008856, np.cbrt(of_white), 7.787 * of_white + 16 / 116).T
    return np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=1)


@pytest.mark.parametrize("cones", SEEN_BY)
def test_colours_of_classes_are_told_apart_by_colour_blind_readers(cones: str) -> None:
    given = np.array([mpl.colors.to_rgb(color) for color in style.COLORS])
    linear = np.where(given <= 0.04045, given / 12.92, ((given + 0.055) / 1.055) ** 2.4)
    seen = lab(np.clip(linear @ np.transpose(SEEN_BY[cones]), 0, 1))
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=2)
    # a difference of 2.3 is just noticed; the eight of Okabe and Ito are 16.05 apart at least
    assert distances[~np.eye(len(seen), dtype=bool)].min() > 16


def test_more_classes_than_colours_are_shades_and_the_charts_say_so(tmp_path: Path) -> None:
    places = np.stack([np.cos(np.arange(48)), np.sin(np.arange(48) * 1.7)], axis=1)
    for count, expected in ((10, False), (12, True)):
        config = {
            "name": f"of{count}",
            "dataset": {
                "name": "inline",
                "inputs": places.tolist(),
                "targets": [k % count for k in range(48)],
            },
            "training": {"epochs": 2},
        }
        data = mlprun.train(config, out=str(tmp_path)).figure_data
        for kind in ("data", "regions", "frames"):
            chart = figures.compute(kind, data)
            assert any("dark to light" in text for text in chart.details) is expected
            named = [name for mark in chart.marks(Text) for name in mark.texts]
            assert sorted(named, key=int) == (
                [] if expected or kind == "frames" else [*map(str, range(count))]
            )


def test_a_figure_of_an_extension_is_drawn_beside_ours(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("""
from typing import Literal
from mlprun.figures import Chart, Line, Panel, RunFigure, run_figures

@run_figures.register
class TrainLoss(RunFigure):
    \'\'\'Only the train loss.\'\'\'

    name: Literal["my_train_loss"] = "my_train_loss"

    def check(self, data):
        return None

    def compute(self, data):
        return Chart("Mine", (), (Panel((Line(data.history["epoch"], data.history["train_loss"]),)),))
""")
    config = {"name": "m", "dataset": "xor", "training": {"epochs": 3}, "extend": [str(tmp_path / "mine.py")]}
    run = mlprun.train(config, out=str(tmp_path), allow_code=True)
    try:
        assert figures.compute("my_train_loss", run.figure_data).marks()[0].y.tolist() == list(
            run.history["train_loss"]
        )
    finally:
        del figures.run_figures._parts["my_train_loss"]
