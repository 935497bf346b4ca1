"""What is open and closed once, by hand or at the end of a `with` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from mlprun import files

if TYPE_CHECKING:
    from types import TracebackType


class Closing(ABC):
    """A context that closes itself."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Opened(Closing):
    """A file that is appended to, created if missing; base of what a run keeps open."""

    def __init__(self, path: str) -> None:
        self.path, self._descriptor = path, files.open_writing(path)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor != -1:
            files.close(descriptor, self.path)


class AppendFile(Opened):
    """A file to append to that shares no hard link with another path, as copies made with `cp -al` do.

    The process must hold the lock of the run.
    """

    def __init__(self, path: str) -> None:
        files.unshare(path)
        super().__init__(path)

    def _append(self, data: bytes) -> None:
        """Append to the file; when it was hard-linked since it was opened, to a copy that replaces it."""
        if files.is_shared(self._descriptor, self.path):
            self.close()
            files.unshare(self.path)
            self._descriptor = files.open_writing(self.path)
        files.append(self._descriptor, data, self.path)
