"""A cluster that fails in the middle ends the sweep with one line; this one has no machines at all."""

import os
import sys
import time
from functools import partial
from types import ModuleType, SimpleNamespace

import pytest

from mlprun import extras
from mlprun.errors import DeviceError
from mlprun.sweeps import cohort_file, trials
from mlprun.sweeps.folder import SweepFolder


class Cluster(ModuleType):
    """The parts of Ray that the launcher uses; a task is carried out when its result is asked for."""

    def __init__(self):
        super().__init__("ray")
        names = ("RayError", "RayTaskError", "OutOfMemoryError")
        self.exceptions = SimpleNamespace(**{name: type(name, (Exception,), {}) for name in names})
        self.waits, self.cancelled = [], 0
        self.begun, self.awaits = 0, 0
        self.fails = SimpleNamespace(wait=None, submit=None)

    def is_initialized(self):
        return True

    def cluster_resources(self):
        return {"CPU": 2.0}

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 2.0}}]

    def remote(self, **_):
        def made(train):
            def begin(*arguments):
                self._fail("submit")
                self.begun += 1
                return partial(train, *arguments)

            return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=begin))

        return made

    def wait(self, references, **_):
        while self.begun < self.awaits:
            time.sleep(0.01)
        self._fail("wait")
        self.waits.append(len(references))
        return references[:1], references[1:]

    def get(self, reference):
        return reference()

    def cancel(self, reference, **_):
        self.cancelled += 1
        raise ConnectionError("nobody is there")

    def _fail(self, what):
        after = getattr(self.fails, what)
        if after is not None and len(self.waits) >= after:
            raise ConnectionError("the head is gone")


@pytest.fixture
def cluster(monkeypatch):
    made = Cluster()
    monkeypatch.setitem(sys.modules, "ray", made)
    monkeypatch.delitem(sys.modules, "mlprun.sweeps.ray_executor", raising=False)
    monkeypatch.setattr(extras, "need", lambda *_, **__: None)
    from mlprun.sweeps.ray_executor import RayWorkers

    monkeypatch.setattr(RayWorkers, "batch_seconds", 1e-9)  # each trial is a task of its own
    yield made
    sys.modules.pop("mlprun.sweeps.ray_executor", None)


LOST = "^--on ray: the cluster was lost: ConnectionError: the head is gone; the same command resumes"


@pytest.mark.parametrize("after", [0, 2])
def test_what_a_lost_cluster_had_given_back_is_kept(after, cluster, sweep, tmp_path):
    cluster.fails.wait, cluster.awaits = after, 4
    with pytest.raises(DeviceError, match=LOST):
        sweep("seeds: 4", "base.engine=torch", on="ray")
    assert cluster.cancelled == 4 - after  # each is tried, though none succeeds
    partial = SweepFolder(str(tmp_path / "runs" / "trials-001")).partial(1)
    assert os.path.exists(partial) == bool(after)
    if after:
        assert len(cohort_file.read(partial).partial_results) == after
    cluster.fails.wait = None
    swept = sweep("seeds: 4", "base.engine=torch", on="ray")
    assert [trial.status for trial in swept.trials] == ["finished"] * 4
    assert len(cluster.waits) == 4  # nothing was trained twice


def test_a_cluster_that_takes_no_task_is_told_of(cluster, sweep):
    cluster.fails.submit = 0
    with pytest.raises(DeviceError, match=LOST):
        sweep("seeds: 4", "base.engine=torch", on="ray")


def test_a_cluster_that_takes_no_further_turn_leaves_the_trial_where_it_stands(
    cluster, sweep, tmp_path, monkeypatch
):
    monkeypatch.setattr(trials, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(trials, "CHUNK_SECONDS", 0.01)
    cluster.fails.submit = 3
    with pytest.raises(DeviceError, match=LOST):
        sweep("seeds: 1", "base.engine=torch", "base.training.epochs=100000", on="ray")
    assert len(cluster.waits) == 3
    partial = SweepFolder(str(tmp_path / "runs" / "trials-001")).partial(1)
    (standing,) = cohort_file.read(partial).partial_results
    assert 0 < standing.state.epoch < 100_000
