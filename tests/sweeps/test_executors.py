"""Any executor will do: one that trains remotely, in another order, and has to begin again."""

import pickle
import threading
from concurrent.futures import Future

import pytest

import mlprun
from mlprun import extras
from mlprun.errors import UsageError
from mlprun.storage import provenance
from mlprun.sweeps import run, trials
from mlprun.sweeps.definition import read
from mlprun.sweeps.plan import Plan
from mlprun.sweeps.trials import BatchResult, ResumeState

from .conftest import content

TEXT = "seeds: 5\ngrid: {optimizer.lr: [0.5, 1e+38]}\nfolds: 2"
WORDS = ("base.loss=mse", "base.architecture.activation=identity")


class Far:
    """Trains the newest batch first; every second one is lost when it is done, and trained again."""

    max_batch, batch_seconds = 1000, 1e-9

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.closing, self.trained = threading.Event(), []
        self.turns, self.waiting, self.news = 0, [], threading.Semaphore(0)
        threading.Thread(target=self._train, daemon=True).start()

    def cores(self):
        return 2

    def submit(self, batch, on_checkpoint):
        travelled = pickle.loads(pickle.dumps(batch))
        self.waiting.append((travelled, future := Future()))
        self.news.release()
        return future

    def _train(self):
        while self.news.acquire():
            batch, future = self.waiting.pop()
            if self.stop_after is not None and len(self.trained) >= self.stop_after:
                self.closing.wait()
            if self.closing.is_set():
                future.set_result(BatchResult([]))
                continue
            for _attempt in range(1 + self.turns % 2):
                result = pickle.loads(pickle.dumps(trials.run_turn(batch)))
            self.turns += 1
            self.trained += [one.trial for one in result.results]
            future.set_result(result)

    def halt(self):
        self.closing.set()

    def close(self):
        self.halt()


def trained_far(tmp_path, words):
    """The far workers of that sweep, and the sweep."""
    made = []

    def remote():
        made.append(Far())
        return made[0]

    definition = read(str(tmp_path / "trials.yaml"), words)
    there = run.run(definition, out=str(tmp_path / "far"), reporter=mlprun.api.SilentSweep(), remote=remote)
    return made[0], there


@pytest.fixture
def few(monkeypatch):
    """Cohorts of six trials."""
    monkeypatch.setattr("mlprun.sweeps.cohorts.MAX_MEMBERS", 6)


@pytest.mark.parametrize("engine", ["fused", "torch"])
def test_trials_trained_remotely_are_the_same_to_the_byte(engine, few, sweep, tmp_path):
    words = (f"base.engine={engine}", *WORDS)
    here = sweep(TEXT, *words)
    far, there = trained_far(tmp_path, words)
    assert sorted(far.trained) == list(range(1, 21))
    assert far.trained != sorted(far.trained)
    assert content(there.folder) == content(here.folder)
    assert {trial.status for trial in here.trials} == {"finished", "diverged"}


def test_a_long_trial_elsewhere_goes_on_turn_by_turn_to_the_same_bytes(sweep, tmp_path, monkeypatch):
    words = ("base.engine=torch", "base.training.epochs=50", *WORDS)
    here = sweep("seeds: 3", *words)
    monkeypatch.setattr(trials, "TURN_SECONDS", 0.0)
    monkeypatch.setattr("mlprun.sweeps.trials.CHUNK_SECONDS", 0.0)
    far, there = trained_far(tmp_path, words)
    assert far.turns > 3 * 5
    assert content(there.folder) == content(here.folder)


def test_a_turn_ends_with_a_checkpoint_from_which_the_rest_goes_on(sweep, tmp_path, monkeypatch):
    (tmp_path / "trials.yaml").write_text("base: small.yaml\nseeds: 2")
    plan = Plan(read(str(tmp_path / "trials.yaml"), ["base.engine=torch", "base.training.epochs=200"]))
    monkeypatch.setattr("mlprun.sweeps.trials.CHUNK_SECONDS", 0.0)
    monkeypatch.setattr(trials, "TURN_SECONDS", 0.0)
    batch = plan.batch(plan.cohorts[0], list(plan.cohorts[0].members), ResumeState(), "cpu")
    short = trials.run_turn(batch)
    assert short.results == []
    assert short.checkpoint.trial == 1
    left = batch.rest(short)
    assert [spec.trial for spec in left.specs] == [1, 2]
    assert left.checkpoints[1].epochs == short.checkpoint.epochs


def test_what_was_trained_remotely_is_kept_when_it_is_stopped(few, sweep, tmp_path, monkeypatch):
    from mlprun.interrupts import StopFlag

    here = sweep(TEXT, *WORDS)
    definition = read(str(tmp_path / "trials.yaml"), WORDS)
    made = []

    class Stopping(mlprun.api.SilentSweep):
        def report(self, done, seconds):
            looks.append(done)

    def begin(stop_after):
        made.append(None)
        return lambda: made.__setitem__(-1, Far(stop_after)) or made[-1]

    looks = []
    with monkeypatch.context() as patch:
        patch.setattr(StopFlag, "__call__", lambda self: bool(looks and looks[-1] >= 3))
        place, options = str(tmp_path / "far"), {"reporter": Stopping()}
        ended = run.run(definition, out=place, remote=begin(3), **options)
    assert ended.status.state == "interrupted"
    again = run.run(definition, out=place, remote=begin(None), reporter=mlprun.api.SilentSweep())
    assert len(made[1].trained) <= 20 - 3
    assert content(again.folder) == content(here.folder)


def test_versions_in_which_a_machine_differs_are_named():
    here = provenance.versions()
    assert trials.differing_versions(here) == ""
    assert trials.differing_versions({**here, "numpy": "0.1"}) == f"numpy {here['numpy']} in place of 0.1"


@pytest.mark.parametrize(
    ("on", "address", "message"),
    [
        ("ray", None, "--on ray: Ray is not installed; pip install '?ray.*"),
        ("slurm", None, "--on: 'slurm' is no place to run a sweep; expected local or ray"),
        ("local", "head:6379", "--address: is the address of a Ray cluster; add --on ray"),
    ],
)
def test_a_place_that_cannot_be_is_told_of_in_one_line(on, address, message, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=f"^{message}$"):
        run.remote_workers(on, address)
