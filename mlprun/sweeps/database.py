"""The SQLite database of a sweep, `trials.sqlite` in its folder; `schema` documents its tables.

While the sweep runs the database is in WAL mode, so that it can be read at any moment; trials are recorded
by whole cohorts, in one transaction each. When the sweep ends it is a single ordinary file, with its digest
in `trials.sqlite.sha256`, since SQLite does not notice flipped bits; `sha256sum -c` reads it. A writer
removes the digest first, and writes it again when all is in one ordinary file.

The file may come from someone else or from a failing disk. Only a finished sweep has a digest, and whoever
changes the database can write a new one, so `open_reading` checks, before anything is used:

1. SQLite's limits: no value larger than the file, no query with more steps than a file of this size needs
2. `sqlite_master` holds exactly what `create` makes: no other view, trigger, virtual table, index or
   generated column, any of which would run code of whoever wrote them
3. `PRAGMA quick_check`: every page is used once
4. the type and range of every value, in SQL

    with database.create(path, description) as writer:
        writer.extend([Configuration(1, {"optimizer.lr": 0.1})], [Trial(1, setting=1, seed=0)])
        writer.record([Trial(1, setting=1, seed=0, status="finished", figures={"test_loss": 0.4})])
    with database.open_reading(path) as results:
        results.description.total, results.settings(), results.trials()
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import resource
import sqlite3
from dataclasses import asdict
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import quote

from mlprun import files
from mlprun.errors import CheckpointError, FileError
from mlprun.files import Closeable
from mlprun.storage import canonical
from mlprun.sweeps import schema
from mlprun.sweeps.schema import TRIAL_COLUMNS, Configuration, Description, Rung, Trial, TrialStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

RESTORE = "restore it from a copy or run the sweep again in another folder"
LOCK_TIMEOUT = 10.0
"""seconds that a writer waits for a reader that holds the file, and the other way round"""
_CALL_EVERY = 10_000
"""steps of SQLite between two calls of the progress handler"""
_MASTER = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name LIMIT 20"
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_OS_ERRORS = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR_SHMSIZE: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_IOERR: errno.EIO,
}
"""the likely error of the operating system, which SQLite does not report"""
_DAMAGE = (0, sqlite3.SQLITE_ERROR)
"""codes of a missing table or column, and of errors of Python itself, such as text that is not UTF-8"""
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


# ---- errors


@contextlib.contextmanager
def translated_errors(path: str, *, values: bool = False) -> Iterator[None]:
    """Raise CheckpointError for a damaged database and FileError for one that cannot be used.

    With `values`, errors in the interpretation of what was read count as damage too.
    """
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):  # mistakes of our own
        raise
    except (sqlite3.DatabaseError, ValueError, TypeError, OverflowError) as error:
        what, code = str(error), _primary_code(error)
        if code == sqlite3.SQLITE_INTERRUPT:
            what = "reading it takes too long for its size"
        elif isinstance(error, sqlite3.OperationalError) and code not in _DAMAGE:
            raise FileError(path, f"cannot be used: {error}", _remedy(error)) from error
        elif not (values or isinstance(error, sqlite3.DatabaseError)):
            raise
        raise CheckpointError(path, f"is damaged: {what}", RESTORE) from error


def _primary_code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # errors of Python itself have none


def _remedy(error: sqlite3.Error) -> str:
    code = _primary_code(error)
    if code in _LOCKED:
        return "close it in the other program"
    # SQLite reports a file that grows beyond the limit as an I/O error like any other
    if (
        code == sqlite3.SQLITE_IOERR
        and resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY
    ):
        return files.remedy(errno.EFBIG)
    return files.remedy(_OS_ERRORS.get(error.sqlite_errorcode) or _OS_ERRORS.get(code))


# ---- the digest of a closed database


def write_checksum(path: str) -> None:
    """Write the digest of a database that is not going to change."""
    line = f"{_digest(path)}  {os.path.basename(path)}\n"
    files.write_atomic(_checksum_path(path), line.encode())


def remove_checksum(path: str) -> None:
    """Remove the digest, durably before the database changes; do nothing if there is none."""
    if has_checksum(path):
        files.remove(_checksum_path(path))
        files.sync_folder(os.path.dirname(path))


def has_checksum(path: str) -> bool:
    """Return True if a database was closed for good and not written to since."""
    return files.kind(_checksum_path(path)) == "file"


def verify_checksum(path: str) -> None:
    """Raise CheckpointError for a database that differs from its digest; without one it may change."""
    expected = _read_checksum(path)
    while expected is not None and _digest(path) != expected:
        before, expected = expected, _read_checksum(path)
        if expected == before:  # otherwise a writer has begun meanwhile
            what = f"is damaged: its bytes are not those that {os.path.basename(_checksum_path(path))} is of"
            remedy = "restore it from a copy, or remove that file if you changed the database yourself"
            raise CheckpointError(path, what, remedy)


def _checksum_path(path: str) -> str:
    return f"{path}.sha256"


def _read_checksum(path: str) -> str | None:
    try:
        data = files.read_bytes(_checksum_path(path), cap=10_000, follow=False)
    except FileNotFoundError:
        return None
    return data.decode("ascii", "replace").partition(" ")[0]


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    for piece in files.read_pieces(path, cap=2**40, size=2**20):
        digest.update(piece)
    return digest.hexdigest()


# ---- writing


def create(path: str, description: Description) -> Writer:
    """Create a database at `path`, which must not exist. Raises FileError."""
    files.write_new(path, b"")  # an empty file is an empty database
    writer = Writer(path)
    with translated_errors(path):
        writer.connection.executescript(schema.create_statements(description))
        writer.connection.executemany(
            "INSERT INTO sweep VALUES (?, ?)",
            [(key, canonical.encode(value)) for key, value in asdict(description).items()],
        )
        writer.connection.commit()
    return writer


class Writer(Closeable):
    """The database, opened for writing by the one process that holds the sweep's lock."""

    def __init__(self, path: str) -> None:
        self.path = path
        _refuse_super_journal(path)
        remove_checksum(path)
        for suffix in ("", "-wal", "-shm"):  # SQLite writes in place: copies by hard links must not change
            files.break_hard_link(f"{path}{suffix}")
        with translated_errors(path):
            self.connection = sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True, timeout=LOCK_TIMEOUT)
            try:
                self.connection.execute("PRAGMA journal_mode = WAL").fetchone()
                self.connection.execute("PRAGMA synchronous = FULL")
            except BaseException:
                self.connection.close()
                raise

    @property
    def results(self) -> Results:
        """The current content."""
        return Results(self.connection, self.path)

    def extend(
        self,
        settings: Iterable[Configuration],
        trials: Iterable[Trial],
        description: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Add configurations and trials, and replace fields of the description, in one transaction."""
        rows = ((one.id, json.dumps(dict(one.values), allow_nan=False)) for one in settings)
        fields = ((key, canonical.encode(value)) for key, value in description.items())
        with translated_errors(self.path), self.connection as transaction:
            transaction.executemany("INSERT OR REPLACE INTO sweep VALUES (?, ?)", fields)
            transaction.executemany("INSERT INTO settings VALUES (?, ?)", rows)
            _put_trials(transaction, "INSERT", trials)

    def reopen(self, trials: Iterable[int]) -> None:
        """Make trials pending again and remove their results, in one transaction."""
        numbers = [(number,) for number in trials]
        cleared = "epochs = NULL, best_epoch = NULL, seconds = NULL, error = NULL"
        with translated_errors(self.path), self.connection as transaction:
            transaction.executemany(
                f"UPDATE trials SET status = 'pending', {cleared} WHERE id = ?",  # noqa: S608
                numbers,
            )
            transaction.executemany("DELETE FROM figures WHERE trial = ?", numbers)

    def record(self, trials: Iterable[Trial]) -> None:
        """Replace trials, metrics included, in one transaction."""
        recorded = list(trials)
        names = self.results.description.figures
        columns = ", ".join(f'"{name}"' for name in names)
        with translated_errors(self.path), self.connection as transaction:
            _put_trials(transaction, "INSERT OR REPLACE", recorded)
            transaction.executemany(
                f"INSERT OR REPLACE INTO figures (trial{', ' if names else ''}{columns}) "  # noqa: S608
                f"VALUES (?{', ?' * len(names)})",
                ((one.id, *map(one.figures.get, names)) for one in recorded if one.figures),
            )

    def add_rung(self, rung: Iterable[Rung]) -> None:
        """Add the decisions of a pruner at one epoch, in one transaction."""
        with translated_errors(self.path), self.connection as transaction:
            transaction.executemany("INSERT INTO rungs VALUES (?, ?, ?, ?)", rung)

    def close(self, *, final: bool = False) -> None:
        """Close the database; with `final`, as one ordinary file with its digest.

        If a reader is in the way, everything is in that file nevertheless, unless it reads an older state.
        """
        with translated_errors(self.path):
            is_single = final and self._leave_wal()
            self.connection.close()
        if is_single:
            write_checksum(self.path)

    def _leave_wal(self) -> bool:
        """Move everything into the database's own file; return True if that is the only one now."""
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        try:
            (mode,) = self.connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            return False
        return bool(mode == "delete")


def _put_trials(connection: sqlite3.Connection, verb: str, trials: Iterable[Trial]) -> None:
    rows = map(attrgetter("id", *TRIAL_COLUMNS), trials)
    connection.executemany(f"{verb} INTO trials VALUES (?{', ?' * len(TRIAL_COLUMNS)})", rows)


# ---- reading


def open_reading(path: str) -> Results:
    """Open the database at `path`, which may be in use. Raises CheckpointError and FileError."""
    if files.kind(path) != "file":
        what = "no such file" if files.kind(path) is None else f"is a {files.kind(path)}"
        raise CheckpointError(path, what, "expected the trials.sqlite of a sweep's folder")
    verify_checksum(path)
    _refuse_super_journal(path)
    with translated_errors(path):
        results = Results(_connect_reading(path), path)
    try:
        results.validate()
    except BaseException:
        results.close()
        raise
    return results


def _connect_reading(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=LOCK_TIMEOUT)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        connection.close()
        if _primary_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
    else:
        return connection
    # readers of a WAL share a file, for which a read-only file system has no room
    log = f"{path}-wal"
    if files.kind(log) is not None and files.lstat(log).st_size:
        what = f"cannot be read here: its newest rows are in {os.path.basename(log)}"
        raise FileError(path, what, "copy the folder to where it can be written to")
    return sqlite3.connect(f"file:{quote(path)}?immutable=1", uri=True)


def _refuse_super_journal(path: str) -> None:
    """Raise CheckpointError for a rollback journal that names another file, which SQLite would delete.

    Such a name (of a "super-journal") is written only by transactions over several databases.
    """
    journal = f"{path}-journal"
    if files.kind(journal) == "file":
        end = b""
        for piece in files.read_pieces(journal, cap=2**40, size=2**20):
            end = (end + piece)[-8:]
        if end == _JOURNAL_MAGIC:
            what = "is not the journal of a sweep: it names another file"
            raise CheckpointError(journal, what, "remove it")


class Results(Closeable):
    """The content of a database; a context that closes it."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection, self.path = connection, path
        self._description: Description | None = None
        self._calls = self._max_calls = 0

    def validate(self) -> None:
        """Limit what reading may cost; raise CheckpointError unless a sweep of this version wrote it all."""
        size = sum(
            files.lstat(one).st_size for one in (self.path, f"{self.path}-wal") if files.kind(one) == "file"
        )
        with translated_errors(self.path):
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(max(size, 100_000), 64_000_000))
            self._connection.execute("PRAGMA trusted_schema = OFF")
        # a sound query takes a few steps for each byte of the file
        self._max_calls = 1000 + 100 * size // _CALL_EVERY
        self._connection.set_progress_handler(self._takes_too_long, _CALL_EVERY)
        ((application,),) = self.rows("PRAGMA application_id")
        ((version,),) = self.rows("PRAGMA user_version")
        if application != schema.APPLICATION_ID:
            raise CheckpointError(self.path, "is not the database of a sweep", RESTORE)
        if version != schema.VERSION:
            what = f"has format {version}, and this mlprun reads format {schema.VERSION}"
            raise CheckpointError(self.path, what, "use the version of mlprun that wrote it, or a newer one")
        with translated_errors(self.path, values=True):
            self._validate_content()

    def _validate_content(self) -> None:
        found = _normalized(self.rows(_MASTER))
        # the table `sweep` is always the same; its content decides what the others are like
        _compare_schema(found, Description("", (), ()), "sweep")
        description = self.description
        _compare_schema(found, description, None)
        ((verdict,),) = self.rows("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise ValueError(" ".join(verdict.split()))
        for query in schema.check_queries(description):
            for row, column in self.rows(query):
                raise ValueError(f"{row}: {column} has a wrong value")

    def _takes_too_long(self) -> bool:
        self._calls += 1
        return self._calls > self._max_calls

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that is read inside be of one moment, whatever a writer does meanwhile."""
        self._description = None  # is read again, which begins the transaction
        with translated_errors(self.path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    @property
    def description(self) -> Description:
        """The properties of the whole sweep."""
        if self._description is None:
            with translated_errors(self.path, values=True):
                rows = self.rows("SELECT key, value FROM sweep")
                fields = {key: canonical.decode(value) for key, value in rows}
                self._description = schema.checked_description(fields)
        return self._description

    def settings(self) -> list[Configuration]:
        """All configurations, by id."""
        rows = self.rows("SELECT id, chosen FROM settings ORDER BY id")
        parameters = self.description.parameters
        with translated_errors(self.path, values=True):
            return [Configuration(id_, schema.checked_values(text, parameters)) for id_, text in rows]

    def trials(self) -> list[Trial]:
        """All trials, by id."""
        return list(self.each())

    def each(self, where: str = "", *values: int, by_setting: bool = False) -> Iterator[Trial]:
        """Yield all trials, or those `where`, by id or by configuration and id."""
        names = self.description.figures
        figures = "".join(f', figures."{name}"' for name in names)
        columns = ", ".join(f"trials.{name}" for name in TRIAL_COLUMNS)
        query = (
            f"SELECT figures.trial IS NOT NULL, trials.id, {columns}{figures} FROM trials "  # noqa: S608
            f"LEFT JOIN figures ON figures.trial = trials.id {where and 'WHERE'} {where} "
            f"ORDER BY {'trials.setting, ' if by_setting else ''}trials.id"
        )
        end = 1 + len(TRIAL_COLUMNS)
        for has_metrics, *row in self._query(query, values):
            metrics = dict(zip(names, row[end:], strict=True)) if has_metrics else {}
            yield Trial(*[*row[:end], metrics])

    def planned(self) -> Iterator[Trial]:
        """Yield all trials by cohort and position in it, without their metrics."""
        query = f"SELECT id, {', '.join(TRIAL_COLUMNS)} FROM trials ORDER BY cohort, member"  # noqa: S608
        return (Trial(*row) for row in self._query(query))

    def cohorts(self, *, pending: bool) -> list[int]:
        """The cohorts with trials that are pending, or with trials that are not."""
        query = "SELECT DISTINCT cohort FROM trials WHERE (status = 'pending') = ? AND cohort IS NOT NULL"
        return [number for (number,) in self._query(f"{query} ORDER BY cohort", (pending,))]

    def trial(self, number: int) -> Trial | None:
        """The trial of that id; None if there is none."""
        return next(self.each("trials.id = ?", number), None)

    def counts(self) -> dict[TrialStatus, int]:
        """The number of trials of each status, zeros included."""
        counts = dict(self.rows("SELECT status, count(*) FROM trials GROUP BY status"))
        return {status: counts.get(status, 0) for status in get_args(TrialStatus)}

    def rungs(self) -> list[Rung]:
        """The decisions of the pruner, by configuration and epoch."""
        query = "SELECT setting, epoch, objective, promoted FROM rungs ORDER BY setting, epoch"
        return [Rung(*row)._replace(promoted=bool(row[-1])) for row in self.rows(query)]

    def rows(self, query: str) -> list[Any]:
        """All rows of a query. Raises CheckpointError and FileError."""
        return list(self._query(query))

    def _query(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[Any]:
        self._calls = 0
        with translated_errors(self.path, values=True):
            try:
                # `yield from` would close the cursor of an abandoned query, which a closed database refuses
                for row in self._connection.execute(query, values):  # noqa: UP028
                    yield row
            except sqlite3.OperationalError as error:
                # SQLite swallows a KeyboardInterrupt that is raised in the progress handler
                if _primary_code(error) == sqlite3.SQLITE_INTERRUPT and self._calls <= self._max_calls:
                    raise KeyboardInterrupt from error
                raise

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


def _normalized(rows: Iterable[Any]) -> set[tuple[str, ...]]:
    return {(kind, name, table, " ".join((sql or "").split())) for kind, name, table, sql in rows}


def _compare_schema(found: set[tuple[str, ...]], description: Description, only: str | None) -> None:
    """Raise ValueError unless the objects (of one table) are those that `create` makes."""
    with contextlib.closing(sqlite3.connect(":memory:")) as memory:
        memory.executescript(schema.create_statements(description))
        expected = _normalized(memory.execute(_MASTER))
    for kind, name, table, _ in found ^ expected:
        if only in (None, table):
            raise ValueError(f"its schema is not that of a sweep: see the {kind} {name}")
