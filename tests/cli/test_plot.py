"""`mlprun plot`: what is drawn where, what is said of it, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import sys
import webbrowser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

import mlprun.api as mlprun
from mlprun import figures, files
from mlprun.figures import style

if TYPE_CHECKING:
    from collections.abc import Callable

    Plotted = Callable[..., tuple[int, str, str]]

KINDS = [part.names()[0] for part in figures.run_figures]
SPLIT = {"train": 30, "dev": 10, "test": 10}
FAST = ("--dpi", "40", "--kind", "loss,roc")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two finished runs."""
    out = str(tmp_path_factory.mktemp("runs"))
    config = {"name": "m", "dataset": {"name": "moons", "split": SPLIT}, "training": {"epochs": 3}}
    return mlprun.train(config, out=out).path, mlprun.train(config, "training.seed=1", out=out).path


@pytest.fixture
def plotted(call: Plotted) -> Plotted:
    return partial(call, "plot")


def test_a_run_is_drawn_into_its_own_folder(plotted: Plotted, folders: tuple[str, str]) -> None:
    run = folders[0]
    code, out, err = plotted(run, "--dpi", "40")
    drawn = [Path(line).stem for line in out.splitlines()]
    assert code == 0
    assert [f"{run}/plots/{kind}.png" for kind in drawn] == out.splitlines()
    assert set(drawn) < set(KINDS)
    assert {"loss", "metrics", "regions", "confusion", "roc", "weights"} <= set(drawn)
    assert set(drawn) == {kind for kind in drawn if figures.run_figures[kind].is_default}
    assert sorted(os.listdir(f"{run}/plots")) == sorted(f"{kind}.png" for kind in drawn)
    assert err == f"all figures: mlprun plot {run} --all\n"


def test_all_figures_that_apply_are_drawn_when_asked_for(plotted: Plotted, folders: tuple[str, str]) -> None:
    run = folders[0]
    code, out, err = plotted(run, "--all", "--dpi", "40")
    drawn = [Path(line).stem for line in out.splitlines()]
    assert code == 0
    assert {"data", "network", "weight_changes"} <= set(drawn)
    left_out = ", ".join(kind for kind in KINDS if kind not in drawn)
    assert err == f"not drawn: {left_out}; for reasons: mlprun plot {run} --list\n"
    code, _, err = plotted(run, "--all", "--kind", "loss")
    assert (code, "--all: does not go with --kind" in err) == (2, True)


def test_open_hands_the_figure_or_the_folder_of_several_to_the_browser(
    plotted: Plotted, folders: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setenv("BROWSER", "firefox")
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    plots = Path(folders[0], "plots").as_uri()
    for kinds, url in (("loss", f"{plots}/loss.png"), ("loss,roc", plots)):
        code, _, err = plotted(folders[0], "--dpi", "40", "--kind", kinds, "--open")
        assert (code, err, opened.pop()) == (0, "", url)


@pytest.mark.parametrize("script", [None, "exit 3"])
def test_open_without_a_display_or_a_program_says_where_the_figure_is(
    script: str | None,
    plotted: Plotted,
    folders: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    if script is not None:
        monkeypatch.setenv("DISPLAY", ":0")
        (tmp_path / "xdg-open").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "xdg-open").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(Path(folders[0]).parent)
    code, out, err = plotted(Path(folders[0]).name, "--dpi", "40", "--kind", "loss", "--open")
    assert code == 0
    assert err == f"no program here can show it; open it elsewhere: {out}"


def test_json_names_what_was_drawn_and_why_the_rest_was_not(
    plotted: Plotted, folders: tuple[str, str], tmp_path: Path
) -> None:
    code, out, _ = plotted(folders[0], "--kind", "loss,fit", "--json", "--out", str(tmp_path / "a/b"))
    assert code == 0
    assert json.loads(out) == {
        "run": folders[0],
        "plots": [{"kind": "loss", "path": f"{tmp_path}/a/b/loss.png"}],
        "skipped": [{"kind": "fit", "reason": "there is more than one input"}],
    }


def test_several_runs_have_a_folder_each(plotted: Plotted, folders: tuple[str, str], tmp_path: Path) -> None:
    code, out, _ = plotted(*folders, *FAST, "--format", "svg", "--out", str(tmp_path))
    assert code == 0
    expected = ["m-001/loss.svg", "m-001/roc.svg", "m-002/loss.svg", "m-002/roc.svg"]
    assert out.splitlines() == [f"{tmp_path}/{name}" for name in expected]
    assert all((tmp_path / name).read_bytes().startswith(b"<?xml") for name in expected)
    said = json.loads(plotted(*folders, *FAST, "--json")[1])
    assert [one["run"] for one in said["runs"]] == list(folders)


def test_one_picture_goes_to_the_file_that_is_named(
    plotted: Plotted, folders: tuple[str, str], tmp_path: Path
) -> None:
    place = str(tmp_path / "regions.pdf")
    assert plotted(folders[0], "--kind", "regions", "--out", place) == (0, f"{place}\n", "")
    assert Path(place).read_bytes().startswith(b"%PDF")


def test_a_folder_is_one_by_its_name_or_because_it_is_there(
    plotted: Plotted, folders: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "there.png").mkdir()
    for folder in ("new", "new.v2/", "there.png"):
        place = os.path.join(tmp_path, folder)
        assert plotted(folders[0], "--kind", "loss", "--dpi", "40", "--out", place)[0] == 0
        assert os.listdir(place) == ["loss.png"]


def test_kinds_may_be_named_one_by_one(plotted: Plotted, folders: tuple[str, str], tmp_path: Path) -> None:
    kinds = ("--kind", "loss,roc", "--kind", "confusion", "--kind", "loss")
    assert plotted(folders[0], *kinds, "--dpi", "40", "--out", str(tmp_path))[0] == 0
    assert sorted(os.listdir(tmp_path)) == ["confusion.png", "loss.png", "roc.png"]


def test_a_list_says_what_can_be_drawn_and_writes_nothing(
    plotted: Plotted, folders: tuple[str, str], tmp_path: Path
) -> None:
    code, out, _ = plotted(folders[0], "--list", "--out", str(tmp_path))
    assert code == 0
    assert "no: there is more than one input" in out
    assert os.listdir(tmp_path) == []
    (said,) = json.loads(plotted(folders[0], "--list", "--json")[1])["runs"]
    assert [one["kind"] for one in said["kinds"]] == KINDS
    assert {one["kind"] for one in said["kinds"] if one["reason"]} >= {"fit", "predictions"}


def test_options_reach_the_pictures_that_have_them(
    plotted: Plotted, folders: tuple[str, str], tmp_path: Path
) -> None:
    options = ("--features", '"x2",x1', "--split", "dev", "--epoch", "last", "--epochs", "0,3")
    kinds = "regions,confusion,weight_changes,loss"
    code, _, err = plotted(folders[0], "--kind", kinds, *options, "--out", str(tmp_path), "--format", "svg")
    assert (code, err) == (0, "")
    plain = str(tmp_path / "plain.svg")
    plotted(folders[0], "--kind", "regions", "--out", plain)
    assert Path(plain).read_bytes() != (tmp_path / "regions.svg").read_bytes()


def test_pictures_for_a_page_have_no_titles_and_are_as_much_lower(
    plotted: Plotted, folders: tuple[str, str], tmp_path: Path
) -> None:
    sizes: dict[tuple[str, ...], dict[Path, tuple[int, int]]] = {}
    for words in ((), ("--no-title",)):
        out = tmp_path / "-".join(("with", *words))
        assert plotted(*folders, *FAST, "--out", str(out), *words)[0] == 0
        sizes[words] = {}
        for path in out.rglob("*.png"):
            with Image.open(path) as picture:
                sizes[words][path.relative_to(out)] = picture.size
    assert len(sizes[()]) == 2 * len(folders)
    for path, (width, height) in sizes[()].items():
        across, up = sizes["--no-title",][path]
        assert across == width
        assert 7 < height - up < 40  # at 40 dpi: a line of the title, and what is under it
    assert style.has_titles()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--kind", "lsos"), "error: lsos: no such plot; did you mean loss?"),
        (("--kind", "fit"), "error: {run}: has nothing to draw: fit: there is more than one input;"),
        (("--format", "jpg"), "error: mlprun plot: invalid value for '--format'"),
        (("--out", "a.png"), "error: --out: 'a.png' is a single file; select one run and one --kind"),
        (
            ("--kind", "animation", "--out", "a.png"),
            "error: --out: animation cannot be saved as .png; use .gif, .apng",
        ),
        (
            ("--kind", "loss", "--out", "a.jpeg"),
            "error: --out: loss cannot be saved as .jpeg; use .png, .svg, .pdf",
        ),
        (("--features", "a"), "error: --features: 'a' is not a pair"),
        (("--epochs", "a,b"), "error: --epochs: 'a,b' is not a pair"),
        (("--kind", "loss", "--split", "dev"), "error: --split: does not apply to loss; "),
        (("--kind", "regions", "--split", "all"), "error: regions.split: input should be 'train', "),
        (("--kind", "regions", "--features", "x1,x3"), "error: --features: 'x3' is no input; "),
        (("--kind", "weight_changes", "--epochs", "0,2"), "error: --epochs: no network was kept of epoch 2"),
        (("--dpi", "5000"), "error: mlprun plot: invalid value for '--dpi'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(
    arguments: tuple[str, ...],
    message: str,
    plotted: Plotted,
    folders: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = plotted(folders[0], *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message.format(run=folders[0]))
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_a_missing_best_checkpoint_is_said(plotted: Plotted, tmp_path: Path) -> None:
    config = {"dataset": {"name": "moons", "split": SPLIT}, "training": {"epochs": 2}}
    run = mlprun.train(config, out=str(tmp_path / "runs"))
    os.remove(run.folder.best)
    code, _, err = plotted(run.path, "--kind", "regions", "--dpi", "40")
    best = f"{run.folder.best} is missing; the newest epoch, 2, is used instead of the best"
    assert (code, err) == (0, f"warning: {best}\n")


def test_something_else_than_a_run_is_refused(plotted: Plotted, tmp_path: Path) -> None:
    assert plotted(str(tmp_path))[0] == 4
    assert plotted(str(tmp_path / "missing"))[0] == 4


class ReadOnly(files.System):
    """Refuses to create or change anything below one folder, as a read-only mount does to root too."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def _check(self, path: Any) -> None:
        if os.fspath(path).startswith(self.folder):
            raise OSError(errno.EROFS, "read-only", path)

    def open(self, path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            self._check(path)
        return os.open(path, flags, *rest, **named)

    def mkdir(self, path: Any, *rest: Any) -> None:
        self._check(path)
        os.mkdir(path, *rest)


def test_a_read_only_run_folder_is_drawn_elsewhere(
    plotted: Plotted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"dataset": {"name": "moons", "split": SPLIT}, "training": {"epochs": 1}}
    run = mlprun.train(config, out=str(tmp_path / "runs")).path
    monkeypatch.setattr(files, "system", ReadOnly(run))
    code, _, err = plotted(run, *FAST)
    assert code == 7
    assert "choose a folder that can be written to" in err
    assert plotted(run, *FAST, "--out", str(tmp_path / "out"))[0] == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["loss.png", "roc.png"]
    assert "plots" not in os.listdir(run)


def test_a_table_that_is_gone_leaves_the_curves_and_a_warning(plotted: Plotted, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,y\n" + "".join(f"{k},{k % 7}.5\n" for k in range(40)))
    config = {"dataset": {"name": "table", "path": str(table), "target": "y"}, "training": {"epochs": 2}}
    run = mlprun.train(config, out=str(tmp_path / "runs")).path
    table.unlink()
    code, out, err = plotted(run, "--dpi", "40")
    assert code == 0
    assert [Path(line).stem for line in out.splitlines()] == ["loss", "metrics", "weights"]
    assert "t.csv" in err
    assert plotted(run, "--kind", "fit")[0] == 3
