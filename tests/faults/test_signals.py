"""Ctrl-C and SIGTERM at any moment: the last completed epoch is saved and gone on from, within 2 seconds."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from faulty.comparing import compare, state
from faulty.variants import config_of

import mlprun.api as mlprun
from mlprun import cli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Written = Callable[..., str]

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
PHASES = (
    "training",
    "writing history",
    "between history and checkpoint",
    "writing a temporary",
    "between link and replace",
    "between best and last",
    "between replace and append",
)
CONFIG = config_of("adam with dropout", training={"epochs": 16})


@pytest.fixture(scope="module")
def whole(memory_folder: Path) -> str:
    return mlprun.train(CONFIG, out=str(memory_folder / "whole")).path


def test_signals_at_random_times(
    children: Any, whole: str, memory: Path, written: Written, request: pytest.FixtureRequest
) -> None:
    config, chance = written(CONFIG, memory), random.Random(1)
    count = 1000 if request.config.getoption("--slow") else 40
    took = min(children.one("train", config, "-q", "--out", "first", folder=memory)["seconds"] for _ in "12")
    codes: Counter[int] = Counter()
    phases: Counter[str] = Counter()
    path, number, received = "", 0, 0
    while received < count:
        which = chance.choice(list(CODES))
        command = ["resume", path, "-q"] if path else ["train", config, "-q", "--out", f"runs-{number}"]
        told = children.one(*command, folder=memory, signals=[[chance.uniform(0.1, 0.9) * took, which]])
        received += told["late"] is not None
        codes[told["code"]] += 1
        path = f"runs-{number}/run-001"
        if told["late"] is not None:
            assert told["late"] < 2.0
            phases[told["phase"]] += 1
        if told["code"] in (130, -signal.SIGTERM) and not os.path.exists(memory / path):
            path = ""  # it came before there was a run
            continue
        if told["code"] == 0:
            compare(whole, str(memory / path))
            path, number = "", number + 1
        elif told["code"] == CODES[which] and "stopped after epoch" in told["err"]:
            assert state(str(memory / path)) == "interrupted"
        else:
            # before the run takes signals: Python's own answer, and nothing has changed
            assert told["code"] in (130, -signal.SIGTERM), told
            assert state(str(memory / path)) != "failed"
    if path:
        assert children.one("resume", path, "-q", folder=memory)["code"] == 0
        compare(whole, str(memory / path))
    assert codes[130] > 4
    assert codes[143] > 4


@pytest.mark.parametrize("number", CODES, ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_in_any_part_of_an_epoch_ends_it_with_its_code(
    phase: str, number: int, children: Any, whole: str, memory: Path, written: Written
) -> None:
    at = {"phase": phase, "nth": 3, "number": int(number)}
    told = children.one("train", written(CONFIG, memory), folder=memory, at=at)
    assert told["code"] == CODES[signal.Signals(number)]
    assert told["late"] < 2.0
    assert state(str(memory / "runs/run-001")) == "interrupted"
    assert told["err"].splitlines()[-1].endswith("resume with: mlprun resume runs/run-001")
    assert children.one("resume", "runs/run-001", "-q", folder=memory)["code"] == 0
    compare(whole, str(memory / "runs/run-001"))


@pytest.mark.parametrize("number", CODES, ids=["SIGINT", "SIGTERM"])
def test_a_signal_before_the_first_checkpoint_saves_the_start(
    number: int, children: Any, whole: str, memory: Path, written: Written
) -> None:
    at = {"phase": "before the first checkpoint", "number": int(number)}
    told = children.one("train", written(CONFIG, memory), "-q", folder=memory, at=at)
    assert told["code"] == CODES[signal.Signals(number)]
    assert "stopped after epoch 0, which is saved" in told["err"]
    assert children.one("resume", "runs/run-001", "-q", folder=memory)["code"] == 0
    compare(whole, str(memory / "runs/run-001"))


def test_a_signal_during_the_final_figures_lets_a_finished_run_finish(
    children: Any, whole: str, memory: Path, written: Written
) -> None:
    at = {"phase": "final figures", "number": int(signal.SIGINT)}
    told = children.one("train", written(CONFIG, memory), "-q", folder=memory, at=at)
    assert told["code"] == 0
    assert told["late"] < 2.0
    compare(whole, str(memory / "runs/run-001"))


@pytest.mark.parametrize("number", CODES, ids=["SIGINT", "SIGTERM"])
def test_a_second_signal_stops_at_once_and_loses_nothing_that_was_saved(
    number: int, children: Any, whole: str, memory: Path, written: Written
) -> None:
    slow = {**CONFIG, "training": {**CONFIG["training"], "epochs": 100_000}}
    config = written(slow, memory)
    second = {
        "phase": "final figures",
        "number": int(number),
    }  # those of the epoch that the first one stopped at
    told = children.one("train", config, "-q", folder=memory, signals=[[1.5, int(number)]], at=second)
    assert told["code"] == CODES[signal.Signals(number)]
    assert told["err"] == f"interrupted: stopped by {NAMES[number]}\n"
    assert told["late"] < 2.0
    listed = children.one("ls", "--json", folder=memory)
    (run,) = json.loads(listed["out"])["runs"]
    assert run["status"] == "crashed"
    again = children.one("resume", "runs/run-001", "-q", folder=memory, signals=[[1.5, 2]])
    assert again["code"] == 130
    assert "stopped after epoch " in again["err"]


def test_a_signal_during_a_long_batch_wise_epoch_drops_that_epoch(
    children: Any, memory: Path, written: Written
) -> None:
    """One epoch takes far longer than two seconds; nothing of it is waited for."""
    long = config_of(
        "momentum",
        dataset={"split": {"train": 60_000, "dev": 20, "test": 15}},
        training={"epochs": 3, "batch_size": 1},
    )
    told = children.one("train", written(long, memory), "-q", folder=memory, signals=[[1.5, 2]])
    assert told["code"] == 130
    assert told["late"] < 2.0
    assert "stopped after epoch 0, which is saved" in told["err"]


def test_an_interrupted_run_is_one_to_go_on_with(children: Any, memory: Path, written: Written) -> None:
    children.one("train", written(CONFIG, memory), "-q", folder=memory, at={"phase": "training", "number": 2})
    said = children.one("show", "runs/run-001", folder=memory)["out"]
    assert "interrupted" in said
    assert "next: mlprun resume runs/run-001" in said


def test_an_interrupt_that_a_library_wraps_is_still_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrapped(*_: Any, **__: Any) -> None:
        raise ValueError("SchemaError: Error building validator: KeyboardInterrupt:")

    monkeypatch.setattr(mlprun, "load_config", wrapped)
    assert cli.main(["train", "x.yaml", "--dry-run"]) == 130
    assert capsys.readouterr().err == "interrupted: stopped by Ctrl-C\n"
