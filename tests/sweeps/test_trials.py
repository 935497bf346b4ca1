"""Trials that are trained together: the same as one by one, whatever happens to their neighbours."""

import numpy as np
import pytest

from mlprun import api
from mlprun.errors import DataError
from mlprun.experiment import Experiment, InitialWeightCache
from mlprun.sweeps import trials
from mlprun.sweeps.cohorts import TrialSpec
from mlprun.sweeps.executors import ThreadWorkers, split
from mlprun.sweeps.trials import BatchTrainer, SharedConfig, TrialBatch


def batch(engine, *seeds, **changes):
    """Trials of one configuration that differ in their seeds, with these as their ids."""
    values = {
        "dataset": {"name": "moons", "split": {"train": 20, "dev": 10, "test": 10}},
        "architecture": {"hidden": [3]},
        "loss": "bce",
        "training": {"epochs": 4},
    }
    shared = SharedConfig(api.load_config({**values, **changes}), sets_data_seed=False, allow_code=False)
    specs = tuple(TrialSpec(seed, 1, seed, None) for seed in seeds)
    return TrialBatch(specs, {1: shared}, 2, {}, {}, engine, "cpu", 1)


def run(batch, on_checkpoint=lambda checkpoint: None, stop=lambda: False):
    return {one.trial: one for one in BatchTrainer(batch.engine, "cpu", stop).run(batch, on_checkpoint)}


@pytest.mark.parametrize("engine", ["torch", "scratch", "fused"])
def test_a_trial_is_the_same_in_company_and_alone(engine):
    together = run(batch(engine, 0, 1, 2))
    assert set(together) == {0, 1, 2}
    for trial, result in together.items():
        alone = run(batch(engine, trial))[trial]
        assert result.figures == alone.figures
        assert result.last.keys() == alone.last.keys()
        for name, array in result.last.items():
            assert array.tobytes() == np.asarray(alone.last[name]).tobytes()
        np.testing.assert_array_equal(result.history, alone.history)


def test_a_trial_that_fails_leaves_its_neighbours_alone(monkeypatch):
    made = Experiment.of

    def of(config):
        if config.training.seed == 1:
            raise DataError("table", "is gone", "bring it back")
        return made(config)

    monkeypatch.setattr(Experiment, "of", of)
    results = run(batch("torch", 0, 1, 2))
    assert [one.status for one in results.values()] == ["finished", "failed", "finished"]
    assert results[1].error == "table: is gone; bring it back"


def test_checkpoints_of_trials_that_take_longer_than_expected_are_reported_between_chunks(monkeypatch):
    monkeypatch.setattr(trials, "CHUNK_SECONDS", 0.0)
    checkpoints = []
    assert set(run(batch("torch", 0, 1), checkpoints.append)) == {0, 1}
    assert {(one.trial, one.epochs) for one in checkpoints} >= {(0, 2), (1, 2)}


def test_a_stop_pauses_all_trials_where_they_are():
    checkpoints = []
    assert run(batch("torch", 0, 1, 2), checkpoints.append, lambda: bool(checkpoints)) == {}
    assert {one.trial for one in checkpoints} == {0, 1, 2}
    assert {(one.epochs, one.state.epoch) for one in checkpoints} == {(2, 2)}
    assert run(batch("torch", 0, 1), checkpoints.clear, lambda: True) == {}  # nothing to report


@pytest.mark.parametrize("count", [1, 2, 5, 1000])
def test_batches_have_each_trial_once_and_in_order(count, monkeypatch):
    monkeypatch.setattr(ThreadWorkers, "cores", lambda: 2)
    found = [list(range(count))[part] for part in split([0.001] * count, ThreadWorkers)]
    assert [trial for group in found for trial in group] == list(range(count))
    assert max(map(len, found)) == min(ThreadWorkers.max_batch, max(1, count // 4))
    assert len(found[-1]) == 1  # so that no core waits long for another


def test_long_trials_are_trained_one_by_one():
    assert list(split([10.0] * 60, ThreadWorkers)) == [slice(trial, trial + 1) for trial in range(60)]


def experiment(*overrides):
    base = {"dataset": {"name": "moons"}, "architecture": {"init": "orthogonal"}}  # which torch draws
    return Experiment.of(api.load_config(base, *overrides))


def test_configurations_with_equal_architectures_share_networks(monkeypatch):
    built, build = [], Experiment._built
    monkeypatch.setattr(Experiment, "_built", lambda self, one: built.append(one) or build(self, one))
    several = [experiment("optimizer.lr=0.1"), experiment("optimizer.lr=0.2"), experiment("training.seed=7")]
    several.append(experiment("architecture.hidden=[3]"))
    weights = [one.initial() for one in several]
    starts, trainer = InitialWeightCache(), BatchTrainer("torch", "cpu", lambda: False)
    expected = [trainer.metrics(*both, 0) for both in zip(several, weights, strict=True)]
    built.clear()
    for one, begin, metrics in zip(several, weights, expected, strict=True):
        drawn = starts.model(one)
        assert drawn.keys() == begin.keys()
        assert all(np.array_equal(drawn[name], begin[name]) for name in begin)
        assert trainer.metrics(one, begin, 0) == metrics
    assert len(built) == 4
