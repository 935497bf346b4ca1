"""The tree of a config: values with their positions, merging, and problems shown with a caret.

Nodes are never changed, so that anchors and merges may share them.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

ELLIPSIS: Final = "…"


class ConfigStr(str):
    """A string of a config that remembers the folder its file lies in, against which a path is resolved."""

    folder: str = ""

    @classmethod
    def in_folder(cls, folder: str, characters: str) -> ConfigStr:
        """`characters`, read from a file that lies in `folder` (the working directory when empty)."""
        text = cls(characters)
        text.folder = folder
        return text


def printable(text: str) -> str:
    """`text` on one line; what moves a cursor, changes direction or cannot be encoded is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def truncate(text: str, length: int) -> str:
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


Path = tuple[str | int, ...]

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # where YAML's parsers count a new line
_MAX_TITLE = 120


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


class ReadProblem(NamedTuple):
    """A problem found while reading, after which there is still something to read."""

    order: tuple[int, int, int]
    """where it stands, as `Position.order` says"""
    text: str


class Position(NamedTuple):
    """A position in a source, line and column counted from 0."""

    source: Source
    line: int
    column: int

    @property
    def order(self) -> tuple[int, int, int]:
        """What sorts positions in the order of the files."""
        return self.source.rank, self.line, self.column

    def report(self, label: str, message: str) -> str:
        """`file:line:column: label: message` with the source line and a caret, or `override: message`."""
        source = self.source
        said = f"{truncate(label, _MAX_TITLE)}: {message}" if label and label != source.key else message
        title = printable(truncate(source.title, _MAX_TITLE))
        if source.text is None:
            return f"{title}: {printable(said)}"
        head = f"{title}:{self.line + 1}:{self.column + 1}: {printable(said)}"
        line = source.lines[self.line] if self.line < len(source.lines) else ""
        return f"{head}\n{excerpt(line, self.column)}" if line.strip() else head


def dotted(path: Path) -> str:
    """`optimizer.lr` for ("optimizer", "lr")."""
    return ".".join(truncate(str(part), 80) for part in path)


MAX_DEPTH: Final = 100


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands. Mappings hold entries, so that a key has a position too."""

    value: bool | int | float | ConfigStr | tuple[Node, ...] | dict[str, Entry] | None
    position: Position
    height: int = 0
    """levels of nesting below"""
    size: int = 1
    """values here and below, those behind aliases counted each time"""


class Entry(NamedTuple):
    """A key's position, and the value."""

    position: Position
    node: Node


def collection(value: tuple[Node, ...] | dict[str, Entry], position: Position) -> Node:
    """A sequence or mapping node, measured."""
    inner = [entry.node for entry in value.values()] if isinstance(value, dict) else value
    height = 1 + max((node.height for node in inner), default=0)
    return Node(value, position, height, 1 + sum(node.size for node in inner))


def plain(node: Node) -> Any:
    """The value without positions: dicts, tuples and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(entry.node) for key, entry in node.value.items()}
    if isinstance(node.value, tuple):
        return tuple(plain(item) for item in node.value)
    return node.value


def child(node: Node, part: str | int) -> Entry | None:
    """What stands at a key or an index of a node; an item's position serves as that of its key."""
    if isinstance(node.value, dict) and isinstance(part, str):
        return node.value.get(part)
    if isinstance(node.value, tuple) and isinstance(part, int) and 0 <= part < len(node.value):
        return Entry(node.value[part].position, node.value[part])
    return None


def position_of(root: Node, path: Path, *, at_key: bool) -> Position:
    """Where `path` stands; for one that does not exist, its nearest existing parent's key."""
    position, node = root.position, root
    for index, part in enumerate(path):
        entry = child(node, part)
        if entry is None:
            return position
        is_last = index == len(path) - 1
        position = entry.position if at_key or not is_last else entry.node.position
        node = entry.node
    return position


def exists(root: Node, path: Path) -> bool:
    """Whether there is a value at `path`."""
    node = root
    for part in path:
        entry = child(node, part)
        if entry is None:
            return False
        node = entry.node
    return True


# a word in their position is no name of a part
_NOT_NAMES: Final = frozenset(
    {"split", "init", "best", "penalty", "training", "early_stopping", "checkpoint"}
)


def merge(under: Node, over: Node, key: str = "") -> Node:
    """`over` laid over `under`, both the value of `key`.

    A mapping with another `name` replaces, since it is another part with other options; so does a split of
    another kind, since counts, fractions and a column do not mix. Beside a mapping, a plain string stands for
    `{name: string}`.
    """
    below, above = _as_mapping(under, over, key), _as_mapping(over, under, key)
    if below is None or above is None or _names_differ(below, above, key):
        return over
    if key == "split" and _kinds(below) and _kinds(above) and _kinds(below) != _kinds(above):
        return over
    entries = dict(below)
    for inner, entry in above.items():
        former = entries.get(inner)
        entries[inner] = (
            entry if former is None else Entry(entry.position, merge(former.node, entry.node, inner))
        )
    return collection(entries, over.position)


def _as_mapping(node: Node, other: Node, key: str) -> dict[str, Entry] | None:
    if isinstance(node.value, dict):
        return node.value
    if isinstance(node.value, str) and isinstance(other.value, dict) and key not in _NOT_NAMES:
        return {"name": Entry(node.position, node)}
    return None


def _names_differ(below: dict[str, Entry], above: dict[str, Entry], key: str) -> bool:
    if "name" not in below or "name" not in above:
        # an `init` without a name speaks of weight and bias, and those are no options of one with a name
        return key == "init" and ("name" in below or "name" in above)
    return below["name"].node.value != above["name"].node.value


def _kinds(split: dict[str, Entry]) -> set[str]:
    """How a split says who gets which rows; nothing where it says only who gets none, or how to shuffle."""
    kinds = set()
    for key, entry in split.items():
        value = entry.node.value
        if key in ("column", "same") and value:
            kinds.add(key)
        elif type(value) in (int, float) and value:  # of train, dev or test
            kinds.add(type(value).__name__)
    return kinds
