"""Checks that a database is one that a sweep wrote, before its contents are used.

The folder may come from someone else or from a failing disk. Only a finished sweep has a digest, and whoever
changes the database can write a new one, so neither the schema nor the values are trusted:

1. SQLite's limits: no value larger than the file, and no query with more steps than a file of this size needs
2. `sqlite_master` holds exactly what `database.create` makes: no other view, trigger, virtual table, index or
   generated column, any of which would run code of whoever wrote them
3. `PRAGMA quick_check`: every page is used once
4. the type and range of every value, in SQL
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, get_args

from mlprun import files
from mlprun.errors import CheckpointError
from mlprun.sweeps import refused
from mlprun.sweeps.schema import Description, Scale, TrialStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlprun.sweeps.database import Results

NAME = re.compile(r"[A-Za-z0-9_.-]+")
"""of a parameter or a metric: safe between double quotes in SQL"""
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name LIMIT 20"
CALL_EVERY = 10_000
"""steps of SQLite between two calls of the progress handler"""
_MOST_DEPTH = 120
"""levels of JSON: a config has 100 at most"""
_LARGEST = 1e308
_SECTIONS = ("search", "objective", "random", "grid", "paired")
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


def refuse_journal(path: str) -> None:
    """Raise CheckpointError for a rollback journal that names another file, which SQLite would delete.

    Such a name (of a "super-journal") is written only by transactions over several databases.
    """
    journal = f"{path}-journal"
    if files.kind(journal) == "file":
        last = b""
        for piece in files.read_pieces(journal, cap=2**40, size=2**20):
            last = (last + piece)[-8:]
        if last == _JOURNAL_MAGIC:
            raise CheckpointError(
                journal, "is not the journal of a sweep: it names another file", "remove it"
            )


def limit(connection: sqlite3.Connection, path: str) -> int:
    """Set SQLite's limits for an untrusted file; return how often one query may call the progress handler."""
    size = sum(files.size(one) for one in (path, f"{path}-wal") if files.kind(one) == "file")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(max(size, 100_000), 64_000_000))
    connection.execute("PRAGMA trusted_schema = OFF")
    # a sound query takes a few steps for each byte of the file
    return 1000 + 100 * size // CALL_EVERY


def check(results: Results, tables: Callable[[Description], str]) -> None:
    """Raise CheckpointError unless schema, pages and values are those of a sweep's database."""
    with refused.told_of_values(results.path):
        found = [_spaced(*row) for row in results.rows(SCHEMA)]
        expected = _schema(tables(Description("", (), ())))
        # the table `sweep` is always the same; what it says decides what the others are like
        _refuse_other(
            [one for one in found if one[2] == "sweep"], [one for one in expected if one[2] == "sweep"]
        )
        described = results.description
        _refuse_other(found, _schema(tables(described)))
        ((verdict,),) = results.rows("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise ValueError(" ".join(verdict.split()))
        for query in _queries(described):
            for where, column in results.rows(query):
                raise ValueError(f"{where}: {column} has a wrong value")


def _schema(statements: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.executescript(statements)
        return [_spaced(*row) for row in memory.execute(SCHEMA)]


def _spaced(kind: str, name: str, table: str, sql: str | None) -> tuple[str, ...]:
    return kind, name, table, " ".join((sql or "").split())


def _refuse_other(found: list[tuple[str, ...]], expected: list[tuple[str, ...]]) -> None:
    for one in found:
        if one not in expected:
            raise ValueError(f"its schema has a {one[0]} {one[1]} that no sweep makes")
    for one in expected:
        if one not in found:
            raise ValueError(f"its schema lacks the {one[0]} {one[1]}")


def _queries(description: Description) -> list[str]:
    """Return queries that give (row, column) of the first wrong value of each table, if there is one."""

    def whole(low: int, high: int = 2**53) -> str:
        return f"typeof({{0}}) = 'integer' AND {{0}} BETWEEN {low} AND {high}"

    in_settings = whole(0) + " AND {0} IN (SELECT id FROM settings)"  # noqa: S608
    statuses = ", ".join(f"'{status}'" for status in get_args(TrialStatus))
    fold = "{0} IS NULL" if description.folds is None else whole(0, description.folds)
    rules: dict[str, dict[str, str]] = {
        "settings": {"id": whole(0), "chosen": "typeof({0}) = 'text'"},
        "trials": {
            "id": whole(0),
            "setting": in_settings,
            "seed": whole(0, 2**32 - 1),
            "fold": fold,
            "cohort": f"{{0}} IS NULL OR {whole(1)}",
            "member": f"({{0}} IS NULL) = (cohort IS NULL) AND ({{0}} IS NULL OR {whole(0)})",
            "status": f"{{0}} IN ({statuses})",
            "engine": "{0} IS NULL OR {0} IN ('torch', 'fused', 'scratch')",
            "epochs": f"{{0}} IS NULL OR {whole(0)}",
            "best_epoch": f"{{0}} IS NULL OR {whole(0)}",
            "seconds": f"{{0}} IS NULL OR typeof({{0}}) = 'real' AND {{0}} BETWEEN 0 AND {_LARGEST}",
            "error": "typeof({0}) IN ('text', 'null')",
        },
        "figures": {
            "trial": whole(0) + " AND {0} IN (SELECT id FROM trials)",  # noqa: S608
            **dict.fromkeys(description.figures, "typeof({0}) IN ('real', 'null')"),
        },
        "rungs": {
            "setting": in_settings,
            "epoch": whole(1),
            "objective": f"{{0}} IS NULL OR typeof({{0}}) = 'real' AND abs({{0}}) <= {_LARGEST}",
            "promoted": whole(0, 1),
        },
    }
    queries = []
    for table, columns in rules.items():
        rows = [(name, rule.format(f'"{name}"')) for name, rule in columns.items()]
        cases = " ".join(f"WHEN ({rule}) IS NOT TRUE THEN '{name}'" for name, rule in rows)
        key = next(iter(columns))
        queries.append(
            f"SELECT '{table} ' || quote({key}), CASE {cases} END AS wrong FROM {table} "  # noqa: S608
            "WHERE wrong IS NOT NULL LIMIT 1"
        )
    twice = "SELECT 1 FROM trials GROUP BY setting, seed, fold HAVING count(*) > 1"
    return [*queries, f"SELECT 'trials', 'seed' WHERE EXISTS ({twice})"]


def description(known: Mapping[str, Any]) -> Description:
    """The description with these fields. Raises ValueError where no sweep has written them."""
    if not _is_plain(known, math.inf):
        raise ValueError("sweep: nested too deeply")
    names = Description.__dataclass_fields__
    one = Description(**{key: value for key, value in known.items() if key in names})
    objective, success, words = one.objective, one.success, one.definition
    holds = {
        "name": isinstance(one.name, str) and _RUN_NAME.fullmatch(one.name) is not None,
        "parameters": _are_names(one.parameters),
        "figures": _are_names(one.figures) and len(one.figures) > 0,
        "history": _are_texts(one.history),
        "scales": isinstance(one.scales, dict) and all(v in get_args(Scale) for v in one.scales.values()),
        "objective": isinstance(objective, dict)
        and objective.get("metric") in (None, *one.figures)
        and objective.get("mode") in (None, "min", "max")
        and objective.get("aggregate") in (None, "mean", "median", "success"),
        "success": success is None
        or (
            isinstance(success, dict)
            and success.get("figure") in one.figures
            and success.get("operator") in (">=", "<=", ">", "<", "==")
            and isinstance(success.get("number"), int | float)
            and isinstance(success.get("text"), str)
        ),
        "folds": one.folds is None or _is_whole(one.folds, 2),
        "total": _is_whole(one.total, 0),
        "base": isinstance(one.base, dict),
        "rows": isinstance(one.rows, dict) and _are_texts(tuple(one.rows.values())),
        "paths": isinstance(one.paths, dict) and all(isinstance(v, list) for v in one.paths.values()),
        "definition": isinstance(words, dict)
        and all(isinstance(words.get(key) or {}, dict) for key in _SECTIONS),
    }
    for key, sound in holds.items():
        if not sound:
            raise ValueError(f"sweep: {key} has a wrong value")
    return one


def chosen(text: str, parameters: Sequence[str]) -> dict[str, Any]:
    """The values of a setting from their JSON. Raises ValueError where no sweep has written it."""
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise ValueError("settings: nested too deeply") from error
    if (
        not isinstance(values, dict)
        or not values.keys() <= set(parameters)
        or not _is_plain(values, _LARGEST)
    ):
        raise ValueError("settings: chosen has a wrong value")
    return values


def _is_plain(value: Any, largest: float, depth: int = _MOST_DEPTH) -> bool:
    """Return True for JSON whose depth and numbers are bounded; nan is not."""
    if isinstance(value, dict | list | tuple):
        items = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(item, largest, depth - 1) for item in items)
    return not isinstance(value, int | float) or abs(value) <= largest or math.isinf(largest)


def _is_whole(value: Any, low: int) -> bool:
    return type(value) is int and low <= value <= 2**53


def _are_texts(values: Any) -> bool:
    return isinstance(values, tuple) and all(isinstance(value, str) for value in values)


def _are_names(values: Any) -> bool:
    return _are_texts(values) and all(map(NAME.fullmatch, values)) and len(set(values)) == len(values)
