"""`mlprun train --seeds`: what it prints are the means of ordinary runs."""

import json
import os
from functools import partial

import pytest
import scipy.stats

import mlprun

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
    assert told["counts"] == {"diverged": 0, "failed": 0, "ended": 4}
    assert os.path.basename(told["sweep"]) == "many-seeds-001"
    alone = [
        mlprun.train(tmp_path / "small.yaml", "optimizer.lr=20", f"training.seed={seed}", out=str(tmp_path))
        for seed in (5, 6, 7, 8)
    ]
    assert any(run.figures["best"]["epoch"] < 8 for run in alone)  # so that best and last differ
    for figure in ("train_loss", "dev_loss", "test_accuracy"):
        split, name = figure.split("_")
        values = [run.figures["best"]["splits"][split][name] for run in alone]
        found, expected = told["figures"][figure], scipy.stats.describe(values)
        assert (found["n"], found["mean"]) == (4, pytest.approx(expected.mean))
        assert found["deviation"] == pytest.approx(expected.variance**0.5)
        half = scipy.stats.t.ppf(0.975, 3) * found["deviation"] / 2
        assert found["interval"] == pytest.approx([expected.mean - half, expected.mean + half])


def test_a_table_shows_means_and_what_was_left_out(train):
    words = ("--seeds", "3", "-q", "loss=mse", "architecture.activation=identity")
    code, out, err = train(*words)
    assert (code, err) == (0, "")
    assert "best epoch, mean over 3 seeds with its 95% interval" in out
    assert "next: mlprun sweep show" in out
    code, out, _ = train(*words, "optimizer.lr=1e38")
    assert code == 0
    assert "3 diverged: not in these means" in out
    told = json.loads(train(*words, "optimizer.lr=1e38", "--json")[1])
    assert told["counts"] == {"diverged": 3, "failed": 0, "ended": 0}
    assert {one["n"] for one in told["figures"].values()} == {0}


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
