"""What SQLite refuses: read, changed or created, each with what would work, and never as other figures."""

import os
import resource
import shutil
import sqlite3

import pytest

from mlprun.analysis.summary import summarize
from mlprun.errors import CheckpointError, FileError
from mlprun.sweeps import database
from mlprun.sweeps.database import Configuration, Trial, Writer

WORDS = {
    sqlite3.SQLITE_FULL: "free some space",
    sqlite3.SQLITE_IOERR_SHMSIZE: "free some space",
    sqlite3.SQLITE_IOERR_WRITE: "check the disk",
    sqlite3.SQLITE_READONLY_DIRECTORY: "choose a folder that can be written to",
    sqlite3.SQLITE_CANTOPEN: "change the permissions",
    sqlite3.SQLITE_BUSY: "close it in the other program",
    sqlite3.SQLITE_LOCKED_SHAREDCACHE: "close it in the other program",
}


@pytest.fixture
def path(folder):
    return os.path.join(folder, "trials.sqlite")


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 0.05)


def error_of(code):
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("code", WORDS)
def test_each_cause_has_a_remedy(code):
    with pytest.raises(FileError) as caught, database.translated_errors("trials.sqlite"):
        raise error_of(code)
    assert caught.value.exit_code == 7
    assert caught.value.remedy.startswith(WORDS[code])


def test_a_limit_on_file_sizes_is_named_where_it_may_be_the_cause(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (4096, resource.RLIM_INFINITY))
    with (
        pytest.raises(FileError, match="raise the limit on file sizes"),
        database.translated_errors("trials.sqlite"),
    ):
        raise error_of(sqlite3.SQLITE_IOERR_WRITE)


def test_values_that_another_program_has_not_committed_are_not_shown(path, at_once):
    writer = Writer(path)
    writer.close(final=True)
    os.remove(f"{path}.sha256")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA cache_size = 1")  # lets changes reach the file before they are committed
    other.execute("BEGIN EXCLUSIVE")
    other.execute("UPDATE figures SET test_loss = 77")
    with pytest.raises(FileError, match="database is locked; close it in the other program"):
        database.open_reading(path)
    with pytest.raises(FileError, match="database is locked; close it in the other program"):
        Writer(path)
    other.execute("ROLLBACK")
    other.close()
    with database.open_reading(path) as results:
        assert 77 not in [one.figures.get("test_loss") for one in results.trials()]


class Unopened:
    """A connection where there is no room for what readers of a log share."""

    def execute(self, _):
        raise error_of(sqlite3.SQLITE_CANTOPEN)

    def close(self):
        pass


def unwritable(monkeypatch):
    """Let SQLite be as on a read-only file system."""
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3,
        "connect",
        lambda name, **options: connect(name, **options) if "mode=ro" not in name else Unopened(),
    )


def test_rows_that_are_not_in_the_file_yet_are_not_left_out_where_nothing_can_be_written(
    path, tmp_path, monkeypatch
):
    with Writer(path) as writer:
        writer.record([Trial(13, 4, 0, status="failed", error="now")])
        copied = str(tmp_path / "copied.sqlite")
        for ending in ("", "-wal"):
            shutil.copy(path + ending, copied + ending)
    unwritable(monkeypatch)
    with pytest.raises(FileError, match=r"its newest rows are in copied\.sqlite-wal; copy the folder to"):
        database.open_reading(copied)
    os.truncate(f"{copied}-wal", 0)
    with database.open_reading(copied) as results:
        assert results.counts()["pending"] == 1


def test_a_mistake_in_planning_is_not_told_as_damage(path):
    def trials():
        yield Trial(17, 4, 9)
        raise ValueError("a bug")

    def settings():
        yield Configuration(9, {})
        raise TypeError("another")

    with Writer(path) as writer:
        with pytest.raises(ValueError, match="a bug"):
            writer.extend((), trials())
        with pytest.raises(TypeError, match="another"):
            writer.extend(settings(), [])
        with pytest.raises(sqlite3.Error, match="type 'object' is not supported"):
            writer.record([Trial(1, 1, object())])
        assert len(writer.results.trials()) == 16
        assert len(writer.results.settings()) == 4


def test_what_has_no_sense_is_damage(path):
    with Writer(path) as writer:
        writer.connection.execute("UPDATE settings SET chosen = 'no JSON' WHERE id = 2")
        writer.connection.commit()
    with (
        database.open_reading(path) as results,
        pytest.raises(CheckpointError, match="is damaged"),
    ):
        results.settings()


def test_a_summary_is_of_one_moment(path, monkeypatch):
    original = database.Results.settings

    def late(self):
        with Writer(path) as writer:  # between the trials and the counts
            writer.record([Trial(13, 4, 0, status="failed", error="now")])
        return original(self)

    monkeypatch.setattr(database.Results, "settings", late)
    with database.open_reading(path) as results:
        summary = summarize(results)
        assert summary.counts["pending"] == sum(line.counts["pending"] for line in summary.lines) == 1
        monkeypatch.undo()
        assert summarize(results).counts["pending"] == 0
