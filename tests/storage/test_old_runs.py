"""Runs and a sweep that mlprun 0.1.0 wrote keep their meaning; see old_runs/README.md."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from mlprun import api, cli, schema
from mlprun.errors import DataError
from mlprun.experiment import Experiment

OLD = Path(__file__).parent / "old_runs"
EXPECTED = json.loads((OLD / "expected.json").read_text())
RUNS = ("quality", "prices", "health")


@pytest.fixture
def old(tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(OLD, folder)
    return folder


@pytest.fixture
def mlprun(capsys):
    """Runs a command in this process; returns its standard output."""

    def run(*arguments):
        code = cli.main([str(one) for one in arguments])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return run


def near(figures):
    return {split: pytest.approx(values, rel=2e-5, abs=1e-6) for split, values in figures.items()}


@pytest.mark.parametrize("name", RUNS)
def test_an_old_run_is_evaluated_and_resumed_as_it_was_trained(old, mlprun, name):
    run, table, expected = old / f"{name}-001", old / f"{name}.csv", EXPECTED[name]

    def splits(*arguments):
        return json.loads(mlprun("eval", *arguments, "--json"))["splits"]

    assert splits(run) == near(expected["eval"])
    assert splits(run, "--data", table) == near(expected["eval_data"])
    header, *rows = mlprun("predict", run, table).splitlines()
    wanted_header, *wanted = expected["predict"]
    assert header == wanted_header
    for row, line in zip(rows, wanted, strict=False):
        *labels, last = row.split(",")
        *wanted_labels, wanted_last = line.split(",")
        assert float(last) == pytest.approx(float(wanted_last), rel=2e-5)
        assert labels[:1] == wanted_labels[:1] or name == "prices"
    before = yaml.safe_load((run / "config.yaml").read_text())
    assert list(api.load(run).snapshots()) == [0]
    mlprun("resume", run, "--epochs", 10, "-q")
    assert list(api.load(run).snapshots())[-1] == 10
    assert splits(run) == near(expected["resumed"])
    mlprun("resume", run, "--epochs", 12, "-q")  # what was written is of the same run still
    before["training"]["epochs"] = 12
    assert yaml.safe_load((run / "config.yaml").read_text()) == before


@pytest.mark.parametrize("name", RUNS)
def test_the_config_of_an_old_run_is_trained_again_as_it_was(old, mlprun, name):
    mlprun("train", old / f"{name}-001" / "config.yaml", "training.epochs=10", "--out", old / "again", "-q")
    again = old / "again" / f"{name}-001"
    assert json.loads(mlprun("eval", again, "--json"))["splits"] == near(EXPECTED[name]["again"])
    # what it means is written down, and stays the same in a copy
    copy = old / "copy.yaml"
    copy.write_text((again / "config.yaml").read_text().replace(f"../../{name}.csv", f"{name}.csv"))
    mlprun("train", copy, "--out", old / "again", "--name", "copy", "-q")
    assert (old / "again" / "copy-001" / "history.csv").read_bytes() == (again / "history.csv").read_bytes()


def test_an_old_sweep_goes_on_as_it_was_begun(old, mlprun):
    mlprun("sweep", "run", old / "betas.yaml", "seeds=2", "--out", old, "-q")
    assert not (old / "betas-002").exists()
    names = ("setting", "seed", "engine", "train_loss", "dev_loss", "test_mae")
    with closing(sqlite3.connect(old / "betas-001" / "trials.sqlite")) as database:
        rows = database.execute(f"SELECT {', '.join(names)} FROM results").fetchall()
    for row, wanted in zip(rows, EXPECTED["betas"], strict=True):
        found = dict(zip(names, row, strict=True))
        assert found.pop("engine") == wanted.pop("engine")
        assert found == pytest.approx(wanted, rel=2e-5)
    # a trial of this machine: elsewhere, the weights of old ones may differ in their last bits
    mlprun("sweep", "trial", old / "betas-001", len(rows), "--out", old / "extracted", "-q")
    trial = (old / "extracted" / "latest").resolve()
    said = json.loads(mlprun("eval", trial, "--json"))["splits"]
    assert said["test"]["mae"] == pytest.approx(EXPECTED["betas"][-1]["test_mae"], rel=2e-5)
    mlprun("sweep", "run", old / "betas-001" / "sweep.yaml", "--out", old / "other", "-q")
    with closing(sqlite3.connect(old / "other" / "betas-001" / "trials.sqlite")) as database:
        (loss,) = database.execute("SELECT train_loss FROM results WHERE trial = 1").fetchone()
    assert loss == pytest.approx(EXPECTED["betas"][0]["train_loss"], rel=2e-5)


def test_numbers_in_other_formats_stay_the_categories_that_they_were(tmp_path):
    rows = "".join(f'"{1 + k % 3},000.00",{k % 5 + 0.5}\n' for k in range(20))
    (tmp_path / "t.csv").write_text(f"x,y\n{rows}")
    config = tmp_path / "config.yaml"
    config.write_text("dataset: {name: table, path: t.csv, target: y, task: auto}")
    with pytest.raises(DataError, match=r":2: column 'x' is '1,000.00'"):
        schema.load(str(config))
    (tmp_path / "run.json").write_text("{}")  # as in a run folder
    assert schema.load(str(config)).dataset.load().categories == (("1,000.00", "2,000.00", "3,000.00"),)
    with pytest.raises(DataError):
        schema.load(str(config), ["dataset.other_formats=refuse"])


def test_an_old_run_of_moons_keeps_its_rows(old, mlprun):
    run = old / "moons-001"
    assert api.load(run).config.dataset.arcs == "pytorch"
    config = schema.load(str(run / "config.yaml"))
    assert config.dataset.arcs == "pytorch"
    recorded = json.loads((run / "run.json").read_text())["data_digest"]
    if Experiment.of(config).digest() != recorded:
        pytest.skip("torch computes other arcs on this CPU")
    history = (run / "history.csv").read_text()
    mlprun("resume", run, "--epochs", 10, "-q")  # which refuses other rows
    assert (run / "history.csv").read_text().startswith(history)
    assert json.loads(mlprun("reproduce", run, "--json", "--out", old / "again"))["equal"]
