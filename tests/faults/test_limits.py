"""NaN, memory, clocks, read-only folders and odd names: each ends as promised, or changes nothing."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faulty.comparing import compare, read, state
from faulty.variants import config_of

import mlprun.api as mlprun
from mlprun import cli, files
from mlprun.errors import DivergedError
from mlprun.storage import checkpoints, history

if TYPE_CHECKING:
    from collections.abc import Callable

    Written = Callable[..., str]

BASE = config_of("momentum", training={"epochs": 8})
LARGE = 1e30


@pytest.mark.parametrize(
    "sections",
    [
        {"optimizer": {"name": "sgd", "lr": LARGE, "momentum": 0.9}, "architecture": {"activation": "relu"}},
        {"optimizer": {"name": "sgd", "lr": LARGE}, "loss": "mse"},
        {"optimizer": {"name": "adam", "lr": 1e200}, "loss": "mse", "training": {"dtype": "float64"}},
    ],
    ids=["momentum", "mse", "adam"],
)
def test_a_run_that_diverges_saves_its_last_finite_epoch_and_ends_with_eight(
    sections: dict[str, Any], memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of("momentum", **{**sections, "training": {"epochs": 60, **sections.get("training", {})}})
    with pytest.raises(DivergedError) as caught:
        mlprun.train(config, out=str(memory))
    run = str(memory / "run-001")
    assert caught.value.exit_code == 8
    assert "lower optimizer.lr" in str(caught.value)
    assert state(run) == "diverged"
    last = checkpoints.read(f"{run}/last.safetensors")
    model = last.under("model.")
    assert all(abs(array).max() < float("inf") for array in model.values())
    rows = history.read(f"{run}/history.csv")
    assert len(rows["epoch"]) == last.meta["epoch"]
    before = read(run, "last.safetensors"), read(run, "history.csv")
    assert cli.main(["resume", run, "-q"]) == 8  # it diverges again, and says so again
    assert (read(run, "last.safetensors"), read(run, "history.csv")) == before
    assert cli.main(["eval", f"{run}/last.safetensors", "-q"]) == 0
    capsys.readouterr()


def test_memory_that_runs_out_ends_with_nine_and_keeps_the_checkpoint(
    children: Any, memory: Path, written: Written
) -> None:
    config = config_of(
        "momentum",
        dataset={"split": {"train": 20_000, "dev": 20, "test": 15}},
        architecture={"hidden": [1024]},
        training={"epochs": 3, "batch_size": "full"},
    )
    path, found = written(config, memory), []
    for megabytes in (60, 200, 6000):
        out = str(memory / f"runs-{megabytes}")
        told = children.one(
            "train", path, "-q", "--out", out, folder=memory, limits={"RLIMIT_AS": megabytes << 20}
        )
        assert told["code"] in (0, 9), told
        found.append(told["code"])
        if told["code"] == 9:
            assert told["err"].startswith("error: memory: "), told["err"]
            assert told["err"].count("\n") == 1
        run = f"{out}/run-001"
        if told["code"] == 9 and os.path.isdir(run):
            last = mlprun.load(run).folder.load_last()
            assert last is None or last.damage is None
            assert b"batch_size: full" in read(run, "config.yaml")
            assert children.one("resume", run, "-q", folder=memory)["code"] == 0
    assert found[0] == 9
    assert found[-1] == 0


def test_a_clock_that_jumps_changes_neither_bytes_nor_order(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mlprun.train(BASE, out=str(memory / "whole"))
    jumps = iter(range(10**9))

    def jumping() -> float:
        return 1e9 * (next(jumps) % 3 - 1)

    monkeypatch.setattr(time, "time", jumping)
    monkeypatch.setattr(time, "monotonic", jumping)
    run = mlprun.train(BASE, out=str(memory / "jumped"))
    monkeypatch.undo()
    assert run.status.seconds >= 0
    compare(whole.path, run.path)
    assert list(run.history["epoch"]) == list(range(1, 9))


def test_files_of_the_future_and_of_the_past_are_gone_on_from(memory: Path) -> None:
    whole = mlprun.train(BASE, out=str(memory / "whole"))
    run = mlprun.train(config_of("momentum", training={"epochs": 5}), out=str(memory / "runs"))
    for number, name in enumerate(os.listdir(run.path)):
        os.utime(Path(run.path, name), (0, (number % 2) * 2**33))
    mlprun.resume(run.path, epochs=8)
    assert read(run.path, "history.csv") == read(whole.path, "history.csv")


class ReadOnly(files.System):
    """A system on which everything below a folder can be read only."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        for name in ("open", "link", "replace", "rename", "unlink", "mkdir", "rmdir"):
            setattr(self, name, self._guarded(name))

    def _guarded(self, name: str) -> Callable[..., Any]:
        call = getattr(files.System, name)

        def guarded(path: str, *rest: Any, **more: Any) -> Any:
            writes = name != "open" or rest[0] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and os.path.abspath(path).startswith(self._folder):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            return call(path, *rest, **more)

        return guarded


def test_a_read_only_run_can_be_looked_at_and_training_there_fails_at_the_start(
    memory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], written: Written
) -> None:
    run = mlprun.train(BASE, out=str(memory / "locked"))
    config, table = written(BASE, memory), memory / "rows.csv"
    table.write_text(f"{','.join(run.best.preprocessing.input_names)}\n0,1\n")
    before = {name: read(run.path, name) for name in os.listdir(run.path)}
    monkeypatch.setattr(files, "system", ReadOnly(memory / "locked"))
    for arguments in (
        ["eval", run.path],
        ["show", run.path],
        ["ls", str(memory / "locked")],
        ["predict", run.path, str(table), "--out", str(memory / "said.csv")],
        ["reproduce", run.path, "--out", str(memory / "again")],
        ["plot", run.path, "--kind", "loss", "--out", str(memory / "loss.png")],
    ):
        assert cli.main([*arguments, "-q"]) == 0, (arguments, capsys.readouterr().err)
    for arguments in (
        ["train", config, "--out", str(memory / "locked")],
        ["resume", run.path],
        ["plot", run.path, "--kind", "loss"],
    ):
        capsys.readouterr()
        assert cli.main([*arguments, "-q"]) == 7, arguments
        said = capsys.readouterr().err
        assert "read-only file system; choose a folder that can be written to" in said
        assert said.count("\n") == 1
    monkeypatch.undo()
    assert {name: read(run.path, name) for name in os.listdir(run.path)} == before
    assert sorted(os.listdir(memory / "locked")) == ["latest", "run-001"]


NAMES = (
    "plain",
    "with a space",
    "größe",
    "数据",
    "🙂 smile",
    "e\u0301combining",
    "$\\frac{1}{2}$",
    "[/x]",
    "[bold red]x[/]",
    "\x1b[31mred",
    "\u202eabc",
    "a=b",
    "-dash",
    "..",
    "%s{0}",
    "None",
    "<b>&amp;</b>",
)


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_of_columns_and_classes_pass_through_every_command(
    name: str, memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = memory / "rows.csv"
    rows = "".join(f"{n},{n % 5},{name if n % 2 else 'other'}\n" for n in range(40))
    table.write_text(f"{name},y,target {name}\n{rows}", encoding="utf-8")
    config = {
        "dataset": {"name": "table", "path": str(table), "target": f"target {name}"},
        "training": {"epochs": 2},
        "name": "odd",
    }
    run = mlprun.train(config, out=str(memory / "runs"))
    for arguments in (
        ["ls", str(memory / "runs")],
        ["show", run.path],
        ["eval", run.path],
        ["predict", run.path, str(table), "--out", str(memory / "said.csv")],
        ["eval", run.path, "--data", str(table)],
        ["resume", run.path],
    ):
        assert cli.main(arguments) == 0, (arguments, capsys.readouterr().err)
        said = capsys.readouterr()
        for text in (said.out, said.err):
            assert "\x1b" not in text
            assert "\u202e" not in text
            assert all(sign == "\n" or sign.isprintable() for sign in text)
    assert cli.main(["eval", run.path, "--json"]) == 0
    json.loads(capsys.readouterr().out)
    said = (memory / "said.csv").read_text(encoding="utf-8")
    assert name in said.replace('""', '"')


@pytest.mark.parametrize(
    "folder", ["with a space", "größe", "数据 🙂", "$HOME", "[/x]", "a" * 200 + "/" + "b" * 200, "-q", "a\nb"]
)
def test_odd_folders_hold_runs_like_others(
    folder: str, memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(memory / folder)
    run = mlprun.train(BASE, out=out)
    for arguments in (["ls", out], ["show", run.path], ["eval", run.path], ["resume", run.path]):
        assert cli.main(arguments) == 0, arguments
        said = capsys.readouterr()
        assert all(sign == "\n" or sign.isprintable() for sign in said.out + said.err)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/x", "a b", "ä", "x" * 65, "-x", "\x1b", "a\nb", "$x"]
)
def test_a_name_that_no_run_may_have_is_refused(
    name: str, memory: Path, written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written({**BASE, "name": name}, memory, "config")
    assert cli.main(["train", path, "--out", str(memory / "runs")]) == 2
    assert not (memory / "runs").exists()
    assert "\x1b" not in capsys.readouterr().err
