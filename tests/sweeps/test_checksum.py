"""The digest beside a finished sweep's database: any damage is told of, and who writes lets go of it."""

import hashlib
import os
import random
import sqlite3
from contextlib import closing

import pytest

from mlprun import cli
from mlprun.errors import CheckpointError
from mlprun.sweeps import database
from mlprun.sweeps.schema import Configuration

from .conftest import describe


@pytest.fixture
def path(tmp_path):
    """A database that is closed for good."""
    path = str(tmp_path / "trials.sqlite")
    with database.create(path, describe()) as writer:
        writer.extend([Configuration(number, {"optimizer.lr": number / 10}) for number in range(1, 30)], ())
        writer.close(final=True)
    return path


def content(path):
    with open(path, "rb") as file:
        return file.read()


def put(path, data):
    with open(path, "wb") as file:
        file.write(data)


def test_the_digest_is_one_that_other_programs_read(path):
    said = content(f"{path}.sha256").decode()
    assert said == f"{hashlib.sha256(content(path)).hexdigest()}  trials.sqlite\n"


def test_every_flipped_bit_and_every_truncation_is_told_of(path):
    sound, chance, noticed = content(path), random.Random(1), 0
    for _ in range(300):
        data = bytearray(sound)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        put(path, data)
        with pytest.raises(CheckpointError, match=r"trials\.sqlite: is damaged: its bytes are not those"):
            database.open_reading(path)
        with closing(sqlite3.connect(path)) as alone:
            try:
                noticed += alone.execute("PRAGMA integrity_check").fetchall() != [("ok",)]
            except (sqlite3.DatabaseError, UnicodeDecodeError):
                noticed += 1
    assert noticed < 150  # SQLite by itself does not notice most of them
    for size in range(0, len(sound), 997):
        put(path, sound[:size])
        with pytest.raises(CheckpointError):
            database.open_reading(path)
    put(path, sound)
    database.open_reading(path).close()


@pytest.mark.parametrize("said", [b"", b"\xff\xfe", b"no digest at all"])
def test_a_damaged_digest_is_told_of_too(path, said):
    put(f"{path}.sha256", said)
    with pytest.raises(CheckpointError, match="remove that file if you changed the database yourself"):
        database.open_reading(path)
    os.remove(f"{path}.sha256")
    database.open_reading(path).close()


def test_who_writes_lets_go_of_the_digest_until_all_is_in_one_file(path):
    with database.Writer(path) as writer:
        assert not os.path.exists(f"{path}.sha256")
        writer.extend((), (), {"total": 3})
        with database.open_reading(path) as results:
            assert results.description.total == 3
    assert not os.path.exists(f"{path}.sha256")
    database.Writer(path).close(final=True)
    assert os.path.exists(f"{path}.sha256")
    database.open_reading(path).close()


def test_a_reader_that_comes_while_a_writer_begins_is_not_told_of_damage(path, monkeypatch):
    """The digest was read before the writer let go of it, the database after it was changed."""
    digest, changed = database._digest, []

    def late(of):
        if not changed:
            changed.append(1)
            with database.Writer(path) as writer:
                writer.extend((), (), {"total": 3})
        return digest(of)

    monkeypatch.setattr(database, "_digest", late)
    database.verify_checksum(path)
    assert changed


def test_a_damaged_sweep_ends_with_4_and_a_line(sweep, capsys):
    swept = sweep("seeds: 2")
    data = bytearray(content(swept.folder.database))
    data[-5] ^= 1
    put(swept.folder.database, data)
    for command in ("show", "export", "compare"):
        assert cli.main(["sweep", command, swept.path]) == 4
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"error: {swept.folder.database}: is damaged: ")
        assert said.err.count("\n") == 1
