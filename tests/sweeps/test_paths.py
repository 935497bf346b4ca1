"""Values that hold paths: a sweep over them goes on from every folder, and its trials are ordinary runs."""

from __future__ import annotations

import os

import pytest

import mlprun
from mlprun.errors import CheckpointError
from mlprun.sweeps import search, space
from mlprun.sweeps.definition import read
from mlprun.sweeps.extract import extract
from mlprun.sweeps.schema import Configuration
from tests.sweeps.test_search import draw

TABLES = "[{name: table, path: %sa.csv, target: t}, {name: table, path: %sb.csv, target: t}]"
LR = "optimizer.lr: {log_uniform: [0.01, 1]}"
LINES = {
    "a grid of datasets": f"grid: {{dataset: {TABLES}}}",
    "drawn paths": f"random: {{dataset.path: {{choice: [%sa.csv, %sb.csv]}}, {LR}}}\ntrials: 4",
    "drawn datasets": f"random: {{dataset: {{choice: {TABLES}}}, {LR}}}\ntrials: 4",
    "a search among paths": f"random: {{dataset.path: {{choice: [%sa.csv, %sb.csv]}}, {LR}}}\n"
    "search: {name: random, trials: 4, batch: 2}",
    "a search among datasets": f"random: {{dataset: {{choice: {TABLES}}}, {LR}}}\n"
    "search: {name: random, trials: 4, batch: 2}",
    "a search that learns": f"random: {{dataset: {{choice: {TABLES}}}, {LR}}}\n"
    "search: {trials: 4, batch: 2}",
}
BASE = """
dataset: {name: table, path: %sa.csv, target: t}
architecture: {hidden: [2]}
optimizer: {name: sgd, lr: 0.2}
training: {epochs: 2}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two tables; `project(line, folder)` writes a sweep over them into a folder and gives its path."""
    monkeypatch.chdir(tmp_path)
    for name, modulus in (("a", 7), ("b", 5)):
        rows = "".join(f"{n},{n * n % modulus},{'rg'[n % 2]}\n" for n in range(40))
        (tmp_path / f"{name}.csv").write_text(f"x,y,t\n{rows}")

    def write(line, folder="."):
        (tmp_path / folder).mkdir(exist_ok=True)
        up = os.path.relpath(tmp_path, tmp_path / folder)
        up = "" if up == "." else f"{up}/"
        (tmp_path / folder / "base.yaml").write_text(BASE % up)
        path = tmp_path / folder / "tables.yaml"
        path.write_text(f"base: base.yaml\n{line % (up, up)}\n")
        return str(path)

    return write


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_sweep_over_tables_goes_on_from_everywhere_and_its_trials_are_ordinary_runs(
    line, project, monkeypatch
):
    monkeypatch.setattr(search, "_ask", draw) if "{trials" in line else None
    first = mlprun.sweep(project(line), out="runs")
    trials, settings = first.trials, first.settings
    for number, trial in enumerate(trials, start=1):
        made = extract(first.folder, number, out="alone", callbacks=())
        assert made.differences == ()
        chosen = settings[trial.setting].values
        path = chosen["dataset"]["path"] if "dataset" in chosen else chosen["dataset.path"]
        assert os.path.samefile(mlprun.load(made.folder.path).config.dataset.path, path)
    for path in (project(line), os.path.join(first.path, "sweep.yaml"), project(line, "elsewhere")):
        again = mlprun.sweep(path, out="runs")
        assert (again.path, again.trials, again.settings) == (first.path, trials, settings)
    more = mlprun.sweep(project(line, "elsewhere"), "seeds=2", out="runs")
    assert (more.path, more.trials[: len(trials)]) == (first.path, trials)
    assert extract(more.folder, len(trials) + 1, out="alone", callbacks=()).differences == ()


def test_a_search_that_goes_on_in_another_folder_has_the_words_that_it_began_with(
    project, monkeypatch, stopping
):
    monkeypatch.setattr(search, "_ask", draw)
    line = LINES["a search that learns"]
    whole = mlprun.sweep(project(line), out="whole")
    with stopping(after=2) as reporter:
        mlprun.sweep(project(line), out="runs", reporter=reporter)
    other = mlprun.sweep(project(line, "elsewhere"), out="runs")
    assert os.path.basename(other.path) == "tables-001"
    assert other.settings == whole.settings
    assert [one.figures for one in other.trials] == [one.figures for one in whole.trials]


def test_two_parameters_with_paths_are_told_apart_in_any_order(project):
    dataset, path = (
        "dataset.path: [%sa.csv, %sb.csv]",
        "initializer: [{name: file, path: x}, {name: file, path: y}]",
    )
    one = read(project(f"grid: {{{dataset}, {path}}}")).sweep
    assert list(space.path_lists(one)) == ["dataset.path", "initializer"]
    setting = Configuration(1, {"dataset.path": "b.csv", "initializer": {"name": "file", "path": "x"}})
    other = read(project(f"grid: {{{path}, {dataset}}}", "elsewhere")).sweep
    assert space.with_paths(setting, space.path_lists(one), space.path_lists(other)).values == {
        "dataset.path": "../b.csv",
        "initializer": {"name": "file", "path": "x"},
    }


def test_a_path_that_a_database_does_not_know_is_told_and_no_accident():
    with pytest.raises(CheckpointError, match="--out"):
        space.with_paths(Configuration(1, {"dataset.path": "c.csv"}), {}, {"dataset.path": ["a.csv"]})
