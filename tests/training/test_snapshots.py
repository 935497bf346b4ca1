"""The models in snapshots.safetensors: their epochs, their bytes after an interruption, and their loss."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlprun.api as mlprun
from mlprun import files
from mlprun.errors import CheckpointError
from mlprun.storage import checkpoints
from mlprun.storage.runs import RunFolder
from mlprun.training.recorder import log_spaced

if TYPE_CHECKING:
    from collections.abc import Callable

    Train = Callable[..., mlprun.Run]

LONG = {"training": {"epochs": 300}}


class KilledError(Exception):
    """Ends a training where a kill would."""


def read(run: mlprun.Run) -> bytes:
    return Path(run.folder.snapshots).read_bytes()


@pytest.mark.parametrize(("last", "count"), [(0, 24), (1, 24), (10, 24), (23, 24), (1000, 24), (10**6, 1000)])
def test_log_spaced_epochs_are_as_many_as_asked_for_at_growing_distances(last: int, count: int) -> None:
    epochs = sorted(log_spaced(last, count))
    assert len(epochs) == min(count, last + 1)
    assert (epochs[0], epochs[-1]) == (0, last)
    steps = np.diff(epochs)
    assert (steps > 0).all()
    assert (steps[1:] >= 0.6 * steps[:-1]).all()  # but for rounding, each is longer than the one before


@pytest.mark.parametrize("engine", ["torch", "fused", "scratch"])
def test_snapshots_are_the_models_of_runs_that_end_there(engine: str, train: Train) -> None:
    sections = {"engine": engine, "checkpoint": {"snapshots": 5}}
    dtype = {"dtype": "float64", "batch_size": 16}
    run = train(**sections, training={"epochs": 40, **dtype})
    models = run.snapshots()
    assert list(models) == [0, 1, 3, 11, 40]
    for epoch in (0, 3, 11):
        shorter = train(**sections, training={"epochs": epoch, **dtype}).last.model
        assert models[epoch].keys() == shorter.keys()
        for name, array in shorter.items():
            np.testing.assert_array_equal(models[epoch][name], array)


def test_the_file_is_a_checkpoint_of_the_run_that_says_what_it_holds(train: Train) -> None:
    run = train(checkpoint={"snapshots": 3})
    checkpoint = checkpoints.read(run.folder.snapshots)
    assert checkpoint.meta["kind"] == "snapshots"
    assert checkpoint.meta["epochs"] == [0, 1, 12]
    assert {name for name in checkpoint.tensors if name.startswith("1.")} == {
        f"1.layers.{layer}.{kind}" for layer in (0, 1) for kind in ("weight", "bias")
    }
    others = (run.folder.best, run.folder.last)
    for key in ("config", "preprocessing", "data_digest"):
        assert all(checkpoints.read(path).meta[key] == checkpoint.meta[key] for path in others)


def test_a_run_that_ends_early_keeps_its_last_epoch(train: Train) -> None:
    run = train(optimizer={"lr": 40.0}, training={"epochs": 200}, early_stopping={"patience": 5})
    assert run.status.reason == "early_stopping"
    assert list(run.snapshots())[-1] == run.status.epochs < 200


def test_snapshots_can_be_switched_off_and_change_no_other_byte(
    train: Train, contents: Callable[[Any], dict[str, bytes]]
) -> None:
    run, without = train(), train(checkpoint={"snapshots": 0})
    assert not os.path.lexists(without.folder.snapshots)
    assert list(without.snapshots()) == [0]
    assert "snapshots: 0" in Path(without.folder.config).read_text()
    assert "  snapshots" not in Path(run.folder.config).read_text()  # configs keep the bytes that they had
    assert Path(run.folder.history).read_bytes() == Path(without.folder.history).read_bytes()
    for name, array in run.last.model.items():
        np.testing.assert_array_equal(array, without.last.model[name])


def test_a_large_network_keeps_none_unless_asked_to(train: Train) -> None:
    large = {"architecture": {"hidden": [100, 100]}, "training": {"epochs": 3}}
    assert not os.path.lexists(train(**large).folder.snapshots)
    assert list(train(**large, checkpoint={"snapshots": 2}).snapshots()) == [0, 3]


@pytest.mark.parametrize("method", ["save_snapshots", "save_best", "save_last"])
def test_a_kill_before_or_after_a_file_is_written_changes_no_byte(
    method: str, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {**LONG, "checkpoint": {"epochs": 20}, "optimizer": {"lr": 0.01}}  # ever better
    whole = read(train(**sections))
    save = getattr(RunFolder, method)
    for moment in ((2, "before"), (2, "after"), (5, "before"), (5, "after")):
        calls: list[int] = []

        def killing(self: RunFolder, data: bytes, moment: Any = moment, calls: Any = calls) -> None:
            calls.append(1)
            if moment == (len(calls), "before"):
                raise KilledError
            save(self, data)
            if moment == (len(calls), "after"):
                raise KilledError

        out = f"{method} {moment}"
        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, method, killing)
            with pytest.raises(KilledError):
                train(out=out, **sections)
        (killed,) = (one for one in (tmp_path / out).iterdir() if not one.is_symlink())  # runs/latest
        assert read(mlprun.resume(killed)) == whole, moment


def test_extended_runs_keep_the_epochs_so_far_and_log_spaced_ones_behind_them(
    train: Train, tmp_path: Path
) -> None:
    sections = {"checkpoint": {"snapshots": 6}, "engine": "fused"}
    run = train(**sections, training={"epochs": 30})
    before = list(run.snapshots())
    extended = mlprun.resume(run.path, epochs=3000)
    epochs = list(extended.snapshots())
    assert epochs[: len(before)] == before
    assert epochs[len(before) :] == sorted(epoch for epoch in log_spaced(3000, 6) if epoch > 30)
    again = mlprun.reproduce(run.path, out=str(tmp_path / "again"))
    assert again.equal
    assert (Path(again.path) / "snapshots.safetensors").read_bytes() == read(extended)


def test_a_run_that_is_extended_again_and_again_keeps_twice_as_many_at_most(train: Train) -> None:
    run = train(checkpoint={"snapshots": 4}, training={"epochs": 4}, engine="fused")
    for epochs in range(5, 14):
        run = mlprun.resume(run.path, epochs=epochs)
        kept = list(run.snapshots())
        assert len(kept) <= 8
        assert (kept[0], kept[-1]) == (0, epochs)


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "is missing": lambda _: None,
    "do not match its checksum": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "or a damaged one": lambda data: data[:50],
    "can run code when it is read": lambda _: b"\x80\x04pickle",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_file_costs_the_snapshots_so_far_and_a_warning(what: str, train: Train, heard: Any) -> None:
    whole = train(**LONG)
    run = train(training={"epochs": 100})
    damaged, path = DAMAGES[what](read(run)), Path(run.folder.snapshots)
    path.unlink()
    if damaged is not None:
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=what):
            mlprun.load(run.path).snapshots()
    assert any(what in warning for warning in run.figure_data.warnings) == (damaged is not None)
    extended = mlprun.resume(run.path, epochs=300, callbacks=[heard])
    (warning,) = [message for message in heard.said if "snapshots" in message]
    assert what in warning
    assert warning.endswith("continuing without the snapshots of epochs 1 to 100")
    assert list(extended.snapshots()) == [0, *sorted(epoch for epoch in log_spaced(300, 24) if epoch > 100)]
    assert Path(extended.folder.last).read_bytes() == Path(whole.folder.last).read_bytes()


def test_a_forged_file_is_refused(train: Train) -> None:
    run, other = train(), train(architecture={"hidden": [3]})
    checkpoint = checkpoints.read(run.folder.snapshots)
    tensors, meta = dict(checkpoint.tensors), checkpoint.meta

    def without(name: str) -> dict[str, Any]:
        return {key: array for key, array in tensors.items() if key != name}

    forged = {
        "is of another run": read(other),
        "holds no snapshots": Path(run.folder.best).read_bytes(),
        r"tensor layers\.0\.bias is missing": (without("3.layers.0.bias"), meta),
        "unknown tensor x": ({**tensors, "3.x": np.zeros(2)}, meta),
        "holds a snapshot of no epoch": ({**tensors, "x.layers.0.bias": np.zeros(2)}, meta),
        "models of other epochs": (tensors, {**meta, "epochs": [0, 1]}),
        r"tensor layers\.0\.bias is float32\[2\]": (
            {**tensors, "3.layers.0.bias": np.zeros(2, np.float32)},
            meta,
        ),
    }
    for message, content in forged.items():
        data = content if isinstance(content, bytes) else checkpoints.encode(checkpoints.Checkpoint(*content))
        files.write_atomic(run.folder.snapshots, data)
        with pytest.raises(CheckpointError, match=message):
            mlprun.load(run.path).snapshots()
