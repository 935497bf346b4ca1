"""`mlprun reproduce`: equal where nothing changed, and what differs named where something did."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import mlprun.api as mlprun
from mlprun import cli
from mlprun.storage import checkpoints
from mlprun.storage.checkpoints import Checkpoint

CONFIG = {
    "name": "small",
    "dataset": {"name": "moons", "noise": 0.3, "split": {"train": 45, "dev": 20, "test": 15}},
    "architecture": {"hidden": [4]},
    "optimizer": {"name": "adam", "lr": 0.05},
    "training": {"epochs": 12, "batch_size": 16},
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> mlprun.Run:
    monkeypatch.chdir(tmp_path)
    return mlprun.train(CONFIG)


def nudged(path: str, by: float) -> None:
    """Move one weight of a checkpoint, which keeps its checksum true."""
    checkpoint = checkpoints.read(path)
    tensors = {name: np.array(array) for name, array in checkpoint.tensors.items()}
    tensors["model.layers.0.bias"][0] += by
    Path(path).write_bytes(checkpoints.encode(Checkpoint(tensors, checkpoint.meta)))


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object], str]:
    code = cli.main(["reproduce", *arguments, "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def test_a_run_is_reproduced_to_the_byte_and_leaves_nothing_behind(run, capsys, tmp_path):
    before = {path.name: path.read_bytes() for path in Path(run.path).iterdir()}
    assert cli.main(["reproduce", run.path, "-q"]) == 0
    assert capsys.readouterr() == ("reproduced: identical byte for byte\n", "")
    assert {path.name: path.read_bytes() for path in Path(run.path).iterdir()} == before
    assert sorted(os.listdir("runs")) == ["latest", "small-001"]
    code, said, _ = told(capsys, run.path)
    assert code == 0
    assert (said["equal"], said["largest"], said["rows"], said["again"]) == (True, 0.0, [12, 12], None)
    assert set(said["weights"]) == {"best", "last"}
    assert said["differences"] == []


def test_an_extended_run_is_reproduced_by_way_of_its_former_last_epochs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    training = {"epochs": 7, "batch_size": 16, "evaluate_every": 5, "log_every": 5}
    run = mlprun.train(CONFIG | {"training": training})
    mlprun.resume(run.path, epochs=13)
    mlprun.resume(run.path, epochs=20)
    assert list(mlprun.load(run.path).history["epoch"]) == [5, 7, 10, 13, 15, 20]
    code, document, _ = told(capsys, run.path)
    assert (code, document["equal"]) == (0, True)


def test_the_new_run_is_kept_where_it_is_asked_for(run, capsys):
    code, said, _ = told(capsys, run.path, "--out", "again")
    assert (code, said["again"]) == (0, os.path.join("again", "small-001"))
    assert mlprun.load("again/small-001").status.state == "finished"


@pytest.mark.parametrize("name", ["best", "last"])
def test_weights_that_differ_end_with_ten_unless_the_tolerance_forgives_them(run, name, capsys):
    nudged(getattr(run.folder, name), 1e-3)
    code, said, err = told(capsys, run.path)
    assert code == 10
    assert said["weights"][name]["model.layers.0.bias"] == pytest.approx(1e-3, rel=1e-3)
    assert said["first_epoch"] is None
    assert err.splitlines()[-1].startswith(
        f"error: {run.path}: was not reproduced: the largest difference is"
    )
    assert "nothing that is recorded has changed" in err
    assert told(capsys, run.path, "--tolerance", "1e-4")[0] == 10
    assert told(capsys, run.path, "--tolerance", "1e-2")[0] == 0


def test_a_difference_in_the_history_is_told_with_its_epoch(run, capsys):
    path = Path(run.folder.history)
    lines = path.read_text().splitlines(keepends=True)
    cells = lines[7].split(",")
    lines[7] = ",".join([*cells[:2], repr(float(cells[2]) + 0.25), *cells[3:]])
    path.write_text("".join(lines))
    code, said, err = told(capsys, run.path)
    assert (code, said["first_epoch"]) == (10, 7)
    assert said["history"]["train_loss"] == pytest.approx(0.25)
    assert "first in the history at epoch 7" in err
    path.write_text("".join(lines[:6]))
    code, said, _ = told(capsys, run.path, "--tolerance", "1e9")
    assert (code, said["first_epoch"], said["rows"]) == (10, 6, [5, 12])
    assert said["largest"] is None  # infinite


def test_every_recorded_difference_is_named(run, capsys):
    path = Path(run.path, "run.json")
    record = json.loads(path.read_text())
    record["versions"]["torch"], record["cpu"]["model"] = "1.0", "Abacus"
    record["platform"]["release"], record["cpu"]["count"], record["data_digest"] = "0", 99, "0"
    path.write_text(json.dumps(record))
    config = Path(run.folder.config)
    config.write_text(config.read_text().replace("lr: 0.05", "lr: 0.06"))
    history = Path(run.folder.history)
    history.write_text(history.read_text().replace("0.05", "0.06"))  # the learning rate of every epoch
    code, said, err = told(capsys, run.path)
    assert code == 10
    names = ("torch was 1.0", "the CPU was Abacus", "kernel was 0", "cores was 99", "the rows were others")
    for name in (*names, "config.yaml was edited"):
        assert any(name in difference for difference in said["differences"]), name
        assert name in err


def test_a_run_that_has_not_ended_is_refused(run, capsys):
    status = Path(run.path, "status.json")
    status.write_text(status.read_text().replace("finished", "interrupted"))
    assert cli.main(["reproduce", run.path]) == 4
    expected = f"error: {run.path}: has not come to its end: it is interrupted; finish it with mlprun resume"
    assert capsys.readouterr().err.startswith(expected)


def test_a_diverged_run_is_reproduced_as_well(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wild.yaml").write_text("dataset: xor\noptimizer: {name: sgd, lr: 1e+38}\nloss: mse\n")
    assert cli.main(["train", "wild.yaml", "-q"]) == 8
    assert cli.main(["reproduce", "runs/wild-001", "-q"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code"), [(("nowhere",), 4), (("runs/small-001", "--tolerance", "-1"), 2)]
)
def test_what_cannot_be_done_is_refused(run, arguments, code, capsys):
    assert cli.main(["reproduce", *arguments]) == code
