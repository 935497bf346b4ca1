"""Strings of a config, and strings made fit for a terminal."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

ELLIPSIS: Final = "…"


class Text(str):
    """A string of a config that remembers the folder its file lies in, against which a path is resolved."""

    folder: str = ""

    @classmethod
    def within(cls, folder: str, characters: str) -> Text:
        """`characters`, read from a file that lies in `folder` (the working directory when empty)."""
        text = cls(characters)
        text.folder = folder
        return text


def printable(text: str) -> str:
    """`text` on one line; what moves a cursor, changes direction or cannot be encoded is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def cut(text: str, length: int) -> str:
    """`text`, ending in an ellipsis where it is longer than `length`."""
    return text if len(text) <= length else text[: length - 1] + ELLIPSIS


def _columns(text: str) -> int:
    """The terminal columns that `text` takes."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def excerpt(line: str, column: int, *, width: int = 96) -> str:
    """A source line and a caret under `column` (from 0); a long line is cut around the caret."""
    line = line.rstrip()
    column = min(column, len(line))
    start = 0 if len(line) <= width else max(0, min(column - width // 2, len(line) - width))
    before, after = _one_each(line[start:column]), _one_each(line[column : start + width])
    if start:
        before = ELLIPSIS + before[1:]
    if start + width < len(line):
        after = after[:-1] + ELLIPSIS
    return f"  {before}{after}\n  {' ' * _columns(before)}^"


def _one_each(text: str) -> str:
    """`text` with one harmless character for each of its own."""
    spaced = re.sub(r"\s", " ", text)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in spaced)
