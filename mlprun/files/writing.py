"""Whole files written so that after any fault each holds its former bytes or the new ones."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from typing import TYPE_CHECKING

from mlprun import files
from mlprun.files.appending import append, close, lock, sync
from mlprun.files.folders import sync_folder
from mlprun.files.looking import kind
from mlprun.files.reading import read_pieces
from mlprun.files.refusals import WrongKindError, failure, while_changing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlprun.files.refusals import Place


_TEMPORARY = re.compile(r"\.mlprun-[0-9a-f]{16}\.tmp")
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


def is_temporary(name: str) -> bool:
    """Whether a name is one that only this module gives, to a file that it has not finished."""
    return _TEMPORARY.fullmatch(name) is not None


def _temporary_beside(path: str) -> str:
    return os.path.join(os.path.dirname(path), f".mlprun-{secrets.token_hex(8)}.tmp")


@contextlib.contextmanager
def _removed_on_failure(temporary: str) -> Iterator[None]:
    """Remove a file that this process has just made, when an error leaves it without use."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            files.system.unlink(temporary)
        raise


def _open_new(where: str, path: str, flags: int = os.O_WRONLY) -> int:
    with while_changing(path):
        return files.system.open(where, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)


def _create(where: str, path: str, pieces: Iterable[bytes]) -> None:
    """Create the file `where`, synced and closed, or leave nothing; messages speak of `path`."""
    descriptor = _open_new(where, path)
    with _removed_on_failure(where):
        try:
            for data in pieces:
                append(descriptor, data, path)
            sync(descriptor, path)
        finally:
            close(descriptor, path)


def _put_in_place(temporary: str, where: str) -> None:
    with _removed_on_failure(temporary), while_changing(where):
        files.system.replace(temporary, where)


def _refuse_other_kinds(where: str) -> None:
    """Replacing a link or a device would delete what mlprun did not write."""
    present = kind(where)
    if present not in (None, "file"):
        raise failure(WrongKindError(where, f"a {present}"), where, "written")


def write_new(path: Place, data: bytes) -> None:
    """Create a file; raises FileExistsError when something is there already."""
    where = os.fspath(path)
    _create(where, where, (data,))
    sync_folder(os.path.dirname(where))


def write_atomic(path: Place, data: bytes, *, previous: Place | None = None) -> None:
    """Replace a file: after any fault it holds either all of the former bytes or all of the new ones.

    The former file is kept as `previous`, when that is given, so that one of the two is always whole.
    Anything but a file at `path`, a symbolic link too, is refused with FileError; so is a missing folder.
    """
    where = os.fspath(path)
    _refuse_other_kinds(where)
    temporary = _temporary_beside(where)
    _create(temporary, where, (data,))
    if previous is not None:
        with _removed_on_failure(temporary):
            link_previous(where, previous)
    _put_in_place(temporary, where)
    sync_folder(os.path.dirname(where))


def unshare(path: Place) -> None:
    """Replace a file that has several hard links by a copy, so that writing to it changes no other path.

    `cp -al` makes such copies of folders. Does nothing for a file with one link and for a missing one.
    """
    where = os.fspath(path)
    if kind(where) == "file" and files.system.lstat(where).st_nlink > 1:
        temporary = _temporary_beside(where)
        _create(temporary, where, _pieces(where))
        _put_in_place(temporary, where)
        sync_folder(os.path.dirname(where))


def replace_locked(path: Place, data: bytes) -> int:
    """Replace a file by a new one that is already locked when it appears; returns its descriptor."""
    where = os.fspath(path)
    temporary = _temporary_beside(where)
    descriptor = _open_new(temporary, where, os.O_RDWR | os.O_APPEND)
    try:
        with _removed_on_failure(temporary):
            lock(descriptor, where)
            append(descriptor, data, where)
        _put_in_place(temporary, where)
    except BaseException:
        close(descriptor, where)
        raise
    return descriptor


def _pieces(path: str) -> Iterator[bytes]:
    return read_pieces(path, cap=2**62, size=2**20, follow=False)


def link_previous(path: Place, previous: Place) -> None:
    """Let `previous` name the file that is now at `path`, if there is one, by a hard link."""
    where, former = os.fspath(path), os.fspath(previous)
    _refuse_other_kinds(former)
    if kind(where) is None or (
        kind(former) and os.path.samestat(files.system.lstat(where), files.system.lstat(former))
    ):
        return  # replacing one link of a file by another of its links would leave the temporary behind
    temporary = _temporary_beside(former)
    try:
        files.system.link(where, temporary)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise failure(error, former, "written") from error
        _create(temporary, former, _pieces(where))
    _put_in_place(temporary, former)
