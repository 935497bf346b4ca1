"""What a process that died in a sweep's folder left undone is done by the next one, wherever it died."""

import dataclasses
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

import mlprun
import mlprun.api
from mlprun import cli
from mlprun.errors import CheckpointError, FileError
from mlprun.storage.runs import is_locked
from mlprun.sweeps import database, resume
from mlprun.sweeps.database import Writer
from mlprun.sweeps.folder import SweepFolder
from mlprun.sweeps.resume import recover_interrupted


class DeathError(BaseException):
    """Stands for the end of the process: nothing catches it."""


def mode(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA journal_mode").fetchone()[0]
    finally:
        connection.close()


def names(place):
    return sorted(set(os.listdir(place)) - {"lock"})


WHOLE = ["cohorts", "run.json", "status.json", "sweep.yaml", "trials.sqlite", "trials.sqlite.sha256"]


def die_at(monkeypatch, owner, name, *, after):
    """Let the process die before or after it calls something, as often as it does."""
    call = getattr(owner, name)

    def dying(*arguments, **options):
        if after:
            call(*arguments, **options)
        raise DeathError

    monkeypatch.setattr(owner, name, dying)


@pytest.mark.parametrize(
    ("owner", "name", "after"),
    [
        (Writer, "record", True),
        (SweepFolder, "remove_partial", True),
        (Writer, "_leave_wal", False),
        (Writer, "_leave_wal", True),
        (database, "write_checksum", False),
        (database, "write_checksum", True),
    ],
)
def test_a_sweep_that_died_after_its_last_trial_is_ended(owner, name, after, sweep, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        die_at(patch, owner, name, after=after)
        with pytest.raises(DeathError):
            sweep("seeds: 3")
    place = SweepFolder(str(tmp_path / "runs" / "trials-001"))
    assert place.status().state == "crashed"
    Path(place.partial(1)).write_bytes(b"what stood of a cohort that has ended")
    swept = sweep("seeds: 3")
    assert (swept.status.state, swept.status.done) == ("finished", 3)
    assert names(place.path) == WHOLE
    assert os.listdir(tmp_path / "runs" / "trials-001" / "cohorts") == ["cohort-0001.safetensors"]
    assert mode(place.database) == "delete"


def test_a_partial_file_that_a_finished_sweep_was_left_with_is_removed(sweep):
    swept = sweep("seeds: 2")
    Path(swept.folder.partial(1)).write_bytes(b"")
    before = {name: os.stat(os.path.join(swept.path, name)).st_mtime_ns for name in names(swept.path)}
    assert sweep("seeds: 2").path == swept.path
    assert swept.folder.partials() == []
    assert before.pop("cohorts")
    assert (
        before.items()
        <= {name: os.stat(os.path.join(swept.path, name)).st_mtime_ns for name in names(swept.path)}.items()
    )


def test_what_stands_of_a_cohort_that_has_not_ended_is_kept(sweep, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        die_at(patch, Writer, "record", after=False)
        with pytest.raises(DeathError):
            sweep("seeds: 2")
    place = SweepFolder(str(tmp_path / "runs" / "trials-001"))
    Path(place.partial(1)).write_bytes(b"")
    recover_interrupted(place)
    assert place.partials() == [1]
    assert place.status().state == "crashed"


def test_a_sweep_is_told_to_be_finished_when_its_database_is_one_file(sweep, monkeypatch):
    seen = []
    write = SweepFolder.write_status

    def noticing(self, status):
        seen.append((status.state, names(self.path)))
        write(self, status)

    monkeypatch.setattr(SweepFolder, "write_status", noticing)
    swept = sweep("seeds: 2")
    assert [state for state, _ in seen] == ["running", "finished"]
    assert seen[-1][1] == WHOLE == names(swept.path)


def test_a_reader_that_is_in_the_way_leaves_all_in_one_file_that_is_closed_later(
    sweep, tmp_path, monkeypatch
):
    record, readers = Writer.record, []

    def recording(self, trials):
        record(self, trials)
        readers.append(database.open_reading(self.path))

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "record", recording)
        swept = sweep("seeds: 2")
    assert swept.status.state == "finished"
    assert not database.has_checksum(swept.folder.database)
    shutil.copy(swept.folder.database, tmp_path / "copied.sqlite")
    with database.open_reading(str(tmp_path / "copied.sqlite")) as results:
        assert results.counts()["pending"] == 0
    for reader in readers:
        reader.close()
    assert names(sweep("seeds: 2").path) == WHOLE
    assert mode(swept.folder.database) == "delete"


def test_another_objective_of_a_finished_sweep_leaves_it_closed(sweep):
    sweep("seeds: 2\nsuccess: test_accuracy > 0.5")
    swept = sweep("seeds: 2\nsuccess: test_accuracy > 0.9")
    assert swept.description.success["number"] == 0.9
    assert names(swept.path) == WHOLE
    assert mode(swept.folder.database) == "delete"


def test_who_died_at_the_end_has_nothing_more_in_the_middle(sweep, tmp_path, monkeypatch):
    status = SweepFolder.write_status
    with monkeypatch.context() as patch:
        patch.setattr(
            SweepFolder, "write_status", lambda self, one: status(self, dataclasses.replace(one, kept=3))
        )
        die_at(patch, database, "write_checksum", after=False)
        with pytest.raises(DeathError):
            sweep("seeds: 3")
    place = SweepFolder(str(tmp_path / "runs" / "trials-001"))
    assert json.loads(Path(place.path, "status.json").read_text())["kept"] == 3
    assert (place.status().state, place.status().done, place.status().kept) == ("crashed", 3, 0)
    recover_interrupted(place)
    assert (place.status().state, place.status().done, place.status().kept) == ("finished", 3, 0)


def test_a_folder_that_cannot_be_read_once_it_is_held_is_let_go(sweep, monkeypatch):
    swept, find, calls = sweep("seeds: 2"), resume.find, []

    def failing(*given):
        calls.append(given)
        if len(calls) == 2:
            raise FileError("disk", "cannot be read", "try again")
        return find(*given)

    with monkeypatch.context() as patch:
        patch.setattr(resume, "find", failing)
        with pytest.raises(FileError) as caught:
            sweep("seeds: 3")
    assert not is_locked(os.path.join(swept.path, "lock")), caught.value
    assert len(sweep("seeds: 3").trials) == 3


@pytest.mark.parametrize("damage", ["database", "both", "locked"])
def test_another_sweep_of_the_name_that_cannot_be_read_is_told_of_and_passed_over(damage, sweep, monkeypatch):
    other, said = sweep("seeds: [7]"), []
    if damage == "locked":
        os.remove(f"{other.folder.database}.sha256")
        monkeypatch.setattr(database, "LOCK_TIMEOUT", 0.05)
        holding = sqlite3.connect(other.folder.database)
        holding.execute("BEGIN EXCLUSIVE")
    else:
        Path(other.folder.database).write_bytes(b"damaged" * 1000)
    if damage == "both":
        Path(other.path, "run.json").write_text("{")

    class Hearing(mlprun.api.SilentSweep):
        def say(self, message):
            said.append(message)

    mine = sweep("seeds: [8]", reporter=Hearing())
    assert mine.path.endswith("trials-002")
    assert [line for line in said if "passed over" in line] == [line for line in said if "-001" in line]
    assert len([line for line in said if "passed over" in line]) == 1
    with pytest.raises(FileError if damage == "locked" else CheckpointError):
        sweep("seeds: [7]")
    if damage == "locked":
        holding.close()


def test_an_edited_sweep_file_is_reported_and_kept_when_the_sweep_is_resumed(sweep, tmp_path, capsys):
    swept, said = sweep("seeds: 2"), []
    assert cli.main(["sweep", "show", swept.path]) == 0
    assert capsys.readouterr().err == ""
    path = Path(swept.folder.definition)
    edited = path.read_text().replace("seeds: 2", "seeds: 9")
    path.write_text(edited)
    warning = f"warning: {path} differs from the definition in the database (edited, or left by an "
    assert cli.main(["sweep", "show", swept.path]) == 0
    assert capsys.readouterr().err.startswith(warning)

    class Hearing(mlprun.api.SilentSweep):
        def say(self, message):
            said.append(message)

    assert sweep("seeds: 3", reporter=Hearing()).path == swept.path
    assert [line for line in said if line.startswith(warning)] == said
    assert len(said) == 1
    assert Path(swept.path, "sweep.edited.yaml").read_text() == edited
    assert "seeds: 3" in path.read_text()
    sweep("seeds: 3", reporter=Hearing())
    assert len(said) == 1
