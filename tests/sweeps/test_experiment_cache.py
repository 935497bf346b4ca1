"""Rows that trials share: loaded once, counted once, and let go of by when they were asked for."""

from __future__ import annotations

import pytest

from mlprun import api, experiment
from mlprun.experiment import Experiment
from mlprun.sweeps import trials
from mlprun.sweeps.trials import ExperimentCache


def config(*overrides):
    return api.load_config({"dataset": {"name": "moons"}}, *overrides)


def held(rows):
    arrays = [
        (part.inputs, part.targets, part.truth, *part.extra)
        for one in rows._experiments.values()
        for part in one.fixed.values()
    ]
    return len(rows._experiments) * trials.EXPERIMENT_BYTES + sum(
        array.nbytes for part in arrays for array in part
    )


@pytest.fixture
def loaded(monkeypatch):
    """The seeds of the datasets that were loaded, in this order."""
    seeds, make = [], Experiment.of
    monkeypatch.setattr(Experiment, "of", lambda one: seeds.append(one.dataset.seed) or make(one))
    return seeds


def test_rows_are_loaded_once_and_let_go_of_when_they_are_many(monkeypatch, loaded):
    rows = ExperimentCache()
    rows.experiment(config("training.seed=1"))
    monkeypatch.setattr(trials, "CACHE_BYTES", 2 * rows._bytes)
    for seed in (2, 1, 3, 2):
        rows.experiment(config(f"training.seed={seed}"))
        assert rows._bytes == held(rows) <= trials.CACHE_BYTES
    assert loaded == [1, 2, 3, 2]


@pytest.mark.parametrize(
    ("overrides", "same", "alike"),
    [
        (["optimizer.lr=0.5", "training.epochs=3", "architecture.hidden=[7]"], True, True),
        (["dataset.seed=9"], False, True),
        (["dataset.noise=0.4"], False, True),
        (["dataset.split={train: 0.5, dev: 0.25, test: 0.25}"], False, False),
        (["dataset.fraction=0.5"], False, False),
        (["training.dtype=float64"], False, False),
        (["loss=mse"], False, False),
        (["metrics=[accuracy, hinge]"], False, False),
        (["metrics=[accuracy, roc_auc]"], True, True),
    ],
)
def test_a_source_says_which_rows_are_equal_and_which_are_alike(overrides, same, alike):
    one, other = config(), config(*overrides)
    assert (experiment.data_key(one) == experiment.data_key(other)) is same
    assert (
        experiment.data_key(one, ignore_seeds=True) == experiment.data_key(other, ignore_seeds=True)
    ) is alike
    made, others = Experiment.of(one), Experiment.of(other)
    assert not same or made.digest() == others.digest()
    assert not alike or [rows.inputs.shape for rows in made.fixed.values()] == [
        rows.inputs.shape for rows in others.fixed.values()
    ]
