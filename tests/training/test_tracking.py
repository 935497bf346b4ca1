"""Trackers beside a training: what they receive, and that one that fails, hangs or prints changes nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import mlprun
from mlprun import extras
from mlprun import trackers as tracker_process
from mlprun.cli import main
from mlprun.errors import ConfigError, FileError, InterruptedRunError, RunInUseError, UsageError
from mlprun.interrupts import StopFlag
from mlprun.parts.trackers import TrackerPart, trackers
from mlprun.storage import runs
from mlprun.training import tracking

if TYPE_CHECKING:
    from collections.abc import Callable

    Train = Callable[..., mlprun.Run]

FAKE = """
import json, os, sys, time
from pathlib import Path
from typing import Literal

from mlprun.parts.trackers import TrackerPart, TrackerSession, trackers


@trackers.register
class Fake(TrackerPart):
    "Notes what it receives in a file of the run folder; prints much; fails or hangs where it is told to."
    name: Literal["fake"] = "fake"
    label: str = "notes"
    fails: str = ""
    hangs: str = ""

    def open(self, run, known):
        return Session(self, run, known)


class Session(TrackerSession):
    def __init__(self, part, run, known):
        self.part, self.path = part, Path(run.path, part.label)
        self.id = known or "1"
        Path(run.path, f"{part.label}.pid").write_text(str(os.getpid()))
        self.note("open", [run.name, run.project, known, dict(run.params)])

    def note(self, event, value):
        with self.path.open("a") as file:
            file.write(json.dumps([event, value]) + "\\n")
        print("noise " * 100_000)
        os.write(1, b"noise"), os.write(2, b"noise")
        if event == self.part.fails:
            raise OSError("the server is gone\\nreally")
        if event == self.part.hangs:
            time.sleep(600)

    def log(self, rows):
        self.note("log", rows)

    def finish(self, result):
        names = [os.path.basename(path) for path in (*result.figures, *result.artifacts)]
        self.note("finish", [result.state, result.epoch, dict(result.metrics), names])
"""


@pytest.fixture(autouse=True)
def high_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside other tests, processes of a low priority take too long."""
    monkeypatch.setattr(tracking, "NICENESS", 0)
    monkeypatch.setattr(tracking, "SECONDS", 240.0)


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """A config with the fake tracker, but without `trackers`."""
    (tmp_path / "fake.py").write_text(FAKE)
    return {
        "name": "small",
        "extend": [str(tmp_path / "fake.py")],
        "dataset": {"name": "moons", "noise": 0.3, "split": {"train": 45, "dev": 20, "test": 15}},
        "architecture": {"hidden": [4]},
        "training": {"epochs": 12},
        "checkpoint": {"epochs": 1},
    }


def notes(run: Any, label: str = "notes") -> dict[str, list[Any]]:
    path, found = Path(run, label), dict[str, list[Any]]()
    for line in path.read_text().splitlines() if path.exists() else ():
        event, value = json.loads(line)
        found.setdefault(event, []).append(value)
    return found


def wait_for(*paths: Path) -> None:
    deadline = time.monotonic() + 120
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline, "a tracker's process does not come up"
        time.sleep(0.05)


def wait_for_end(run: Path) -> None:
    deadline = time.monotonic() + 120
    while "finish" not in notes(run):
        assert time.monotonic() < deadline, "the tracker is not told of the end"
        time.sleep(0.05)


class Waiting(mlprun.Callback):
    """Notes messages; ends the training when trackers have received something."""

    def __init__(self, *labels: str) -> None:
        self.labels, self.said = labels, list[str]()

    def on_train_end(self, run: Any) -> None:
        wait_for(*(Path(run.path, label) for label in self.labels))
        for label in self.labels:
            if label.endswith("fails"):  # and has written the file before
                number = int(Path(run.path, f"{label}.pid").read_text())
                os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT)

    def on_message(self, message: str) -> None:
        self.said.append(message)


def test_a_tracker_receives_params_epochs_metrics_figures_and_the_checkpoint(
    config: dict[str, Any], tmp_path: Path
) -> None:
    run = mlprun.train({**config, "trackers": ["fake"]}, out=str(tmp_path), allow_code=True)
    found = notes(run.path)
    ((name, project, known, params),) = found["open"]
    assert (name, project, known) == ("small-001", "small", None)
    assert params["architecture.hidden"] == "[4]"
    assert params["optimizer.lr"] == 0.2
    assert params["early_stopping"] == "null"
    assert "trackers" not in params
    rows = [row for rows in found["log"] for row in rows]
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert {name: [row[name] for row in rows] for name in run.history} == {
        name: column.tolist() for name, column in run.history.items()
    }
    ((state, epoch, metrics, files),) = found["finish"]
    assert (state, epoch) == ("finished", 12)
    for which in ("best", "last"):
        for split, values in run.metrics[which]["splits"].items():
            assert {name: metrics[f"{which}/{split}_{name}"] for name in values} == values
    majority = run.metrics["baselines"]["majority"]["test"]
    assert metrics["baselines/majority/test_loss"] == majority["loss"]
    assert files[-1] == "best.safetensors"
    assert {"loss.png", "regions.png"} <= set(files)


def test_trackers_that_fail_or_hang_are_told_once_and_change_no_byte(
    config: dict[str, Any],
    tmp_path: Path,
    contents: Any,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracking, "SECONDS", 1.0)
    named = [
        {"name": "fake", "label": f"{event}-{how}", how: event}
        for how in ("fails", "hangs")
        for event in ("open", "log")
    ]
    labels = [str(one["label"]) for one in named]
    tracked = {**config, "trackers": [*named, {"name": "fake", "label": "late", "hangs": "finish"}]}
    waiting = Waiting(*labels)
    began = time.monotonic()
    run = mlprun.train(tracked, out=str(tmp_path), allow_code=True, callbacks=[waiting])
    assert run.status.state == "finished"
    assert time.monotonic() - began < 300  # what hangs does so for 600 seconds
    warnings = [line for line in waiting.said if line.startswith("warning: trackers: fake")]
    again = f"; send it again with mlprun export {run.path} --to fake"
    assert sorted(warnings) == sorted(
        [f"warning: trackers: fake: OSError: the server is gone{again}"] * 2
        + [f"warning: trackers: fake: not all was sent within 1 s{again}"] * 3
    )
    assert len(warnings) == len(waiting.said)
    assert "noise" not in "".join(capfd.readouterr())
    plain = mlprun.train(config, out=str(tmp_path / "plain"), allow_code=True)
    with_trackers, without = contents(run), contents(plain)
    assert with_trackers["history.csv"] == without["history.csv"]
    for name in ("best", "last"):
        one, other = getattr(run, name).model, getattr(plain, name).model
        assert all(one[key].tobytes() == other[key].tobytes() for key in one)


def test_a_failure_while_training_is_told_at_the_next_checkpoint(
    config: dict[str, Any], tmp_path: Path
) -> None:
    class Slow(Waiting):
        def on_checkpoint(self, run: Any, epoch: int) -> None:
            wait_for(Path(run.path, "notes"))
            time.sleep(0.0 if self.said else 0.1)
            if self.said:
                run.request_stop("told")

    slow, sections = Slow(), {"training": {"epochs": 5000}, "trackers": [{"name": "fake", "fails": "open"}]}
    run = mlprun.train({**config, **sections}, out=str(tmp_path), allow_code=True, callbacks=[slow])
    assert run.status.epochs < 5000
    assert len(slow.said) == 1


def test_a_resumed_run_continues_in_the_tracker(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked, epochs = {**config, "trackers": ["fake"]}, list[int]()

    class Counting(mlprun.Callback):
        def on_checkpoint(self, run: Any, epoch: int) -> None:
            epochs.append(epoch)

    with monkeypatch.context() as patch:
        patch.setattr(StopFlag, "__call__", lambda self: 5 in epochs)
        with pytest.raises(InterruptedRunError):  # at once: the process goes on by itself
            mlprun.train(tracked, out=str(tmp_path), allow_code=True, callbacks=[Counting()])
    path = tmp_path / "small-001"
    wait_for_end(path)
    run = mlprun.resume(path, allow_code=True)
    found = notes(path)
    assert [known for _, _, known, _ in found["open"]] == [None, "1"]
    assert [row["epoch"] for rows in found["log"] for row in rows] == list(range(1, 13))
    assert [state for state, *_ in found["finish"]] == ["interrupted", "finished"]
    assert run.status.epochs == 12


def test_reproducing_a_run_opens_no_tracker(config: dict[str, Any], tmp_path: Path) -> None:
    tracked = {**config, "trackers": [{"name": "fake", "fails": "open"}]}
    run = mlprun.train(tracked, out=str(tmp_path), allow_code=True)
    again = mlprun.api.reproduce(run.path, out=str(tmp_path / "again"), allow_code=True)
    assert again.equal
    assert len(notes(run.path)["open"]) == 1
    assert not notes(again.path)


def test_a_killed_training_leaves_what_it_saved(config: dict[str, Any], tmp_path: Path, start: Any) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps({**config, "training": {"epochs": 10**7}, "trackers": ["fake"]}))
    training = start("train", str(path), "--out", str(tmp_path), "--allow-code", "-q", "engine=torch")
    run = tmp_path / "small-001"
    wait_for(run / "notes")
    while "log" not in notes(run):
        time.sleep(0.05)
    training.send(signal.SIGKILL)
    training.end()
    wait_for_end(run)
    found = notes(run)
    ((state, _, metrics, files),) = found["finish"]
    assert (state, metrics, files) == ("crashed", {}, [])
    logged = [row["epoch"] for rows in found["log"] for row in rows]
    assert logged == mlprun.load(run, allow_code=True).history["epoch"].tolist()


def test_a_killed_training_has_crashed_though_its_lock_goes_after_its_pipe(
    config: dict[str, Any], tmp_path: Path
) -> None:
    run = mlprun.train(config, out=str(tmp_path), allow_code=True)
    run.folder.write_status(replace(run.status, state="running", figures={}))
    results, ended = [], threading.Event()
    ended.set()
    session = SimpleNamespace(id="1", log=lambda rows: None, finish=results.append)
    lock = run.folder.lock()
    threading.Timer(0.3, lock.release).start()
    with tracker_process.State(run.path, {"name": "any"}) as state:
        tracker: Any = SimpleNamespace(open=lambda run, known: session)
        tracker_process._send_run(run.folder, run.config, tracker, state, ended, allow_code=True)
    assert [result.state for result in results] == ["crashed"]


# ---- sending afterwards


def test_a_run_is_sent_again_only_where_something_is_missing(config: dict[str, Any], tmp_path: Path) -> None:
    tracked = {**config, "trackers": ["fake"]}
    run = mlprun.train(tracked, out=str(tmp_path), allow_code=True)
    assert main(["export", run.path, "--to", "fake", "--allow-code"]) == 0
    found = notes(run.path)
    assert len(found["open"]) == len(found["finish"]) == 2
    assert [row["epoch"] for rows in found["log"] for row in rows] == list(range(1, 13))
    options = trackers["fake"].model_validate({"name": "fake", "fails": "finish"})
    with pytest.raises(FileError, match=r"was not sent to fake: OSError: the server is gone; correct"):
        tracking.send(run.path, "fake", [options], allow_code=True)
    with runs.RunFolder(run.path).lock(), pytest.raises(RunInUseError):
        tracking.send(run.path, "fake", allow_code=True)


def test_an_unknown_tracker_and_a_missing_library_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="--to: unknown tracker 'mlfow'; did you mean mlflow"):
        tracking.send("runs/moons-001", "mlfow")
    assert main(["export", "runs/moons-001", "--to", "mlfow"]) == 2
    assert "--to: no such format: 'mlfow'; did you mean mlflow?" in capsys.readouterr().err
    assert main(["export", "runs/moons-001", "--to", "mlflow", "-o", "x"]) == 2
    assert "--out: is the name of a file" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"trackers\.0: unknown tracker 'wandbd'; did you mean wandb"):
        mlprun.train({"dataset": "xor", "trackers": ["wandbd"]})
    monkeypatch.setattr("mlprun.extras.find_spec", lambda name: None)
    known = extras.Requirements([], {"mlflow": ["mlflow-skinny>=3.7", "sqlalchemy>=2.0"]})
    monkeypatch.setattr(extras, "requirements", lambda: known)
    path = tmp_path / "xor.yaml"
    path.write_text("dataset: xor\ntrackers: [{name: mlflow, uri: 'sqlite:///mlflow.db'}]\n")
    for part in trackers:
        with pytest.raises(UsageError, match=f"trackers: {part.title} is not installed; pip install "):
            tracking.send("runs/moons-001", part.names()[0])
    assert main(["train", str(path), "--out", str(tmp_path / "runs")]) == 2
    needed = "pip install 'mlflow-skinny>=3.7' 'sqlalchemy>=2.0'"
    assert capsys.readouterr().err.splitlines()[-1] == f"error: trackers: MLflow is not installed; {needed}"
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_that_name_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb_runs").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    class Other(TrackerPart):
        name: str = "other"
        library, title = "wandb_runs", "Runs"

    with pytest.raises(UsageError, match="Runs is not installed; pip install wandb_runs"):
        Other().check()


def test_a_sweep_is_sent_when_it_has_ended(config: dict[str, Any], tmp_path: Path) -> None:
    swept = {"name": "rates", "base": {**config, "trackers": ["fake"]}, "grid": {"optimizer.lr": [0.1, 0.5]}}
    sweep = mlprun.sweep(swept, out=str(tmp_path), allow_code=True)
    found = notes(sweep.path)
    assert [name for name, *_ in found["open"]] == ["rates-001", "rates-001-trial-1", "rates-001-trial-2"]
    assert [params["optimizer.lr"] for *_, params in found["open"][1:]] == [0.1, 0.5]
    assert [len(rows) for rows in found["log"]] == [12, 12]
    *trials, whole = found["finish"]
    assert [state for state, *_ in trials] == ["finished", "finished"]
    losses = [metrics["best/test_loss"] for _, _, metrics, _ in trials]
    assert losses == [trial.figures["test_loss"] for trial in sweep.trials]
    assert whole[0] == "finished"
    assert {"curves.png", "sweep.yaml"} <= set(whole[3])
    assert Path(sweep.path, "trials.sqlite.sha256").exists()
    assert main(["export", sweep.path, "--to", "fake", "--allow-code", "-q"]) == 0  # adds the figures again
    found = notes(sweep.path)
    assert (len(found["open"]), len(found["finish"])) == (4, 4)
