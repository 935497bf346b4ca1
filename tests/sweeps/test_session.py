"""Cohorts beside each other: enough of them for every core, none lost, each trained as a run is."""

import os
import threading
import time

import pytest
import torch

import mlprun.api
from mlprun.api import SilentSweep
from mlprun.errors import FileError
from mlprun.sweeps import cohort_file, executors
from mlprun.sweeps import run as running
from mlprun.sweeps.database import Writer
from mlprun.sweeps.folder import SweepFolder
from mlprun.sweeps.plan import Plan
from mlprun.sweeps.trials import BatchTrainer

TORCH = "base.engine=torch"


@pytest.fixture
def long(monkeypatch):
    """Each trial is as long as a cohort may be, and told of ten times a second."""
    monkeypatch.setattr("mlprun.sweeps.cohorts.MAX_SECONDS", 1e-9)
    monkeypatch.setattr("mlprun.sweeps.trials.CHUNK_SECONDS", 0.1)


def cores(monkeypatch, count):
    monkeypatch.setattr(executors, "cores", lambda: count)


def before_training(monkeypatch, do):
    """Have `do` called with a trial's number before it is trained."""
    original = BatchTrainer.run

    def run(self, batch, on_checkpoint):
        do(batch.specs[0].trial)
        return original(self, batch, on_checkpoint)

    monkeypatch.setattr(BatchTrainer, "run", run)


def test_as_many_long_trials_are_trained_at_once_as_there_are_cores(long, sweep, monkeypatch):
    cores(monkeypatch, 4)
    together = threading.Barrier(4, timeout=20)
    before_training(monkeypatch, lambda trial: together.wait())
    swept = sweep("seeds: 8", TORCH)
    assert {trial.cohort for trial in swept.trials} == set(range(1, 9))


def test_cohorts_are_recorded_as_they_end_and_few_are_in_memory(long, sweep, monkeypatch):
    cores(monkeypatch, 2)
    others, begun = threading.Event(), []
    before_training(monkeypatch, lambda trial: others.wait(30) if trial == 1 else None)
    record, submit = running.CohortStore.record, executors.Executor.submit

    def recorded(self, run):
        record(self, run)
        begun.append(run.cohort.number)
        if len(begun) == 19:
            others.set()

    most = []
    monkeypatch.setattr(running.CohortStore, "record", recorded)
    monkeypatch.setattr(
        executors.Executor,
        "submit",
        lambda self, cohort, known: most.append(cohort.number - len(begun)) or submit(self, cohort, known),
    )
    sweep("seeds: 20", TORCH)
    assert others.is_set()
    assert begun[-1] == 1
    assert max(most) <= executors.BATCHES_PER_CORE * 2


@pytest.mark.parametrize("what", ["recording", "training"])
def test_what_fails_in_one_cohort_leaves_the_others_saved(what, long, sweep, monkeypatch, tmp_path):
    cores(monkeypatch, 2)
    monkeypatch.setattr("mlprun.sweeps.run.SAVE_INTERVAL", 1000.0)
    looked = threading.Event()
    original = executors.CohortRun.accept

    def accept(self, results, *, batches=0, error=None):
        original(self, results, batches=batches, error=error)
        if not batches:
            looked.set()

    monkeypatch.setattr(executors.CohortRun, "accept", accept)
    error = FileError("disk", "is full", "free some")

    def fail(*_):
        raise error

    def wait(trial):
        if trial == 1:
            assert looked.wait(30)  # the other is in the middle
            if what == "training":
                fail()

    before_training(monkeypatch, wait)
    if what == "recording":
        monkeypatch.setattr(Writer, "record", fail)
    text = "seeds: 1\npaired: {training.epochs: [4, 10000000]}"
    with pytest.raises(FileError, match="disk: is full"):
        sweep(text, TORCH)
    place = SweepFolder(str(tmp_path / "runs" / "trials-001"))
    (standing,) = cohort_file.read(place.partial(2)).partial_results
    assert 0 < standing.state.epoch < 10_000_000
    assert os.path.exists(place.partial(1)) == (what == "recording")


def test_an_error_waits_until_what_is_trained_has_stopped(long, sweep, monkeypatch):
    cores(monkeypatch, 2)
    states, begun = [], threading.Event()

    def fail(trial):
        if trial == 1:
            assert begun.wait(20)
            raise FileError("disk", "is full", "free some")
        begun.set()
        time.sleep(0.1)
        states.append(torch.are_deterministic_algorithms_enabled())

    on_devices(monkeypatch, cpu="cuda")
    before_training(monkeypatch, fail)
    with pytest.raises(FileError):
        sweep("seeds: 2", TORCH)
    assert states == [True]
    assert not torch.are_deterministic_algorithms_enabled()


def on_devices(monkeypatch, **kinds):
    """Have trials count as trained on these kinds of devices; training itself stays on the CPU."""
    monkeypatch.setattr(
        executors.ExecutorRouter, "conditions", lambda self, cohort: (1, kinds[cohort.kind.device])
    )


def test_trials_on_a_device_compute_with_the_same_bits_every_time_as_a_run_does(sweep, monkeypatch):
    seen = []
    before_training(monkeypatch, lambda trial: seen.append(torch.are_deterministic_algorithms_enabled()))
    sweep("seeds: 1", TORCH)
    on_devices(monkeypatch, cpu="cuda")
    sweep("seeds: 2", TORCH)
    assert seen == [False, True]


def test_trials_on_another_device_wait_for_those_that_are_trained(sweep, monkeypatch):
    on_devices(monkeypatch, cpu="cpu", auto="cuda")
    seen = []
    before_training(
        monkeypatch, lambda trial: seen.append((trial, torch.are_deterministic_algorithms_enabled()))
    )
    sweep("seeds: 1\ngrid: {device: [cpu, auto]}", TORCH)
    assert seen == [(1, False), (2, True)]


def test_whether_processes_are_worth_it_is_worked_out_once(long, sweep, monkeypatch):
    calls, original = [], Plan.cost_of
    monkeypatch.setattr(Plan, "cost_of", lambda self, member: calls.append(member) or original(self, member))
    monkeypatch.setattr(executors, "cores", lambda: 2)
    sweep("seeds: 40", TORCH, processes=True)
    assert len(calls) <= 8 * 40


def test_what_is_reported_never_goes_down_though_cohorts_wait_at_rungs(long, sweep, stopping, monkeypatch):
    cores(monkeypatch, 1)
    text = """
    seeds: 3
    random: {optimizer.lr: {log_uniform: [1e-4, 1e4]}}
    objective: {metric: dev_loss}
    search: {name: random, trials: 6, batch: 6, pruner: {min_epochs: 2, reduction_factor: 2}}
    """
    reported = []
    with stopping(after=15) as counting:
        report = counting.report

        def noting(done, *rest):
            reported.append(done)
            report(done, *rest)

        counting.report = noting
        sweep(text, TORCH, reporter=counting)
    assert reported == sorted(reported)
    assert reported[-1] >= 15
    count = len(reported)
    sweep(text, TORCH, reporter=Noting(reported))
    assert reported[count:] == sorted(reported[count:])
    assert reported[-1] == 18


class Noting(SilentSweep):
    def __init__(self, reported):
        self.reported = reported

    def begin(self, folder, plan, done):
        self.reported.append(done)

    def report(self, done, seconds):
        self.reported.append(done)


def test_every_trial_that_was_reported_is_told_of_at_the_stop(sweep, tmp_path, stopping):
    with stopping(after=20) as counting:
        noting, report = [], counting.report
        counting.report = lambda done, *rest: noting.append(done) or report(done, *rest)
        sweep("seeds: 400", "base.training.epochs=300", reporter=counting)
    status = mlprun.api.load_sweep(tmp_path / "runs" / "trials-001").status
    assert status.done + status.kept >= noting[-1] >= 20
