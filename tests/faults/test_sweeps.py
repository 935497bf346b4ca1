"""Sweeps that are killed and stopped: the same command ends as if they were not, timings aside."""

from __future__ import annotations

import glob
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from faulty.swept import state

import mlprun
import mlprun.api
from mlprun.errors import MlprunError
from mlprun.sweeps import run as running
from mlprun.sweeps.run import CohortStore

SWEEP = """
base:
  dataset: {name: moons, split: {train: 64, dev: 16, test: 16}}
  architecture: {hidden: [3], activation: tanh}
  optimizer: {name: adam, lr: 0.05}
  early_stopping: {patience: 30}
  training: {epochs: 80}
  engine: %s
seeds: %d
"""
GRID = "grid: {optimizer.lr: [0.01, 0.1, 1e+30]}"
PRUNED = """
random: {optimizer.lr: {choice: [0.01, 0.05, 0.1, 1e+30]}, penalty.l2: {uniform: [0, 0.1]}}
search: {name: random, trials: 12, batch: 6, pruner: {min_epochs: 10, reduction_factor: 2}}
"""
KINDS = {
    "fused": SWEEP % ("fused", 50) + GRID,
    "torch": SWEEP % ("torch", 2) + GRID,
    "pruned": SWEEP % ("fused", 10) + PRUNED,
}


LESS = ("seeds=1", "grid={optimizer.lr: [0.01, 1e+30]}")
"""of that sweep"""


def written(folder: Path, kind: str) -> str:
    path = folder / "many.yaml"
    path.write_text(KINDS[kind])
    return str(path)


@pytest.fixture(scope="module", params=list(KINDS))
def whole(request: pytest.FixtureRequest, memory_folder: Path) -> Any:
    """A sweep that nothing disturbs, in several cohorts."""
    kind = request.param
    folder = memory_folder / kind
    folder.mkdir()
    return kind, state(mlprun.sweep(written(folder, kind), out=str(folder / "whole")).path)


@pytest.fixture(scope="module")
def took(whole: Any, children: Any, memory_folder: Path) -> float:
    """Seconds that a process takes for that sweep."""
    folder = memory_folder / f"took-{whole[0]}"
    folder.mkdir()
    sweep = written(folder, whole[0])
    return min(
        children.one("sweep", "run", sweep, "--out", f"out{i}", folder=folder)["seconds"] for i in "12"
    )


def test_a_sweep_that_is_killed_at_any_moment_ends_as_if_it_were_not(
    whole: Any, took: float, children: Any, memory: Path, request: pytest.FixtureRequest
) -> None:
    kind, expected = whole
    sweep, chance = written(memory, kind), random.Random(7)
    kills = 50 if request.config.getoption("--slow") else 6
    landed, alone = 0, 0
    while landed < kills:
        out, times = f"killed{alone}", 0
        alone += 1
        while times < 4:
            delay = chance.uniform(0.0, 1.1 * took)
            told = children.one(
                "sweep", "run", sweep, "--out", out, folder=memory, signals=[[delay, signal.SIGKILL]]
            )
            landed += told["code"] == -signal.SIGKILL
            times += 1
            if told["code"] == 0:
                break
        last = children.one("sweep", "run", sweep, "--out", out, folder=memory)
        assert last["code"] == 0, last["err"]
        (path,) = glob.glob(str(memory / out / "many-*"))
        assert state(path) == expected


def test_a_sweep_that_is_killed_while_it_is_extended_and_mended_ends_as_one_that_was_not(
    whole: Any, children: Any, memory: Path, request: pytest.FixtureRequest
) -> None:
    kind, _ = whole
    if kind == "pruned":
        pytest.skip("what a search asks for depends on the rounds before")
    sweep, chance = written(memory, kind), random.Random(11)
    wider = (*LESS, "grid={optimizer.lr: [0.01, 0.1, 1e+30]}")
    forms = (LESS, wider, ())  # the first is extended by a value and then by seeds
    kills = 50 if request.config.getoption("--slow") else 3

    def run(out: str, words: Any, **options: Any) -> Any:
        return children.one("sweep", "run", sweep, *words, "--out", out, folder=memory, **options)

    for words in forms:
        told = run("first", words)
        assert told["code"] == 0, told["err"]
    expected = state(str(memory / "first" / "many-001"))
    landed, alone = 0, 0
    while landed < kills:
        out = f"killed{alone}"
        alone += 1
        for words in forms:
            delay = chance.uniform(0.3, 1.0) * told["seconds"]
            landed += run(out, words, signals=[[delay, signal.SIGKILL]])["code"] == -signal.SIGKILL
            if words is not forms[-1]:
                assert run(out, words)["code"] == 0
                kept = sorted(glob.glob(str(memory / out / "many-001" / "cohorts" / "*")))
                Path(chance.choice(kept)).unlink()  # its trials are trained again, beside the new ones
        last = run(out, ())
        assert last["code"] == 0, last["err"]
        (path,) = glob.glob(str(memory / out / "many-*"))
        assert state(path) == expected


def test_a_sweep_that_is_stopped_says_so_and_goes_on(
    whole: Any, took: float, children: Any, memory: Path
) -> None:
    kind, expected = whole
    sweep, chance = written(memory, kind), random.Random(3)
    codes: list[int] = []
    while len(codes) < 6 or not {130, 143} & set(codes):
        assert len(codes) < 30
        out = f"stopped{codes.count(0)}"  # another where one has ended
        number = (signal.SIGINT, signal.SIGTERM)[len(codes) % 2]
        signals = [[chance.uniform(0.4, 0.9) * took, number]]
        told = children.one("sweep", "run", sweep, "--out", out, folder=memory, signals=signals)
        codes.append(told["code"])
        # before the first trial there is nothing to be saved, and a SIGTERM ends the process
        assert told["code"] in (0, 128 + number, -number), told["err"]
        if told["code"] > 0:
            assert told["err"].splitlines()[-1].startswith("interrupted: ")
            assert told["late"] < 2
    assert children.one("sweep", "run", sweep, "--out", out, folder=memory)["code"] == 0
    (path,) = glob.glob(str(memory / out / "many-*"))
    assert state(path) == expected


class DeathError(MlprunError):
    """Stands for a process that dies."""


@pytest.mark.parametrize("after", [1, 2, 5])
def test_what_was_saved_of_a_cohort_in_the_middle_is_gone_on_from(
    after: int, whole: Any, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, expected = whole
    sweep, saved = written(memory, kind), []
    original = CohortStore.save

    def save(self: Any, batch: Any) -> None:
        original(self, batch)
        saved.extend([1] * bool(batch.ended))
        if len(saved) == after:
            raise DeathError("now", "the process dies")

    monkeypatch.setattr("mlprun.sweeps.run.SAVE_INTERVAL", 0.01)
    monkeypatch.setattr("mlprun.sweeps.run.SAVE_FACTOR", 0)
    monkeypatch.setattr(running, "POLL_SECONDS", 0.005)
    monkeypatch.setattr("mlprun.sweeps.trials.CHUNK_SECONDS", 0.005)
    monkeypatch.setattr(CohortStore, "save", save)
    with pytest.raises(DeathError):
        mlprun.sweep(sweep, out=str(memory / "out"))
    assert glob.glob(str(memory / "out" / "many-001" / "cohorts" / "*.partial.safetensors"))
    monkeypatch.setattr(CohortStore, "save", original)
    assert state(mlprun.sweep(sweep, out=str(memory / "out")).path) == expected


def test_a_save_that_took_long_is_not_soon_followed_by_another(
    whole: Any, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, expected = whole
    sweep, counts = written(memory, kind), []
    original = CohortStore.save

    def save(self: Any, batch: Any) -> None:
        counts[-1][batch.cohort.number] += 1
        original(self, batch)

    monkeypatch.setattr("mlprun.sweeps.run.SAVE_INTERVAL", 0)
    monkeypatch.setattr(running, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(CohortStore, "save", save)
    for times in (1e9, 0):
        counts.append(Counter[int]())
        monkeypatch.setattr("mlprun.sweeps.run.SAVE_FACTOR", times)
        mlprun.sweep(sweep, out=str(memory / f"out{times}"))
    # a cohort may be saved once while each of those before it is waited for, and is where it waits at a rung
    *_, rungs, cohorts, _ = expected
    looks = len({one.epoch for one in rungs})
    assert max(counts[0].values(), default=0) <= len(cohorts) * (looks + 1) + looks
    assert max(counts[1].values()) > 5


def test_a_damaged_file_of_a_cohort_in_the_middle_is_told_of_and_done_without(
    whole: Any, memory: Path
) -> None:
    kind, expected = whole
    sweep = written(memory, kind)
    said: list[str] = []

    class Hearing(mlprun.api.SilentSweep):
        def begin(self, folder: str, plan: Any, done: int) -> None:
            Path(folder, "cohorts", "cohort-0001.partial.safetensors").write_bytes(b"damaged")

        def say(self, message: str) -> None:
            said.append(message)

    assert state(mlprun.sweep(sweep, out=str(memory / "out"), reporter=Hearing()).path) == expected
    assert any("starts again" in line for line in said)
