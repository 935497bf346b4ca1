"""Runs and sweeps in the trackers themselves, read back with their own readers."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlprun
from mlprun.parts.trackers import TrackedRun, trackers
from mlprun.training import tracking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlprun.api import Sweep

CONFIG = {
    "name": "small",
    "dataset": {"name": "moons", "noise": 0.3, "split": {"train": 45, "dev": 20, "test": 15}},
    "architecture": {"hidden": [4]},
    "training": {"epochs": 12, "evaluate_every": 3},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mlprun.Run:
    """A run that has ended."""
    return mlprun.train(CONFIG, out=str(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A sweep of two settings, one of which diverges."""
    swept = {"name": "rates", "base": {**CONFIG, "optimizer": "sgd"}, "grid": {"optimizer.lr": [0.5, 1e30]}}
    return mlprun.sweep(swept, out=str(tmp_path_factory.mktemp("sweeps")))


def send(what: Any, name: str, **options: Any) -> None:
    tracking.send(what.path, name, [trackers[name].model_validate({"name": name, **options})])


def final(run: mlprun.Run) -> dict[str, float]:
    """Some of the metrics that every tracker must have."""
    names = [(which, split) for which in ("best", "last") for split in ("train", "dev", "test")]
    found = {f"{which}/{split}_loss": run.metrics[which]["splits"][split]["loss"] for which, split in names}
    majority = run.metrics["baselines"]["majority"]["test"]["accuracy"]
    return {**found, "best/epoch": run.metrics["best"]["epoch"], "baselines/majority/test_accuracy": majority}


def curve(run: mlprun.Run, name: str) -> dict[int, float]:
    """A column of the history without its empty cells."""
    epochs, values = run.history["epoch"], run.history[name]
    return {
        int(epoch): float(value) for epoch, value in zip(epochs, values, strict=True) if not np.isnan(value)
    }


def test_tensorboard(run: mlprun.Run, sweep: Sweep, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(folder: Path) -> tuple[Any, dict[str, dict[int, float]]]:
        events = EventAccumulator(str(folder)).Reload()
        tags = events.Tags()["scalars"]
        return events, {tag: {one.step: one.value for one in events.Scalars(tag)} for tag in tags}

    send(run, "tensorboard")
    events, scalars = read(Path(run.path, "tensorboard"))
    for name in ("lr", "train_loss", "dev_loss", "dev_accuracy"):
        assert scalars[name] == pytest.approx(curve(run, name), rel=1e-6)
    assert list(scalars["dev_loss"]) == [3, 6, 9, 12]
    assert {tag: value[12] for tag, value in scalars.items() if tag in final(run)} == pytest.approx(
        final(run)
    )
    assert {"figures/loss", "figures/regions"} <= set(events.Tags()["images"])
    image = events.Images("figures/loss")[0]
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert 100 < image.height < image.width < 5000
    text = events.Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert run.path in text
    assert "|optimizer.lr|0.2|" in text
    assert "_hparams_/session_start_info" in events.Tags()["tensors"]

    send(sweep, "tensorboard", folder=str(tmp_path))
    folder = tmp_path / "rates-001"
    events, scalars = read(folder / "trial-1")
    assert len(scalars["train_loss"]) == 12
    assert scalars["best/test_loss"][12] == pytest.approx(sweep.trials[0].figures["test_loss"])
    assert sorted(path.name for path in folder.glob("trial-*")) == ["trial-1", "trial-2"]
    assert "figures/curves" in read(folder)[0].Tags()["images"]


def test_mlflow(run: mlprun.Run, sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)  # artifacts lie beside the database
    options = {"uri": "sqlite:///mlflow.db", "experiment": "tests"}
    send(run, "mlflow", **options)
    send(sweep, "mlflow", **options)
    send(sweep, "mlflow", **options)  # adds nothing
    with warnings.catch_warnings(action="ignore"):
        from mlflow import MlflowClient

        client = MlflowClient("sqlite:///mlflow.db")
        (experiment,) = [one for one in client.search_experiments() if one.name == "tests"]
        runs = {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}
        one = runs["small-001"]
        history = client.get_metric_history(one.info.run_id, "dev_loss")
        artifacts = [item.path for item in client.list_artifacts(one.info.run_id)]
        figures = [item.path for item in client.list_artifacts(one.info.run_id, "figures")]
        client.delete_run(one.info.run_id)
        tracked = TrackedRun("small-001", "small", run.path)
        anew = trackers["mlflow"].model_validate({"name": "mlflow", **options}).open(tracked, one.info.run_id)
        assert anew.id != one.info.run_id
    assert {metric.step: metric.value for metric in history} == curve(run, "dev_loss")
    assert one.data.params["optimizer.lr"] == "0.2"
    assert {name: one.data.metrics[name] for name in final(run)} == final(run)
    assert one.info.status == "FINISHED"
    assert one.data.tags["mlprun.run_folder"] == run.path
    assert set(artifacts) == {"best.safetensors", "figures"}
    assert "figures/loss.png" in figures

    assert set(runs) == {"small-001", "rates-001", "rates-001-trial-1", "rates-001-trial-2"}
    parent = runs["rates-001"].info.run_id
    trials = [runs[f"rates-001-trial-{number}"] for number in (1, 2)]
    assert [trial.data.tags["mlflow.parentRunId"] for trial in trials] == [parent, parent]
    assert [trial.info.status for trial in trials] == ["FINISHED", "FAILED"]
    assert [trial.data.params["optimizer.lr"] for trial in trials] == ["0.5", "1e+30"]
    assert trials[0].data.metrics["best/test_loss"] == sweep.trials[0].figures["test_loss"]


def test_wandb(run: mlprun.Run, sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    send(run, "wandb", mode="offline", project="tests")
    send(sweep, "wandb", mode="offline", project="tests")
    found = {
        one["run"]["display_name"]: one
        for one in map(records, (tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    }
    single = found.pop("small-001")
    assert single["run"]["project"] == "tests"
    assert single["config"]["optimizer.lr"] == 0.2
    assert single["config"]["run_folder"] == run.path
    logged = {row["_step"]: row["dev_loss"] for row in single["history"] if "dev_loss" in row}
    assert logged == curve(run, "dev_loss")
    last = single["history"][-1]
    assert {name: last[name] for name in final(run)} == final(run)
    assert last["figures/loss.format"] == "png"
    assert single["exit"] == 0
    assert {name: (one["run"]["run_group"], one["exit"]) for name, one in found.items()} == {
        "rates-001": ("rates-001", 0),
        "rates-001-trial-1": ("rates-001", 0),
        "rates-001-trial-2": ("rates-001", 1),
    }


def records(path: Path) -> dict[str, Any]:
    """What is in the file of an offline run."""
    with warnings.catch_warnings(action="ignore"):
        from google.protobuf.json_format import MessageToDict
        from wandb.proto import wandb_internal_pb2
    found: dict[str, Any] = {"history": [], "config": {}}
    for data in pieces(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found["run"] = MessageToDict(record.run, preserving_proto_field_name=True)
            found["config"] |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "history":
            items = record.history.item
            found["history"].append(
                {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
            )
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found


def pieces(data: bytes) -> Iterator[bytes]:
    """Yield the records of a log in LevelDB's format, which wandb writes after 7 bytes of its own."""
    block, head, at, whole = 32768, 7, 7, b""
    while at < len(data):
        if block - at % block < head:
            at += block - at % block
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + head : at + head + length]
        at += head + length
        if kind in (1, 4):  # a whole one, or the end of one
            yield whole
            whole = b""


def test_trackio(run: mlprun.Run, sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))  # read when trackio is imported
    pytest.importorskip("gradio_client")
    pytest.importorskip("trackio")
    send(run, "trackio", project="tests")
    send(sweep, "trackio", project="tests")
    with warnings.catch_warnings(action="ignore"):
        from trackio.sqlite_storage import SQLiteStorage
    names = [record["name"] for record in SQLiteStorage.get_run_records("tests")]
    assert sorted(names) == ["rates-001", "rates-001-trial-1", "rates-001-trial-2", "small-001"]
    logs = SQLiteStorage.get_logs("tests", "small-001")
    assert {row["step"]: row["dev_loss"] for row in logs if "dev_loss" in row} == curve(run, "dev_loss")
    assert {name: logs[-1][name] for name in final(run)} == final(run)
    assert "figures/loss" in logs[-1]
    config = SQLiteStorage.get_run_config("tests", "small-001")
    assert config["run_folder"] == run.path
    assert SQLiteStorage.get_run_config("tests", "rates-001-trial-1")["_Group"] == "rates-001"
