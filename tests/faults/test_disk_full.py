"""A full or failing disk at any call: exit 7, what was saved intact, and the same bytes after a resume."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
from faulty.comparing import compare
from faulty.failing import Failing, Small
from faulty.variants import config_of

import mlprun.api as mlprun
from mlprun import files
from mlprun.errors import FileError
from mlprun.storage import runs
from mlprun.storage.runs import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHANGES = ("open", "write", "fsync", "close", "ftruncate", "link", "replace", "rename", "mkdir")
CONFIG = config_of("momentum", training={"epochs": 3})


@pytest.fixture(scope="module")
def whole(memory_folder: Path) -> str:
    return mlprun.train(CONFIG, out=str(memory_folder / "whole")).path


def acknowledged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fills with the number of each checkpoint whose saving returned."""
    promised: list[int] = []
    save = RunFolder.save_last

    def saved(self: RunFolder, data: bytes) -> None:
        save(self, data)
        promised.append(len(promised))

    monkeypatch.setattr(RunFolder, "save_last", saved)
    return promised


def meet(system: files.System, out: str, whole: str, *, resume: bool = True) -> bool:
    """Train on a failing system, then see what is left and go on; False where nothing failed."""
    with pytest.MonkeyPatch.context() as patch:
        promised = acknowledged(patch)
        patch.setattr(files, "system", system)
        try:
            mlprun.train(CONFIG, out=out)
        except FileError as error:
            told = error
        else:
            return False
    assert told.exit_code == 7
    assert told.remedy
    found = runs.find(out) if os.path.isdir(out) else []
    if not found:
        assert not promised
        return True
    (folder,) = found
    last = folder.load_last()
    epoch = -1 if last is None else last.checkpoint.meta["epoch"]
    assert epoch >= len(promised) - 1
    assert last is None or last.damage is None
    assert folder.status().state in ("failed", "crashed", "finished")  # the very last sync may fail
    if resume:
        mlprun.resume(folder.path)
        compare(whole, folder.path)
    return True


def test_a_disk_that_is_full_at_any_byte_leaves_the_last_checkpoint(whole: str, memory: Path) -> None:
    roomy = Small(10**9)
    meet(roomy, str(memory / "roomy"), whole)
    room, rooms = 0, set()
    for size in roomy.sizes:
        rooms |= {room, room + 1, room + size // 2, room + size - 1}
        room += size
    assert len(rooms) > 70
    for number, room in enumerate(sorted(rooms)):
        system = Small(room)
        failed = meet(system, str(memory / str(number)), whole, resume=number % 3 == 0)
        # the last write is the status, whose seconds have sometimes fewer digits
        assert failed or room > sum(roomy.sizes) - 25, room
        assert system.written <= room


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("name", CHANGES)
def test_any_call_may_fail_once(
    name: str, code: int, whole: str, memory: Path, request: pytest.FixtureRequest
) -> None:
    counting = Failing(name, -1, code)
    meet(counting, str(memory / "counting"), whole)
    every = 1 if request.config.getoption("--slow") else max(1, counting.count // 6)
    met = 0
    for nth in range(1 + code % every, counting.count + 1, every):
        met += meet(Failing(name, nth, code), str(memory / str(nth)), whole)
    assert met or name == "ftruncate"


@pytest.mark.parametrize("piece", [1, 7, 4000])
def test_short_writes_change_nothing(
    piece: int, whole: str, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = files.System()
    system.write = lambda descriptor, data: os.write(descriptor, data[:piece])  # type: ignore[method-assign]
    monkeypatch.setattr(files, "system", system)
    compare(whole, mlprun.train(CONFIG, out=str(memory)).path)


def test_a_command_on_a_full_disk_ends_with_seven_and_one_line(
    children: Any, memory: Path, written: Callable[..., str]
) -> None:
    config = written(CONFIG, memory)
    for most in (0, 600, 2000, 3000):
        told = children.one("train", config, "-q", folder=memory, limits={"RLIMIT_FSIZE": most})
        assert told["code"] == 7, told
        assert told["err"].startswith("error: "), told["err"]
        assert told["err"].count("\n") == 1
        assert "raise the limit on file sizes" in told["err"]
    (run,) = runs.find(str(memory / "runs"))[-1:]
    assert children.one("resume", run.path, "-q", folder=memory)["code"] == 0
