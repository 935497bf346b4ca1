"""The database of a sweep, `trials.sqlite` in its folder: settings, trials, and how each trial came out.

    sweep(key, value)     what the sweep is, JSON by key: the fields of `Description`
    settings(id, chosen)  one row per combination of parameter values; `chosen` is JSON {dotted path: value}
    trials(id, setting, seed, fold, cohort, member, status, engine, epochs, best_epoch, seconds, error)
                          one row per trial; `cohort` and `member` say where its curves and weights lie:
                          place `member` (from 0) of the file `cohorts/cohort-0007.safetensors`
    figures(trial, ...)   one row per trial that has figures, a column for each of `Description.figures`
    rungs(setting, epoch, objective, promoted)
                          how a setting stood where a pruner looked at it, and whether it went on
    results               a view of all that: a column for each parameter, trials and figures, for
                          SELECT "optimizer.lr", avg(test_loss) FROM results
                          WHERE status IN ('finished', 'early_stopping') GROUP BY 1

Ids count from 1. A trial is `pending` until it is `finished`, stopped by `early_stopping`, `pruned` (its
figures are those up to the epoch where its setting was given up), `diverged` (those up to the last finite
epoch) or `failed` (`error` says why, it has no figures). The column
`test_loss` is of the best epoch, as is every other without a prefix, `last_test_loss` of the last one; where
no dev rows choose a best the two are equal and `best_epoch` is NULL. SQL knows no nan: NULL is a figure that
is not a number or that was never computed. `seconds` is the trial's share of its cohort's time, and the only
column that two runs of one sweep do not have in common.

While the sweep runs the database is in WAL mode, so that it can be read at any moment; trials come in by
whole cohorts, in one transaction each. When the sweep ends it is a single ordinary file, and `seal`
keeps its digest beside it.

    with database.create(path, description) as writer:
        writer.add_settings([Configuration(1, {"optimizer.lr": 0.1})])
        writer.add_trials([Trial(1, setting=1, seed=0)])
        writer.record([Trial(1, setting=1, seed=0, status="finished", figures={"test_loss": 0.4})])
    with database.open_reading(path) as results:
        results.description.total, results.settings(), results.trials()
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import quote

from mlprun import files
from mlprun.errors import CheckpointError, FileError
from mlprun.files import Closeable
from mlprun.storage import canonical
from mlprun.sweeps import refused, seal, validation
from mlprun.sweeps.schema import Configuration, Description, Rung, Trial, TrialStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

VERSION = 1
APPLICATION = 0x6D6C7072
"""what SQLite calls the application id of a file"""

_WAIT = 10.0  # seconds that a writer waits for a reader that holds the file, and the other way round
_STANDING = (
    "setting",
    "seed",
    "fold",
    "cohort",
    "member",
    "status",
    "engine",
    "epochs",
    "best_epoch",
    "seconds",
    "error",
)


def create(path: str, description: Description) -> Writer:
    """A new database at `path`, which must not exist. Raises FileError."""
    files.write_new(path, b"")  # an empty file is an empty database
    writer = Writer(path)
    with refused.told(path):
        writer.connection.executescript(_tables(description))
        writer.connection.executemany(
            "INSERT INTO sweep VALUES (?, ?)",
            [(key, canonical.encode(value)) for key, value in asdict(description).items()],
        )
        writer.connection.commit()
    return writer


def _tables(description: Description) -> str:
    assert all(map(validation.NAME.fullmatch, (*description.parameters, *description.figures)))
    figures = "".join(f', "{name}" REAL' for name in description.figures)
    paths = description.parameters
    chosen = "".join(f""", json_extract(chosen, '$."{path}"') AS "{path}\"""" for path in paths)
    standing = ", ".join(f"trials.{name}" for name in _STANDING)
    shown = "".join(f', figures."{name}"' for name in description.figures)
    return f"""
        PRAGMA application_id = {APPLICATION};
        PRAGMA user_version = {VERSION};
        CREATE TABLE sweep (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE settings (id INTEGER PRIMARY KEY, chosen TEXT NOT NULL);
        CREATE TABLE trials (
            id INTEGER PRIMARY KEY, setting INTEGER NOT NULL, seed INTEGER NOT NULL, fold INTEGER,
            cohort INTEGER, member INTEGER, status TEXT NOT NULL, engine TEXT, epochs INTEGER,
            best_epoch INTEGER, seconds REAL, error TEXT);
        CREATE INDEX trials_of_setting ON trials (setting, seed, fold);
        CREATE TABLE figures (trial INTEGER PRIMARY KEY{figures});
        CREATE TABLE rungs (
            setting INTEGER NOT NULL, epoch INTEGER NOT NULL, objective REAL, promoted INTEGER NOT NULL,
            PRIMARY KEY (setting, epoch)) WITHOUT ROWID;
        CREATE VIEW results AS SELECT trials.id AS trial, {standing}{chosen}{shown}
            FROM trials JOIN settings ON settings.id = trials.setting
            LEFT JOIN figures ON figures.trial = trials.id ORDER BY trials.id;
    """  # noqa: S608


class Writer(Closeable):
    """The database as the one process that holds the sweep's lock writes it."""

    def __init__(self, path: str) -> None:
        self.path = path
        validation.refuse_journal(path)
        seal.remove(path)
        for suffix in ("", "-wal", "-shm"):  # SQLite writes in place: copies by hard links must not change
            files.unshare(f"{path}{suffix}")
        with refused.told(path):
            self.connection = sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True, timeout=_WAIT)
            self.connection.execute("PRAGMA journal_mode = WAL").fetchone()
            self.connection.execute("PRAGMA synchronous = FULL")

    @property
    def results(self) -> Results:
        """What is in it so far."""
        return Results(self.connection, self.path)

    def add_settings(self, settings: Iterable[Configuration]) -> None:
        """Add settings that are not in it yet."""
        rows = ((one.id, json.dumps(dict(one.values), allow_nan=False)) for one in settings)
        with refused.told(self.path), self.connection as changing:
            changing.executemany("INSERT INTO settings VALUES (?, ?)", rows)

    def add_trials(self, trials: Iterable[Trial]) -> None:
        """Add trials that are not in it yet, all in one transaction."""
        with refused.told(self.path), self.connection as changing:
            _put(changing, "INSERT", trials)

    def extend(
        self,
        settings: Iterable[Configuration],
        trials: Iterable[Trial],
        described: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Add settings and their trials, and replace fields of the description: all of that or nothing."""
        rows = ((one.id, json.dumps(dict(one.values), allow_nan=False)) for one in settings)
        said = ((key, canonical.encode(value)) for key, value in described.items())
        with refused.told(self.path), self.connection as changing:
            changing.executemany("INSERT OR REPLACE INTO sweep VALUES (?, ?)", said)
            changing.executemany("INSERT INTO settings VALUES (?, ?)", rows)
            _put(changing, "INSERT", trials)

    def reopen(self, trials: Iterable[int]) -> None:
        """Make trials pending again, all or none of them; what they came to is forgotten."""
        numbers = [(number,) for number in trials]
        forgotten = "epochs = NULL, best_epoch = NULL, seconds = NULL, error = NULL"
        with refused.told(self.path), self.connection as changing:
            changing.executemany(
                f"UPDATE trials SET status = 'pending', {forgotten} WHERE id = ?",  # noqa: S608
                numbers,
            )
            changing.executemany("DELETE FROM figures WHERE trial = ?", numbers)

    def record(self, trials: Iterable[Trial]) -> None:
        """Replace trials by what they are now, figures included, all in one transaction."""
        kept = list(trials)
        names = self.results.description.figures
        columns = ", ".join(f'"{name}"' for name in names)
        with refused.told(self.path), self.connection as changing:
            _put(changing, "INSERT OR REPLACE", kept)
            changing.executemany(
                f"INSERT OR REPLACE INTO figures (trial{', ' if names else ''}{columns}) "  # noqa: S608
                f"VALUES (?{', ?' * len(names)})",
                ((one.id, *map(one.figures.get, names)) for one in kept if one.figures),
            )

    def add_rung(self, rung: Iterable[Rung]) -> None:
        """Add how settings stood at a rung, all in one transaction."""
        with refused.told(self.path), self.connection as changing:
            changing.executemany("INSERT INTO rungs VALUES (?, ?, ?, ?)", rung)

    def close(self, *, final: bool = False) -> None:
        """Close it; with `final` as one ordinary file.

        Where a reader is in the way, all is at least in that file, unless the reader holds on to former rows.
        """
        with refused.told(self.path):
            alone = final and self._fold_in()
            self.connection.close()
        if alone:
            seal.put(self.path)

    def _fold_in(self) -> bool:
        """Put all into the database's own file; whether that is the only one now."""
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        try:
            (mode,) = self.connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            return False
        return bool(mode == "delete")


def _put(connection: sqlite3.Connection, verb: str, trials: Iterable[Trial]) -> None:
    marks = ", ?" * len(_STANDING)
    rows = ((one.id, *(getattr(one, name) for name in _STANDING)) for one in trials)
    connection.executemany(f"{verb} INTO trials VALUES (?{marks})", rows)


def open_reading(path: str) -> Results:
    """The database at `path`, whether its sweep runs or not. Raises CheckpointError and FileError."""
    if files.kind(path) != "file":
        what = "no such file" if files.kind(path) is None else f"is a {files.kind(path)}"
        raise CheckpointError(path, what, "expected the trials.sqlite of a sweep's folder")
    seal.check(path)
    validation.refuse_journal(path)
    with refused.told(path):
        results = Results(_connected(path), path)
    try:
        results.check()
    except BaseException:
        results.close()
        raise
    return results


def _connected(path: str) -> sqlite3.Connection:
    """A connection that reads. Raises FileError."""
    connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=_WAIT)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if not refused.is_no_place_to_write(error):
            raise
    else:
        return connection
    # a file system that is read-only has no room for what readers of a WAL share
    log = f"{path}-wal"
    if files.kind(log) is not None and files.size(log):
        what = f"cannot be read here: its newest rows are in {os.path.basename(log)}"
        raise FileError(path, what, "copy the folder to where it can be written to")
    return sqlite3.connect(f"file:{quote(path)}?immutable=1", uri=True)


class Results(Closeable):
    """What a database says; a context that closes it."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection, self.path = connection, path
        self._description: Description | None = None
        self._calls = self._most_calls = 0

    def check(self) -> None:
        """Limit what reading may take; raise CheckpointError unless a sweep of this version wrote it all."""
        with refused.told(self.path):
            self._most_calls = validation.limit(self._connection, self.path)
        self._connection.set_progress_handler(self._is_too_long, validation.CALL_EVERY)
        ((application,),) = self.rows("PRAGMA application_id")
        ((version,),) = self.rows("PRAGMA user_version")
        if application != APPLICATION:
            raise CheckpointError(self.path, "is not the database of a sweep", refused.RESTORE)
        if version != VERSION:
            what = f"has format {version}, and this mlprun reads format {VERSION}"
            raise CheckpointError(self.path, what, "use the version of mlprun that wrote it, or a newer one")
        validation.check(self, _tables)

    def _is_too_long(self) -> bool:
        self._calls += 1
        return self._calls > self._most_calls

    @contextlib.contextmanager
    def moment(self) -> Iterator[None]:
        """Let all that is read inside be of one moment, whatever a writer does meanwhile."""
        self._description = None  # which is read again, and makes the transaction begin
        with refused.told(self.path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    @property
    def description(self) -> Description:
        """What the sweep is."""
        if self._description is None:
            with refused.told_of_values(self.path):
                self._description = self._described()
        return self._description

    def _described(self) -> Description:
        known = {key: canonical.decode(value) for key, value in self.rows("SELECT key, value FROM sweep")}
        for key in ("parameters", "figures", "history"):
            known[key] = tuple(known.get(key, ()))
        return validation.description(known)

    def settings(self) -> list[Configuration]:
        """All settings, by id."""
        rows = self.rows("SELECT id, chosen FROM settings ORDER BY id")
        parameters = self.description.parameters
        with refused.told_of_values(self.path):
            return [Configuration(number, validation.chosen(text, parameters)) for number, text in rows]

    def trials(self) -> list[Trial]:
        """All trials, by id."""
        return list(self.each())

    def each(self, *, by_setting: bool = False) -> Iterator[Trial]:
        """All trials, by id or by setting and id, without holding them all."""
        yield from self._trials("", (), "trials.setting, trials.id" if by_setting else "trials.id")

    def planned(self) -> Iterator[Trial]:
        """All trials by cohort and place in it, without their figures and without holding them all."""
        query = f"SELECT id, {', '.join(_STANDING)} FROM trials ORDER BY cohort, member"  # noqa: S608
        for row in self._query(query):
            yield Trial(*row)

    def ended(self, cohort: int, first: int, last: int) -> list[Trial]:
        """The trials of a cohort that are not pending; its numbers are from `first` to `last`."""
        where = "WHERE trials.id BETWEEN ? AND ? AND cohort = ? AND status <> 'pending'"
        return list(self._trials(where, (first, last, cohort)))

    def recorded(self) -> list[int]:
        """The cohorts with trials that are not pending."""
        query = "SELECT DISTINCT cohort FROM trials WHERE status <> 'pending' AND cohort IS NOT NULL"
        return [number for (number,) in self.rows(f"{query} ORDER BY cohort")]

    def trial(self, number: int) -> Trial | None:
        """The trial of that id; None where there is none."""
        return next(self._trials("WHERE trials.id = ?", (number,)), None)

    def counts(self) -> dict[TrialStatus, int]:
        """How many trials there are of each status, those of which there are none included."""
        found = dict(self.rows("SELECT status, count(*) FROM trials GROUP BY status"))
        return {status: found.get(status, 0) for status in get_args(TrialStatus)}

    def unended(self) -> set[int | None]:
        """The cohorts with trials that are pending."""
        return {
            number for (number,) in self.rows("SELECT DISTINCT cohort FROM trials WHERE status = 'pending'")
        }

    def rungs(self) -> list[Rung]:
        """How settings stood where a pruner looked at them, by setting and epoch."""
        rows = self.rows("SELECT setting, epoch, objective, promoted FROM rungs ORDER BY setting, epoch")
        return [
            Rung(setting, epoch, objective, bool(promoted)) for setting, epoch, objective, promoted in rows
        ]

    def figure(self, name: str) -> list[tuple[int, int, int | None, float | None]]:
        """(setting, seed, fold, value) of each trial that has figures, by trial id."""
        assert name in self.description.figures
        return self.rows(
            f'SELECT setting, seed, fold, "{name}" FROM trials JOIN figures ON trial = id '  # noqa: S608
            "ORDER BY id"
        )

    def _trials(self, where: str, values: tuple[Any, ...], order: str = "trials.id") -> Iterator[Trial]:
        names = self.description.figures
        columns = "".join(f', figures."{name}"' for name in names)
        standing = ", ".join(f"trials.{name}" for name in _STANDING)
        query = (
            f"SELECT figures.trial IS NOT NULL, trials.id, {standing}{columns} FROM trials "  # noqa: S608
            f"LEFT JOIN figures ON figures.trial = trials.id {where} ORDER BY {order}"
        )
        for has, *row in self._query(query, values):
            figures = dict(zip(names, row[1 + len(_STANDING) :], strict=True)) if has else {}
            yield Trial(**dict(zip(("id", *_STANDING), row, strict=False)), figures=figures)

    def rows(self, query: str) -> list[Any]:
        """All rows of a query. Raises CheckpointError and FileError."""
        return list(self._query(query))

    def _query(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[Any]:
        self._calls = 0
        with refused.told_of_values(self.path):
            try:
                # `yield from` would close the cursor of an abandoned query, which a closed database refuses
                for row in self._connection.execute(query, values):  # noqa: UP028
                    yield row
            except sqlite3.OperationalError as error:
                # SQLite swallows a KeyboardInterrupt that is raised in the progress handler
                if refused.is_interruption(error) and self._calls <= self._most_calls:
                    raise KeyboardInterrupt from error
                raise

    def close(self) -> None:
        """Close it."""
        self._connection.close()
