"""What the operating system refuses, as the error that says so and what would work."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from mlprun.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator


Place = str | os.PathLike[str]

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_REMEDIES = {
    errno.ENOENT: "create the folder first",
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space of your quota or choose another folder",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f) or choose another folder",
    errno.EACCES: "change the permissions or choose another path",
    errno.EPERM: "change the permissions or choose another path",
    errno.EROFS: "choose a folder that can be written to",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.EIO: "check the disk",
    errno.ENOLCK: "choose a file system that supports locks",
}


class WrongKindError(IsADirectoryError):
    """A folder, a pipe, a device or a link that must not be followed is not a file to read."""

    def __init__(self, path: str, kind: str) -> None:
        super().__init__(errno.EISDIR, f"is {kind}, not a file", path)
        self.kind = kind


class TooLargeError(FileError):
    """A file holds more than the caller is willing to read."""


def failure(error: OSError, path: Place, doing: str) -> FileError:
    """The error that says what the operating system refused; `doing` is such as `read` or `written`."""
    why = (
        f"it is {error.kind}" if isinstance(error, WrongKindError) else os.strerror(error.errno or 0).lower()
    )
    return FileError(os.fspath(path), f"cannot be {doing}: {why}", remedy(error.errno))


def remedy(code: int | None) -> str:
    """What would work where the operating system refused with this number."""
    return _REMEDIES.get(code or 0, "choose another path")


@contextlib.contextmanager
def while_reading(path: str) -> Iterator[None]:
    """Tell what goes wrong while `path` is read: FileNotFoundError, WrongKindError, FileError."""
    try:
        yield
    except WrongKindError:
        raise
    except ValueError as error:  # a NUL or a lone surrogate in the path: no such file can exist
        raise FileNotFoundError(errno.ENOENT, "no such file", path) from error
    except OSError as error:
        if error.errno in _MISSING:
            raise FileNotFoundError(errno.ENOENT, "no such file", path) from error
        if error.errno in (errno.EISDIR, errno.ELOOP):
            what = "a folder" if error.errno == errno.EISDIR else "a symbolic link"
            raise WrongKindError(path, what) from error
        raise failure(error, path, "read") from error


@contextlib.contextmanager
def while_changing(path: str, doing: str = "written") -> Iterator[None]:
    """Tell what goes wrong while `path` is changed as a FileError, but for what exists or is locked."""
    try:
        yield
    except (FileExistsError, BlockingIOError):
        raise
    except ValueError as error:
        raise FileError(path, f"cannot be {doing}: not a possible name", "choose another path") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            error = WrongKindError(path, "a symbolic link")
        raise failure(error, path, doing) from error
