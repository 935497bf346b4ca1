"""What is said and done at the end of a run: signals after the last epoch, a best epoch that is missing."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mlprun.api as mlprun
from mlprun import cli
from mlprun.cli import metrics
from mlprun.errors import UsageError
from mlprun.storage.runs import Lock, RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[..., tuple[int, str, str]]

CONFIG = {
    "name": "small",
    "dataset": {"name": "moons", "split": {"train": 20, "dev": 10}},
    "training": {"epochs": 3},
}


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(
        "name: small\ndataset: {name: moons, split: {train: 20, dev: 10}}\ntraining: {epochs: 3}\n"
    )
    return str(path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", [(RunFolder, "write_status"), (Lock, "close"), (metrics, "final_table")])
def test_a_signal_after_the_last_epoch_lets_the_command_finish(
    number: int, place: Any, config: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, sent = getattr(*place), []

    def sending(*arguments: Any, **options: Any) -> Any:
        state = getattr(arguments[-1], "state", "finished")
        if state == "finished" and not sent:
            sent.append(os.kill(os.getpid(), number))
        return function(*arguments, **options)

    monkeypatch.setattr(*place, sending)
    former = signal.getsignal(number)
    code, out, err = call("train", config, "--out", tmp_path / "runs", "-q")
    assert (code, err, len(sent)) == (0, "", 1)
    assert "3 epochs in" in out
    assert signal.getsignal(number) is former
    assert mlprun.load(tmp_path / "runs/small-001").status.state == "finished"


def test_sigterm_lets_a_background_job_finish_too(
    config: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing = metrics.final_table

    def sending(*arguments: Any) -> Any:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        return closing(*arguments)

    monkeypatch.setattr(metrics, "final_table", sending)
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as shells start background jobs
    try:
        code, out, err = call("train", config, "--out", tmp_path / "runs", "-q")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, former)
    assert (code, err) == (0, "")
    assert "3 epochs in" in out


def test_a_second_signal_after_the_last_epoch_stops(
    config: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sending(*_: Any) -> None:
        for _ in "12":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(metrics, "final_table", sending)
    code, out, err = call("train", config, "--out", tmp_path / "runs", "-q")
    assert (code, out, err) == (143, "", "interrupted: stopped by SIGTERM\n")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_interrupted_run_says_so(
    config: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = RunFolder.save_last

    def sending(self: RunFolder, data: bytes) -> None:
        if not os.path.lexists(self.last):
            os.kill(os.getpid(), signal.SIGINT)
        save(self, data)

    monkeypatch.setattr(RunFolder, "save_last", sending)
    code, _, err = call("train", config, "--out", tmp_path / "runs", "-q")
    path = tmp_path / "runs/small-001"
    assert code == 130
    assert (
        err
        == f"interrupted: {path}: stopped after epoch 0, which is saved; resume with: mlprun resume {path}\n"
    )


def test_a_missing_best_epoch_is_not_replaced_without_a_word(tmp_path: Path, call: Call) -> None:
    run = mlprun.train(CONFIG, out=str(tmp_path))
    Path(run.folder.best).unlink()
    table = tmp_path / "rows.csv"
    table.write_text("x1,x2\n0,1\n")
    said = f"warning: {run.folder.best} is missing; the newest epoch, 3, is used instead of the best\n"
    for arguments in (["eval", run.path], ["predict", run.path, table], ["show", run.path]):
        code, _, err = call(*arguments)
        assert (code, err.startswith(said)) == (0, True)


def test_a_run_without_dev_rows_has_no_best_epoch_to_miss(tmp_path: Path, call: Call) -> None:
    run = mlprun.train({**CONFIG, "dataset": {"name": "moons", "split": {"train": 20}}}, out=str(tmp_path))
    code, _, err = call("eval", run.path)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_fewer_epochs_than_the_run_has_are_no_extension(schedule: str, tmp_path: Path) -> None:
    run = mlprun.train({**CONFIG, "schedule": schedule}, out=str(tmp_path))
    for epochs in ("2", "3"):
        assert cli.main(["resume", run.path, "--epochs", epochs]) == 2
        with pytest.raises(UsageError, match="already goes to 3 epochs; give more"):
            mlprun.resume(run.path, epochs=int(epochs))
