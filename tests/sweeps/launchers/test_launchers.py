"""Any launcher will do: one that trains elsewhere, in another order, and has to begin again."""

import pickle
import threading
from dataclasses import replace

import pytest

import mlprun
from mlprun import extras
from mlprun.engines import named
from mlprun.errors import UsageError
from mlprun.sweeps import launchers, run
from mlprun.sweeps.definition import read
from mlprun.sweeps.launchers import pieces
from mlprun.sweeps.outcome import Known
from mlprun.sweeps.plan import Plan
from mlprun.sweeps.train import Course
from mlprun.sweeps.workshop import Batch

TEXT = "seeds: 5\ngrid: {optimizer.lr: [0.5, 1e+38]}\nfolds: 2"
WORDS = ("base.loss=mse", "base.architecture.activation=identity")


class Far:
    """Trains the last piece first; every second one is lost when it is done, and begun again."""

    def __init__(self, plan, stop_after=None):
        self.plan, self.stop_after = plan, stop_after
        self.closing, self.trained, self.resumed = threading.Event(), [], 0
        self.turns = 0

    def has_room(self, begun):
        return len(begun) < 3

    def submit(self, cohort, known):
        self.resumed += len(known.ended)
        batch = Batch(cohort, known, Course(named(cohort.kind.engine), "cpu", self.closing.is_set))
        threading.Thread(target=self._train, args=(cohort, known, batch), daemon=True).start()
        return batch

    def _train(self, cohort, known, batch):
        cut = list(pieces.cut(self.plan, cohort, known))
        for number, piece in enumerate(reversed(cut)):
            travelled = pickle.loads(pickle.dumps(piece))
            assert pieces.differing(travelled) == ""
            if self.stop_after is not None and len(self.trained) >= self.stop_after:
                self.closing.wait()
            if self.closing.is_set():
                for trial, *_ in piece.members:
                    batch.take(trial, None)
                continue
            while travelled is not None:
                for _attempt in range(1 + number % 2):
                    turn = pickle.loads(pickle.dumps(pieces.carry_out(travelled)))
                self.turns += 1
                for outcome in turn.came_out:
                    self.trained.append(outcome.trial)
                    batch.take(outcome.trial, outcome)
                travelled = pieces.rest(travelled, turn)

    def halt(self):
        self.closing.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.halt()


def content(place):
    with place.results() as results:
        trials = [replace(trial, seconds=None) for trial in results.trials()]
    found = []
    for number in {trial.cohort for trial in trials}:
        with open(place.cohort(number), "rb") as file:
            found.append(file.read())
    return trials, found


@pytest.fixture
def few(monkeypatch):
    """Cohorts of six trials in pieces of one."""
    monkeypatch.setattr("mlprun.sweeps.cost.MOST_MEMBERS", 6)
    monkeypatch.setattr(pieces, "SECONDS", 1e-9)


@pytest.mark.parametrize("engine", ["fused", "torch"])
def test_trials_trained_elsewhere_are_the_same_to_the_byte(engine, few, sweep, tmp_path):
    words = (f"base.engine={engine}", *WORDS)
    here = sweep(TEXT, *words)
    made = []

    def elsewhere(plan):
        made.append(Far(plan))
        return made[0]

    definition = read(str(tmp_path / "trials.yaml"), words)
    there = run.run(
        definition, out=str(tmp_path / "far"), reporter=mlprun.api.SilentSweep(), elsewhere=elsewhere
    )
    assert sorted(made[0].trained) == list(range(1, 21))
    assert made[0].trained.index(6) < made[0].trained.index(1)
    assert content(there.folder) == content(here.folder)
    assert {trial.status for trial in here.trials} == {"finished", "diverged"}


def test_a_long_trial_elsewhere_goes_on_turn_by_turn_to_the_same_bytes(sweep, tmp_path, monkeypatch):
    words = ("base.engine=torch", "base.training.epochs=50", *WORDS)
    here = sweep("seeds: 3", *words)
    monkeypatch.setattr(pieces, "TURN", 0.0)
    monkeypatch.setattr("mlprun.sweeps.train.CHUNK_SECONDS", 0.0)
    made = []

    def elsewhere(plan):
        made.append(Far(plan))
        return made[0]

    definition = read(str(tmp_path / "trials.yaml"), words)
    there = run.run(
        definition, out=str(tmp_path / "far"), reporter=mlprun.api.SilentSweep(), elsewhere=elsewhere
    )
    assert made[0].turns > 3 * 5
    assert content(there.folder) == content(here.folder)


def test_a_turn_is_longer_where_there_is_more_to_tell(sweep, tmp_path, monkeypatch):
    (tmp_path / "trials.yaml").write_text("base: small.yaml\nseeds: 2")
    plan = Plan(read(str(tmp_path / "trials.yaml"), ["base.engine=torch", "base.training.epochs=200"]))
    monkeypatch.setattr("mlprun.sweeps.train.CHUNK_SECONDS", 0.0)
    monkeypatch.setattr(pieces, "TURN", 0.0)
    (piece,) = pieces.cut(plan, plan.cohorts[0], Known())
    short = pieces.carry_out(piece)
    assert short.came_out == []
    assert short.standing.trial == 1
    left = pieces.rest(piece, short)
    monkeypatch.setattr(pieces, "PACE", 1e-9)  # telling of any trial takes longer than training it
    (first,) = pieces.carry_out(piece).came_out
    assert (first.trial, first.status) == (1, "finished")
    assert [trial for trial, *_ in left.members] == [1, 2]
    assert left.standings[1].state.epoch == short.standing.state.epoch


def test_every_machine_trains_on_the_device_that_auto_is_where_the_sweep_was_started(
    sweep, tmp_path, monkeypatch
):
    (tmp_path / "trials.yaml").write_text("base: small.yaml\nseeds: 1")
    plan = Plan(read(str(tmp_path / "trials.yaml"), ["base.device=auto"]))
    monkeypatch.setattr(pieces.devices, "resolve", {"auto": "cuda"}.get)
    (piece,) = pieces.cut(plan, plan.cohorts[0], Known())
    assert piece.device == "cuda"


def test_what_was_trained_elsewhere_is_kept_when_it_is_stopped(few, sweep, tmp_path, monkeypatch):
    from mlprun.interrupts import StopFlag

    here = sweep(TEXT, *WORDS)
    definition = read(str(tmp_path / "trials.yaml"), WORDS)
    made = []

    class Stopping(mlprun.api.SilentSweep):
        def report(self, done, seconds, left):
            looks.append(done)

    def begin(stop_after):
        made.append(None)
        return lambda plan: made.__setitem__(-1, Far(plan, stop_after)) or made[-1]

    looks = []
    with monkeypatch.context() as patch:
        patch.setattr(StopFlag, "__call__", lambda self: bool(looks and looks[-1] >= 3))
        place, options = str(tmp_path / "far"), {"reporter": Stopping()}
        ended = run.run(definition, out=place, elsewhere=begin(3), **options)
    assert ended.status.state == "interrupted"
    again = run.run(definition, out=place, elsewhere=begin(None), reporter=mlprun.api.SilentSweep())
    assert made[1].resumed >= 3
    assert len(made[1].trained) <= 20 - 3
    assert content(again.folder) == content(here.folder)


def test_a_piece_tells_in_which_versions_a_machine_differs(few, sweep, tmp_path):
    (tmp_path / "trials.yaml").write_text("base: small.yaml\nseeds: 1")
    plan = Plan(read(str(tmp_path / "trials.yaml")))
    (piece,) = pieces.cut(plan, plan.cohorts[0], Known())
    other = piece._replace(versions={**piece.versions, "numpy": "0.1"})
    assert pieces.differing(other) == f"numpy {piece.versions['numpy']} in place of 0.1"


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
        launchers.elsewhere(on, address)
