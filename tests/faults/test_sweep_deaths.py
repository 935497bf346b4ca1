"""Sweeps killed between any two steps of their protocol, and controls: what the test would notice."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from faulty.swept import state, written

import mlprun
from mlprun import files
from mlprun.sweeps import resume
from mlprun.sweeps.cohort_file import CohortFile
from mlprun.sweeps.database import Writer
from mlprun.sweeps.folder import open_sweep

if TYPE_CHECKING:
    from pathlib import Path

DEATHS = [
    ("saving a cohort in the middle", 1),
    ("between a cohort's file and its rows", 1),
    ("after a cohort's rows", 1),
    ("after a cohort's rows", 2),
    ("after a rung", 1),
    ("after a rung", 2),
    ("folding in", 1),
    ("between folding in and the status", 1),
    ("writing the status", 1),
    ("writing the status", 2),
]
"""a phase, and which time it is come to; the second cohort is the last"""


@pytest.fixture(scope="module")
def whole(memory_folder: Path) -> Any:
    return state(mlprun.sweep(written(memory_folder), out=str(memory_folder / "whole")).path)


def killed(children: Any, memory: Path, phase: str, nth: int) -> str:
    """A sweep that died there; its file."""
    sweep = written(memory)
    told = children.one("sweep", "run", sweep, "--out", "out", folder=memory, at={"phase": phase, "nth": nth})
    assert (told["code"], told["phase"]) == (-signal.SIGKILL, phase), told
    assert mlprun.Sweep(open_sweep(str(memory / "out/small-001"))).status.state == "crashed"
    return sweep


@pytest.mark.parametrize(("phase", "nth"), DEATHS)
def test_a_sweep_that_dies_between_any_two_steps_ends_as_if_it_had_not(
    phase: str, nth: int, whole: Any, children: Any, memory: Path
) -> None:
    sweep = killed(children, memory, phase, nth)
    assert state(mlprun.sweep(sweep, out=str(memory / "out")).path) == whole


def test_what_is_left_undone_would_be_noticed(
    whole: Any, children: Any, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = killed(children, memory, "after a cohort's rows", 2)
    monkeypatch.setattr(resume, "recover_interrupted", lambda _: None)
    assert state(mlprun.sweep(sweep, out=str(memory / "out")).path) != whole


def test_an_optimizer_that_forgot_its_moments_would_be_noticed(
    whole: Any, children: Any, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, original = killed(children, memory, "after a rung", 2), CohortFile._checkpoints

    def forgetful(self: Any, told: Any) -> Any:
        return [
            replace(
                one,
                state=replace(
                    one.state, optimizer_state={k: a * 0 for k, a in one.state.optimizer_state.items()}
                ),
            )
            for one in original(self, told)
        ]

    monkeypatch.setattr(CohortFile, "_checkpoints", forgetful)
    assert state(mlprun.sweep(sweep, out=str(memory / "out")).path) != whole


def test_rows_that_were_not_committed_would_be_noticed(
    whole: Any, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Writer.record
    monkeypatch.setattr(Writer, "record", lambda self, trials: original(self, list(trials)[:-1]))
    assert state(mlprun.sweep(written(memory), out=str(memory / "out")).path) != whole


class Noting(files.System):
    """A system that notes which files are in their places, for good once their folder is synced."""

    def __init__(self, noted: list[str]) -> None:
        self.noted, self.paths = noted, dict[int, str]()
        for name in ("open", "replace", "fsync", "unlink"):
            setattr(self, name, getattr(self, f"_{name}"))

    def _open(self, path: str, *rest: Any) -> int:
        descriptor = files.System.open(path, *rest)
        self.paths[descriptor] = str(path).rpartition("/")[2]
        return descriptor

    def _replace(self, source: str, target: str) -> None:
        files.System.replace(source, target)
        self.noted.append(f"replace {target.rpartition('/')[2]}")

    def _fsync(self, descriptor: int) -> None:
        files.System.fsync(descriptor)
        self.noted.append(f"sync {self.paths[descriptor]}")

    def _unlink(self, path: str) -> None:
        files.System.unlink(path)
        self.noted.append(f"remove {path.rpartition('/')[2]}")


def test_a_cohorts_file_is_on_the_disk_before_its_rows_and_both_before_anything_is_removed(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[str] = []
    modes = set()
    original = Writer.record

    def record(self: Writer, trials: Any) -> None:
        modes.add(self.connection.execute("PRAGMA synchronous").fetchone())
        self.connection.set_trace_callback(lambda words: noted.append(words.partition(" ")[0].lower()))
        original(self, trials)
        self.connection.set_trace_callback(None)

    monkeypatch.setattr(Writer, "record", record)
    monkeypatch.setattr(files, "system", Noting(noted))
    mlprun.sweep(written(memory), out=str(memory / "out"))
    assert modes == {(2,)}  # FULL: a commit waits for the disk
    for cohort in ("cohort-0001", "cohort-0002"):
        steps = [
            noted.index(f"replace {cohort}.safetensors"),
            noted.index("sync cohorts", noted.index(f"replace {cohort}.safetensors")),
            noted.index("commit", noted.index(f"replace {cohort}.safetensors")),
            noted.index(f"remove {cohort}.partial.safetensors"),
        ]
        assert steps == sorted(steps), noted
        assert "insert" not in noted[steps[0] : steps[1]]
