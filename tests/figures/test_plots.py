"""Every registered picture of every shape of run, and what holds for all pictures."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

import mlprun.api as mlprun
from mlprun import figures
from mlprun.errors import CheckpointError, DataError, UsageError
from mlprun.figures import canvas, comparison, style
from mlprun.figures.points import NAMED
from mlprun.storage import runs

if TYPE_CHECKING:
    from pathlib import Path

    from mlprun.figures import Subject

KINDS = figures.names()
MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "gif": b"GIF8"}


def drawn(kind: str, subject: Subject, form: str | None = None, **options: Any) -> bytes:
    plot = figures.make(kind, **options)
    return plot.encode(plot.compute(subject), form or plot.formats[0], dpi=40)


def texts(figure: Any) -> list[str]:
    found = (text.get_text() for text in figure.findobj(Text))
    return [text for text in found if text]


EXPECTED = {
    "moons": set(KINDS) - {"fit", "predictions", "residuals"},
    "hinge": set(KINDS)
    - {"fit", "predictions", "residuals", "learning_rate", "animation", "probabilities", "calibration"},
    "odd": set(KINDS) - {"fit", "predictions", "residuals", "learning_rate"},
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
    },
    "two_targets": {
        *("loss", "metrics", "data", "regions", "frames", "outputs", "predictions", "residuals"),
        *("weights", "weight_changes"),
    },
    "symbols": {
        *("loss", "metrics", "data", "outputs", "confusion", "roc", "precision_recall", "probabilities"),
        *("calibration", "weights", "weight_changes"),
    },
    "fresh": set(KINDS) - {"fit", "predictions", "residuals", "learning_rate"},
    "untrained": {
        *(
            "data",
            "regions",
            "outputs",
            "confusion",
            "roc",
            "precision_recall",
            "probabilities",
            "calibration",
        )
    },
    "no_dev": set(KINDS) - {"fit", "predictions", "residuals", "learning_rate", "animation"},
}


def test_each_shape_of_run_is_drawn_by_the_pictures_that_make_sense_for_it(subject: Subject) -> None:
    name = subject.name.rpartition("-")[0]
    reasons = {kind: figures.refusal(figures.make(kind), subject) for kind in KINDS}
    assert {kind for kind, reason in reasons.items() if reason is None} == EXPECTED[name]
    for kind, reason in reasons.items():
        if reason is not None:
            with pytest.raises(UsageError, match="cannot be drawn of"):
                figures.draw(kind, subject)


# what other shapes draw by the same lines is left out; odd names have a test of their own
ONLY = {
    "hinge": {"regions", "outputs"},
    "odd": {"animation"},
    "fresh": {"probabilities"},
    "untrained": {"data", "regions", "outputs"},
    "no_dev": {"loss", "metrics", "calibration"},
}
DRAWN = [(shape, kind) for shape, kinds in EXPECTED.items() for kind in sorted(ONLY.get(shape, kinds))]


@pytest.mark.parametrize(("shape", "kind"), DRAWN)
def test_every_picture_is_drawn(shape: str, kind: str, subjects: dict[str, Subject]) -> None:
    data = drawn(kind, subjects[shape])
    assert data.startswith(MAGIC[figures.make(kind).formats[0]])
    picture = Image.open(io.BytesIO(data)).convert("L")
    assert len(set(picture.tobytes())) > 20  # something is on it


def test_every_picture_makes_sense_for_some_run() -> None:
    assert set.union(*EXPECTED.values()) == set(KINDS)


@pytest.mark.parametrize("kind", sorted(EXPECTED["moons"]))
def test_every_picture_has_a_title_of_its_run_and_names_its_axes(
    kind: str, subjects: dict[str, Subject]
) -> None:
    plot = figures.make(kind)
    with style.styled():
        figure = plot.draw(plot.compute(subjects["moons"]))
    assert subjects["moons"].name in figure.get_suptitle()
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    assert any(axes.get_xlabel() for axes in panels)
    assert any(axes.get_ylabel() for axes in panels)


@pytest.mark.parametrize("kind", sorted(EXPECTED["odd"]))
def test_names_from_users_reach_neither_math_nor_the_screen(kind: str, subjects: dict[str, Subject]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a glyph that is missing is a warning
        figure = figures.draw(kind, subjects["odd"])
        canvas.encode(figure, "png", dpi=40)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        assert not text.get_parse_math()
        assert all(character.isprintable() or character == "\n" for character in text.get_text())
    assert not any(character in "".join(texts(figure)) for character in "\x1b\u202e")


def test_a_name_is_escaped_where_no_font_can_write_it_and_shortened() -> None:
    assert style.name("a\x1b[31m\u202eb\nc") == r"a\x1b[31m\u202eb\nc"
    assert style.name(r"$\frac{1}{2}$") == r"$\frac{1}{2}$"
    assert style.name("\U0001f9ff") == r"\U0001f9ff"
    assert len(style.name("x" * 100)) == style.NAME_LENGTH


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_the_same_picture_is_the_same_bytes_whatever_the_user_has_set(
    form: str, subjects: dict[str, Subject]
) -> None:
    first = drawn("regions", subjects["moons"], form)
    assert first.startswith(MAGIC[form])
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30, "svg.hashsalt": "other"}):
        assert drawn("regions", subjects["moons"], form) == first
    assert b"/CreationDate" not in first
    assert b"<dc:date>" not in first


def test_the_same_picture_is_the_same_bytes_in_another_process(trained: dict[str, mlprun.Run]) -> None:
    script = """
import hashlib, sys
from mlprun import figures
from mlprun.storage import runs
subject = figures.Subject.of(runs.open_run(sys.argv[1]))
plot = figures.make("outputs")
for form in plot.formats:
    print(hashlib.sha256(plot.encode(plot.compute(subject), form, dpi=40)).hexdigest())
print("matplotlib.pyplot" in sys.modules)
"""
    command = [sys.executable, "-c", script, trained["moons"].path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    here = [drawn("outputs", trained["moons"].subject, form) for form in canvas.FORMATS]
    assert done.stdout.split() == [*(hashlib.sha256(data).hexdigest() for data in here), "False"]


def test_drawing_leaves_the_users_settings_alone(subjects: dict[str, Subject]) -> None:
    before = dict(mpl.rcParams)
    figures.draw("loss", subjects["moons"])
    assert dict(mpl.rcParams) == before


def test_a_notebook_shows_a_picture_without_pyplot(trained: dict[str, mlprun.Run]) -> None:
    figure = trained["moons"].plot()
    assert figure._repr_png_().startswith(MAGIC["png"])
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert "8" in labels or "0" in labels  # ticks are labelled in our style, not later in the user's


def test_an_animation_has_a_frame_for_each_kept_epoch(subjects: dict[str, Subject]) -> None:
    picture = Image.open(io.BytesIO(drawn("animation", subjects["moons"])))
    assert list(subjects["moons"].networks) == sorted({0, 1, 2, 5, subjects["moons"].best, 8})
    assert picture.n_frames == len(subjects["moons"].networks)
    frames = set()
    for frame in range(picture.n_frames):
        picture.seek(frame)
        frames.add(picture.convert("RGB").tobytes())
    assert len(frames) == picture.n_frames


def test_a_run_whose_table_is_gone_still_shows_its_curves_and_weights(
    trained: dict[str, mlprun.Run], tmp_path: Path
) -> None:
    import mlprun.api as api

    table = tmp_path / "t.csv"
    table.write_text("a,y\n" + "".join(f"{k},{k % 7}.5\n" for k in range(40)))
    config = {"dataset": {"name": "table", "path": str(table), "target": "y"}, "training": {"epochs": 2}}
    folder = api.train(config, out=str(tmp_path / "runs")).folder
    table.unlink()
    subject = figures.Subject.of(folder)
    for kind in ("loss", "metrics", "weights", "weight_changes"):
        assert drawn(kind, subject)
    with pytest.raises(DataError, match=r"t\.csv"):
        figures.draw("fit", subject)


def test_a_folder_without_a_checkpoint_is_refused(trained: dict[str, mlprun.Run], tmp_path: Path) -> None:
    source = trained["moons"].path
    target = tmp_path / "moons-001"
    target.mkdir()
    for name in ("config.yaml", "run.json", "status.json"):
        shutil.copy(f"{source}/{name}", target)
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        figures.Subject.of(runs.open_run(str(target)))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("lsos", {}, "lsos: no such plot; did you mean loss?"),
        ("loss", {"splitt": "dev"}, "splitt: is no option of loss"),
        ("regions", {"split": "deev"}, "regions.split: input should be 'train', 'dev' or 'test'"),
        ("regions", {"feature": ("a", "b")}, "feature: is no option of regions; did you mean features?"),
    ],
)
def test_an_unknown_picture_or_option_says_what_is_known(
    kind: str, options: dict[str, Any], message: str, subjects: dict[str, Subject]
) -> None:
    with pytest.raises(UsageError) as error:
        figures.draw(kind, subjects["moons"], **options)
    assert str(error.value).startswith(message)


def test_a_picture_is_saved_in_the_format_of_its_name(subjects: dict[str, Subject], tmp_path: Path) -> None:
    figure = figures.draw("loss", subjects["moons"])
    for form in canvas.FORMATS:
        figures.save(figure, str(tmp_path / f"loss.{form}"))
        assert (tmp_path / f"loss.{form}").read_bytes().startswith(MAGIC[form])
    with pytest.raises(UsageError, match="is no picture's name"):
        figures.save(figure, str(tmp_path / "loss.jpg"))


def test_runs_are_drawn_over_one_another(subjects: dict[str, Subject]) -> None:
    figure = figures.overlay([subjects["moons"], subjects["no_dev"], subjects["moons"]])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(labels) == {"moons-001 (1)", "no_dev-001", "moons-001 (3)"}
    panels = {(axes.get_title(loc="left"), axes.get_ylabel()): axes.lines for axes in figure.axes}
    assert {name: len(lines) for name, lines in panels.items()} == {
        ("train", "loss"): 3,
        ("dev", "loss"): 2,
        ("train", "mse"): 2,
        ("dev", "mse"): 2,
    }
    lines = panels["train", "loss"]
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 3
    with pytest.raises(UsageError, match="cannot be told apart"):
        figures.overlay([subjects["moons"]] * 13)
    with pytest.raises(UsageError, match="expected one of loss, metrics"):
        figures.overlay([subjects["moons"]] * 2, "roc")


def test_colours_are_named_by_more_than_colour() -> None:
    for count in range(1, NAMED + 1):
        assert len({style.color_of(k, count) for k in range(count)}) == count
        assert len({style.marker_of(k) for k in range(count)}) == count
    assert len({line[:2] for line in map(comparison._line, range(comparison.RUNS))}) == comparison.RUNS
    surface = style.surface_colors()(np.linspace(0, 1, 50))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(surface) > 0).all()  # from dark to light, so that a copy in grey says the same


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


def test_more_classes_than_colours_are_shades_and_the_pictures_say_so(tmp_path: Path) -> None:
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
        subject = mlprun.train(config, out=str(tmp_path)).subject
        for kind in ("data", "regions", "frames"):
            figure = figures.draw(kind, subject)
            assert any("dark to light" in text for text in texts(figure)) is expected
            (legend, *_) = [one.get_texts() for one in figure.legends] or [[]]
            named = {text.get_text() for text in legend if text.get_text().startswith("class ")}
            assert len(named) == (0 if expected else count)


def test_pictures_of_metrics_show_all_of_them_or_name_the_rest() -> None:
    names = [f"metric{number}" for number in range(30)]
    history = {f"{split}_{name}": np.arange(3.0) for name in names for split in ("train", "dev")}
    config = SimpleNamespace(metrics=(), loss=SimpleNamespace(name="bce"))
    subject = SimpleNamespace(name="run", config=config, history={"epoch": np.arange(3), **history})
    shown = comparison.compute_overlay([subject] * 2, "metrics")
    assert list(shown.curves) == [f"{split}_{name}" for name in names[:20] for split in ("train", "dev")]
    rest = ", ".join(f"{split}_{name}" for name in names[20:] for split in ("train", "dev"))
    assert shown.details == (f"not shown: {rest}",)
