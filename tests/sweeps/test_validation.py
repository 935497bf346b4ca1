"""Databases that are damaged or crafted: each command does its work or ends with exit 4 and one line."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import struct
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from mlprun.errors import CheckpointError
from mlprun.sweeps import database
from mlprun.sweeps.schema import Configuration, Trial

from .conftest import describe

if TYPE_CHECKING:
    from collections.abc import Callable

DEEP = "[" * 500 + "]" * 500
VALUES = [
    -1, 0, 2**62, 1.5, float("inf"), "abc", "", b"\xff", DEEP, "[" * 100_000 + "]" * 100_000, "{}", "[3]",
    "3", "NaN", "true", '{"optimizer.lr": 1e999}', '{"optimizer.lr": ' + "9" * 4000 + "}", '{"other": 1}',
    '{"a": {"$float": "nan"}}', '{"optimizer.lr": ' + DEEP + "}", '{"name": 3, "metric": [1], "number": "x"}',
]  # fmt: skip
ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)"
SCHEMAS = {
    "a view for the trials": (
        "DROP VIEW results; DROP TABLE trials; CREATE VIEW trials AS "
        f"{ENDLESS} SELECT n AS id, 1 AS setting, n AS seed, 'pending' AS status FROM r"
    ),
    "a view for the sweep": (
        f"DROP TABLE sweep; CREATE VIEW sweep AS {ENDLESS} SELECT 'name' AS key, n AS value FROM r"
    ),
    "another view of results": f"DROP VIEW results; CREATE VIEW results AS {ENDLESS} SELECT n FROM r",
    "a trigger": "CREATE TRIGGER t AFTER UPDATE ON trials BEGIN DELETE FROM settings; END",
    "a virtual table": "CREATE VIRTUAL TABLE t USING fts5(a)",
    "a generated column": "DROP VIEW results; ALTER TABLE settings ADD COLUMN b AS (zeroblob(300000000))",
    "an index of an expression": "CREATE INDEX i ON settings (length(chosen))",
    "a check": (
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = "
        "replace(sql, 'chosen TEXT', 'chosen TEXT CHECK (length(zeroblob(300000000)))') "
        "WHERE name = 'settings'"
    ),
    "a large default": (
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = "
        "replace(sql, 'error TEXT', 'error TEXT, b TEXT DEFAULT (zeroblob(300000000))') WHERE name = 'trials'"
    ),
    "two tables on one page": (
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = "
        "(SELECT rootpage FROM sqlite_master WHERE name = 'settings') WHERE name = 'figures'"
    ),
    "one more table": "CREATE TABLE notes (a)",
    "no trial's setting": "DELETE FROM settings",
    "no description": "DELETE FROM sweep",
}


def change(folder: str, script: str, values: Any = ()) -> None:
    """Change the database of a sweep as another program would, and seal it again where it was sealed."""
    path = os.path.join(folder, "trials.sqlite")
    was_sealed = database.has_checksum(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        if values:
            other.execute(script, values)
        else:
            other.executescript(script)
    if was_sealed:
        database.write_checksum(path)


@pytest.fixture
def commands(call: Callable[..., Any], tmp_path: Any) -> Callable[..., list[tuple[int, str]]]:
    """Calls each command that reads a sweep; gives exit codes and what standard error was told."""

    def run(folder: str, *, few: bool = False) -> list[tuple[int, str]]:
        every: list[tuple[Any, ...]] = [
            ("sweep", "show", folder),
            ("sweep", "compare", folder),
            ("sweep", "compare", folder, "--by", "optimizer.lr"),
            ("sweep", "export", folder),
            ("sweep", "trial", folder, 1, "--out", tmp_path / "out"),
            ("plot", folder, "--list"),
            ("ls", tmp_path),
        ]
        wanted = every[::4] if few else every
        return [(code, err) for code, _, err in (call(*arguments) for arguments in wanted)]

    return run


def assert_sound_or_damaged(told: list[tuple[int, str]]) -> None:
    for code, err in told:
        assert code in (0, 4), err
        assert code == 0 or err.count("\n") == 1


def columns(folder: str) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(os.path.join(folder, "trials.sqlite"))) as other:
        tables = ("settings", "trials", "figures", "rungs")
        return [(table, row[1]) for table in tables for row in other.execute(f"PRAGMA table_info({table})")]


def test_a_wrong_value_in_any_column_ends_with_exit_4(folder: str, commands: Any) -> None:
    path = os.path.join(folder, "trials.sqlite")
    change(folder, "INSERT INTO rungs VALUES (1, 2, 0.5, 1)")
    with open(path, "rb") as file:
        sound = file.read()
    chance, refused = random.Random(1), 0
    for table, column in columns(folder):
        for value in chance.sample(VALUES, 2):
            try:
                change(folder, f'UPDATE {table} SET "{column}" = ?', (value,))
                told = commands(folder, few=True)
                refused += told[0][0] == 4
                assert_sound_or_damaged(told)
            except (sqlite3.IntegrityError, OverflowError):  # keys are unique
                pass
            finally:
                with open(path, "wb") as file:
                    file.write(sound)
    assert refused > 30


def test_a_wrong_value_of_the_description_ends_with_exit_4(folder: str, commands: Any) -> None:
    path = os.path.join(folder, "trials.sqlite")
    chance, refused = random.Random(2), 0
    with open(path, "rb") as file:
        sound = file.read()
    for key in describe().__dict__:
        for value in chance.sample(VALUES, 4):
            change(folder, "UPDATE sweep SET value = ? WHERE key = ?", (value, key))
            told = commands(folder, few=True)
            refused += told[0][0] == 4
            assert_sound_or_damaged(told)
            with open(path, "wb") as file:
                file.write(sound)
    assert refused > 30


def test_random_damage_ends_with_exit_4_or_is_not_noticed(folder: str, commands: Any) -> None:
    path = os.path.join(folder, "trials.sqlite")
    with open(path, "rb") as file:
        sound = file.read()
    for seed in range(25):
        chance, data = random.Random(seed), bytearray(sound)
        for _ in range(chance.choice([1, 3, 30, 300])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with open(path, "wb") as file:
            file.write(data[: chance.choice([len(data), chance.randrange(len(data))])])
        assert_sound_or_damaged(commands(folder, few=True))


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_that_no_sweep_makes_ends_with_exit_4(folder: str, commands: Any, name: str) -> None:
    is_sealed = len(name) % 2 == 0  # a new digest makes no difference
    database.Writer(os.path.join(folder, "trials.sqlite")).close(final=is_sealed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    change(folder, SCHEMAS[name])
    *reading, (code, _) = commands(folder)
    assert [code for code, _ in reading] == [4] * 6
    assert all("is damaged: " in err and err.count("\n") == 1 for _, err in reading)
    assert code == 0  # ls shows the sweep as damaged
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_values_larger_than_the_file_could_hold_are_not_read(folder: str) -> None:
    path = os.path.join(folder, "trials.sqlite")
    with database.open_reading(path) as results, pytest.raises(CheckpointError, match="too big"):
        results.rows("SELECT zeroblob(300000000)")


def test_a_query_without_end_is_ended_and_a_ctrl_c_in_one_is_kept(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.path.join(folder, "trials.sqlite")
    with database.open_reading(path) as results:
        with pytest.raises(CheckpointError, match="reading it takes too long for its size"):
            results.rows(f"{ENDLESS} SELECT count(*) FROM r")
        monkeypatch.setattr(results, "_max_calls", 10**9)
        timer = threading.Timer(0.2, signal.raise_signal, (signal.SIGINT,))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            results.rows(f"{ENDLESS} SELECT count(*) FROM r")
        timer.join()


def test_a_journal_that_names_another_file_does_not_delete_it(folder: str, tmp_path: Any) -> None:
    path, other = os.path.join(folder, "trials.sqlite"), tmp_path / "other"
    other.write_text("kept")
    name, magic = str(other).encode(), bytes.fromhex("d9d505f920a163d7")
    header = magic + struct.pack(">5I", 0, 0, os.path.getsize(path) // 4096, 512, 4096)
    tail = struct.pack(">I", 2**30 // 4096 + 1) + name + struct.pack(">2I", len(name), sum(name)) + magic
    with open(f"{path}-journal", "wb") as file:
        file.write(header.ljust(512, b"\0") + tail)
    for opened in (database.open_reading, database.Writer):
        with pytest.raises(CheckpointError, match=r"trials\.sqlite-journal: is not the journal of a sweep"):
            opened(path)
    assert other.read_text() == "kept"


@pytest.mark.parametrize("key", ["state", "done", "total", "seconds", "reason", "differences", "kept"])
def test_a_wrong_value_in_status_json_ends_with_exit_4(folder: str, call: Any, key: str) -> None:
    path = os.path.join(folder, "status.json")
    with open(path) as file:
        sound = json.load(file)
    for value in (None, -1, "abc", [3], {"a": 1}, 1e300, 10**400):
        with open(path, "w") as file:
            json.dump({**sound, key: value}, file)
        code, _, err = call("sweep", "show", folder)
        assert (code, value) == (0, "abc") if key == "reason" and value == "abc" else code == 4, err


def test_what_a_sweep_writes_is_sound(folder: str) -> None:
    path = os.path.join(folder, "trials.sqlite")
    with database.Writer(path) as writer:
        chosen = {"architecture.hidden": [{"a": None, "b": "x"}, True], "optimizer.lr": 1e300}
        writer.extend([Configuration(5, chosen)], [Trial(17, 5, 2**32 - 1)])
        figures = {"dev_loss": float("inf"), "test_loss": float("nan")}
        writer.record([Trial(17, 5, 2**32 - 1, None, 2, 0, "diverged", "torch", 3, None, 0.0, None, figures)])
    with database.open_reading(path) as results:
        assert results.settings()[4].values == chosen
        assert results.trial(17).figures["dev_loss"] == float("inf")
