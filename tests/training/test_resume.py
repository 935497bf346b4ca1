"""Going on: where a run stopped, further than it was meant to go, and from what damage has left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlprun.api as mlprun
from mlprun import cli
from mlprun.errors import CheckpointError, DataError, RunInUseError, UsageError
from mlprun.storage import checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable

    Train = Callable[..., mlprun.Run]
    Contents = Callable[[Any], dict[str, bytes]]


def test_resuming_a_finished_run_does_nothing(train: Train, contents: Contents) -> None:
    run = train()
    before, figures, epochs = contents(run), run.metrics, run.status.epochs
    again = mlprun.resume(run.path)
    assert contents(again) == before
    assert (again.metrics, again.status.epochs, again.status.state) == (figures, epochs, "finished")


def test_resuming_a_run_that_stopped_early_does_nothing(train: Train, contents: Contents) -> None:
    run = train(optimizer={"lr": 40.0}, training={"epochs": 200}, early_stopping={"patience": 5})
    assert run.status.reason == "early_stopping"
    before = contents(run)
    again = mlprun.resume(run.path)
    assert contents(again) == before
    assert again.status.reason == "early_stopping"
    with pytest.raises(UsageError, match="stopped early"):
        mlprun.resume(run.path, epochs=300)
    assert contents(run) == before


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"optimizer": {"name": "adam", "lr": 0.01}, "training": {"batch_size": 16}},
        {"optimizer": {"name": "lbfgs", "lr": 0.2, "max_iter": 4}},
        {"schedule": {"name": "step", "step_size": 4}},
        *(
            {"engine": engine, "training": {"batch_size": 8, "dtype": "float64", "accumulate": 4} | average}
            for engine in ("torch", "fused", "scratch")
            for average in (
                {"average": {"name": "ema", "decay": 0.9}},
                {"average": {"name": "swa", "start": 5}},
            )
        ),
        *(
            {"engine": engine, "freeze": ["*.0.bias"], "training": {"batch_size": 16, "dtype": "float64"}}
            | {"optimizer": {"name": "adam", "groups": [{"parameters": "*.1.*", "lr": 0.1}]}}
            for engine in ("torch", "fused", "scratch")
        ),
        {"schedule": {"name": "reduce_on_plateau", "patience": 0, "factor": 0.5}, "optimizer": {"lr": 30.0}},
    ],
)
def test_an_extended_run_is_the_longer_run(
    sections: dict[str, Any], train: Train, contents: Contents
) -> None:
    training = sections.get("training", {})
    longer = train(**{**sections, "training": {**training, "epochs": 20}})
    short = train(**{**sections, "training": {**training, "epochs": 7}})
    extended = mlprun.resume(short.path, epochs=20)
    assert extended.status.epochs == 20
    found, expected = contents(extended), contents(longer)
    for name in ("config.yaml", "history.csv", "last.safetensors"):
        assert found[name] == expected[name], name
    assert extended.metrics == longer.metrics


def test_an_extension_says_what_would_work(train: Train, contents: Contents) -> None:
    run = train()
    before = contents(run)
    for epochs in (5, 12):
        with pytest.raises(UsageError, match="already goes to 12 epochs; give more than 12"):
            mlprun.resume(run.path, epochs=epochs)
    falling = train(schedule="cosine")
    with pytest.raises(UsageError, match="cosine schedule depends on the number of epochs"):
        mlprun.resume(falling.path, epochs=20)
    assert contents(run) == before
    assert falling.status.state == "finished"


def test_a_schedule_with_a_length_of_its_own_can_be_extended(train: Train) -> None:
    run = train(schedule={"name": "cosine", "t_max": 20})
    assert mlprun.resume(run.path, epochs=20).status.epochs == 20


def test_a_damaged_last_falls_back_to_the_one_before(train: Train, contents: Contents, heard: Any) -> None:
    run = train(checkpoint={"epochs": 5})
    before = contents(run)
    last = Path(run.folder.last)
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    again = mlprun.resume(run.path, callbacks=[heard])
    assert contents(again) == before
    assert any("last.previous.safetensors" in message and "damaged" in message for message in heard.said)


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", b"\x89PNG\r\n", b"PK\x03\x04" + b"0" * 400])
def test_two_damaged_checkpoints_are_the_end_of_a_run(damage: bytes, train: Train) -> None:
    run = train(checkpoint={"epochs": 5})
    Path(run.folder.last).write_bytes(damage)
    Path(run.folder.previous).write_bytes(damage)
    with pytest.raises(CheckpointError) as caught:
        mlprun.resume(run.path)
    assert caught.value.exit_code == 4


def test_a_run_whose_checkpoints_are_gone_begins_again(train: Train, contents: Contents) -> None:
    run = train()
    before = contents(run)
    for path in (run.folder.last, run.folder.previous, run.folder.best):
        os.unlink(path)
    assert contents(mlprun.resume(run.path)) == before


def test_a_run_in_use_is_left_alone(train: Train, contents: Contents) -> None:
    run = train()
    before = contents(run)
    with run.folder.lock():
        with pytest.raises(RunInUseError, match=f"process {os.getpid()}"):
            mlprun.resume(run.path, epochs=20)
        assert cli.main(["resume", run.path, "--epochs", "20", "-q"]) == 5
    assert contents(run) == before


def test_a_file_of_initial_weights_may_be_gone(train: Train, tmp_path: Path) -> None:
    """The checkpoint is enough on its own."""
    first = train(training={"epochs": 3})
    path = tmp_path / "start.safetensors"
    path.write_bytes(Path(first.folder.last).read_bytes())
    init = {"init": {"name": "file", "path": str(path)}}
    longer = train(architecture=init, training={"epochs": 9})
    run = train(architecture=init, training={"epochs": 4})
    start = checkpoints.read(longer.folder.last).snapshots()[0]
    for name, tensor in first.last.network.state_dict().items():
        np.testing.assert_array_equal(start[name], tensor)
    path.unlink()
    assert run.best.evaluate() == run.metrics["best"]["splits"]
    extended = mlprun.resume(run.path, epochs=9)
    np.testing.assert_array_equal(extended.history["train_loss"], longer.history["train_loss"])


def test_a_table_that_is_gone_is_named(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("a,y\n" + "".join(f"{k},{k % 5}\n" for k in range(30)))
    dataset = {"name": "table", "path": str(table), "target": "y"}
    config = {"dataset": dataset, "optimizer": {"lr": 0.01}, "training": {"epochs": 2}}
    run = mlprun.train(config, out=str(tmp_path / "runs"))
    table.unlink()
    with pytest.raises(DataError, match=r"rows\.csv"):
        mlprun.resume(run.path, epochs=5)


def test_another_runs_checkpoint_is_no_state_to_go_on_from(train: Train) -> None:
    run = train()
    Path(run.folder.last).write_bytes(Path(run.folder.best).read_bytes())
    with pytest.raises(CheckpointError, match="not the newest state"):
        mlprun.resume(run.path, epochs=20)


def test_a_best_of_the_past_is_found_out(train: Train) -> None:
    run = train(training={"epochs": 4})
    early = Path(run.folder.best).read_bytes()
    longer = mlprun.resume(run.path, epochs=12)
    Path(longer.folder.best).write_bytes(early)
    with pytest.raises(CheckpointError, match="knows a better one"):
        mlprun.resume(run.path, epochs=20)


def test_time_adds_up_over_resumes(train: Train) -> None:
    run = train()
    first = run.status.seconds
    assert first > 0
    assert mlprun.resume(run.path, epochs=20).status.seconds > first
