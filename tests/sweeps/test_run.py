"""Sweeps that are run: trials equal runs, to the byte, and what ends badly is marked."""

import os
import re
from dataclasses import replace

import numpy as np
import pytest

import mlprun
from mlprun import schema
from mlprun.api import SilentSweep
from mlprun.config.document import from_mapping
from mlprun.errors import (
    CheckFailedError,
    CheckpointError,
    ConfigError,
    DivergedError,
    InterruptedRunError,
    RunInUseError,
    UsageError,
)
from mlprun.experiment import Experiment
from mlprun.storage.runs import Lock
from mlprun.sweeps import cohort_file, folder
from mlprun.sweeps.definition import read
from mlprun.sweeps.plan import Plan
from mlprun.sweeps.run import SweepResult


def file_of(swept, trial):
    return cohort_file.read(swept.folder.cohort(trial.cohort))


def trained_alone(swept, trial, tmp_path):
    """`mlprun train` of a trial's config, written out."""
    plan = Plan(read(swept.folder.definition), allow_code=True)
    members = [one for cohort in plan.cohorts for one in cohort.members]
    (member,) = [one for one in members if one.trial == trial.id]
    config = schema.dump(plan.config(member, trial.engine), "")
    return mlprun.train(config, out=str(tmp_path / "alone"))


def assert_equal(swept, trial, alone):
    """Weights, curves and figures to the last bit."""
    found = file_of(swept, trial)
    table = np.stack(list(alone.history.values()), axis=1)
    assert tuple(alone.history) == found.columns
    np.testing.assert_array_equal(found.history(trial.member), table)
    for kind, loaded in (("last", alone.last), ("best", alone.best)):
        stored = getattr(found, kind)(trial.member)
        expected = {name: tensor.numpy() for name, tensor in loaded.network.state_dict().items()}
        assert stored.keys() == expected.keys()
        for name, array in expected.items():
            assert stored[name].tobytes() == array.tobytes(), name
    assert trial.best_epoch == alone.metrics["best"]["epoch"]
    for prefix, of in (("", "best"), ("last_", "last")):
        for split, named in alone.metrics[of]["splits"].items():
            for name, value in named.items():
                if not isinstance(value, list):
                    assert trial.figures[f"{prefix}{split}_{name}"] == value


@pytest.mark.parametrize("engine", ["fused", "torch"])
@pytest.mark.parametrize(
    "override",
    [
        "name=plain",
        "early_stopping.patience=2",
        "metrics=[accuracy, {name: mse, reduction: mean}, f1]",
        "training={batch_size: 7, dtype: float64}",
    ],
)
def test_a_trial_equals_the_same_config_trained_alone(engine, override, sweep, tmp_path):
    text = "seeds: [3, 4]\ngrid: {architecture.hidden: [[3], [4, 2]], optimizer.lr: [0.5, 2]}"
    swept = sweep(text, f"base.engine={engine}", f"base.{override}")
    assert [trial.status in ("finished", "early_stopping") for trial in swept.trials] == [True] * 8
    for trial in (swept.trials[1], swept.trials[6]):
        assert trial.engine == engine
        assert_equal(swept, trial, trained_alone(swept, trial, tmp_path))


@pytest.mark.cuda
def test_a_trial_on_a_device_equals_the_same_config_trained_alone_there(sweep, tmp_path):
    swept = sweep("seeds: [3, 4]", "base.engine=torch", "base.device=cuda")
    assert_equal(swept, swept.trials[1], trained_alone(swept, swept.trials[1], tmp_path))


def test_seeds_are_counted_from_the_bases_own(sweep):
    assert [trial.seed for trial in sweep("seeds: 3", "base.training.seed=7").trials] == [7, 8, 9]


def test_each_seed_draws_its_own_rows_unless_the_base_names_a_seed_for_them(sweep):
    own = [row["train_loss"] for row in sweep("seeds: 2", "base.optimizer.lr=1e-30").rows()]
    text = "seeds: 2\ngrid: {architecture.hidden: [[]]}"
    init = "base.architecture.init={weight: zeros, bias: zeros}"
    drawn = sweep(text, "base.optimizer.lr=1e-30", "base.training.epochs=1", init)
    fixed = sweep(text, "base.optimizer.lr=1", "base.training.epochs=1", init, "base.dataset.seed=5")
    assert own[0] != own[1]
    assert len({row["train_loss"] for row in fixed.rows()}) == 1
    assert len({row["seed"] for row in drawn.rows()}) == 2


def test_a_sweep_that_has_ended_is_left_alone(sweep):
    def written(swept):
        names = set(os.listdir(swept.path)) - {"lock"}
        return {name: os.stat(os.path.join(swept.path, name)).st_mtime_ns for name in names}

    first = sweep("seeds: 4")
    before = written(first)
    again = sweep("seeds: 4")
    assert again.path == first.path
    assert before == written(again)


def test_another_sweep_gets_another_folder_and_another_objective_does_not(sweep):
    first = sweep("seeds: 2\nsuccess: test_accuracy > 0.5")
    other = sweep("seeds: [1, 2]\nsuccess: test_accuracy > 0.5")
    same = sweep("seeds: 2\nsuccess: test_accuracy > 0.9")
    assert [os.path.basename(one.path) for one in (first, other, same)] == [
        "trials-001",
        "trials-002",
        "trials-001",
    ]
    assert same.description.success["number"] == 0.9


@pytest.mark.parametrize(
    ("more", "name"), [("", "trials-001"), (", pruner: {}", "trials-002"), (", pruner: null", "trials-001")]
)
def test_a_search_that_only_draws_is_the_same_by_another_objective(more, name, sweep):
    text = (
        "random: {optimizer.lr: {log_uniform: [0.1, 1]}}\n"
        f"search: {{name: random, trials: 2{more}}}\nobjective: {{metric: %s}}"
    )
    first = sweep(text % "dev_loss")
    other = sweep(text % "test_loss")
    assert os.path.basename(other.path) == name
    assert other.description.objective["metric"] == "test_loss"
    if not more:
        assert other.trials == first.trials
        assert sweep(text.replace("trials: 2", "trials: 4") % "dev_loss").path == first.path


def test_a_sweep_folder_holds_a_sweep_file_that_runs_again(sweep, tmp_path):
    first = sweep("seeds: 2\ngrid: {optimizer.lr: [0.1, 0.2]}")
    again = mlprun.sweep(first.folder.definition, out=str(tmp_path / "again"))
    assert [one.figures for one in again.trials] == [one.figures for one in first.trials]


def test_a_trial_that_diverges_is_marked_and_the_others_are_as_they_are_alone(sweep, tmp_path):
    text = "seeds: 3\ngrid: {optimizer.lr: [0.5, 1e38]}"
    swept = sweep(text, "base.loss=mse", "base.architecture.activation=identity")
    assert [trial.status for trial in swept.trials] == ["finished"] * 3 + ["diverged"] * 3
    assert swept.trials[4].epochs < 12
    assert file_of(swept, swept.trials[4]).history(4).shape == (swept.trials[4].epochs, 7)
    assert_equal(swept, swept.trials[1], trained_alone(swept, swept.trials[1], tmp_path))
    assert swept.status.state == "finished"


FLAT = ("base.loss=mse", "base.architecture.activation=identity")  # so that a large lr diverges at once


def test_fail_fast_stops_at_a_trial_that_diverges_and_the_same_command_goes_on(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr("mlprun.sweeps.run.POLL_SECONDS", 0.01)
    text = "seeds: 3\ngrid: {optimizer.lr: [1e38, 0.5]}"
    long = (*FLAT, "base.training.epochs=100000", "base.training.log_every=5000")
    with pytest.raises(DivergedError, match=r"trials-001: trial \d+: diverged after epoch") as caught:
        sweep(text, *long, fail_fast=True)
    (place,) = folder.find(str(tmp_path / "runs"))
    trial = re.search(r"trial \d+", str(caught.value))[0]
    status = place.status()
    assert (status.state, status.done) == ("interrupted", 0)
    assert 1 <= status.kept <= 6
    assert re.fullmatch(rf"{trial} diverged after epoch \d+, and --fail-fast stops there", status.reason)
    with pytest.raises(DivergedError, match=r"trials-001: trial \d+: diverged after epoch"):
        sweep(text, *long, fail_fast=True)  # what was kept is not trained again to fail again
    assert place.status().kept + place.status().done >= status.kept
    counts = [trial.status for trial in sweep(text, *long).trials]
    assert counts == ["diverged"] * 3 + ["finished"] * 3
    assert (place.status().state, place.status().kept, place.status().reason) == ("finished", 0, "")
    with pytest.raises(DivergedError, match="trial 1: diverged after epoch"):
        sweep(text, *long, fail_fast=True)
    assert place.status().state == "finished"


def test_a_cohort_that_ended_is_recorded_where_a_trial_of_it_stops_the_sweep(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr("mlprun.sweeps.cohorts.MAX_MEMBERS", 3)
    monkeypatch.setattr("mlprun.sweeps.run.POLL_SECONDS", 5.0)  # the first look finds it over
    with pytest.raises(DivergedError, match="trial 1: diverged"):
        sweep("seeds: 3\ngrid: {optimizer.lr: [1e38, 0.5]}", *FLAT, fail_fast=True)
    (place,) = folder.find(str(tmp_path / "runs"))
    with place.results() as results:
        assert [trial.status for trial in results.trials()][:3] == ["diverged"] * 3
    swept = sweep("seeds: 3\ngrid: {optimizer.lr: [1e38, 0.5]}", *FLAT)
    assert [trial.status for trial in swept.trials] == ["diverged"] * 3 + ["finished"] * 3


def test_a_sweep_that_is_stopped_says_what_it_keeps_in_the_middle(sweep, tmp_path, stopping, call):
    text = "seeds: 200"
    with stopping(after=20) as counting:
        sweep(text, "base.training.epochs=300", reporter=counting)
    (place,) = folder.find(str(tmp_path / "runs"))
    status = place.status()
    found = cohort_file.read(place.partial(1))
    in_the_middle = len(found.partial_results)
    assert (status.state, status.done, status.kept) == ("interrupted", 0, in_the_middle)
    assert 20 <= in_the_middle < 200
    out = call("sweep", "show", place.path)[1]
    assert f": interrupted, 0 of 200 trials, {in_the_middle} more partially trained, 1 setting\n" in out
    place.write_status(replace(status, state="running"))  # as one that was killed now had written it
    assert (
        f": crashed, 0 of 200 trials, {in_the_middle} more partially trained, "
        in call("sweep", "show", place.path)[1]
    )
    with stopping(after=20) as counting:
        sweep(text, "base.training.epochs=300", reporter=counting)
    assert sweep(text, "base.training.epochs=300").status.kept == 0


def test_ctrl_c_is_no_total_loss_where_trials_are_kept(sweep, monkeypatch):
    whole = sweep("seeds: 2")
    for kept, more in ((0, ""), (703, "; 703 more are partially trained")):
        status = folder.SweepStatus("interrupted", done=5, total=1800, kept=kept)
        ended = SweepResult(whole.folder, status, None, signal_number=2)
        monkeypatch.setattr("mlprun.sweeps.run.run", lambda *_, ended=ended, **options: ended)
        with pytest.raises(InterruptedRunError) as caught:
            sweep("seeds: 2")
        assert caught.value.what == f"stopped after 5 of 1800 trials, which are saved{more}"


def test_a_sweep_that_runs_says_how_long_it_has(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr("mlprun.sweeps.run.SAVE_INTERVAL", 0)
    monkeypatch.setattr("mlprun.sweeps.run.SAVE_FACTOR", 0)
    monkeypatch.setattr("mlprun.sweeps.run.POLL_SECONDS", 0.01)
    seen = []

    class Looking(SilentSweep):
        def report(self, done, seconds):
            (place,) = folder.find(str(tmp_path / "runs"))
            seen.append((seconds, place.status()))

    sweep("seeds: 100", "base.training.epochs=300", "base.engine=fused", reporter=Looking())
    assert {status.state for _, status in seen} == {"running"}
    told = [status.seconds for _, status in seen]
    assert told == sorted(told)
    assert 0 < told[-1] <= seen[-1][0]


def test_a_trial_that_cannot_be_made_is_marked_with_its_line(sweep, monkeypatch):
    original = Experiment.of

    def of(config, **options):
        if config.training.seed == 1:
            raise UsageError("dataset", "no rows of this seed", "choose another")
        return original(config, **options)

    monkeypatch.setattr(Experiment, "of", of)
    swept = sweep("seeds: 3")
    assert [trial.status for trial in swept.trials] == ["finished", "failed", "finished"]
    assert swept.trials[1].error == "dataset: no rows of this seed; choose another"
    assert swept.trials[1].figures == {}
    assert file_of(swept, swept.trials[1]).last(1) is None
    with pytest.raises(CheckFailedError, match="trial 2: failed: dataset: no rows"):
        sweep("seeds: 3\nfolds: null", "base.training.epochs=5", fail_fast=True)


def test_problems_of_all_trials_are_told_at_once_with_the_sweep_files_lines(sweep, tmp_path):
    with pytest.raises(ConfigError) as caught:
        sweep(
            "grid:\n  optimizer.lr: [0.1, -1]\n  training.batch_size: [3, no]\n  optimizer.momentun: [0.9]\n"
        )
    assert [problem.splitlines()[0].replace(f"{tmp_path}/", "") for problem in caught.value.problems] == [
        "trials.yaml:5:24: optimizer.momentun: unknown key; did you mean momentum?",
        "trials.yaml:4:28: training.batch_size: expected a whole number or full, got the string 'no'",
        "trials.yaml:3:23: optimizer.lr: must be greater than 0, got -1",
    ]
    assert not (tmp_path / "runs").exists()


def test_a_figure_that_trials_do_not_have_is_refused(sweep):
    with pytest.raises(
        ConfigError, match="success: test_r2 is not a metric of these trials; expected one of"
    ):
        sweep("success: test_r2 > 0.5")
    with pytest.raises(ConfigError, match=r"objective.metric: loss is not a metric"):
        sweep("objective: {metric: loss}")


def test_two_processes_do_not_run_one_sweep(sweep):
    swept = sweep("seeds: 2")
    with Lock(os.path.join(swept.path, "lock")), pytest.raises(RunInUseError):
        sweep("seeds: 2")


def test_the_engine_is_a_function_of_the_whole_sweep(sweep, monkeypatch):
    monkeypatch.setattr("mlprun.engines.fused.support.STARTUP", 3.0)  # two trials gain less
    few = sweep("seeds: 2")
    many = Plan(from_definition(few, "seeds=200000"))
    assert {trial.engine for trial in few.trials} == {"torch"}
    assert {cohort.kind.engine for cohort in many.cohorts} == {"fused"}


def from_definition(swept, *overrides):
    return read(swept.folder.definition, overrides)


def test_cohorts_are_bounded_and_hold_every_trial_once(sweep):
    plan = Plan(from_definition(sweep("seeds: 1\ngrid: {architecture.hidden: [[2], [3]]}"), "seeds=1500"))
    assert [len(cohort.members) for cohort in plan.cohorts] == [1000, 1000, 1000]
    assert [one.trial for cohort in plan.cohorts for one in cohort.members] == list(range(1, 3001))


def test_folds_test_on_every_row_once(sweep, tmp_path):
    swept = sweep("seeds: [1, 2]\nfolds: 4")
    assert [(trial.seed, trial.fold) for trial in swept.trials] == [
        (s, f) for s in (1, 2) for f in (1, 2, 3, 4)
    ]
    plan = Plan(from_definition(swept))
    experiments = [
        Experiment.of(plan.config(member, cohort.kind.engine))
        for cohort in plan.cohorts
        for member in cohort.members
    ]
    assert [[len(one.fixed[split]) for split in ("train", "dev", "test")] for one in experiments] == [
        [40, 20, 20]
    ] * 8
    for one in (experiments[:4], experiments[4:]):
        tested = np.concatenate([fold.fixed["test"].inputs for fold in one])
        assert len(np.unique(tested, axis=0)) == 80
    assert_equal(swept, swept.trials[2], trained_alone(swept, swept.trials[2], tmp_path))


def test_folds_that_cannot_be_are_told_of_at_their_line(sweep):
    with pytest.raises(
        ConfigError, match=r"trials.yaml:2:8: dataset.split.folds: 80 rows cannot be divided into 90"
    ):
        sweep("folds: 90")
    with pytest.raises(ConfigError, match=r"grid.dataset.split: cannot be swept beside `folds`"):
        sweep("folds: 3\ngrid: {dataset.split: [same]}")


def test_the_api_gives_rows_and_curves(sweep):
    swept = sweep("seeds: 2\ngrid: {optimizer.lr: [0.5]}")
    first = swept.rows()[0]
    assert first["optimizer.lr"] == 0.5
    assert {"trial", "seed", "status", "test_loss", "last_test_accuracy"} < first.keys()
    assert list(swept.history(2)["epoch"]) == list(range(1, 13))
    assert repr(swept).endswith("finished, 2 of 2 trials)")
    assert mlprun.load_sweep(swept.path).rows() == swept.rows()
    with pytest.raises(CheckpointError, match=r"mlprun\.load_sweep in Python"):
        mlprun.load(swept.path)
    same = mlprun.sweep(
        from_mapping({}, "", "").data | {"base": swept.description.base, "seeds": 1}, out=swept.path + "x"
    )
    assert same.trials[0].figures == swept.trials[0].figures
