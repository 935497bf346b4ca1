"""Where a value of a config stands, and a problem told with its source line and a caret."""

from __future__ import annotations

import os
import re
from functools import cached_property
from typing import NamedTuple

from mlprun.config.text import cut, excerpt, printable

Path = tuple[str | int, ...]

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # where YAML's parsers count a new line
_MOST_TITLE = 120


def lines_of(text: str) -> list[str]:
    """The lines of a YAML text, as its parser counts them."""
    return _LINE_BREAK.split(text)


class Source:
    """A file, an override or a mapping that config values come from.

    `rank` orders sources in reports; `text` is None where there are no lines to show (overrides and
    mappings); `key` is what an override overrides, which its title says already.
    """

    def __init__(self, title: str, *, folder: str, rank: int, text: str | None = None, key: str = "") -> None:
        self.title, self.folder, self.rank, self.text, self.key = title, folder, rank, text, key

    @classmethod
    def of_file(cls, path: str, text: str, *, rank: int) -> Source:
        """The source of a file's text, whose paths are relative to its folder."""
        return cls(path, folder=os.path.dirname(path), rank=rank, text=text)

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return lines_of(self.text or "")


class Complaint(NamedTuple):
    """A problem found while reading, after which there is still something to read."""

    order: tuple[int, int, int]
    """where it stands, as `Place.order` says"""
    text: str


class Place(NamedTuple):
    """A position in a source, line and column counted from 0."""

    source: Source
    line: int
    column: int

    @property
    def order(self) -> tuple[int, int, int]:
        """What sorts places in the order of the files."""
        return self.source.rank, self.line, self.column

    def report(self, label: str, message: str) -> str:
        """`file:line:column: label: message` with the source line and a caret, or `override: message`."""
        source = self.source
        said = f"{cut(label, _MOST_TITLE)}: {message}" if label and label != source.key else message
        title = printable(cut(source.title, _MOST_TITLE))
        if source.text is None:
            return f"{title}: {printable(said)}"
        head = f"{title}:{self.line + 1}:{self.column + 1}: {printable(said)}"
        line = source.lines[self.line] if self.line < len(source.lines) else ""
        return f"{head}\n{excerpt(line, self.column)}" if line.strip() else head


def dotted(path: Path) -> str:
    """`optimizer.lr` for ("optimizer", "lr")."""
    return ".".join(cut(str(part), 80) for part in path)
