"""Runs that end badly: they say why, what is saved is sound, and they can go on where that makes sense."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlprun.api as mlprun
from mlprun.engines.epoch_protocol import SequentialEngine
from mlprun.errors import DeviceError, DivergedError, FileError, OutOfMemoryError
from mlprun.storage.runs import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    Train = Callable[..., mlprun.Run]

WILD = {
    "dataset": {"name": "regression", "features": 4, "split": {"train": 40, "dev": 10, "test": 10}},
    "optimizer": {"lr": 1.0},
    "architecture": {"activation": "relu"},
    "training": {"epochs": 100},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_diverged_run_keeps_its_last_finite_epoch(dtype: str, train: Train) -> None:
    with pytest.raises(DivergedError, match=r"lower optimizer\.lr") as caught:
        train(**WILD | {"training": {"epochs": 100, "dtype": dtype}})
    assert caught.value.exit_code == 8
    run = mlprun.load(caught.value.where)
    assert run.status.state == "diverged"
    assert run.status.epochs == run.last.epoch == len(run.history["epoch"]) < 100
    assert np.isfinite(run.history["train_loss"]).all()
    for tensor in run.last.network.state_dict().values():
        assert np.isfinite(tensor.numpy()).all()
    assert run.metrics["last"]["epoch"] == run.status.epochs


def test_a_diverged_run_diverges_again_when_it_is_resumed(train: Train, contents: Any) -> None:
    with pytest.raises(DivergedError) as caught:
        train(**WILD)
    before = contents(caught.value.where)
    with pytest.raises(DivergedError):
        mlprun.resume(caught.value.where)
    assert contents(caught.value.where) == before


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, *, after: int) -> None:
    """Let the engine fail with `error` in its chunk number `after`."""
    advance, calls = SequentialEngine.advance, []

    def broken(self: SequentialEngine[Any], *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > after:
            raise error
        return advance(self, *arguments)

    monkeypatch.setattr(SequentialEngine, "advance", broken)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
        ),
    ],
)
def test_memory_that_runs_out_leaves_the_last_checkpoint(
    error: Exception, train: Train, monkeypatch: pytest.MonkeyPatch, contents: Any, tmp_path: Path
) -> None:
    sound = train(out="sound", engine="torch", checkpoint={"epochs": 1})
    with monkeypatch.context() as patch:
        failing(patch, error, after=2)
        with pytest.raises(OutOfMemoryError) as caught:
            train(engine="torch", checkpoint={"epochs": 1})
    assert caught.value.exit_code == 9
    run = mlprun.load(str(tmp_path / "runs" / "small-001"))
    assert run.status.state == "failed"
    assert "memory ran out" in run.status.reason
    assert run.last.epoch == 2
    assert contents(mlprun.resume(run.path)) == contents(sound)


def test_a_disk_that_fills_up_is_told_and_the_run_goes_on_later(
    train: Train, monkeypatch: pytest.MonkeyPatch, contents: Any, tmp_path: Path
) -> None:
    sound, save, calls = train(out="sound", checkpoint={"epochs": 3}), RunFolder.save_last, []

    def full(self: RunFolder, data: bytes) -> None:
        calls.append(1)
        if len(calls) > 3:
            raise FileError(self.last, "the disk is full", "free some space")
        save(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_last", full)
        with pytest.raises(FileError, match="the disk is full"):
            train(checkpoint={"epochs": 3})
    run = mlprun.load(str(tmp_path / "runs" / "small-001"))
    assert run.status.state == "failed"
    assert "the disk is full" in run.status.reason
    assert contents(mlprun.resume(run.path)) == contents(sound)


def test_a_device_that_is_not_there_is_refused_before_a_folder_is_made(train: Train, tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        train(device="cuda:99")
    assert caught.value.exit_code == 6
    assert not (tmp_path / "runs").exists()


def test_numbers_near_the_end_of_their_range_end_without_a_word_of_numpys(train: Train) -> None:
    """Warnings are errors here: a diverging run would otherwise show NumPy's on the terminal."""
    inline = {"inputs": [[1e200, 1.0], [2e200, 2.0], [-1e200, 4.0]], "targets": [[1.0], [2.0], [3.0]]}
    for targets in ([[1.0], [2.0], [3.0]], [[1e300], [2e300], [-1e307]], [0, 1, 0]):
        dataset = {"name": "inline", **inline, "targets": targets}
        config = {"dataset": dataset, "loss": "mae", "training": {"epochs": 3, "dtype": "float64"}}
        try:
            run = mlprun.train(config, out=str(Path(train(training={"epochs": 0}).path).parent))
        except DivergedError as error:
            run = mlprun.load(error.where)
        assert run.status.state in ("finished", "diverged")
