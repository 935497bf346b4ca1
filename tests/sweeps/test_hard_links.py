"""Copies of sweep folders made with `cp -al` share files by hard links, yet are sweeps of their own."""

import os
import shutil
from pathlib import Path

import mlprun.api as mlprun
from mlprun.sweeps import database
from mlprun.sweeps.schema import Configuration, Description, Trial


def files_of(folder):
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_continuing_a_hard_linked_sweep_does_not_change_the_original(tmp_path):
    config = {"dataset": "xor", "architecture": {"hidden": [2]}, "training": {"epochs": 3}}
    swept = mlprun.sweep({"name": "s", "base": config, "seeds": 2}, out=str(tmp_path / "a"))
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=os.link)
    before = files_of(tmp_path / "a")
    more = mlprun.sweep({"name": "s", "base": config, "seeds": 3}, out=str(tmp_path / "b"))
    assert more.path == str(tmp_path / "b" / os.path.basename(swept.path))
    assert len(more.trials) == 3
    assert files_of(tmp_path / "a") == before
    assert len(mlprun.load_sweep(swept.path).trials) == 2


def test_the_write_ahead_log_of_a_crashed_sweep_is_not_shared(tmp_path):
    path, crashed, copy = tmp_path / "trials.sqlite", tmp_path / "crashed", tmp_path / "copy"
    crashed.mkdir()
    with database.create(str(path), Description("s", (), ("test_loss",))) as writer:
        writer.extend([Configuration(1, {})], [Trial(1, 1, 0)])
        for name in ("trials.sqlite", "trials.sqlite-wal", "trials.sqlite-shm"):  # as a kill leaves them
            shutil.copy(tmp_path / name, crashed)
    shutil.copytree(crashed, copy, copy_function=os.link)
    before = files_of(crashed)
    with database.Writer(str(copy / "trials.sqlite")) as writer:
        writer.extend((), [Trial(2, 1, 1)])
        writer.close(final=True)
    assert files_of(crashed) == before
    for folder, trials in ((copy, 2), (crashed, 1)):
        with database.open_reading(str(folder / "trials.sqlite")) as results:
            assert len(results.trials()) == trials
