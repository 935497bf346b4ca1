"""Trials that are trained together: the same as one by one, whatever becomes of their neighbours."""

import numpy as np
import pytest

from mlprun import config, engines, schema
from mlprun.errors import DataError
from mlprun.experiment import Experiment
from mlprun.sweeps import train as training
from mlprun.sweeps.train import Course, Task
from mlprun.sweeps.workshop import TOGETHER, groups


def task(seed, stands=lambda standing: None, **changes):
    values = {
        "dataset": {"name": "moons", "split": {"train": 20, "dev": 10, "test": 10}},
        "architecture": {"hidden": [3]},
        "loss": "bce",
        "training": {"epochs": 4, "seed": seed},
    }
    made = schema.parse(config.from_mapping({**values, **changes}, "", "trial"))
    return Task(seed, lambda: Experiment.of(made), stands, chunk=2)


def course(engine, stop=lambda: False):
    return Course(engines.named(engine), "cpu", stop)


def lost():
    raise DataError("table", "is gone", "bring it back")


@pytest.mark.parametrize("engine", ["torch", "scratch"])
def test_a_trial_is_the_same_in_company_and_alone(engine):
    of = course(engine)
    told = dict(training.together([task(seed) for seed in range(3)], of))
    assert set(told) == {0, 1, 2}
    for trial, outcome in told.items():
        alone = training.train(task(trial), course(engine))
        assert outcome.figures == alone.figures
        assert outcome.last.keys() == alone.last.keys()
        for name, array in outcome.last.items():
            assert array.tobytes() == np.asarray(alone.last[name]).tobytes()
        np.testing.assert_array_equal(outcome.history, alone.history)


def test_a_trial_that_fails_leaves_its_neighbours_alone():
    tasks = [task(0), task(1)._replace(make=lost), task(2)]
    told = dict(training.together(tasks, course("torch")))
    assert [outcome.status for outcome in told.values()] == ["finished", "failed", "finished"]
    assert told[1].error == "table: is gone; bring it back"


def test_what_has_been_trained_for_long_is_told_before_the_next_is_begun(monkeypatch):
    monkeypatch.setattr(training, "CHUNK_SECONDS", 0.0)
    heard = []
    for trial, outcome in training.together([task(0, heard.append), task(1, heard.append)], course("torch")):
        assert outcome.status == "finished"
        assert {standing.trial for standing in heard} <= set(range(trial + 1))
    assert {standing.trial for standing in heard} == {0, 1}


def test_a_stop_leaves_the_trial_in_the_middle_where_it_stands_and_begins_no_more():
    heard = []
    told = dict(
        training.together(
            [task(seed, heard.append) for seed in range(3)], course("torch", lambda: bool(heard))
        )
    )
    assert told == {0: None, 1: None, 2: None}
    assert {standing.trial for standing in heard} == {0}
    assert heard[-1].state.epoch == 2


@pytest.mark.parametrize("count", [1, 2, 5, 1000])
def test_groups_have_each_trial_once_and_in_order(count, monkeypatch):
    monkeypatch.setattr("mlprun.sweeps.workshop.cores", lambda: 2)
    found = list(groups(list(range(count)), lambda member: 0.001))
    assert [member for group in found for member in group] == list(range(count))
    assert max(map(len, found)) == min(TOGETHER, max(1, count // 4))
    assert len(found[-1]) == 1  # so that no core waits long for another


def test_long_trials_are_trained_one_by_one():
    assert list(groups([1, 2, 3] * 20, lambda member: 10.0)) == [[1], [2], [3]] * 20
