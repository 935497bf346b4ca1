"""Files opened and read, with a cap on how much is believed."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from mlprun import files
from mlprun.files.refusals import TooLargeError, WrongKindError, while_reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlprun.files.refusals import Place


def open_file(where: str, flags: int) -> int:
    """A descriptor of a regular file; O_NONBLOCK, because opening a pipe would wait for its other end."""
    descriptor = files.system.open(where, flags | os.O_NONBLOCK, 0o666)
    mode = files.system.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        files.system.close(descriptor)
        raise WrongKindError(where, "a folder" if stat.S_ISDIR(mode) else "a pipe or device")
    return descriptor


def open_reading(path: Place, *, follow: bool = True) -> int:
    """A descriptor to read a file with; raises FileNotFoundError, WrongKindError, FileError."""
    with while_reading(os.fspath(path)):
        return open_file(os.fspath(path), os.O_RDONLY | (0 if follow else os.O_NOFOLLOW))


def read_pieces(path: Place, *, cap: int, size: int = 2**62, follow: bool = True) -> Iterator[bytes]:
    """A file in pieces of about `size` bytes, read once; the caller says how many bytes are believable.

    Raises FileNotFoundError, WrongKindError (an IsADirectoryError: a folder, a pipe, a device, and with
    `follow=False` a symbolic link), TooLargeError (a FileError) beyond `cap` bytes, FileError.
    """
    where = os.fspath(path)
    descriptor = open_reading(where, follow=follow)
    try:
        with while_reading(where):
            claimed, total = files.system.fstat(descriptor).st_size, 0
        # the size is a hint: files of /proc claim none, and one that is written meanwhile grows
        while max(claimed, total) <= cap:
            with while_reading(where):
                part = files.system.read(descriptor, min(claimed, cap - total, size) + 1)
            if not part:
                return
            total += len(part)
            yield part
    finally:
        with while_reading(where):
            files.system.close(descriptor)
    limit = f"{cap / 10**6:g} MB" if cap >= 10**5 else f"{cap} bytes"
    raise TooLargeError(where, f"is larger than {limit}", "expected a smaller file")


def read_bytes(path: Place, *, cap: int, follow: bool = True) -> bytes:
    """All of a file at once; raises as `read_pieces` does."""
    return b"".join(read_pieces(path, cap=cap, follow=follow))


def read_text(path: Place, *, cap: int, follow: bool = True) -> str:
    """`read_bytes`, decoded as UTF-8; raises UnicodeDecodeError where it is not."""
    return read_bytes(path, cap=cap, follow=follow).decode()
