"""YAML text made into a tree with places, from the parser's events; nothing here recurses or executes.

PyYAML's own loaders are not used: they resolve YAML 1.1, keep the last of two equal keys, expand aliases
without bound, and let ValueError, RecursionError and worse through (the C loader crashes on deep nesting).
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn

import yaml
from yaml import events

from mlprun.config.nodes import MOST_DEPTH, Entry, Node, group
from mlprun.config.places import Complaint, Path, Place, Source, dotted, lines_of
from mlprun.config.scalars import TooManyDigitsError, resolve
from mlprun.config.text import Text, cut, printable
from mlprun.errors import ConfigError

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MOST_REPEATED: Final = 100_000
"""values that aliases may add to what is written out"""
_MOST_PROBLEMS: Final = 100


def compose(text: str, source: Source, complaints: list[Complaint] | None = None) -> Node | None:
    """The tree of one YAML document, None when it is empty; raises ConfigError with every problem found.

    Given `complaints`, it adds to them what does not stop the reading, and raises for what does.
    """
    bad = _FORBIDDEN.search(text)
    if bad:
        before = lines_of(text[: bad.start()])
        place = Place(source, len(before) - 1, len(before[-1]))
        message = f"the character U+{ord(bad[0]):04X} is not allowed in YAML; remove it"
        raise ConfigError([place.report("", message)])
    composer = _Composer(source)
    root = composer.compose(text)
    if composer.problems and complaints is None:
        raise ConfigError([problem.text for problem in composer.problems])
    (complaints if complaints is not None else []).extend(composer.problems)
    return root


class _Frame:
    """A collection whose end has not been met."""

    def __init__(self, value: list[Node] | dict[str, Entry], place: Place, anchor: str | None) -> None:
        self.value, self.place, self.anchor = value, place, anchor
        self.key: tuple[str, Place] | None = None
        self.keep = True


class _Composer:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.stack: list[_Frame] = []
        self.anchors: dict[str, Node | None] = {}
        self.repeated = 0
        self.problems: list[Complaint] = []
        self.root: Node | None = None

    def compose(self, text: str) -> Node | None:
        place = Place(self.source, 0, 0)
        try:
            # the Python parser reads ahead already when it is made
            parser = _LOADER(text)
            try:
                while parser.check_event():
                    event = parser.get_event()
                    place = Place(self.source, event.start_mark.line, event.start_mark.column)
                    self.take(event, place)
            finally:
                parser.dispose()
        except (yaml.YAMLError, ValueError, OverflowError, IndexError) as error:
            # not YAMLError alone: the Python parser lets impossible escapes through as other errors
            self.stop(_syntax_problem(error, text, place))
        return self.root

    def fatal(self, place: Place, message: str) -> NoReturn:
        """Stop reading: what follows cannot be understood, or would take too long."""
        self.stop(place.report(dotted(self.path()), message))

    def stop(self, last: str) -> NoReturn:
        raise ConfigError([*(problem.text for problem in self.problems), last])

    def problem(self, place: Place, message: str) -> None:
        told = place.report(dotted(self.path()), message)
        if len(self.problems) >= _MOST_PROBLEMS - 1:
            self.stop(told)
        self.problems.append(Complaint(place.order, told))

    def path(self) -> Path:
        parts: list[str | int] = list(self.source.key.split(".")) if self.source.key else []
        for frame in self.stack:
            if isinstance(frame.value, list):
                parts.append(len(frame.value))
            elif frame.key is not None:
                parts.append(frame.key[0])
        return tuple(parts)

    def take(self, event: events.Event, place: Place) -> None:
        if isinstance(event, events.DocumentStartEvent) and self.root is not None:
            self.fatal(place, "a second document starts here; a config is one document")
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = printable(cut(str(tag).replace("tag:yaml.org,2002:", "!!"), 40))
            self.problem(place, f"tags such as {shown} are refused; remove it")
        if isinstance(event, events.AliasEvent):
            self.add(self.alias(str(event.anchor), place), place)
        elif isinstance(event, events.ScalarEvent):
            self.add(self.remember(event.anchor, self.scalar(event, place)), place)
        elif isinstance(event, events.CollectionStartEvent):
            self.open(event, place)
        elif isinstance(event, events.CollectionEndEvent):
            self.close()

    def scalar(self, event: events.ScalarEvent, place: Place) -> Node:
        value: Any = event.value
        if event.implicit[0] and not event.style:
            try:
                value = resolve(event.value)
            except TooManyDigitsError as error:
                self.problem(place, str(error))
        return Node(Text.within(self.source.folder, value) if isinstance(value, str) else value, place)

    def remember(self, anchor: str | None, node: Node) -> Node:
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def alias(self, name: str, place: Place) -> Node:
        shown = printable(cut(name, 40))
        node = self.anchors.get(name)
        if node is None:
            inside = name in self.anchors
            self.problem(
                place, f"*{shown} stands inside &{shown} itself" if inside else f"no anchor &{shown}"
            )
            return Node(None, place)
        self.repeated += node.size
        if self.repeated > _MOST_REPEATED:
            self.fatal(place, f"aliases repeat more than {_MOST_REPEATED} values; write fewer of them")
        if len(self.stack) + node.height > MOST_DEPTH:
            self.fatal(place, f"is nested more than {MOST_DEPTH} levels deep")
        return Node(node.value, place, node.height, node.size)

    def open(self, event: events.CollectionStartEvent, place: Place) -> None:
        if len(self.stack) >= MOST_DEPTH:
            self.fatal(place, f"is nested more than {MOST_DEPTH} levels deep")
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        mapping = isinstance(event, events.MappingStartEvent)
        self.stack.append(_Frame({} if mapping else [], place, event.anchor))

    def close(self) -> None:
        frame = self.stack.pop()
        value = tuple(frame.value) if isinstance(frame.value, list) else frame.value
        self.add(self.remember(frame.anchor, group(value, frame.place)), frame.place)

    def add(self, node: Node, place: Place) -> None:
        """Put a finished value where it belongs: the root, an item, a key or the value of the last key."""
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        if isinstance(frame.value, list):
            frame.value.append(node)
        elif frame.key is None:
            self.set_key(frame, node, place)
        else:
            key, at = frame.key
            if frame.keep:
                frame.value[key] = Entry(at, node)
            frame.key = None

    def set_key(self, frame: _Frame, node: Node, place: Place) -> None:
        assert isinstance(frame.value, dict)
        frame.keep = True
        if not isinstance(node.value, str):
            frame.keep = False
            self.problem(place, f"a key must be a string, not {_kind(node.value)}; put it in quotes")
            frame.key = ("?", place)
            return
        first = frame.value.get(node.value)
        frame.key = (str(node.value), place)
        if first is not None:
            frame.keep = False
            where = f"line {first.place.line + 1}, column {first.place.column + 1}"
            self.problem(place, f"duplicate key; first given at {where}; keep one of them")
        elif node.value == "<<":
            frame.keep = False
            self.problem(place, "merge keys are not part of YAML 1.2; write the keys out, or use `base:`")


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, tuple):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"the number {value}"


def _syntax_problem(error: Exception, text: str, place: Place) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        place = Place(place.source, mark.line, mark.column)
    lines = lines_of(text)
    line = lines[place.line] if place.line < len(lines) else ""
    return place.report("", _syntax_message(error, line[place.column : place.column + 1]))


def _syntax_message(error: Exception, found: str) -> str:
    """The parser's complaint, with what would work for the mistakes that people make."""
    what = getattr(error, "problem", None) or str(error)
    if "cannot start any token" in what or "tab character" in what:
        if found == "\t":
            return "not valid YAML: a tab cannot indent; use spaces"
        return f"not valid YAML: a value cannot start with {printable(found)}; put it in quotes"
    if "mapping values are not allowed" in what:
        return "not valid YAML: ':' cannot stand here; check the indentation, or put the value in quotes"
    context, start = getattr(error, "context", None), getattr(error, "context_mark", None)
    if context:
        what += f" {context}" + (f" that starts in line {start.line + 1}" if start else "")
    if "block" in what:
        what += "; check the indentation"
    return printable(f"not valid YAML: {what}")
