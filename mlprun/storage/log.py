"""train.log: plain lines for people to read; nothing reads it back, so it is not synced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from mlprun import files

if TYPE_CHECKING:
    from types import TracebackType


class Log:
    """An open train.log that lines are appended to."""

    def __init__(self, path: str) -> None:
        self._path, self._descriptor = path, files.open_writing(path)

    def write(self, *lines: str) -> None:
        """Append lines in one write; what a terminal would act on is spelled out."""
        text = "".join(f"{_printable(line)}\n" for line in lines)
        files.append(self._descriptor, text.encode(), self._path)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor != -1:
            files.close(descriptor, self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _printable(line: str) -> str:
    """The line with what a name may hold (line breaks, escapes, marks that turn text around) spelled out."""
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)
