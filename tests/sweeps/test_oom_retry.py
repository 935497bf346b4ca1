"""A trial that lacks memory for a moment is trained once more; a sweep that lacks it for good says so."""

import threading

import pytest

import mlprun
from mlprun.errors import OutOfMemoryError
from mlprun.experiment import Experiment
from mlprun.sweeps import cohort_file, executors, trials
from mlprun.sweeps.definition import read
from mlprun.sweeps.folder import SweepFolder
from mlprun.sweeps.plan import Plan
from mlprun.sweeps.trials import BatchTrainer, ResumeState

from .conftest import content

TORCH = "base.engine=torch"


@pytest.fixture
def lacking(monkeypatch):
    """Lets memory run out for seeds, so many times for each; records what is trained at each moment."""

    def lack(times, kind=MemoryError):
        left, running, beside, lock = dict(times), set(), [], threading.Lock()
        train, made = BatchTrainer.run, Experiment.of

        def of(config, **options):
            seed = config.training.seed
            if left.get(seed, 0):
                left[seed] -= 1
                raise kind("cannot allocate memory")
            return made(config, **options)

        def recorded(self, batch, on_checkpoint):
            seeds = [spec.seed for spec in batch.specs]
            with lock:
                running.update(seeds)
                beside.append(set(running))
            yield from train(self, batch, on_checkpoint)
            with lock:
                running.difference_update(seeds)

        monkeypatch.setattr(Experiment, "of", of)
        monkeypatch.setattr(BatchTrainer, "run", recorded)
        return beside

    monkeypatch.setattr(trials, "CACHE_BYTES", 0)
    monkeypatch.setattr(executors.ThreadWorkers, "max_batch", 1)
    monkeypatch.setattr(executors, "cores", lambda: 3)
    monkeypatch.setattr("mlprun.sweeps.cohorts.MAX_MEMBERS", 4)
    return lack


@pytest.mark.parametrize("kind", [MemoryError, RuntimeError])
def test_a_trial_that_lacked_memory_beside_others_is_the_same_alone(kind, lacking, sweep, tmp_path):
    here = sweep("seeds: 12", TORCH)
    beside, heard = lacking({1: 1, 2: 1, 9: 1}, kind), []

    class Hearing(mlprun.api.SilentSweep):
        def say(self, message):
            heard.append(message)

    there = mlprun.sweep(tmp_path / "trials.yaml", TORCH, out=str(tmp_path / "there"), reporter=Hearing())
    assert content(there.folder) == content(here.folder)
    # in any order: threads train them at the same time
    assert sorted(line.partition(":")[0] for line in heard) == [
        f"memory ran out in trial {trial}" for trial in (10, 2, 3)
    ]
    assert len(beside) == 12 + 3
    for seed in (1, 2, 9):
        assert beside.count({seed}) >= 1
        last = max(place for place, seeds in enumerate(beside) if seed in seeds)
        assert beside[last] == {seed}


def test_memory_that_runs_out_alone_as_well_ends_the_sweep_with_all_else_saved(lacking, sweep, tmp_path):
    lacking({1: 2})
    message = "memory: memory ran out in trial 2, with nothing trained beside it as well; "
    with pytest.raises(OutOfMemoryError, match=message):
        sweep("seeds: 4", TORCH)
    place = SweepFolder(str(tmp_path / "runs" / "trials-001"))
    assert place.status().state == "failed"
    assert place.status().reason.startswith(message)
    assert [one.trial for one in cohort_file.read(place.partial(1)).partial_results] == [1, 3, 4]
    again = sweep("seeds: 4", TORCH)
    assert [trial.status for trial in again.trials] == ["finished"] * 4
    here = mlprun.sweep(tmp_path / "trials.yaml", TORCH, out=str(tmp_path / "there"))
    assert content(again.folder) == content(here.folder)


def test_a_machine_elsewhere_that_lacks_memory_says_so_of_the_trial(sweep, tmp_path, monkeypatch):
    (tmp_path / "trials.yaml").write_text("base: small.yaml\nseeds: [70, 71]")
    plan = Plan(read(str(tmp_path / "trials.yaml")))
    batch = plan.batch(plan.cohorts[0], list(plan.cohorts[0].members), ResumeState(), "cpu")
    original = Experiment.of

    def of(config, **options):
        if config.training.seed == 70:
            raise MemoryError
        return original(config, **options)

    monkeypatch.setattr(Experiment, "of", of)
    result = trials.run_turn(batch)
    assert [(one.trial, one.status) for one in result.results] == [(1, "out_of_memory"), (2, "finished")]
    assert batch.rest(result) is None
