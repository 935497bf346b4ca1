"""What SQLite refuses, as mlprun tells of files: damage is one thing, a full disk or a lock another."""

from __future__ import annotations

import contextlib
import errno
import resource
import sqlite3
from typing import TYPE_CHECKING

from mlprun import files
from mlprun.errors import CheckpointError, FileError

if TYPE_CHECKING:
    from collections.abc import Iterator

RESTORE = "restore it from a copy or run the sweep again in another folder"
_CAUSES = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR_SHMSIZE: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_IOERR: errno.EIO,
}
"""what the operating system said, for SQLite keeps it to itself"""
_DAMAGE = (0, sqlite3.SQLITE_ERROR)
"""codes of a missing table or column, and of what Python itself refuses, such as text that is not UTF-8"""
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextlib.contextmanager
def told(path: str) -> Iterator[None]:
    """Raise CheckpointError for a database that is damaged, FileError for one that cannot be used."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):  # of our own making
        raise
    except sqlite3.OperationalError as error:
        if is_interruption(error):
            raise CheckpointError(
                path, "is damaged: reading it takes too long for its size", RESTORE
            ) from error
        if _primary(error) in _DAMAGE:
            raise CheckpointError(path, f"is damaged: {error}", RESTORE) from error
        raise FileError(path, f"cannot be used: {error}", _remedy(error)) from error
    except sqlite3.DatabaseError as error:
        raise CheckpointError(path, f"is damaged: {error}", RESTORE) from error


@contextlib.contextmanager
def told_of_values(path: str) -> Iterator[None]:
    """`told`, where what is read is made sense of as well: what has no sense is damage."""
    try:
        with told(path):
            yield
    except (ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(path, f"is damaged: {error}", RESTORE) from error


def is_no_place_to_write(error: sqlite3.Error) -> bool:
    """Whether SQLite refused to read because it cannot write there, which readers of a WAL have to."""
    return _primary(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def is_interruption(error: sqlite3.Error) -> bool:
    """Return True if a progress handler ended the query."""
    return _primary(error) == sqlite3.SQLITE_INTERRUPT


def _primary(error: sqlite3.Error) -> int:
    return _code(error) & 0xFF


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0)  # what Python itself raises has none


def _remedy(error: sqlite3.Error) -> str:
    if _primary(error) in _LOCKED:
        return "close it in the other program"
    # SQLite calls a file that grows beyond the limit an I/O error like any other
    limited = resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY
    if _primary(error) == sqlite3.SQLITE_IOERR and limited:
        return files.remedy(errno.EFBIG)
    return files.remedy(_CAUSES.get(_code(error)) or _CAUSES.get(_primary(error)))
