"""Trials that other processes train are the same trials, stopped or not."""

from dataclasses import replace

import pytest

import mlprun
from mlprun.errors import InterruptedRunError
from mlprun.sweeps import session as running
from mlprun.training.signals import StopFlag


def trials(swept):
    return [replace(trial, seconds=None) for trial in swept.trials]


def cohort(swept):
    with open(swept.folder.cohort(1), "rb") as file:
        return file.read()


@pytest.fixture
def apart(monkeypatch):
    """Counts the cohorts that are given to processes; everything is worth them."""
    given = []
    original = running.Processes.submit
    monkeypatch.setattr(running, "WORTH", 0.0)
    monkeypatch.setattr(running, "cores", lambda: 2)
    monkeypatch.setattr(
        running.Processes, "submit", lambda self, *rest: given.append(1) or original(self, *rest)
    )
    return given


def test_other_processes_train_the_same_trials_and_go_on_with_them(apart, sweep, tmp_path, monkeypatch):
    text = "seeds: 3\ngrid: {optimizer.lr: [0.5, 1e+38]}"
    words = (
        "base.engine=torch",
        "base.loss=mse",
        "base.architecture.activation=identity",
        "base.training.epochs=400",
    )
    here = sweep(text, *words)
    assert not apart
    looks = []

    class Stopping(mlprun.api.SilentSweep):
        def report(self, done, seconds):
            looks.append(done)

    # a Ctrl-C once the first trial has ended
    monkeypatch.setattr(StopFlag, "__call__", lambda self: bool(looks and looks[-1]))
    monkeypatch.setattr(StopFlag, "number", 2, raising=False)
    monkeypatch.setattr(StopFlag, "__init__", lambda self: setattr(self, "_former", {}))
    with pytest.raises(InterruptedRunError):
        mlprun.sweep(
            tmp_path / "trials.yaml", *words, out=str(tmp_path / "there"), processes=True, reporter=Stopping()
        )
    monkeypatch.undo()
    there = mlprun.sweep(tmp_path / "trials.yaml", *words, out=str(tmp_path / "there"))
    assert apart
    assert trials(there) == trials(here)
    assert cohort(there) == cohort(here)


def test_a_sweep_ends_that_other_processes_train(apart, sweep):
    swept = sweep("seeds: 2", "base.engine=torch", processes=True)
    assert apart
    assert [trial.status for trial in swept.trials] == ["finished", "finished"]
