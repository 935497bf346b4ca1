"""Runs on disk with this engine: killed, resumed, and resumed in another chunking, to the byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mlprun import api

CONFIG: dict[str, Any] = {
    "name": "killed",
    "dataset": {"name": "moons", "noise": 0.3, "split": {"train": 200, "dev": 60, "test": 60}},
    "architecture": {"hidden": [8], "activation": "tanh"},
    "optimizer": {"name": "adam", "lr": 0.01},
    "training": {"epochs": 4000, "batch_size": 32, "log_every": 50},
    "checkpoint": {"seconds": 0.01},
    "engine": "fused",
}
FILES = ("last.safetensors", "best.safetensors", "history.csv")
CHILD = "import sys, json; from mlprun import api; api.train(json.loads(sys.argv[1]), out=sys.argv[2])"


def contents(folder: str) -> dict[str, bytes]:
    return {name: (Path(folder) / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return contents(api.train(CONFIG, out=str(tmp_path_factory.mktemp("whole"))).path)


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.2])
def test_a_killed_run_ends_with_the_bytes_of_an_undisturbed_one(
    undisturbed: dict[str, bytes], tmp_path: Path, delay: float
) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, json.dumps(CONFIG), str(tmp_path)])
    folder = tmp_path / "killed-001"
    while not (folder / "last.safetensors").exists() and child.poll() is None:
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    run = api.resume(str(folder))
    assert run.status.state == "finished"
    assert contents(run.path) == undisturbed
    assert run.folder.record()["engine"] == "fused"


def test_an_extended_run_equals_one_that_was_long_from_the_start(
    undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    short = CONFIG | {"training": CONFIG["training"] | {"epochs": 1111, "log_every": 1111}}
    long = CONFIG | {"training": CONFIG["training"] | {"log_every": 1111}}
    run = api.resume(api.train(short, out=str(tmp_path)).path, epochs=4000)
    assert run.last.epoch == 4000
    whole = api.train(long, out=str(tmp_path))
    for name, tensor in run.last.network.state_dict().items():
        assert bool((tensor == whole.last.network.state_dict()[name]).all())
