"""Environment variables in configs: in base files, overrides and sweeps, and what a run records of them."""

import json
from pathlib import Path

import pytest

import mlprun

BASE = """
optimizer: {name: adam, lr: ${env:MLPRUN_LR}}
training: {epochs: 2, seed: ${env:MLPRUN_SEED:-3}}
"""
NOT_SET = "the environment variable MLPRUN_LR is not set; set it, or write ${env:MLPRUN_LR:-default}"
CONFIG = """
base: base.yaml
name: a${env:MLPRUN_LR}
dataset: {name: moons, split: {train: 40, dev: 20, test: 20}}
architecture: {hidden: [2]}
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "a.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    for name in ("MLPRUN_LR", "MLPRUN_SEED"):
        monkeypatch.delenv(name, raising=False)
    return "a.yaml"


def text_of(run, name):
    return (Path(run.path) / name).read_text()


def test_a_run_stores_values_and_names_and_can_be_trained_again_without_them(config, call, monkeypatch):
    monkeypatch.setenv("MLPRUN_LR", "0.25")
    run = mlprun.train(config, "training.batch_size=${env:MLPRUN_ROWS:-8}")
    assert (run.config.optimizer.lr, run.config.training.seed) == (0.25, 3)
    assert (run.config.training.batch_size, run.config.name) == (8, "a0.25")
    record = json.loads(text_of(run, "run.json"))
    assert record["config_variables"] == ["MLPRUN_LR", "MLPRUN_ROWS", "MLPRUN_SEED"]
    stored = text_of(run, "config.yaml")
    assert "lr: 0.25" in stored
    assert "env:" not in stored
    monkeypatch.delenv("MLPRUN_LR")
    again = mlprun.train(f"{run.path}/config.yaml", out="again")
    assert "config_variables" not in json.loads(text_of(again, "run.json"))
    histories = [text_of(one, "history.csv") for one in (run, again)]
    assert histories[0] == histories[1]
    code, _, err = call("train", config)
    assert code == 2
    assert err.splitlines()[-3:] == [
        f"base.yaml:2:29: optimizer.lr: {NOT_SET}",
        "  optimizer: {name: adam, lr: ${env:MLPRUN_LR}}",
        "                              ^",
    ]


def test_an_escaped_reference_survives_the_stored_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{x},{x % 2}\n" for x in range(20))
    (tmp_path / "${env:A}.csv").write_text(f"x,y\n{rows}")
    (tmp_path / "a.yaml").write_text(
        "dataset: {name: table, path: '$${env:A}.csv', target: y}\ntraining: {epochs: 1}\n"
    )
    run = mlprun.train("a.yaml")
    assert run.config.dataset.path.endswith("${env:A}.csv")
    assert mlprun.train(f"{run.path}/config.yaml", out="again").config.dataset.path.endswith("${env:A}.csv")


def test_a_sweep_reads_variables_and_records_them(config, tmp_path, monkeypatch):
    (tmp_path / "s.yaml").write_text("base: a.yaml\nseeds: ${env:MLPRUN_SEEDS}\n")
    monkeypatch.setenv("MLPRUN_LR", "0.5")
    monkeypatch.setenv("MLPRUN_SEEDS", "2")
    sweep = mlprun.sweep("s.yaml")
    assert [trial.seed for trial in sweep.trials] == [3, 4]
    assert sweep.description.base["optimizer"]["lr"] == 0.5
    record = json.loads(text_of(sweep, "run.json"))
    assert record["config_variables"] == ["MLPRUN_LR", "MLPRUN_SEED", "MLPRUN_SEEDS"]
