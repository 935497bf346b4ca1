"""What the seam imitates elsewhere, on real file systems: one that is read-only and one that is full."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faulty.comparing import read

if TYPE_CHECKING:
    from collections.abc import Callable

UNSHARE = ["unshare", "--mount", "--propagation", "private"]


@pytest.fixture(scope="module")
def done(
    children: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Path], list[dict[str, Any]]]:
    """Does a job of faulty.mounts in a mount namespace of its own; skips where none can be had."""
    place = tmp_path_factory.mktemp("mount")
    command = [*UNSHARE, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        tried = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if tried.returncode:
        pytest.skip(f"no file system may be mounted here: {tried.stderr.strip()}")

    def do(job: str, folder: Path) -> list[dict[str, Any]]:
        (answer,) = children.call("mounts.main", (job, str(folder)))
        return list(answer)

    return do


def test_a_run_on_a_read_only_file_system_can_be_looked_at_and_not_be_trained(
    done: Callable[[str, Path], list[dict[str, Any]]], tmp_path: Path
) -> None:
    told = done("read-only", tmp_path)
    for command in told[:6]:
        assert (command["code"], command["err"]) == (0, ""), command
    for command in told[6:]:
        assert command["code"] == 7, command
        assert "ead-only file system; choose a folder that can be written to" in command["err"]
        assert command["err"].count("\n") == 1
    assert len(told) == 11
    assert sorted(os.listdir(tmp_path / "locked")) == ["latest", "run-001"]
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(read(str(tmp_path / "locked/run-001/status.json")))["state"] == "finished"


def test_a_sweep_on_a_read_only_file_system_is_shown_unless_rows_would_be_missing(
    done: Callable[[str, Path], list[dict[str, Any]]], tmp_path: Path
) -> None:
    shown, exported, died, again, new = done("sweeps", tmp_path)
    assert (shown["code"], exported["code"]) == (0, 0), (shown, exported)
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 3
    assert died["code"] == 7, died
    assert "its newest rows are in trials.sqlite-wal; copy the folder to where it can be" in died["err"]
    for command in (again, new):
        assert command["code"] == 7, command
        assert "ead-only file system; choose a folder that can be written to" in command["err"]
        assert command["err"].count("\n") == 1


def test_a_file_system_that_is_full_at_any_page_keeps_the_run(
    done: Callable[[str, Path], list[dict[str, Any]]], tmp_path: Path
) -> None:
    told = done("full", tmp_path)
    failed = [one for one in told if one["code"] == 7]
    assert all("no space left on device" in one["what"].lower() for one in failed), failed
    assert {one["code"] for one in told} == {0, 7}
    assert len(failed) > 8
    # some before the first checkpoint, some after it; the rest had room enough
    assert {one["saved"] for one in failed} == {True, False}
    assert [one["code"] for one in told] == sorted((one["code"] for one in told), reverse=True)
