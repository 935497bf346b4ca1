"""The tree of a config: values with their positions, merging, and problems shown with a caret.

Nodes are never changed, so that anchors and merges may share them.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from mlprun.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Path = tuple[str | int, ...]

MAX_DEPTH: Final = 100
_MAX_TITLE: Final = 120
_WIDTH: Final = 96
"""characters of a line that are shown"""
_LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # where YAML's parsers count a new line
_PLAIN_STRINGS: Final = frozenset(
    {"split", "init", "best", "penalty", "training", "early_stopping", "checkpoint"}
    | {"class_weights", "threshold"}
)
"""keys at which a plain string does not name a part"""


class ConfigStr(str):
    """A string of a config that remembers the folder of its file, against which paths are resolved."""

    folder: str = ""

    @classmethod
    def in_folder(cls, folder: str, characters: str) -> ConfigStr:
        """Return `characters` as read from a file in `folder` (the working directory when empty)."""
        text = cls(characters)
        text.folder = folder
        return text


def printable(text: str) -> str:
    """Return `text` on one line; what moves a cursor, changes direction or cannot be encoded is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def truncate(text: str, length: int) -> str:
    """Return `text`, ending in an ellipsis where it is longer than `length`."""
    return text if len(text) <= length else text[: length - 1] + "…"


def describe_value(value: Any) -> str:
    """Return a value of a config as a message shows it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the string {truncate(repr(str(value)), 60)}"
    if isinstance(value, int | float):
        return truncate(str(value), 40)
    return "a mapping" if isinstance(value, dict) else "a list"


def dotted(path: Path) -> str:
    """Return `optimizer.lr` for ("optimizer", "lr")."""
    return ".".join(truncate(str(part), 80) for part in path)


def leaves(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings with their dotted paths; an empty mapping is a value."""
    for key, inner in value.items():
        here = f"{path}.{key}" if path else key
        if isinstance(inner, dict) and inner:
            yield from leaves(inner, here)
        else:
            yield here, inner


def excerpt(line: str, column: int) -> str:
    """Return a source line and a caret under `column` (from 0); a long line is cut around the caret."""
    # one column for each character, and nothing that a terminal would act on
    shown = [c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in line]
    start = max(0, min(column - _WIDTH // 2, len(line) - _WIDTH))
    before, after = "".join(shown[start:column]), "".join(shown[column : start + _WIDTH])
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in before)
    return f"  {before}{after.rstrip()}\n  {' ' * (len(before) + wide)}^"


def lines_of(text: str) -> list[str]:
    """Return the lines of a YAML text, as its parser counts them."""
    return _LINE_BREAK.split(text)


@dataclass(frozen=True, eq=False)
class Source:
    """A file, an override or a mapping that config values come from.

    Reports are sorted by `rank`. `text` is None where there are no lines to show: in overrides and mappings.
    `key` is what an override overrides, which its title says already.
    """

    title: str
    folder: str
    rank: int
    text: str | None = None
    key: str = ""
    variables: set[str] = field(default_factory=set)
    """environment variables that its values name"""

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return lines_of(self.text or "")


class Position(NamedTuple):
    """A position in a source, line and column counted from 0."""

    source: Source
    line: int
    column: int

    @property
    def order(self) -> tuple[int, int, int]:
        """A key that sorts positions in the order of the files."""
        return self.source.rank, self.line, self.column

    def report(self, label: str, message: str) -> str:
        """Return `file:line:column: label: message`, the source line and a caret, or `override: message`."""
        source = self.source
        labelled = f"{truncate(label, _MAX_TITLE)}: {message}" if label and label != source.key else message
        title = printable(truncate(source.title, _MAX_TITLE))
        if source.text is None:
            return f"{title}: {printable(labelled)}"
        head = f"{title}:{self.line + 1}:{self.column + 1}: {printable(labelled)}"
        line = source.lines[self.line] if self.line < len(source.lines) else ""
        return f"{head}\n{excerpt(line, self.column)}" if line.strip() else head

    def refuse(self, message: str, path: Path = ()) -> NoReturn:
        """Raise ConfigError with a report about the value at `path`."""
        raise ConfigError([self.report(dotted(path), printable(message))])


class ReadProblem(NamedTuple):
    """A problem found while reading, after which there is still something to read."""

    order: tuple[int, int, int]
    text: str


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its position. Mappings hold entries, so that a key has a position too."""

    value: bool | int | float | ConfigStr | tuple[Node, ...] | dict[str, Entry] | None
    position: Position
    height: int = 0
    """levels of nesting below"""
    size: int = 1
    """values here and below, those behind aliases counted each time"""


class Entry(NamedTuple):
    """The position of a key, and its value."""

    position: Position
    node: Node


def collection(value: tuple[Node, ...] | dict[str, Entry], position: Position) -> Node:
    """Return a sequence or mapping as a node, with its height and size."""
    inner = [entry.node for entry in value.values()] if isinstance(value, dict) else value
    height = 1 + max((node.height for node in inner), default=0)
    return Node(value, position, height, 1 + sum(node.size for node in inner))


def plain(node: Node) -> Any:
    """Return the value without positions: dicts, tuples and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(entry.node) for key, entry in node.value.items()}
    if isinstance(node.value, tuple):
        return tuple(plain(item) for item in node.value)
    return node.value


def follow(node: Node, path: Path) -> list[Entry]:
    """Return the entries along `path`, as far as it exists; an item's position serves as that of its key."""
    entries: list[Entry] = []
    for part in path:
        entry = None
        if isinstance(node.value, dict) and isinstance(part, str):
            entry = node.value.get(part)
        elif isinstance(node.value, tuple) and isinstance(part, int) and 0 <= part < len(node.value):
            entry = Entry(node.value[part].position, node.value[part])
        if entry is None:
            break
        entries.append(entry)
        node = entry.node
    return entries


def merge(under: Node, over: Node, key: str = "") -> Node:
    """Return `over` laid over `under`, both the value of `key`: mappings merge, anything else replaces.

    A mapping with another `name` replaces, since it is another part with other options; so does a split of
    another kind, since counts, fractions and a column do not mix. Beside a mapping, a plain string stands for
    `{name: string}`.
    """
    below, above = _as_mapping(under, over, key), _as_mapping(over, under, key)
    if below is None or above is None or _are_different_parts(below, above, key):
        return over
    if key == "split" and (old := _split_kinds(below)) and (new := _split_kinds(above)) and old != new:
        return over
    entries = dict(below)
    for inner, entry in above.items():
        former = entries.get(inner)
        merged = entry.node if former is None else merge(former.node, entry.node, inner)
        entries[inner] = Entry(entry.position, merged)
    return collection(entries, over.position)


def _as_mapping(node: Node, other: Node, key: str) -> dict[str, Entry] | None:
    if isinstance(node.value, dict):
        return node.value
    if isinstance(node.value, str) and isinstance(other.value, dict) and key not in _PLAIN_STRINGS:
        return {"name": Entry(node.position, node)}
    return None


def _are_different_parts(below: dict[str, Entry], above: dict[str, Entry], key: str) -> bool:
    if "name" not in below or "name" not in above:
        # an `init` without a name has weight and bias, which are no options of one with a name
        return key == "init" and ("name" in below or "name" in above)
    return key != "" and below["name"].node.value != above["name"].node.value  # a config has a name, too


def _split_kinds(split: dict[str, Entry]) -> set[str]:
    """Return how a split assigns rows; nothing where it only says which split is empty, or how to shuffle."""
    kinds = set()
    for key, entry in split.items():
        value = entry.node.value
        if key in ("column", "same") and value:
            kinds.add(key)
        elif type(value) in (int, float) and value:  # of train, dev or test
            kinds.add(type(value).__name__)
    return kinds
