"""Runs on disk with this engine: killed, resumed, and resumed in another chunking, to the byte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlprun import api

CONFIG: dict[str, Any] = {
    "name": "killed",
    "dataset": {"name": "moons", "noise": 0.3, "split": {"train": 200, "dev": 60, "test": 60}},
    "architecture": {"hidden": [8], "activation": "tanh", "norm": "batch", "dropout": 0.1},
    "optimizer": {"name": "adam", "lr": 0.01},
    "training": {"epochs": 4000, "batch_size": 32, "log_every": 50},
    "checkpoint": {"seconds": 0.01},
    "engine": "fused",
}
FILES = ("last.safetensors", "best.safetensors", "history.csv")
# forks a process for each delay, so that they start up once
CHILD = """
import json, os, signal, sys, time
from mlprun import api, engines
from mlprun.experiment import Experiment
config, folder, *delays = sys.argv[1:]
engines.choose(Experiment.of(api.load_config(json.loads(config))), "fused")
print(*sorted({"numba", "llvmlite"} & sys.modules.keys()), flush=True)
from mlprun.engines.fused import run
run.TRAIN.compiled("float32")
for delay in delays:
    path = f"{folder}/{delay}"
    child = os.fork()
    if child == 0:
        api.train(json.loads(config), out=path)
        os._exit(0)
    while not os.path.exists(f"{path}/killed-001/last.safetensors"):
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.001)
    time.sleep(float(delay))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def contents(folder: str) -> dict[str, bytes]:
    return {name: (Path(folder) / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return contents(api.train(CONFIG, out=str(tmp_path_factory.mktemp("whole"))).path)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], str]:
    """Folders of runs that were killed some time after their first checkpoint, and the output before."""
    folder = str(tmp_path_factory.mktemp("killed"))
    delays = ["0", "0.05", "0.2"]
    command = [sys.executable, "-c", CHILD, json.dumps(CONFIG), folder, *delays]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [f"{folder}/{delay}/killed-001" for delay in delays], output


def test_choosing_an_engine_loads_no_compiler(killed: tuple[list[str], str]) -> None:
    assert killed[1].splitlines()[0] == ""


def test_killed_runs_end_with_the_bytes_of_an_undisturbed_one(
    undisturbed: dict[str, bytes], killed: tuple[list[str], str]
) -> None:
    for folder in killed[0]:
        run = api.resume(folder)
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
