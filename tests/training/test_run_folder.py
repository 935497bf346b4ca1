"""What a run leaves behind: its files, and the same bytes whenever the same config is trained."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlprun.api as mlprun
from mlprun.errors import UsageError
from mlprun.storage import checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable

    Train = Callable[..., mlprun.Run]
    Contents = Callable[[Any], dict[str, bytes]]

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batches": {
        "training": {"batch_size": 16},
        "architecture": {"dropout": 0.3},
        "optimizer": {"momentum": 0.9},
    },
    "snapshots": {"snapshots": [0, 3, 12]},
    "double": {"training": {"dtype": "float64"}, "penalty": {"l2": 1e-3}},
    "lbfgs": {"optimizer": {"name": "lbfgs", "lr": 0.1, "max_iter": 5}},
    "stopped early": {
        "optimizer": {"lr": 40.0},
        "training": {"epochs": 200},
        "early_stopping": {"patience": 5},
    },
    "fresh": {
        "dataset": {
            "name": "circles",
            "noise": 0.1,
            "split": {"train": 30, "dev": {"fresh": 20}, "test": {"fresh": 20}},
        }
    },
}


def test_a_run_folder_holds_what_is_promised(train: Train) -> None:
    run = train()
    names = {path.name for path in Path(run.path).iterdir()}
    promised = {
        "config.yaml",
        "run.json",
        "status.json",
        "history.csv",
        "best.safetensors",
        "last.safetensors",
        "snapshots.safetensors",
    }
    assert promised <= names <= promised | {"last.previous.safetensors", "train.log", "lock", "plots"}
    assert Path(run.path).name == "small-001"
    assert Path(train().path).name == "small-002"


def test_the_record_says_what_was_run_and_with_what(train: Train) -> None:
    run = train(training={"seed": 5})
    record = json.loads(Path(run.path, "run.json").read_text())
    assert record["engine"] == "fused"
    assert record["device"] == "cpu"
    assert record["seeds"] == {"training": 5, "dataset": 5}
    digest = hashlib.sha256(Path(run.folder.config).read_bytes()).hexdigest()
    assert digest in Path(run.path, "run.json").read_text()


def test_history_has_a_row_per_epoch_and_no_clock_times(train: Train) -> None:
    run = train()
    lines = Path(run.folder.history).read_text().splitlines()
    assert lines[0] == "epoch,lr,train_loss,train_objective,train_accuracy,dev_loss,dev_accuracy"
    assert [line.split(",")[0] for line in lines[1:]] == [str(epoch) for epoch in range(1, 13)]
    for name, column in run.history.items():
        written = [float(line.split(",")[lines[0].split(",").index(name)]) for line in lines[1:]]
        np.testing.assert_array_equal(column, written)


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_runs_of_a_config_have_the_same_bytes(variant: str, train: Train, contents: Contents) -> None:
    one, other = train(**VARIANTS[variant]), train(**VARIANTS[variant])
    assert contents(one) == contents(other)
    assert one.metrics == other.metrics


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_config_in_the_folder_trains_again_as_it_is(
    variant: str, train: Train, contents: Contents, tmp_path: Path
) -> None:
    run = train(**VARIANTS[variant])
    again = mlprun.train(run.folder.config, out=str(tmp_path / "again"))
    assert contents(again) == contents(run)


def test_checkpoints_and_history_do_not_depend_on_how_often_is_saved(train: Train) -> None:
    seldom, often = (
        train(training={"epochs": 40}, checkpoint={"seconds": seconds, "epochs": epochs})
        for seconds, epochs in ((1000.0, None), (1e-9, 1))
    )
    assert Path(seldom.folder.history).read_bytes() == Path(often.folder.history).read_bytes()
    for path, twin in ((seldom.folder.last, often.folder.last), (seldom.folder.best, often.folder.best)):
        mine, theirs = checkpoints.read(path), checkpoints.read(twin)
        assert {name: array.tobytes() for name, array in mine.tensors.items()} == {
            name: array.tobytes() for name, array in theirs.tensors.items()
        }
        for key in mine.meta.keys() - {"config"}:
            assert mine.meta[key] == theirs.meta[key], key


def test_a_relative_table_is_found_from_the_run_folder(tmp_path: Path, contents: Contents) -> None:
    (tmp_path / "data").mkdir()
    rows = "".join(f"{k},{k * k % 11},{(3 * k) % 7}\n" for k in range(40))
    (tmp_path / "data" / "rows.csv").write_text("a,b,y\n" + rows)
    config = tmp_path / "table.yaml"
    config.write_text(
        "dataset: {name: table, path: data/rows.csv, target: y}\n"
        "optimizer: {lr: 0.01}\n"
        "training: {epochs: 3}\n"
    )
    run = mlprun.train(config, out=str(tmp_path / "runs"))
    assert "../../data/rows.csv" in Path(run.folder.config).read_text()
    assert str(tmp_path) not in Path(run.folder.config).read_text()
    assert str(tmp_path).encode() not in Path(run.folder.last).read_bytes()
    again = mlprun.train(run.folder.config, out=str(tmp_path / "runs"))
    assert contents(again) == contents(run)


def test_snapshots_are_of_the_epochs_that_were_asked_for(train: Train) -> None:
    run = train(snapshots=[3, 7])
    models = checkpoints.read(run.folder.last).snapshots()
    assert sorted(models) == [0, 3, 7]
    for epoch, model in models.items():
        other = train(training={"epochs": epoch})
        network = other.last.network.state_dict()
        for name, array in model.items():
            np.testing.assert_array_equal(array, network[name])


def test_figures_name_what_they_are_of(train: Train) -> None:
    # with hardly any step the accuracy stays as it is, and the first epoch is the best on every machine
    run = train(optimizer={"lr": 1e-12}, training={"epochs": 60}, best={"metric": "dev_accuracy"})
    best, dev = run.metrics["best"], run.history["dev_accuracy"]
    assert best["epoch"] == int(dev.argmax()) + 1 < 60
    assert best["metric"] == "dev_accuracy"
    assert best["value"] == dev.max() == best["splits"]["dev"]["accuracy"]
    assert run.metrics["last"]["epoch"] == 60
    assert run.metrics["last"]["splits"]["dev"]["accuracy"] == dev[-1]
    assert run.best.epoch == best["epoch"]


def test_no_epochs_leave_a_run_that_can_be_used(train: Train) -> None:
    run = train(training={"epochs": 0})
    assert run.status.state == "finished"
    assert run.metrics["best"] is None
    assert run.history["epoch"].size == 0
    assert run.best.evaluate() == run.metrics["last"]["splits"]
    assert mlprun.resume(run.path, epochs=2).status.epochs == 2


def test_a_callback_is_called_at_the_start_and_after_every_chunk(train: Train) -> None:
    class Listener(mlprun.Callback):
        def __init__(self) -> None:
            self.heard: list[tuple[str, int]] = []

        def on_train_start(self, run: Any) -> None:
            assert Path(run.path, "config.yaml").exists()
            self.heard.append(("begin", run.epoch))

        def on_chunk_end(self, run: Any, chunk: Any) -> None:
            assert run.seconds >= 0
            self.heard.append(("report", chunk.epoch))

    listener = Listener()
    train(callbacks=[listener])
    assert listener.heard[0] == ("begin", 0)
    epochs = [epoch for kind, epoch in listener.heard[1:] if kind == "report"]
    assert epochs == sorted(set(epochs))
    assert epochs[-1] == 12


def test_the_threads_of_a_run_are_its_own(train: Train) -> None:
    import torch

    seen = []

    class Listener(mlprun.Callback):
        def on_chunk_end(self, run: Any, chunk: Any) -> None:
            seen.append(torch.get_num_threads())

    torch.set_num_threads(2)
    train(training={"threads": 1}, callbacks=[Listener()])
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2


def test_snapshots_that_no_checkpoint_can_hold_are_refused_before_anything_is_trained(
    train: Callable[..., mlprun.Run], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"snapshots.*checkpoint would hold 1\d,\d{3} tensors"):
        train(snapshots=tuple(range(3000)), training={"epochs": 3000})
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["lock", "history.csv", "plots", ".hidden.py"])
def test_code_cannot_take_the_place_of_a_runs_own_files(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("")
    config = {"extend": (str(tmp_path / name),), "dataset": "xor", "training": {"epochs": 1}}
    with pytest.raises(UsageError, match="give each file a name of its own"):
        mlprun.train(config, out=str(tmp_path / "runs"), allow_code=True)


@pytest.mark.parametrize(("log_every", "lines"), [(1, [10, 20, 30]), (7, [14, 21, 30]), (40, [30])])
def test_the_log_tells_of_the_first_row_behind_each_multiple_of_report_every(
    log_every: int, lines: list[int], train: Callable[..., mlprun.Run]
) -> None:
    run = train(training={"epochs": 30, "log_every": log_every, "report_every": 10})
    told = [line for line in Path(run.path, "train.log").read_text().splitlines() if " lr " in line]
    assert [int(line.split()[1].rstrip(":")) for line in told] == lines


@pytest.mark.parametrize(
    "name", ["1e3", "0o7", "012", "0x1F", "true", "null", "1.5", "9" * 30, "on", "1_000"]
)
def test_a_name_that_looks_like_something_else_is_stored_as_the_name_it_is(
    name: str, train: Callable[..., mlprun.Run]
) -> None:
    run = train(name=name, training={"epochs": 1})
    assert mlprun.load(run.path).config.name == name
