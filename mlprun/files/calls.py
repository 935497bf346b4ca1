"""The system calls that mlprun makes on files, in one object that tests replace."""

from __future__ import annotations

import contextlib
import fcntl
import os


class System:
    """The system calls in use; a test replaces `files.system` by an instance of a subclass.

    `write` may write less than it was given, `replace` between two links of one file does nothing at all, and
    descriptors are closed in children that execute another program.
    """

    open = staticmethod(os.open)
    read = staticmethod(os.read)
    write = staticmethod(os.write)
    close = staticmethod(os.close)
    ftruncate = staticmethod(os.ftruncate)
    fstat = staticmethod(os.fstat)
    lstat = staticmethod(os.lstat)
    stat = staticmethod(os.stat)
    listdir = staticmethod(os.listdir)
    link = staticmethod(os.link)
    replace = staticmethod(os.replace)
    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    mkdir = staticmethod(os.mkdir)
    rmdir = staticmethod(os.rmdir)
    flock = staticmethod(fcntl.flock)

    @staticmethod
    def fsync(descriptor: int) -> None:
        """Wait for the disk itself; on macOS fsync alone stops at the drive's cache."""
        if hasattr(fcntl, "F_FULLFSYNC"):
            with contextlib.suppress(OSError):  # not every file system knows it
                fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
                return
        os.fsync(descriptor)
