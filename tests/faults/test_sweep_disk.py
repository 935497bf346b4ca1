"""A sweep whose disk is full or whose database is locked: exit 7, and the same command goes on later."""

from __future__ import annotations

import errno
import glob
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from faulty.failing import Failing
from faulty.swept import state, written

import mlprun
from mlprun import files
from mlprun.errors import FileError
from mlprun.sweeps import database
from mlprun.sweeps.database import Writer
from mlprun.sweeps.folder import open_sweep

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def whole(memory_folder: Path) -> Any:
    return state(mlprun.sweep(written(memory_folder), out=str(memory_folder / "whole")).path)


def go_on(sweep: str, out: Path) -> Any:
    """What the same command comes to when nothing is in its way: one folder, and nothing beside it."""
    path = mlprun.sweep(sweep, out=str(out)).path
    assert os.listdir(out) == ["small-001"]
    return state(path)


@pytest.mark.parametrize("name", ["open", "write", "fsync"])
def test_any_call_on_a_full_disk_may_fail(name: str, whole: Any, memory: Path) -> None:
    sweep, told = written(memory), []
    counting = Failing(name, -1, errno.ENOSPC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "system", counting)
        mlprun.sweep(sweep, out=str(memory / "counting"))
    for nth in range(1, counting.count + 1, max(1, counting.count // 3)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "system", Failing(name, nth, errno.ENOSPC))
            try:
                mlprun.sweep(sweep, out=str(memory / str(nth)))
            except FileError as error:
                told.append((error.exit_code, error.remedy))
        assert go_on(sweep, memory / str(nth)) == whole
    assert len(told) > 2
    assert set(told) == {(7, "free some space or choose another folder")}


FILES = (
    "cohort-0001.partial.safetensors",
    "cohort-0001.safetensors",
    "cohort-0002.safetensors",
    "trials.sqlite.sha256",
    "status.json",
)


@pytest.mark.parametrize("name", FILES)
def test_there_may_be_no_room_for_any_file(name: str, whole: Any, memory: Path) -> None:
    sweep, system = written(memory), files.System()

    def replace(source: str, target: str) -> None:
        if os.path.basename(target) == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        files.System.replace(source, target)

    system.replace = replace  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "system", system)
        with pytest.raises(FileError, match=f"{name}: cannot be written: no space left") as caught:
            mlprun.sweep(sweep, out=str(memory / "out"))
    assert caught.value.exit_code == 7
    found = open_sweep(str(memory / "out" / "small-001")).status()
    assert found.state == ("crashed" if name == "status.json" else "failed")
    assert go_on(sweep, memory / "out") == whole


def test_a_database_that_may_not_grow_ends_with_seven_and_one_line(children: Any, memory: Path) -> None:
    sweep, whats = written(memory, 20), set()  # for a database of some 60,000 bytes
    expected = state(mlprun.sweep(sweep, out=str(memory / "unlimited")).path)
    for most in (0, 20_000, 35_000):
        out = str(most)
        told = children.one(
            "sweep", "run", sweep, "--out", out, "-q", folder=memory, limits={"RLIMIT_FSIZE": most}
        )
        assert told["code"] == 7, (most, told)
        assert told["err"].startswith("error: "), told["err"]
        assert told["err"].count("\n") == 1
        assert "raise the limit on file sizes" in told["err"], told["err"]
        whats.add(os.path.basename(told["err"].split(": ")[1]))
        assert go_on(sweep, memory / out) == expected
    assert whats == {"sweep.yaml", "trials.sqlite"}


@pytest.mark.parametrize("after", [0, 1])
def test_a_database_that_another_program_holds_ends_with_seven(
    after: int, whole: Any, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, record, others = written(memory), Writer.record, list[sqlite3.Connection]()

    def held(self: Writer, trials: Any) -> None:
        others.append(sqlite3.connect(self.path, isolation_level=None))
        if len(others) == after + 1:
            others[-1].execute("BEGIN IMMEDIATE")
        record(self, trials)

    monkeypatch.setattr(database, "LOCK_TIMEOUT", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "record", held)
        with pytest.raises(FileError, match="database is locked; close it in the other program") as caught:
            mlprun.sweep(sweep, out=str(memory / "out"))
    assert caught.value.exit_code == 7
    (path,) = glob.glob(str(memory / "out" / "*"))
    assert "database is locked" in mlprun.Sweep(open_sweep(path)).status.reason
    for other in others:
        other.close()
    assert go_on(sweep, memory / "out") == whole
