"""A Ctrl-C is heeded wherever it comes, in the middle of a library that swallows it too."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

import mlprun.api as mlprun
from mlprun import cli, interrupts, schema
from mlprun.experiment import Experiment
from mlprun.experiment.preprocessing import Column, Preprocessing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = {
    "dataset": {"name": "moons", "split": {"train": 20, "dev": 5, "test": 5}},
    "training": {"epochs": 2},
    "name": "run",
}


def swallowed() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return
    raise AssertionError("it did not come")


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Ctrl-C as Python has it, also where the tests run in the background of a shell, which ignores it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "run.yaml"
    path.write_text("dataset: {name: moons, split: {train: 20, dev: 5, test: 5}}\ntraining: {epochs: 2}\n")
    return str(path)


def test_an_interrupt_waits_until_the_block_is_left() -> None:
    after = []

    def block() -> None:
        with interrupts.defer_interrupts():
            signal.raise_signal(signal.SIGINT)
            after.append("it is not left half way")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert after
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("place", [(schema, "parse"), (Experiment, "digest")])
def test_no_run_begins_after_an_interrupt_that_was_swallowed(
    place: tuple[Any, str],
    config: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    function = getattr(*place)

    def swallowing(*arguments: Any, **options: Any) -> Any:
        swallowed()
        return function(*arguments, **options)

    monkeypatch.setattr(*place, swallowing)
    assert cli.main(["train", config, "-q", "--out", str(tmp_path / "runs")]) == 130
    assert capsys.readouterr().err == "interrupted: stopped by Ctrl-C\n"
    assert not (tmp_path / "runs").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_resume_after_an_interrupt_that_was_swallowed_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = mlprun.train(CONFIG, out=str(tmp_path))
    before, from_json = contents(run.path), Preprocessing.from_json

    def swallowing(values: dict[str, Any]) -> Preprocessing:
        swallowed()
        return from_json(values)

    monkeypatch.setattr(Preprocessing, "from_json", swallowing)
    assert cli.main(["resume", run.path, "--epochs", "5", "-q"]) == 130
    assert capsys.readouterr().err == "interrupted: stopped by Ctrl-C\n"
    assert contents(run.path) == before


def contents(path: str) -> dict[str, bytes]:
    found = {}
    for name in os.listdir(path):
        with open(os.path.join(path, name), "rb") as file:
            found[name] = file.read()
    return found


def test_an_error_that_a_lost_interrupt_brings_is_told_as_an_interrupt(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        swallowed()
        raise ValueError("a value that is right is called wrong")

    monkeypatch.setattr(mlprun, "load_config", failing)
    assert cli.main(["train", config, "--dry-run"]) == 130
    assert capsys.readouterr().err == "interrupted: stopped by Ctrl-C\n"


def test_a_stored_preprocessing_is_read_before_an_interrupt_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """pydantic would call it damaged."""
    known = Preprocessing(inputs=(Column(name="x"),), targets=()).to_json()
    validate = Preprocessing.model_validate_json
    made = []

    def interrupted(*arguments: Any) -> Preprocessing:
        signal.raise_signal(signal.SIGINT)
        made.append(validate(*arguments))
        return made[-1]

    monkeypatch.setattr(Preprocessing, "model_validate_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Preprocessing.from_json(known)
    assert len(made) == 1


def test_an_ignored_signal_stays_ignored_and_threads_do_without(config: str) -> None:
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert cli.main(["validate", config, "-q"]) == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, former)
    codes = []
    thread = threading.Thread(target=lambda: codes.append(cli.main(["validate", config, "-q"])))
    thread.start()
    thread.join()
    assert codes == [0]
