"""The lock of a run folder: an flock on a file, which ends with its process.

Only the process that holds the lock replaces the file, namely when other paths share it by hard links, as in
copies made with `cp -al`: two copies are two runs. So who acquires the lock checks that the path still names
the locked file, and otherwise starts again with the new one.

Children that execute another program do not inherit it; a forked one would keep it alive, so workers are
spawned.
"""

from __future__ import annotations

import os
import platform
import time

from mlprun import files
from mlprun.errors import FileError, RunInUseError
from mlprun.storage.opened import Opened

_PATIENCE = 0.25  # seconds; `ls` and `show` hold the lock for microseconds while they ask whether it is held


class Lock(Opened):
    """The right to write to a run folder, from construction until `release` or the end of a `with` block.

    Raises RunInUseError, which names the process that holds it, and FileError where nothing can be written.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        try:
            self._take()
        except BaseException:
            self.close()
            raise

    def release(self) -> None:
        """Let others write to the run folder; a second call does nothing."""
        self.close()

    def _take(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._acquired():
            if time.monotonic() > deadline:
                folder = os.path.dirname(self.path) or "."
                raise RunInUseError(folder, f"is in use by {holder(self.path)}", "wait for it or stop it")
            time.sleep(_PATIENCE / 20)
        line = f"{os.getpid()} {platform.node()}\n".encode()
        if files.is_shared(self._descriptor, self.path):
            descriptor = files.replace_locked(self.path, line)
            self.close()
            self._descriptor = descriptor
        else:
            files.truncate(self._descriptor, 0, self.path)
            files.append(self._descriptor, line, self.path)

    def _acquired(self) -> bool:
        """Lock the file that is at the path now."""
        while files.lock(self._descriptor, self.path):
            if files.is_at(self._descriptor, self.path):
                return True
            self.close()
            self._descriptor = files.open_writing(self.path)
        return False


def is_held(path: str) -> bool:
    """Whether a process holds the lock; works on a read-only file system too."""
    while True:
        try:
            descriptor = files.open_reading(path, follow=False)
        except (FileNotFoundError, IsADirectoryError):
            return False
        try:
            if not files.lock(descriptor, path, shared=True):
                return True
            if files.is_at(descriptor, path):
                return False
        finally:
            files.close(descriptor, path)


def holder(path: str) -> str:
    """The process that last took the lock, such as `process 4711 on lab3`, for a message."""
    try:
        words = files.read_text(path, cap=1000, follow=False).split()
    except (OSError, ValueError, FileError):
        words = []
    if len(words) != 2 or not words[0].isdigit() or not words[1].isprintable():
        return "another process"
    return f"process {words[0]} on {words[1]}"
