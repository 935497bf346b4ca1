"""Trials that a Ray cluster trains are the same trials, though one of its machines is lost in the middle."""

import importlib
import os
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

import mlprun
from mlprun.errors import DeviceError

ray = pytest.importorskip("ray", reason="the extra ray is not installed", exc_type=ImportError)

# what Ray's own processes and files leave open when they end is its own
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def trials(swept):
    return [replace(trial, seconds=None) for trial in swept.trials]


def cohorts(swept):
    found = {}
    folder = os.path.join(swept.path, "cohorts")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = file.read()
    return found


@pytest.fixture
def cluster(monkeypatch):
    """Two machines with a core each, of which one can be lost; this process is connected to them."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def test_a_cluster_that_loses_a_machine_ends_with_the_same_bytes(cluster, sweep, tmp_path, monkeypatch):
    from mlprun.sweeps.ray_executor import RayWorkers

    monkeypatch.setattr(RayWorkers, "batch_seconds", 1e-9)  # each trial is a task of its own
    text = "seeds: 6\ngrid: {optimizer.lr: [0.5, 1e+38]}"
    words = (
        "base.engine=torch",
        "base.loss=mse",
        "base.architecture.activation=identity",
        "base.training.epochs=1500",
    )
    here = sweep(text, *words)
    lost = []

    class Losing(mlprun.api.SilentSweep):
        def report(self, done, seconds):
            if done and not lost:
                (worker,) = cluster.worker_nodes
                cluster.remove_node(worker, allow_graceful=False)
                lost.append(done)

    there = mlprun.sweep(
        tmp_path / "trials.yaml",
        *words,
        out=str(tmp_path / "there"),
        on="ray",
        address=cluster.address,
        reporter=Losing(),
    )
    assert 0 < lost[0] < 12
    assert {trial.status for trial in there.trials} == {"finished", "diverged"}
    assert trials(there) == trials(here)
    assert cohorts(there) == cohorts(here)


def test_a_cluster_that_does_not_answer_is_told_of_at_once(sweep):
    began = time.monotonic()
    with pytest.raises(DeviceError, match=r"no Ray cluster answers at 127\.0\.0\.1:1: .*refused"):
        sweep("seeds: 2", on="ray", address="127.0.0.1:1")
    assert time.monotonic() - began < 10


def test_workers_import_nothing_from_the_working_directory(sweep, tmp_path, monkeypatch):
    folder = tmp_path / "received"
    folder.mkdir()
    for name in ("numpy", "socket", "torch"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'a').write('{name} ')\n")
    monkeypatch.chdir(folder)
    try:
        swept = sweep("seeds: 1", "base.engine=torch", "base.training.epochs=1", on="ray")
    finally:
        ray.shutdown()
    assert [trial.status for trial in swept.trials] == ["finished"]
    assert not (tmp_path / "canary").exists()


def test_the_trainable_of_ray_tune_in_the_documentation_runs(tmp_path, monkeypatch):
    pytest.importorskip("ray.tune", exc_type=ImportError)
    (tmp_path / "configs").symlink_to(Path(__file__).parents[2] / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("HOME", str(tmp_path))  # where Ray Tune keeps results
    _, _, example = importlib.import_module("mlprun.api.sweeps").__doc__.partition("callback:\n")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    names = {"__name__": "__main__"}  # pickled by value
    try:
        exec(textwrap.dedent(example).replace("num_samples=20", "num_samples=2"), names)
    finally:
        ray.shutdown()
    best = names["best"]
    assert best.error is None
    assert best.metrics["training_iteration"] == 12  # 120 epochs
    assert 0.001 < best.config["optimizer.lr"] < 1
    again = mlprun.train(
        "configs/moons.yaml", f"optimizer.lr={best.config['optimizer.lr']}", out=str(tmp_path)
    )
    assert best.metrics["dev_loss"] == again.history["dev_loss"][-1]
