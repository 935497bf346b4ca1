"""A sweep that asks for more than one that is there goes on in its folder; what is there stays as it is."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mlprun
from mlprun import cli
from mlprun.errors import ConfigError, InterruptedRunError, MlprunError
from mlprun.storage import canonical
from mlprun.sweeps import database, folder
from mlprun.sweeps.definition import read
from mlprun.sweeps.extract import extract
from mlprun.sweeps.plan import Plan

from .conftest import ROWS

RANDOM = "random: {optimizer.lr: {log_uniform: [1e-3, 1]}, architecture.hidden: {choice: [[2], [3]]}}"
MORE = {
    "seeds": ("seeds: 2", "seeds: 5"),
    "a list of seeds": ("seeds: [7, 3]", "seeds: [3, 9, 7]"),
    "seeds in other words": ("seeds: 2", "seeds: [4, 1, 0]"),
    "values of a grid": (
        "seeds: 2\ngrid: {optimizer.lr: [0.1, 0.5], architecture.hidden: [[2], [3]]}",
        "seeds: 3\ngrid: {architecture.hidden: [[3], [1], [2]], optimizer.lr: [0.05, 0.5, 0.1]}",
    ),
    "pairs": (
        "paired: {optimizer.lr: [0.1, 0.5], training.epochs: [3, 4]}",
        "paired: {optimizer.lr: [0.5, 0.1, 0.1], training.epochs: [4, 4, 3]}",
    ),
    "draws": (f"{RANDOM}\ntrials: 3", f"{RANDOM}\ntrials: 7"),
    "draws of a grid": (
        f"grid: {{optimizer.name: [sgd]}}\n{RANDOM}\ntrials: 3",
        f"grid: {{optimizer.name: [adam, sgd]}}\n{RANDOM}\ntrials: 4\nseeds: 2",
    ),
    "seeds of folds": ("folds: 3", "folds: 3\nseeds: 2"),
}
EVERY = pytest.mark.parametrize(("few", "many"), MORE.values(), ids=MORE)


def by_key(swept):
    """Each trial by what it is a trial of: its epochs, its end, its figures."""
    settings = {one: canonical.encode(setting.values) for one, setting in swept.settings.items()}
    return {
        (settings[one.setting], one.seed, one.fold): (one.status, one.epochs, one.best_epoch, one.figures)
        for one in swept.trials
    }


def files_of(swept):
    return {path.name: path.read_bytes() for path in Path(swept.path, "cohorts").iterdir()}


def written(swept):
    names = set(os.listdir(swept.path)) - {"lock"}
    return {name: os.stat(os.path.join(swept.path, name)).st_mtime_ns for name in names}


def content(swept):
    trials = [replace(trial, seconds=None) for trial in swept.trials]
    return (
        swept.description,
        swept.settings,
        trials,
        files_of(swept),
        Path(swept.folder.definition).read_text(),
    )


@EVERY
def test_more_goes_on_in_the_folder_and_leaves_what_is_there(few, many, sweep, tmp_path):
    first = sweep(few)
    trials, files, settings = first.trials, files_of(first), first.settings
    second = sweep(many)
    assert second.path == first.path
    assert second.trials[: len(trials)] == trials
    assert files.items() <= files_of(second).items()
    assert {one: settings[one].values for one in settings}.items() <= {
        number: setting.values for number, setting in second.settings.items()
    }.items()
    assert [trial.id for trial in second.trials] == list(range(1, len(second.trials) + 1))
    assert {trial.cohort for trial in trials}.isdisjoint({one.cohort for one in second.trials[len(trials) :]})
    at_once = mlprun.sweep(tmp_path / "trials.yaml", out=str(tmp_path / "at_once"))
    assert by_key(second) == by_key(at_once)
    assert len(second.trials) == len(at_once.trials) == second.status.total == second.description.total
    assert second.description.definition == at_once.description.definition
    assert Path(second.folder.definition).read_text() == Path(at_once.folder.definition).read_text()
    assert (second.status.state, second.status.done) == ("finished", len(second.trials))
    before = written(second)
    assert sweep(many).path == second.path
    assert written(second) == before


@pytest.mark.parametrize("what", ["draws of a grid", "seeds of folds"])
def test_old_and_new_trials_of_an_extended_sweep_are_ordinary_runs(what, sweep, tmp_path):
    few, many = MORE[what]
    count = len(sweep(few).trials)
    swept = sweep(many)
    for number in (1, count, count + 1, len(swept.trials)):
        made = extract(swept.folder, number, out=str(tmp_path / "alone"), callbacks=())
        assert made.differences == ()
        assert mlprun.load(made.folder.path).config.training.seed == swept.trials[number - 1].seed


def test_the_same_sweep_in_other_words_is_the_same(sweep):
    sweep("seeds: 2")
    assert len(sweep("seeds: 4").trials) == 4
    again = sweep("seeds: [0, 1, 2, 3]")
    assert (os.path.basename(again.path), len(again.trials)) == ("trials-001", 4)


@pytest.mark.parametrize(
    "other",
    [
        "seeds: 3\ngrid: {optimizer.lr: [0.1]}",
        "seeds: [1, 2, 3, 4]\ngrid: {optimizer.lr: [0.1, 0.5]}",
        "seeds: 4\ngrid: {optimizer.lr: [0.1, 0.4, 0.6]}",
        "seeds: 4\ngrid: {optimizer.lr: [0.1, 0.5], architecture.hidden: [[3]]}",
        "seeds: 4\npaired: {optimizer.lr: [0.1, 0.5]}",
        "seeds: 4\nfolds: 2\ngrid: {optimizer.lr: [0.1, 0.5]}",
        "seeds: 2\ngrid: {optimizer.lr: [0.1, 0.5]}",
    ],
)
def test_a_sweep_that_lacks_a_trial_of_another_gets_a_folder_of_its_own(other, sweep):
    first = sweep("seeds: 3\ngrid: {optimizer.lr: [0.1, 0.5]}")
    trials = first.trials
    assert os.path.basename(sweep(other).path) == "trials-002"
    assert first.trials == trials


@pytest.mark.parametrize(
    "other",
    [
        RANDOM.replace("1e-3", "1e-2") + "\ntrials: 6",
        RANDOM.replace("[3]", "[3], [4]") + "\ntrials: 6",
        RANDOM + "\ntrials: 6\nseed: 1",
    ],
)
def test_other_draws_are_another_sweep(other, sweep):
    sweep(f"{RANDOM}\ntrials: 3")
    assert os.path.basename(sweep(other).path) == "trials-002"


def test_another_base_is_another_sweep(sweep):
    sweep("seeds: 2")
    assert os.path.basename(sweep("seeds: 3", "base.training.epochs=5").path) == "trials-002"


@pytest.mark.parametrize("version", [1, 2])
def test_a_sweep_of_an_earlier_format_is_resumed_in_that_format(version, sweep, tmp_path):
    first = sweep("seeds: 2", f"base.format={version}")
    second = sweep("seeds: 3")
    assert (second.path, len(second.trials)) == (first.path, 3)
    made = extract(second.folder, 3, out=str(tmp_path / "alone"), callbacks=())
    assert made.differences == ()
    assert mlprun.load(made.folder.path).config.dataset.arcs == "pytorch"


def test_the_very_sweep_is_gone_on_with_before_one_that_can_be_extended(sweep):
    sweep("seeds: 2")
    sweep("seeds: 4")
    assert os.path.basename(sweep("seeds: 2").path) == "trials-002"
    assert os.path.basename(sweep("seeds: [3, 2, 1, 0]").path) == "trials-001"
    assert os.path.basename(sweep("seeds: 3").path) == "trials-002"
    assert os.path.basename(sweep("seeds: 9").path) == "trials-001"


def test_new_trials_have_the_engine_of_those_that_are_there(sweep, monkeypatch, tmp_path):
    class Halting(mlprun.api.SilentSweep):
        def begin(self, folder, plan, done):
            raise InterruptedRunError(folder, "dies")

    with pytest.raises(InterruptedRunError):
        sweep("seeds: 2", reporter=Halting())
    monkeypatch.setattr("mlprun.engines.fused.support.STARTUP", 1e9)  # a new sweep would take torch
    swept = sweep("seeds: 4")
    assert [trial.engine for trial in swept.trials] == ["fused"] * 4
    for number in (2, 3):
        assert extract(swept.folder, number, out=str(tmp_path / "a"), callbacks=()).differences == ()


def test_the_rounds_of_a_search_keep_the_engine_of_the_first(sweep, monkeypatch):
    text = "search: {name: random, trials: %d, batch: 2}\nrandom: {optimizer.lr: {log_uniform: [1e-3, 1]}}"
    sweep(text % 2)
    monkeypatch.setattr("mlprun.engines.fused.support.STARTUP", 1e9)
    assert [trial.engine for trial in sweep(text % 6).trials] == ["fused"] * 6


def test_a_sweep_over_paths_is_extended_by_seeds_alone(sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, modulus in (("a", 7), ("b", 5)):
        rows = "".join(f"{n},{n * n % modulus},{'rg'[n % 2]}\n" for n in range(40))
        (tmp_path / f"{name}.csv").write_text(f"x,y,colour\n{rows}")
    words = ("base.dataset={name: table, path: a.csv, target: colour}",)
    first = sweep("grid: {dataset.path: [b.csv, a.csv]}", *words)
    more = sweep("grid: {dataset.path: [b.csv, a.csv]}\nseeds: 2", *words)
    assert more.path == first.path
    for number in (1, 2, 4):
        made = extract(more.folder, number, out=str(tmp_path / "alone"), callbacks=())
        assert made.differences == ()
    other = sweep("grid: {dataset.path: [a.csv, b.csv]}\nseeds: 2", *words)
    assert os.path.basename(other.path) == "trials-002"


def test_values_that_lead_to_other_figures_are_refused_before_anything_is_prepared(
    sweep, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    sweep("grid: {metrics: [[accuracy]]}")
    monkeypatch.setattr("mlprun.sweeps.run._prepare", die)
    with pytest.raises(MlprunError, match=r"trials-001: .* other figures; run the sweep with another --out"):
        sweep("grid: {metrics: [[accuracy], [accuracy, f1]]}")
    assert cli.main(["sweep", "run", "trials.yaml", "--dry-run"]) == 4
    assert "other figures" in capsys.readouterr().err


def test_a_longer_sweep_goes_on_where_most_trials_have_ended(sweep):
    for seeds in ("[7]", "[1, 2, 3]", "[8, 9]", "[4, 5, 6]", "[0]"):
        sweep(f"seeds: {seeds}")
    assert os.path.basename(sweep("seeds: 12").path) == "trials-004"


def test_the_newest_folder_is_the_one_with_the_highest_number(sweep):
    first = sweep("seeds: 1")
    paths = [first.path, *(first.path.replace("001", number) for number in ("999", "1000", "10000", "old"))]
    for path in paths[1:]:
        shutil.copytree(first.path, path)
    found = folder.named(os.path.dirname(first.path), "trials")
    assert [one.name for one in found] == [f"trials-{n}" for n in ("10000", "1000", "999", "001", "old")]
    assert sweep("seeds: 1").path == paths[3]


def test_a_problem_of_a_new_setting_leaves_the_folder_as_it_is(sweep):
    first = sweep("grid: {optimizer.lr: [0.1]}")
    before = written(first), first.trials
    with pytest.raises(ConfigError, match="must be greater than 0"):
        sweep("grid: {optimizer.lr: [0.1, -1]}")
    assert (written(first), first.trials) == before


class DeathError(MlprunError):
    """Stands for a process that dies."""


def die(*_, **__):
    raise DeathError("now", "the process dies")


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """What the sweep over values of a grid is before and after it was extended."""
    place, found = tmp_path_factory.mktemp("extended"), []
    (place / "small.yaml").write_text(ROWS)
    for text in MORE["values of a grid"]:
        (place / "trials.yaml").write_text(f"base: small.yaml\n{text}")
        found.append(content(mlprun.sweep(place / "trials.yaml", out=str(place / "runs"))))
    return found


@pytest.mark.parametrize(
    ("place", "name", "is_extended"),
    [
        (database.Writer, "extend", False),
        (database, "_put_trials", False),
        (folder.SweepFolder, "write_definition", True),
        (mlprun.api.SilentSweep, "begin", True),
    ],
)
def test_a_kill_leaves_the_old_sweep_or_the_extended_one(
    place, name, is_extended, extended, sweep, monkeypatch
):
    few, many = MORE["values of a grid"]
    first, (old, expected) = sweep(few), extended
    with monkeypatch.context() as patch:
        patch.setattr(place, name, die)
        with pytest.raises(DeathError):
            sweep(many)
    status = first.status
    assert (status.state, status.done, status.total) == ("crashed", 8, 27 if is_extended else 8)
    if not is_extended:
        assert content(first) == old
        again = sweep(few)
        assert (again.path, again.status.state, content(again)) == (first.path, "finished", old)
    assert content(sweep(many)) == expected
    # nobody edited sweep.yaml
    assert {"sweep.edited.yaml", ".sweep.former.yaml"}.isdisjoint(os.listdir(first.path))


def test_a_sweep_that_was_stopped_is_extended_in_the_middle(sweep, tmp_path, stopping, monkeypatch):
    monkeypatch.setattr("mlprun.sweeps.cohorts.MAX_MEMBERS", 3)
    with stopping(after=4) as reporter:
        sweep("seeds: 8", reporter=reporter)
    swept = sweep("seeds: 10")
    assert os.path.basename(swept.path) == "trials-001"
    assert [len([one for one in swept.trials if one.cohort == n]) for n in (1, 2, 3, 4)] == [3, 3, 2, 2]
    assert by_key(swept) == by_key(mlprun.sweep(tmp_path / "trials.yaml", out=str(tmp_path / "at_once")))


def test_what_is_extended_is_told_before_and_while_it_runs(sweep, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep("grid: {optimizer.lr: [0.1, 0.5]}\nseeds: 2")
    line = "resuming runs/trials-001: 4 of 12 trials are complete"
    words = ["sweep", "run", "trials.yaml", "seeds=6"]
    assert cli.main([*words, "--dry-run"]) == 0
    assert line in capsys.readouterr().out
    assert cli.main([*words, "--dry-run", "--json"]) == 0
    said = canonical.decode(capsys.readouterr().out)
    assert (said["sweep"], said["done"], said["trials"]) == ("runs/trials-001", 4, 12)
    assert cli.main(words) == 0
    assert line in capsys.readouterr().err
    over = "all 12 trials of runs/trials-001 are complete; nothing to do"
    assert cli.main(words) == 0
    assert over in capsys.readouterr().err
    assert cli.main([*words, "--dry-run"]) == 0
    assert over in capsys.readouterr().out
    assert cli.main(["train", "small.yaml", "--seeds", "3"]) == 0
    assert cli.main(["train", "small.yaml", "--seeds", "5"]) == 0
    assert "resuming runs/small-seeds-001: 3 of 5 trials are complete" in capsys.readouterr().err


def test_a_damaged_database_of_another_sweep_is_no_obstacle(sweep):
    sweep("seeds: [8]")
    first = sweep("seeds: [8, 9]")
    Path(first.folder.database).write_bytes(b"damaged" * 1000)
    assert os.path.basename(sweep("seeds: 2").path) == "trials-002"
    for seeds in ("[8]", "[8, 9]"):  # as it began, and as it was extended
        with pytest.raises(MlprunError, match="is damaged"):
            sweep(f"seeds: {seeds}")


def test_what_another_machine_drew_is_gone_on_with_as_it_is(sweep, monkeypatch):
    text = f"grid: {{optimizer.name: [sgd, adam]}}\n{RANDOM}\ntrials: "
    with monkeypatch.context() as patch:
        patch.setattr(math, "exp", lambda x: math.nextafter(float(np.exp(x)), 2.0))  # its libm
        first = sweep(f"{text}3")
    kept, trials = [setting.values for setting in first.settings.values()], first.trials
    again, more = sweep(f"{text}3"), sweep(f"{text}5", "seeds=2")
    assert first.path == again.path == more.path
    here = [setting.values for setting in Plan(read(first.folder.definition)).settings]
    assert here != kept
    assert [setting.values for setting in more.settings.values()][:6] == kept
    assert more.trials[:6] == trials
    assert extract(first.folder, 2, out=f"{first.path}x", callbacks=()).differences == ()


def test_a_plan_of_what_is_known_keeps_its_order(sweep):
    swept = sweep(MORE["values of a grid"][0])
    many = read(swept.folder.definition, ["grid={architecture.hidden: [[3], [2]], optimizer.lr: [0.5, 0.1]}"])
    with swept.folder.results() as results:
        plan = Plan(many, known=results)
    assert [one.values for one in plan.settings] == [one.values for one in swept.settings.values()]
    assert plan.added == []
