"""Settings that do not look good are given up at a rung, the same ones however the sweep was disturbed."""

import glob
import itertools
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mlprun
from mlprun.errors import ConfigError
from mlprun.sweeps import extract, run, search
from mlprun.sweeps.definition import Pruner, read
from mlprun.sweeps.run import CohortStore, Session
from mlprun.sweeps.schema import Rung, Trial

from .conftest import describe
from .test_executors import Far

SPACE = """
seeds: 2
random:
  optimizer.lr: {log_uniform: [1e-4, 1e4]}
  dataset.noise: {uniform: [0, 0.5]}
objective: {metric: dev_loss}
"""
SEARCH = "search: {name: random, trials: 10, batch: 6, pruner: {min_epochs: 2, reduction_factor: 2}}"
TEXT = SPACE + SEARCH
RUNGS = (2, 4, 8)


@pytest.fixture(scope="module")
def undisturbed():
    """The content of that search, once it is known."""
    return []


@pytest.fixture
def whole(sweep_file, tmp_path, undisturbed):
    """The content of that search where nothing disturbs it."""
    if not undisturbed:
        undisturbed.append(content(mlprun.sweep(sweep_file(TEXT), out=str(tmp_path / "whole"))))
    return undisturbed[0]


def content(swept):
    trials = [replace(trial, seconds=None) for trial in swept.trials]
    cohorts = sorted(glob.glob(os.path.join(swept.path, "cohorts", "*")))
    files = {os.path.basename(path): Path(path).read_bytes() for path in cohorts}
    return swept.settings, trials, rungs(swept), files


def rungs(swept):
    with swept.folder.results() as results:
        return results.rungs()


def test_at_each_rung_the_best_share_of_all_that_came_so_far_goes_on(sweep):
    swept = sweep(TEXT)
    looked_at = rungs(swept)
    assert {one.epoch for one in looked_at} == set(RUNGS)
    gone = {}
    for rounds, epoch in itertools.product(((1, 6), (7, 10)), RUNGS):
        first, last = rounds
        here = {one.setting: one for one in looked_at if one.epoch == epoch and first <= one.setting <= last}
        assert set(here) == {n for n in range(first, last + 1) if n not in gone}
        known = [one.objective for one in looked_at if one.epoch == epoch and one.setting <= last]
        bar = sorted(known)[max(1, len(known) // 2) - 1]
        assert {n for n, one in here.items() if one.promoted} == {
            n for n, one in here.items() if one.objective <= bar
        }
        gone |= {n: epoch for n, one in here.items() if not one.promoted}
    assert len(set(gone.values())) > 1
    for trial in swept.trials:
        expected = ("pruned", gone[trial.setting]) if trial.setting in gone else ("finished", 12)
        assert (trial.status, trial.epochs) == expected


def test_pruned_settings_are_shown_by_what_they_reached_at_their_rung(sweep, call):
    for objective, sign in (("dev_loss", 1), ("dev_accuracy", -1)):
        swept = sweep(TEXT.replace("dev_loss", objective), f"name={objective}")
        gone = {one.setting: one for one in rungs(swept) if not one.promoted}
        expected = sorted(gone.values(), key=lambda one: (-one.epoch, sign * one.objective, one.setting))
        assert [one.setting for one in expected] != sorted(gone, key=lambda n: (-gone[n].epoch, n))
        for words in ((), ("--metric", "test_loss")):
            told = json.loads(call("sweep", "show", swept.path, "--json", *words)[1])["settings"]
            ended = len(told) - len(gone)
            assert all(one["pruned_objective"] is None for one in told[:ended])
            found = [(one["setting"], one["pruned_at"], one["pruned_objective"]) for one in told[ended:]]
            assert found == [(one.setting, one.epoch, one.objective) for one in expected]
            assert f"{objective} then" in call("sweep", "show", swept.path, *words)[1]


def test_how_a_setting_stands_at_a_rung_is_what_it_would_reach_in_so_many_epochs(sweep, tmp_path):
    looked_at = rungs(sweep(TEXT))
    for epoch in RUNGS:
        short = sweep(f"{SPACE}trials: 10", f"base.training.epochs={epoch}", "name=short")
        for one in looked_at:
            if one.epoch == epoch:
                figures = [t.figures["dev_loss"] for t in short.trials if t.setting == one.setting]
                assert one.objective == np.mean(figures)


def test_more_of_a_pruned_search_goes_on_by_the_rungs_that_are_there(sweep):
    first = sweep(TEXT)
    trials, looked_at = first.trials, rungs(first)
    more = sweep(TEXT.replace("trials: 10", "trials: 14"))
    assert (more.path, more.trials[: len(trials)]) == (first.path, trials)
    assert [one for one in rungs(more) if one.setting <= 10] == looked_at
    assert {one.setting for one in rungs(more)} == set(range(1, 15))
    wider = sweep(TEXT.replace("trials: 10", "trials: 14").replace("seeds: 2", "seeds: 3"))
    assert (wider.path, len(wider.trials)) == (first.path, 42)
    ends = {
        setting: {one.epochs for one in wider.trials if one.setting == setting} for setting in range(1, 15)
    }
    assert all(len(epochs) == 1 for epochs in ends.values())
    assert rungs(wider) == rungs(more)


def test_a_lost_cohort_of_a_pruned_search_is_trained_as_far_as_before(whole, sweep):
    swept = sweep(TEXT)
    Path(swept.folder.cohort(1)).unlink()
    assert content(sweep(TEXT)) == whole


def test_settings_that_went_on_are_those_of_the_same_draws_without_a_pruner(sweep):
    pruned, whole = sweep(TEXT), sweep(f"{SPACE}trials: 10")
    assert pruned.settings == whole.settings
    alone = {trial.id: replace(trial, seconds=None, cohort=None, member=None) for trial in whole.trials}
    on = [trial for trial in pruned.trials if trial.status == "finished"]
    assert on
    for trial in on:
        assert replace(trial, seconds=None, cohort=None, member=None) == alone[trial.id]


@pytest.mark.parametrize("stop_at", [0, 1, 8, 12, 14, 19])
def test_a_pruned_search_that_was_stopped_ends_as_if_it_were_not(
    stop_at, whole, sweep_file, tmp_path, stopping
):
    path, out = sweep_file(TEXT), str(tmp_path / "stopped")
    with stopping(after=stop_at) as reporter:
        mlprun.sweep(path, out=out, reporter=reporter)
    assert content(mlprun.sweep(path, out=out)) == whole


@pytest.mark.parametrize(
    ("owner", "where", "time"),
    [(Session, "_decide", 1), (Session, "_decide", 4), (CohortStore, "record", 1), (CohortStore, "save", 2)],
)
@pytest.mark.parametrize("damage", [False, True])
def test_one_that_was_killed_goes_on_whether_its_standing_is_sound_or_not(
    owner, where, time, damage, whole, sweep_file, tmp_path, monkeypatch
):
    path, out, times = sweep_file(TEXT), str(tmp_path / "killed"), []
    original = getattr(owner, where)

    def die(self, *rest):
        times.append(1)
        if len(times) == time:
            raise KeyboardInterrupt
        original(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(owner, where, die)
        with pytest.raises(KeyboardInterrupt):
            mlprun.sweep(path, out=out)
    standing = glob.glob(f"{out}/*/cohorts/*.partial.safetensors")
    assert standing
    for one in standing if damage else ():
        Path(one).write_bytes(b"\0" * 99)
    assert content(mlprun.sweep(path, out=out)) == whole


def test_it_does_not_matter_who_trains(sweep, tmp_path):
    words = ("base.engine=torch",)
    here = sweep(TEXT, *words)
    definition = read(str(tmp_path / "trials.yaml"), words)
    silent = mlprun.api.SilentSweep()
    far = run.run(definition, out=str(tmp_path / "far"), reporter=silent, remote=Far)
    assert content(mlprun.Sweep(far.folder)) == content(here)


def test_a_pruned_trial_is_a_run_that_can_go_on(sweep, tmp_path):
    swept = sweep(TEXT)
    trial = next(one for one in swept.trials if one.status == "pruned" and one.epochs == 4)
    made = extract.extract(swept.folder, trial.id, out=str(tmp_path / "alone"), callbacks=())
    assert made.differences == ()
    assert (made.folder.status().state, made.folder.status().epochs) == ("interrupted", 4)
    resumed = mlprun.resume(made.folder.path)
    whole = mlprun.train(os.path.join(resumed.path, "config.yaml"), out=str(tmp_path / "whole"))
    assert resumed.status.epochs == 12
    for name in ("last.safetensors", "best.safetensors"):
        files = [Path(one.path, name) for one in (resumed, whole)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_trials_that_end_before_a_rung_stand_where_they_ended(sweep):
    text = """
    seeds: 2
    random: {optimizer.lr: {choice: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1e+38]}}
    search: {name: random, trials: 8, pruner: {min_epochs: 5, reduction_factor: 2}}
    objective: {metric: train_loss}
    """
    words = ("base.loss=mse", "base.architecture.activation=identity", "base.optimizer.clip_norm=null")
    swept = sweep(text, *words[:2], "base.early_stopping.patience=1")
    diverging = {n for n, one in swept.settings.items() if one.values["optimizer.lr"] == 1e38}
    assert diverging
    stood = {one.setting: one for one in rungs(swept) if one.epoch == 5}
    for trial in swept.trials:
        if trial.setting in diverging:
            assert trial.status == "diverged"
            assert stood[trial.setting].objective is None
            assert not stood[trial.setting].promoted


def test_more_of_what_a_search_goes_by_is_another_sweep(sweep):
    first = sweep(TEXT)
    assert sweep(TEXT).path == first.path
    assert sweep(TEXT, "objective.metric=dev_accuracy").path != first.path
    assert sweep(TEXT, "search.pruner.reduction_factor=3").path != first.path


def test_a_first_rung_that_is_not_before_the_end_is_a_problem(sweep):
    with pytest.raises(ConfigError, match=r"search.pruner.min_epochs=12: .* fewer than the base's 12 epochs"):
        sweep(TEXT, "search.pruner.min_epochs=12")


def test_rungs_stand_at_powers_and_by_default_from_a_hundredth_on():
    assert search.rung_epochs(Pruner(), 1000) == (10, 40, 160, 640)
    assert search.rung_epochs(Pruner(reduction_factor=3), 50) == (1, 3, 9, 27)
    assert search.rung_epochs(Pruner(min_epochs=50), 50) == ()
    assert (
        search.trained_fraction(Pruner(min_epochs=25, reduction_factor=2), 100) == 0.25 + 0.25 / 2 + 0.5 / 4
    )


def stand(values, epoch=10, first=1):
    return [
        Trial(n, n, 0, status="finished", epochs=epoch, figures={"dev_loss": value})
        for n, value in enumerate(values, start=first)
    ]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_last_to_arrive_at_a_rung_goes_on_when_optuna_says_so(mode):
    optuna = pytest.importorskip("optuna", reason="the extra optuna is not installed")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    description = describe(objective={"metric": "dev_loss", "mode": mode, "aggregate": "mean"}, success=None)
    rng = np.random.default_rng(3)
    said = []
    for number in range(60):
        values = rng.integers(0, 6, size=1 + number % 9).astype(float).tolist()
        pruner = Pruner(min_epochs=10, reduction_factor=2 + number % 3)
        judge = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=10, reduction_factor=pruner.reduction_factor
        )
        direction = "minimize" if mode == "min" else "maximize"
        study = optuna.create_study(pruner=judge, direction=direction)
        for value in values:
            asked = study.ask()
            asked.report(value, 10)
            gone = asked.should_prune()
        found = search.decide_rung(pruner, 10, stand(values), (), description)
        assert found[-1] == Rung(len(values), 10, values[-1], not gone)
        said.append(gone)
    assert {True, False} == set(said)


def test_a_setting_without_a_figure_never_goes_on():
    description = describe(success=None)
    found = search.decide_rung(Pruner(), 10, stand([math.nan, None]), (), description)
    assert found == [Rung(1, 10, None, False), Rung(2, 10, None, False)]


def test_a_search_is_told_where_settings_were_pruned_and_how_they_stood(sweep, monkeypatch):
    told = []
    original = search._ask
    monkeypatch.setattr(search, "_ask", lambda *args: told.append(args[1]) or original(*args))
    swept = sweep(TEXT)
    ended = told[1]
    assert [one.values for one in ended] == [swept.settings[n].values for n in range(1, 7)]
    last = {one.setting: one for one in rungs(swept)}
    for number, one in enumerate(ended, start=1):
        stood = last[number]
        assert one.pruned_at == (None if stood.promoted else stood.epoch)
        if not stood.promoted:
            assert one.score == stood.objective


def test_optuna_takes_what_was_pruned(sweep):
    pytest.importorskip("optuna", reason="the extra optuna is not installed")
    text = """
    random: {optimizer.lr: {log_uniform: [1e-6, 1]}}
    search: {trials: 36, batch: 12, pruner: {min_epochs: 5, reduction_factor: 3}}
    objective: {metric: train_loss}
    """
    swept = sweep(text, "base.training.epochs=40")
    assert {trial.status for trial in swept.trials} == {"pruned", "finished"}
    rates = [setting.values["optimizer.lr"] for setting in swept.settings.values()]
    # large rates are the better ones here
    assert sum(rate > 0.06 for rate in rates[24:]) > sum(rate > 0.06 for rate in rates[:12])
