"""What is at a path, without opening it."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from mlprun import files
from mlprun.files.refusals import WrongKindError, while_reading

if TYPE_CHECKING:
    from mlprun.files.refusals import Place


_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "symbolic link"}


def is_url(path: Place) -> bool:
    """Whether a path is a URL, which people give instead of a file."""
    return re.match("[a-z][a-z0-9+.-]+://", os.fspath(path), re.IGNORECASE) is not None


def kind(path: Place) -> str | None:
    """`file`, `folder`, `symbolic link`, `pipe or device`: what is at `path` itself; None when nothing is."""
    try:
        with while_reading(os.fspath(path)):
            mode = files.system.lstat(os.fspath(path)).st_mode
    except FileNotFoundError:
        return None
    return _KINDS.get(stat.S_IFMT(mode), "pipe or device")


def written_at(path: Place) -> int:
    """When the file at `path` was last written, in nanoseconds, for telling newer from older."""
    with while_reading(os.fspath(path)):
        return files.system.lstat(os.fspath(path)).st_mtime_ns


def owner(path: Place) -> int:
    """The number of the user whom the file at `path` belongs to."""
    with while_reading(os.fspath(path)):
        return files.system.lstat(os.fspath(path)).st_uid


def size(path: Place) -> int:
    """How many bytes the file at `path` has."""
    with while_reading(os.fspath(path)):
        return files.system.lstat(os.fspath(path)).st_size


def is_folder(path: Place) -> bool:
    """Whether `path` is a folder or a symbolic link to one."""
    try:
        with while_reading(os.fspath(path)):
            return stat.S_ISDIR(files.system.stat(os.fspath(path)).st_mode)
    except (FileNotFoundError, WrongKindError):
        return False


def names(folder: Place) -> list[str]:
    """The names in a folder, sorted; raises FileNotFoundError when there is no such folder."""
    with while_reading(os.fspath(folder)):
        return sorted(files.system.listdir(os.fspath(folder)))
