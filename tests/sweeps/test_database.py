"""The database of a sweep: what is written is read back, while it is open and after, and damage is told."""

import os
import sqlite3
from contextlib import closing

import pytest

from mlprun.errors import CheckpointError, FileError
from mlprun.sweeps import database
from mlprun.sweeps.schema import Configuration, Description, Trial

FIGURES = ("train_loss", "test_loss", "test_accuracy", "last_train_loss", "last_test_loss")
DESCRIPTION = Description(
    name="widths",
    parameters=("architecture.hidden", "optimizer.lr"),
    scales={"architecture.hidden": "choice", "optimizer.lr": "log"},
    figures=FIGURES,
    objective={"metric": "test_loss", "mode": "min", "aggregate": "mean"},
    success={"figure": "test_accuracy", "operator": ">=", "number": 0.99, "text": "test_accuracy >= 0.99"},
    history=("epoch", "lr", "train_loss"),
    total=4,
)
SETTINGS = [
    Configuration(1, {"architecture.hidden": [2], "optimizer.lr": 0.1}),
    Configuration(2, {"architecture.hidden": [3, 2], "optimizer.lr": 1e-3}),
]
PENDING = [Trial(1 + 2 * k + seed, setting=1 + k, seed=seed) for k in (0, 1) for seed in (0, 1)]
FINISHED = Trial(
    2, 1, 1, None, 1, 0, "finished", "fused", 100, 97, 0.01, None, dict.fromkeys(FIGURES, 0.1 + 0.2)
)
FAILED = Trial(3, 2, 0, None, 1, 1, "failed", "fused", 0, None, 0.0, "dataset: no rows")


@pytest.fixture
def path(tmp_path):
    path = str(tmp_path / "trials.sqlite")
    with database.create(path, DESCRIPTION) as writer:
        writer.extend(SETTINGS, PENDING)
        writer.record([FINISHED, FAILED])
    return path


def test_what_is_written_is_read_back(path):
    with database.open_reading(path) as results:
        assert results.description == DESCRIPTION
        assert results.settings() == SETTINGS
        assert results.trials() == [PENDING[0], FINISHED, FAILED, PENDING[3]]
        assert results.trial(3) == FAILED
        assert results.trial(5) is None
        assert [one.figures["test_loss"] for one in results.trials() if one.figures] == [0.1 + 0.2]
        assert results.counts() == {
            "pending": 2, "finished": 1, "early_stopping": 0, "pruned": 0, "diverged": 0, "failed": 1,
        }  # fmt: skip


def test_a_reader_sees_whole_transactions_while_a_writer_has_it_open(path):
    with database.Writer(path) as writer, database.open_reading(path) as results:
        assert results.counts()["pending"] == 2
        writer.record([Trial(1, 1, 0, status="diverged", figures={"test_loss": float("nan")})])
        trial = results.trial(1)
        assert (trial.status, trial.figures["test_loss"]) == ("diverged", None)


def test_any_program_reads_the_view_of_results(path):
    query = 'SELECT trial, "architecture.hidden", "optimizer.lr", status, test_accuracy FROM results'
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(query).fetchall()
    assert rows == [
        (1, "[2]", 0.1, "pending", None),
        (2, "[2]", 0.1, "finished", 0.1 + 0.2),
        (3, "[3,2]", 1e-3, "failed", None),
        (4, "[3,2]", 1e-3, "pending", None),
    ]


def test_a_closed_database_is_one_file(path, tmp_path):
    database.Writer(path).close(final=True)
    assert sorted(os.listdir(tmp_path)) == ["trials.sqlite", "trials.sqlite.sha256"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_recording_a_trial_again_changes_nothing(path):
    with database.Writer(path) as writer:
        before = writer.results.trials()
        writer.record([FINISHED])
        assert writer.results.trials() == before


def test_another_file_is_told_from_a_damaged_one(path, tmp_path):
    with pytest.raises(CheckpointError, match="no such file; expected the trials"):
        database.open_reading(str(tmp_path / "nothing.sqlite"))
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other:
        other.execute("CREATE TABLE a (b)")
    with pytest.raises(CheckpointError, match="is not the database of a sweep"):
        database.open_reading(str(tmp_path / "other.sqlite"))
    (tmp_path / "text.sqlite").write_text("not a database" * 1000)
    with pytest.raises(CheckpointError, match="is damaged: file is not a database"):
        database.open_reading(str(tmp_path / "text.sqlite"))
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 7")
    other.close()
    with pytest.raises(CheckpointError, match="has format 7, and this mlprun reads format 1"):
        database.open_reading(path)


def test_a_database_is_never_laid_over_something_else(path):
    with pytest.raises((FileExistsError, FileError)):
        database.create(path, DESCRIPTION)
