"""YAML 1.2 text, or a Python mapping, parsed into a tree with positions; nothing here recurses or executes.

PyYAML's own loaders are not used: they resolve YAML 1.1, keep the last of two equal keys, expand aliases
without bound, and let ValueError, RecursionError and worse through (the C loader crashes on deep nesting).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NoReturn

from mlprun.config.tree import (
    MAX_DEPTH,
    ConfigStr,
    Entry,
    Node,
    Path,
    Position,
    ReadProblem,
    Source,
    collection,
    describe_value,
    dotted,
    lines_of,
    printable,
    truncate,
)
from mlprun.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml import events


_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MAX_REPEATED: Final = 100_000
"""values that aliases may add to what is written out"""
_MAX_PROBLEMS: Final = 100
_MAX_DIGITS: Final = 400  # Python refuses to read integers of more than 4300
_NAMED_SCALARS: Final[dict[str, bool | float | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_DECIMAL: Final = re.compile(r"[-+]?[0-9]+")
_BASED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


class TooManyDigitsError(ValueError):
    """A number with more digits than any number of a config can need."""

    def __init__(self) -> None:
        super().__init__("has too many digits; write a smaller number")


def compose(text: str, source: Source, problems: list[ReadProblem] | None = None) -> Node | None:
    """Return the tree of one YAML document, None when it is empty.

    Raises ConfigError with every problem. With a list of `problems`, those that do not stop the reading are
    added to it instead.
    """
    bad = _FORBIDDEN.search(text)
    if bad:
        before = lines_of(text[: bad.start()])
        position = Position(source, len(before) - 1, len(before[-1]))
        message = f"the character U+{ord(bad[0]):04X} is not allowed in YAML; remove it"
        raise ConfigError([position.report("", message)])
    composer = _Composer(source)
    root = composer.compose(text)
    if composer.problems and problems is None:
        raise ConfigError([problem.text for problem in composer.problems])
    (problems if problems is not None else []).extend(composer.problems)
    return root


@dataclass
class _Frame:
    """A collection whose end has not been read yet."""

    value: list[Node] | dict[str, Entry]
    position: Position
    anchor: str | None
    key: tuple[str, Position] | None = None
    keep: bool = True


class _Composer:
    """Builds the tree of one document from the parser's events, with a stack of open collections."""

    def __init__(self, source: Source) -> None:
        import yaml  # here, since commands that read no config do without

        self.yaml = yaml
        self.source = source
        self.stack: list[_Frame] = []
        self.anchors: dict[str, Node | None] = {}
        self.repeated = 0
        self.problems: list[ReadProblem] = []
        self.root: Node | None = None

    def compose(self, text: str) -> Node | None:
        position = Position(self.source, 0, 0)
        try:
            # the Python parser reads ahead already when it is made
            parser = getattr(self.yaml, "CSafeLoader", self.yaml.SafeLoader)(text)
            try:
                while parser.check_event():
                    event = parser.get_event()
                    position = Position(self.source, event.start_mark.line, event.start_mark.column)
                    self.take(event, position)
            finally:
                parser.dispose()
        except (self.yaml.YAMLError, ValueError, OverflowError, IndexError) as error:
            # not YAMLError alone: the Python parser lets impossible escapes through as other errors
            self.stop(_syntax_problem(error, text, position))
        return self.root

    def fatal(self, position: Position, message: str) -> NoReturn:
        """Stop reading, since what follows cannot be understood or would take too long."""
        self.stop(position.report(dotted(self.path()), message))

    def stop(self, last: str) -> NoReturn:
        raise ConfigError([*(problem.text for problem in self.problems), last])

    def problem(self, position: Position, message: str) -> None:
        report = position.report(dotted(self.path()), message)
        if len(self.problems) >= _MAX_PROBLEMS - 1:
            self.stop(report)
        self.problems.append(ReadProblem(position.order, report))

    def path(self) -> Path:
        """Return the path of the value that is read now."""
        parts: list[str | int] = list(self.source.key.split(".")) if self.source.key else []
        for frame in self.stack:
            if isinstance(frame.value, list):
                parts.append(len(frame.value))
            elif frame.key is not None:
                parts.append(frame.key[0])
        return tuple(parts)

    def take(self, event: events.Event, position: Position) -> None:
        events = self.yaml.events
        if isinstance(event, events.DocumentStartEvent) and self.root is not None:
            self.fatal(position, "a second document starts here; a config is one document")
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = printable(truncate(str(tag).replace("tag:yaml.org,2002:", "!!"), 40))
            self.problem(position, f"tags such as {shown} are refused; remove it")
        if isinstance(event, events.AliasEvent):
            self.add(self.alias(str(event.anchor), position), position)
        elif isinstance(event, events.ScalarEvent):
            self.add(self.remember(event.anchor, self.scalar(event, position)), position)
        elif isinstance(event, events.CollectionStartEvent):
            self.open(event, position)
        elif isinstance(event, events.CollectionEndEvent):
            self.close()

    def scalar(self, event: events.ScalarEvent, position: Position) -> Node:
        value: Any = event.value
        if event.implicit[0] and not event.style:
            try:
                value = parse_scalar(event.value)
            except TooManyDigitsError as error:
                self.problem(position, str(error))
        return Node(
            ConfigStr.in_folder(self.source.folder, value) if isinstance(value, str) else value, position
        )

    def remember(self, anchor: str | None, node: Node) -> Node:
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def alias(self, name: str, position: Position) -> Node:
        shown = printable(truncate(name, 40))
        node = self.anchors.get(name)
        if node is None:
            inside = name in self.anchors
            self.problem(position, f"*{shown} is inside &{shown} itself" if inside else f"no anchor &{shown}")
            return Node(None, position)
        self.repeated += node.size
        if self.repeated > _MAX_REPEATED:
            self.fatal(position, f"aliases repeat more than {_MAX_REPEATED} values; write fewer of them")
        if len(self.stack) + node.height > MAX_DEPTH:
            self.fatal(position, f"is nested more than {MAX_DEPTH} levels deep")
        return Node(node.value, position, node.height, node.size)

    def open(self, event: events.CollectionStartEvent, position: Position) -> None:
        if len(self.stack) >= MAX_DEPTH:
            self.fatal(position, f"is nested more than {MAX_DEPTH} levels deep")
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        mapping = isinstance(event, self.yaml.MappingStartEvent)
        self.stack.append(_Frame({} if mapping else [], position, event.anchor))

    def close(self) -> None:
        frame = self.stack.pop()
        value = tuple(frame.value) if isinstance(frame.value, list) else frame.value
        self.add(self.remember(frame.anchor, collection(value, frame.position)), frame.position)

    def add(self, node: Node, position: Position) -> None:
        """Add a finished value: as the root, an item, a key or the value of the last key."""
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        if isinstance(frame.value, list):
            frame.value.append(node)
        elif frame.key is None:
            self.set_key(frame, node, position)
        else:
            key, at = frame.key
            if frame.keep:
                frame.value[key] = Entry(at, node)
            frame.key = None

    def set_key(self, frame: _Frame, node: Node, position: Position) -> None:
        assert isinstance(frame.value, dict)
        frame.keep = True
        if not isinstance(node.value, str):
            frame.keep = False
            article = "the number " if type(node.value) in (int, float) else ""
            what = f"a key must be a string, not {article}{describe_value(node.value)}"
            self.problem(position, f"{what}; put it in quotes")
            frame.key = ("?", position)
            return
        first = frame.value.get(node.value)
        frame.key = (str(node.value), position)
        if first is not None:
            frame.keep = False
            where = f"line {first.position.line + 1}, column {first.position.column + 1}"
            self.problem(position, f"duplicate key; first given at {where}; keep one of them")
        elif node.value == "<<":
            frame.keep = False
            self.problem(position, "merge keys are not part of YAML 1.2; write the keys out, or use `base:`")


def _syntax_problem(error: Exception, text: str, position: Position) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        position = Position(position.source, mark.line, mark.column)
    lines = lines_of(text)
    line = lines[position.line] if position.line < len(lines) else ""
    return position.report("", _syntax_message(error, line[position.column : position.column + 1]))


def _syntax_message(error: Exception, character: str) -> str:
    """Return the parser's message, with what would work for common mistakes."""
    what = getattr(error, "problem", None) or str(error)
    if "cannot start any token" in what or "tab character" in what:
        if character == "\t":
            return "not valid YAML: a tab cannot indent; use spaces"
        return f"not valid YAML: a value cannot start with {printable(character)}; put it in quotes"
    if "mapping values are not allowed" in what:
        return "not valid YAML: ':' is not allowed here; check the indentation, or put the value in quotes"
    context, start = getattr(error, "context", None), getattr(error, "context_mark", None)
    if context:
        what += f" {context}" + (f" that starts in line {start.line + 1}" if start else "")
    if "block" in what:
        what += "; check the indentation"
    return printable(f"not valid YAML: {what}")


def parse_scalar(plain: str) -> bool | int | float | str | None:
    """Return the value of a plain scalar in YAML 1.2's core schema: `on` is a string, `012` is 12.

    Raises:
        TooManyDigitsError: If it is a number that no config needs.
    """
    if plain in _NAMED_SCALARS:
        return _NAMED_SCALARS[plain]
    if plain[0] not in "-+.0123456789":
        return plain
    is_based = _BASED.fullmatch(plain)
    if not is_based and not _FLOAT.fullmatch(plain):
        return plain
    if len(plain) > _MAX_DIGITS:
        raise TooManyDigitsError
    if is_based:
        return fit_int64(int(plain, 0))
    return fit_int64(int(plain)) if _DECIMAL.fullmatch(plain) else float(plain)


def is_plain_string(plain: str) -> bool:
    """Return True if a plain scalar is read as the string that it is."""
    try:
        return isinstance(parse_scalar(plain), str)
    except TooManyDigitsError:
        return False


def fit_int64(number: int) -> int | float:
    """Return the number, as a float where it needs more than 64 bits; raises TooManyDigitsError."""
    if -(2**63) <= number < 2**63:
        return number
    try:
        return float(number)
    except OverflowError as error:
        raise TooManyDigitsError from error


def compose_mapping(mapping: Mapping[str, Any], source: Source) -> Node:
    """Return the tree of `mapping`; arrays become lists, and paths are relative to the source's folder."""
    # without lines, the order of the values is what problems are sorted by
    return _compose_value(mapping, (Position(source, number, 0) for number in count()), ())


def _compose_value(value: Any, positions: Iterator[Position], path: Path) -> Node:
    position = next(positions)
    if len(path) > MAX_DEPTH:
        raise ConfigError([position.report("", f"is nested more than {MAX_DEPTH} levels deep")])
    if isinstance(value, Mapping):
        entries = {}
        for key in value:
            if not isinstance(key, str):
                what = f"a key must be a string, not {key!r}; give its text"
                raise ConfigError([position.report(dotted(path), what)])
            node = _compose_value(value[key], positions, (*path, key))
            entries[str(key)] = Entry(node.position, node)
        return collection(entries, position)
    if isinstance(value, list | tuple):
        items = (_compose_value(item, positions, (*path, index)) for index, item in enumerate(value))
        return collection(tuple(items), position)
    if isinstance(value, str):
        folder = value.folder if isinstance(value, ConfigStr) else position.source.folder
        return Node(ConfigStr.in_folder(folder, value), position)
    if type(value) is int:
        try:
            return Node(fit_int64(value), position)
        except TooManyDigitsError as error:
            raise ConfigError([position.report(dotted(path), str(error))]) from error
    if value is None or type(value) in (bool, float):
        return Node(value, position)
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars, and tensors
        return _compose_value(value.tolist(), positions, path)
    what = f"a {type(value).__name__} is not a config value; expected numbers, strings, lists and mappings"
    raise ConfigError([position.report(dotted(path), what)])
