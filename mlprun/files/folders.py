"""Folders made, synced, claimed and removed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from mlprun import files
from mlprun.errors import FileError
from mlprun.files.looking import is_folder, kind
from mlprun.files.refusals import failure, while_changing

if TYPE_CHECKING:
    from mlprun.files.refusals import Place


_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


def sync_folder(folder: Place) -> None:
    """Make the names in a folder durable: without it a power loss may undo a rename."""
    where = os.fspath(folder) or "."
    with while_changing(where):
        descriptor = files.system.open(where, os.O_RDONLY | os.O_DIRECTORY)
        try:
            files.system.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot sync folders
                raise
        finally:
            files.system.close(descriptor)


def make_folder(path: Place, *, exclusive: bool = False) -> None:
    """Create a folder and those above it; with `exclusive`, one that exists raises FileExistsError."""
    where = os.fspath(path).rstrip("/") or "/"
    if not exclusive and is_folder(where):
        return
    above = os.path.dirname(where)
    if above:
        make_folder(above)
    try:
        with while_changing(where, "created"):
            files.system.mkdir(where)
    except FileExistsError as error:
        if exclusive:
            raise
        if not is_folder(where):  # another process may have made it meanwhile
            raise failure(error, where, "created") from error
    sync_folder(above)


def make_private(path: Place) -> bool:
    """Create a folder for this user alone, unless it exists; return whether nobody else can write to it."""
    where = os.fspath(path)
    with contextlib.suppress(OSError, FileError):
        make_folder(os.path.dirname(where))
        with contextlib.suppress(FileExistsError):
            files.system.mkdir(where, 0o700)
        found = files.system.lstat(where)
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return False


def claim(prepared: Place, final: Place) -> None:
    """Give a prepared folder its final name; raises FileExistsError when that name is taken.

    The folder must not be empty: of two that claim one name, rename(2) refuses the second only because of the
    first one's contents.
    """
    source, target = os.fspath(prepared), os.fspath(final)
    if kind(target) is not None:  # an empty folder would be replaced without a word
        raise FileExistsError(errno.EEXIST, "is taken", target)
    with while_changing(target, "created"):
        try:
            files.system.rename(source, target)
        except OSError as error:
            if error.errno in _TAKEN:
                raise FileExistsError(errno.EEXIST, "is taken", target) from error
            raise
    sync_folder(os.path.dirname(target))


def remove(path: Place) -> None:
    """Remove a file or an empty folder, which must be one that mlprun made."""
    where = os.fspath(path)
    with while_changing(where, "removed"):
        (files.system.rmdir if kind(where) == "folder" else files.system.unlink)(where)
