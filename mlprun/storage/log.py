"""train.log: plain lines for people to read; nothing reads it back, so it is not synced."""

from __future__ import annotations

from mlprun.storage.opened import AppendFile


class Log(AppendFile):
    """An open train.log that lines are appended to."""

    def write(self, *lines: str) -> None:
        """Append lines in one write; what a terminal would act on is spelled out."""
        text = "".join(f"{_printable(line)}\n" for line in lines)
        self._append(text.encode())


def _printable(line: str) -> str:
    """The line with what a name may hold (line breaks, escapes, marks that turn text around) spelled out."""
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)
