"""Trials that are trained again: those that failed, where asked for, and those whose file is lost."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import mlprun
import mlprun.api
from mlprun import cli
from mlprun.errors import CheckpointError, UsageError
from mlprun.experiment import Experiment
from mlprun.sweeps import cohort_file, database
from mlprun.sweeps.run import CohortStore, Session

from .conftest import ROWS

TEXT = "seeds: 4\ngrid: {optimizer.lr: [0.5, 1e+38], architecture.hidden: [[2], []]}"
WORDS = ("base.loss=mse", "base.architecture.activation=identity")
"""with the huge steps some trials diverge and have figures that are no numbers"""


class Heard(mlprun.api.SilentSweep):
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.said, self.done = [], None

    def begin(self, folder, plan, done):
        self.done = done

    def say(self, message):
        self.said.append(message)


def content(swept):
    trials = [replace(trial, seconds=None) for trial in swept.trials]
    files = {path.name: path.read_bytes() for path in Path(swept.path, "cohorts").iterdir()}
    return swept.description, swept.settings, trials, files


def written(swept):
    names = [path for path in Path(swept.path).rglob("*") if path.name != "lock"]
    return {str(path): os.stat(path).st_mtime_ns for path in names}


def let_fail(patch, seeds):
    """Let trials of some seeds fail, as often as they are made."""
    original = Experiment.of

    def of(config, **options):
        if config.training.seed in seeds:
            raise UsageError("dataset", "no rows of this seed", "choose another")
        return original(config, **options)

    patch.setattr(Experiment, "of", of)


@pytest.fixture
def fails(monkeypatch):
    """The seeds whose trials fail, until they are removed."""
    seeds = set()
    let_fail(monkeypatch, seeds)
    return seeds


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """Folders of that sweep in several cohorts: as a whole, and with four of its sixteen trials failed."""
    place = tmp_path_factory.mktemp("ready")
    (place / "small.yaml").write_text(ROWS)
    (place / "trials.yaml").write_text(f"base: small.yaml\n{TEXT}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlprun.sweeps.cohorts.MAX_MEMBERS", 6)
        whole = mlprun.sweep(place / "trials.yaml", *WORDS, out=str(place / "whole"))
        let_fail(patch, {2})
        failed = mlprun.sweep(place / "trials.yaml", *WORDS, out=str(place / "failed"))
    assert {trial.status for trial in whole.trials} == {"finished", "diverged"}
    assert [trial.status for trial in failed.trials].count("failed") == 4
    return {"whole": whole, "failed": failed}


@pytest.fixture
def whole(ready, monkeypatch):
    """What that sweep comes to in several cohorts where nothing fails."""
    monkeypatch.setattr("mlprun.sweeps.cohorts.MAX_MEMBERS", 6)
    return content(ready["whole"])


@pytest.fixture
def copied(ready, sweep_file, tmp_path):
    """Copies one of those folders to where this test runs the same sweep."""

    def copy(kind):
        sweep_file(TEXT)
        return mlprun.load_sweep(str(shutil.copytree(ready[kind].path, tmp_path / "runs" / "trials-001")))

    return copy


@pytest.fixture
def failed(whole, copied):
    """The sweep with four of its sixteen trials failed."""
    return copied("failed")


def test_failed_trials_are_trained_again_where_asked_for(failed, whole, sweep):
    before = written(failed)
    sweep(TEXT, *WORDS)
    assert written(failed) == before
    heard = Heard()
    swept = sweep(TEXT, *WORDS, retry_failed=True, reporter=heard)
    assert (swept.path, heard.said, heard.done) == (failed.path, ["failed trials to be trained again: 4"], 12)
    assert content(swept) == whole
    assert (swept.status.state, swept.status.done) == ("finished", 16)
    before = written(swept)
    sweep(TEXT, *WORDS, retry_failed=True)
    assert written(swept) == before


def test_only_what_failed_is_trained(failed, sweep, monkeypatch):
    made = []
    original = Experiment.of

    def of(config, **options):
        made.append((config.training.seed, config.optimizer.lr))
        return original(config, **options)

    kept = {trial.id: trial for trial in failed.trials if trial.status != "failed"}
    monkeypatch.setattr("mlprun.sweeps.trials.Experiment.of", of)
    again = sweep(TEXT, *WORDS, retry_failed=True).trials
    assert {seed for seed, _ in made[1:]} == {2}  # the first is made to check the settings
    assert {trial.id: trial for trial in again if trial.id in kept} == kept, "seconds included"


def test_what_fails_again_is_marked_again(failed, sweep, fails):
    fails.add(2)
    swept = sweep(TEXT, *WORDS, retry_failed=True)
    assert [trial.status for trial in swept.trials].count("failed") == 4
    assert swept.status.state == "finished"


class DeathError(Exception):
    """Stands for a process that dies."""


def die(*_, **__):
    raise DeathError("the process dies")


@pytest.mark.parametrize(
    ("place", "name"),
    [(database.Writer, "reopen"), (Session, "run"), (CohortStore, "record"), (database.Writer, "record")],
)
@pytest.mark.parametrize("retry", [True, False])
def test_a_retry_that_is_killed_is_gone_on_with(place, name, retry, failed, whole, sweep, fails, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(place, name, die)
        with pytest.raises(DeathError):
            sweep(TEXT, *WORDS, retry_failed=True)
    if name == "reopen":
        assert [trial.status for trial in failed.trials].count("failed") == 4
    swept = sweep(TEXT, *WORDS, retry_failed=retry)
    if name == "reopen" and not retry:
        assert [trial.status for trial in swept.trials].count("failed") == 4
        assert swept.status.state == "finished"
    else:
        assert content(swept) == whole


def test_a_retry_that_is_stopped_goes_on_and_knows_what_is_done(failed, whole, sweep, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Session, "is_stopped", lambda self: True)
        ended = sweep(TEXT, *WORDS, retry_failed=True)
    assert (ended.status.state, ended.status.done) == ("interrupted", 12)
    assert content(sweep(TEXT, *WORDS)) == whole


def test_a_trial_that_failed_in_a_cohort_in_the_middle_is_tried_again(whole, sweep, fails, monkeypatch):
    fails.add(2)
    with monkeypatch.context() as patch:
        patch.setattr(CohortStore, "record", lambda self, run: (self.save(run), die()))
        with pytest.raises(DeathError):
            sweep(TEXT, *WORDS)
    fails.clear()
    assert [trial.status for trial in sweep(TEXT, *WORDS, retry_failed=True).trials].count("failed") == 0


DAMAGE = {
    "missing": lambda path: path.unlink(),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "of something else": lambda path: path.write_bytes(b"{}" * 99),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b" "),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_cohort_whose_file_is_lost_is_trained_again(damage, whole, copied, sweep):
    folder = Path(copied("whole").path)
    path, other = (folder / "cohorts" / f"cohort-000{number}.safetensors" for number in (2, 1))
    DAMAGE[damage](path)
    before, heard = os.stat(other).st_mtime_ns, Heard()
    assert content(sweep(TEXT, *WORDS, reporter=heard)) == whole
    (said,) = heard.said
    assert said.startswith(f"{path} is {'missing' if damage == 'missing' else 'damaged'}")
    assert os.stat(other).st_mtime_ns == before


def test_all_cohorts_may_be_lost(whole, copied, sweep):
    shutil.rmtree(Path(copied("whole").path, "cohorts"))
    assert content(sweep(TEXT, *WORDS)) == whole


def test_other_bytes_are_found_when_a_cohort_is_read_and_then_all_of_it_is_trained(failed, whole, sweep):
    number = next(trial.cohort for trial in failed.trials if trial.status == "failed")
    path = Path(failed.folder.cohort(number))
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="do not match its checksum"):
        cohort_file.read(str(path))
    heard = Heard()
    assert content(sweep(TEXT, *WORDS, retry_failed=True, reporter=heard)) == whole
    assert any("all its trials are trained again" in line for line in heard.said)


def test_a_sweep_that_lost_a_file_is_not_said_to_be_over(failed, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = ["sweep", "run", "trials.yaml", *WORDS]
    assert cli.main([*words, "--dry-run"]) == 0
    assert "all 16 trials of runs/trials-001 are complete" in capsys.readouterr().out
    assert cli.main([*words, "--dry-run", "--retry-failed"]) == 0
    said = capsys.readouterr()
    assert "resuming runs/trials-001: 12 of 16 trials are complete" in said.out
    assert "failed trials to be trained again: 4" in said.err
    assert cli.main(words) == 0
    hint = "add --retry-failed to the same command to train failed trials again"
    assert hint in capsys.readouterr().out
    assert cli.main([*words, "--retry-failed"]) == 0
    said = capsys.readouterr()
    assert "failed trials to be trained again: 4" in said.err
    assert hint not in said.out
    Path(failed.folder.cohort(1)).unlink()
    assert cli.main(words) == 0
    said = capsys.readouterr()
    assert "cohort-0001.safetensors is missing; trials to be trained again: " in said.err
    assert "16 of 16 trials" in said.out


def test_what_is_trained_again_and_what_is_new_come_together(failed, sweep, tmp_path):
    more = TEXT.replace("seeds: 4", "seeds: 5")
    swept = sweep(more, *WORDS, retry_failed=True)
    assert swept.path == failed.path
    assert len(swept.trials) == 20
    at_once = mlprun.sweep(tmp_path / "trials.yaml", *WORDS, out=str(tmp_path / "at_once"))
    keys = [
        {(str(one.settings[trial.setting].values), trial.seed): trial.figures for trial in one.trials}
        for one in (swept, at_once)
    ]
    assert keys[0] == keys[1]
