"""`mlprun train --seeds`: what it prints are the means of ordinary runs."""

import json
import os
import re
import shlex
from functools import partial
from typing import get_args

import numpy as np
import pytest
import scipy.stats

import mlprun
import mlprun.api
from mlprun.errors import DataError
from mlprun.sweeps.schema import TrialStatus
from mlprun.sweeps.trials import ExperimentCache

CONFIG = """
dataset: {name: moons, split: {train: 40, dev: 20, test: 20}}
architecture: {hidden: [3], activation: tanh}
training: {epochs: 8, seed: 5}
"""


@pytest.fixture
def train(tmp_path, call):
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    return partial(call, "train", path, "--out", tmp_path / "runs")


def test_the_means_are_of_the_runs_that_each_seed_gives_alone(train, tmp_path):
    code, out, err = train("optimizer.lr=20", "--seeds", "4", "--name", "many", "--json", "-q")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["seeds"], told["status"], told["of"]) == (4, "finished", "best")
    assert {name: count for name, count in told["counts"].items() if count} == {"finished": 4}
    assert os.path.basename(told["sweep"]) == "many-seeds-001"
    alone = [
        mlprun.train(tmp_path / "small.yaml", "optimizer.lr=20", f"training.seed={seed}", out=str(tmp_path))
        for seed in (5, 6, 7, 8)
    ]
    assert any(run.metrics["best"]["epoch"] < 8 for run in alone)  # so that best and last differ
    for figure in ("train_loss", "dev_loss", "test_accuracy"):
        split, name = figure.split("_")
        values = [run.metrics["best"]["splits"][split][name] for run in alone]
        found, expected = told["metrics"][figure], scipy.stats.describe(values)
        assert (found["n"], found["mean"]) == (4, pytest.approx(expected.mean))
        assert found["deviation"] == pytest.approx(expected.variance**0.5)
        half = scipy.stats.t.ppf(0.975, 3) * found["deviation"] / 2
        assert found["interval"] == pytest.approx([expected.mean - half, expected.mean + half])


def test_folds_give_the_means_of_the_runs_of_each_fold(train, tmp_path):
    code, out, err = train("--folds", "4", "--json", "-q")
    assert (code, err) == (0, "")
    made = json.loads(out)
    assert (made["seeds"], made["folds"], made["status"]) == (1, 4, "finished")
    assert os.path.basename(made["sweep"]) == "small-folds-001"
    alone = [fold_of(tmp_path, fold, seed=5) for fold in range(1, 5)]
    for figure in ("train_loss", "dev_loss", "test_accuracy"):
        split, name = figure.split("_")
        values = [run.metrics["best"]["splits"][split][name] for run in alone]
        found, expected = made["metrics"][figure], scipy.stats.describe(values)
        assert (found["n"], found["mean"]) == (4, pytest.approx(expected.mean))
        assert found["deviation"] == pytest.approx(expected.variance**0.5)
    seen = np.concatenate([run.rows("test").inputs for run in alone])
    assert len(np.unique(seen, axis=0)) == len(seen) == 80
    assert "best epoch, mean over 4 folds with 95% interval" in train("--folds", "4", "-q")[1]


def fold_of(tmp_path, fold, *, seed):
    options = (f"training.seed={seed}", "dataset.split.folds=4", f"dataset.split.fold={fold}")
    return mlprun.train(tmp_path / "small.yaml", *options, out=str(tmp_path / "alone"))


def test_with_seeds_the_interval_is_over_means_of_folds(train, tmp_path):
    made = json.loads(train("--folds", "4", "--seeds", "3", "--json", "-q")[1])
    runs = {seed: [fold_of(tmp_path, fold, seed=seed) for fold in range(1, 5)] for seed in (5, 6, 7)}
    values = [
        np.mean([run.metrics["best"]["splits"]["test"]["loss"] for run in one]) for one in runs.values()
    ]
    found = made["metrics"]["test_loss"]
    assert (found["n"], found["mean"]) == (3, pytest.approx(np.mean(values)))
    half = scipy.stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / 3**0.5
    assert found["interval"] == pytest.approx([np.mean(values) - half, np.mean(values) + half])
    assert "mean over 3 seeds of 4 folds" in train("--folds", "4", "--seeds", "3", "-q")[1]


def test_folds_that_cannot_be_made_are_one_line(train, call, tmp_path):
    code, out, err = train("--folds", "90", "-q")
    assert (code, out) == (2, "")
    assert err == "dataset.split.folds=90: 80 rows cannot be divided into 90 folds; expected at most 80\n"
    rows = "".join(f"{x},{x % 3},{'train' if x % 2 else 'test'}\n" for x in range(20))
    (tmp_path / "a.csv").write_text(f"x,y,part\n{rows}")
    config = "{dataset: {name: table, path: a.csv, target: y, split: {column: part}}}"
    (tmp_path / "a.yaml").write_text(config)
    code, _, err = call("train", tmp_path / "a.yaml", "--folds", "3", "-q")
    message = "has no meaning beside column; remove one of them"
    assert (code, err.splitlines()[0]) == (2, f"dataset.split.folds=3: {message}")
    (tmp_path / "s.yaml").write_text("base: a.yaml\nfolds: 3\n")
    code, _, err = call("sweep", "run", tmp_path / "s.yaml", "--dry-run", "-q")
    message = "cannot be combined with dataset.split.column, which divides the rows; remove one of them"
    assert (code, err.splitlines()[0]) == (2, f"{tmp_path / 's.yaml'}:2:8: folds: {message}")


def test_a_table_shows_means_and_what_was_left_out(train):
    words = ("--seeds", "3", "-q", "loss=mse", "architecture.activation=identity")
    code, out, err = train(*words)
    assert (code, err) == (0, "")
    assert "best epoch, mean over 3 seeds with 95% interval" in out
    assert "next: mlprun sweep show" in out
    swept = shown(train(*words, "--json"))["counts"]
    assert list(swept) == list(get_args(TrialStatus))
    assert swept == {**dict.fromkeys(swept, 0), "finished": 3}


def shown(said):
    return json.loads(said[1])


def test_seeds_of_which_none_came_to_its_end_fail_as_one_does(train):
    words = ("--seeds", "3", "-q", "loss=mse", "architecture.activation=identity", "optimizer.lr=1e38")
    code, out, err = train(*words)
    assert (code, out, err.count("\n")) == (8, "", 1)
    assert "small-seeds-001: no seed finished: 3 diverged after " in err
    code, out, _ = train(*words, "--json")
    told = json.loads(out)
    assert (code, told["counts"]["diverged"]) == (8, 3)
    assert {one["n"] for one in told["metrics"].values()} == {0}


@pytest.mark.parametrize("out", ["runs", "else where"])
def test_seeds_that_failed_say_why_and_how_they_are_trained_again(out, call, train, tmp_path, monkeypatch):
    def no_rows(*_):
        raise DataError("wine.csv", "has no rows", "choose another")

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(ExperimentCache, "experiment", no_rows)
        code, shown, err = train("--out", out, "--seeds", "2", "-q")
    assert (code, shown) == (10, "")
    assert "no seed finished: wine.csv: has no rows; choose another; to train them again: mlprun " in err
    hint = err[err.index("mlprun sweep run") :].rstrip("\n")
    assert "--out" in hint
    assert call(*shlex.split(hint)[1:], "-q")[0] == 0
    assert os.listdir(out) == ["small-seeds-001"]
    assert {one.status for one in mlprun.api.load_sweep(f"{out}/small-seeds-001").trials} == {"finished"}


def test_what_diverged_beside_others_is_counted(train):
    words = ("loss=mse", "architecture.activation=relu", "architecture.hidden=[16]", "optimizer.lr=1.25")
    code, out, _ = train("--seeds", "6", "-q", *words)
    assert code == 0
    assert re.search(r"mean over [2-5] seeds with 95% interval", out)
    assert re.search(r"\n[1-4] diverged: excluded from the means\n", out)


def test_the_same_command_does_nothing_twice_and_a_dry_run_nothing_at_all(train, tmp_path):
    code, out, err = train("--seeds", "3", "--dry-run")
    assert (code, err) == (0, "")
    assert out.startswith("3 trials: 1 setting × 3 seeds\n")
    assert not (tmp_path / "runs").exists()
    first = train("--seeds", "3")
    again = train("--seeds", "3")
    assert first[1] == again[1]
    assert "all 3 trials of" in again[2]
    assert os.listdir(tmp_path / "runs") == ["small-seeds-001"]
