"""Open files that grow at their end: written, synced, cut, locked and closed by descriptor."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from mlprun import files
from mlprun.files.reading import open_file
from mlprun.files.refusals import while_changing, while_reading

if TYPE_CHECKING:
    from mlprun.files.refusals import Place


def open_writing(path: Place) -> int:
    """A descriptor that appends to a regular file, created if missing; a symbolic link is refused."""
    with while_changing(os.fspath(path)):
        return open_file(os.fspath(path), os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CREAT)


def append(descriptor: int, data: bytes, path: Place) -> None:
    """Write all of `data` at a descriptor's end: one write, and more only where the system wrote less."""
    with while_changing(os.fspath(path)):
        rest = memoryview(data)
        while rest:
            rest = rest[files.system.write(descriptor, rest) :]


def sync(descriptor: int, path: Place) -> None:
    """Wait until the disk holds what was written; some file systems report a full disk only here."""
    with while_changing(os.fspath(path)):
        files.system.fsync(descriptor)


def close(descriptor: int, path: Place) -> None:
    """Close a descriptor; network file systems may report a failed write here."""
    with while_changing(os.fspath(path)):
        files.system.close(descriptor)


def truncate(descriptor: int, length: int, path: Place) -> None:
    """Cut an open file to `length` bytes."""
    with while_changing(os.fspath(path)):
        files.system.ftruncate(descriptor, length)


def is_shared(descriptor: int, path: Place) -> bool:
    """Return True if the open file has further hard links, as in a copy made with `cp -al`."""
    with while_changing(os.fspath(path)):
        return files.system.fstat(descriptor).st_nlink > 1


def is_at(descriptor: int, path: Place) -> bool:
    """Return True if `path` still names the open file, False if it was removed or replaced."""
    try:
        with while_reading(os.fspath(path)):
            return os.path.samestat(files.system.fstat(descriptor), files.system.lstat(os.fspath(path)))
    except FileNotFoundError:
        return False


def lock(descriptor: int, path: Place, *, shared: bool = False) -> bool:
    """Lock an open file without waiting; False when another holds it. A lock dies with its process."""
    try:
        with while_changing(os.fspath(path), "locked"):
            files.system.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
