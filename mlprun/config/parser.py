"""YAML 1.2 text, or a Python mapping, parsed into a tree with positions; nothing here executes.

PyYAML's own loaders are not used: they resolve YAML 1.1, keep the last of two equal keys, expand aliases
without bound, and let ValueError, RecursionError and worse through (the C loader crashes on deep nesting).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Final, NoReturn

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

# the set of allowed ones would take Python ten times as long to compile
_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_UNDECODED: Final = re.compile("[\udc80-\udcff]")  # a byte that is not UTF-8
_MAX_VALUES: Final = 600_000
"""values of a document; only aliases can make more of a file of the largest size"""
_MAX_PROBLEMS: Final = 100
_MAX_DIGITS: Final = 400  # Python refuses to read integers of more than 4300
_TOO_MANY_DIGITS: Final = "has too many digits; write a smaller number"
_SYNTAX_HINTS: Final = {
    "tab character": "; indent with spaces",
    "cannot start any token": "; put the value in quotes, and indent with spaces",
    "mapping values are not allowed": "; check the indentation, or put the value in quotes",
    "block": "; check the indentation",
}
_NAMED_SCALARS: Final[dict[str, bool | float | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_REFERENCE: Final = re.compile(r"\$\{(env:[^{}\n]*)\}")
_HIDDEN: Final = str.maketrans("\ue000\ue001", "{}")
_VARIABLE: Final = re.compile(r"\$?\$\{env:(?:([A-Za-z_][A-Za-z0-9_]*)(?:(:-)([^{}\n]*))?\})?")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]+")
_BASED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def compose(text: str, source: Source, problems: list[ReadProblem]) -> Node | None:
    """Return the tree of one YAML document, None when it is empty.

    `${env:NAME}` and `${env:NAME:-default}` in a scalar stand for an environment variable, whose value is
    read as if it stood there; `$${env:` stands for these characters. Problems are added to `problems`; raises
    ConfigError with all of them where reading cannot continue.
    """
    composer = _Composer(source, problems)
    bad = _FORBIDDEN.search(text)
    if bad:
        before = lines_of(text[: bad.start()])
        what = f"the character U+{ord(bad[0]):04X} is not allowed in YAML; remove it"
        if _UNDECODED.match(bad[0]):
            what = "is not UTF-8 text; write it in UTF-8"
        composer.fatal(Position(source, len(before) - 1, len(before[-1])), what)
    # braces would end a plain scalar in a flow collection: characters without a meaning stand for them there
    return composer.compose(_REFERENCE.sub("$\ue000\\1\ue001", text))


class _Composer:
    """Builds the tree of one document from the parser's events; the depth of its recursion is limited."""

    def __init__(self, source: Source, problems: list[ReadProblem]) -> None:
        import yaml  # here, since commands that read no config do without

        self.yaml, self.source, self.problems = yaml, source, problems
        self.position = Position(source, 0, 0)
        self.anchors: dict[str | None, Node] = {}

    def compose(self, text: str) -> Node | None:
        try:
            # the Python parser reads ahead already when it is made
            self.parser = getattr(self.yaml, "CSafeLoader", self.yaml.SafeLoader)(text)
            try:
                return self.document()
            finally:
                self.parser.dispose()
        except (self.yaml.YAMLError, ValueError, OverflowError, IndexError) as error:
            # not YAMLError alone: the Python parser lets impossible escapes through as other errors
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            at = self.position if mark is None else Position(self.source, mark.line, mark.column)
            self.fatal(at, _syntax_message(error))

    def fatal(self, position: Position, message: str, path: Path = ()) -> NoReturn:
        """Stop reading, since what follows cannot be understood or would take too long."""
        self.problems.append(ReadProblem(position.order, position.report(dotted(path), message)))
        raise ConfigError([problem.text for problem in self.problems])

    def problem(self, position: Position, message: str, path: Path) -> None:
        if len(self.problems) >= _MAX_PROBLEMS - 1:
            self.fatal(position, message, path)
        self.problems.append(ReadProblem(position.order, position.report(dotted(path), message)))

    def next(self) -> Any:
        event = self.parser.get_event()
        self.position = Position(self.source, event.start_mark.line, event.start_mark.column)
        return event

    def document(self) -> Node | None:
        self.next()
        if self.parser.check_event(self.yaml.StreamEndEvent):
            return None
        self.next()
        root = self.value(tuple(self.source.key.split(".")) if self.source.key else ())
        self.next()
        if self.parser.check_event(self.yaml.DocumentStartEvent):
            self.next()
            self.fatal(self.position, "a second document starts here; a config is one document")
        return root

    def value(self, path: Path) -> Node:
        """Return the value that the next events describe."""
        event = self.next()
        position = self.position
        if isinstance(event, self.yaml.AliasEvent):
            return self.alias(str(event.anchor), position, path)
        if event.tag is not None:
            shown = printable(truncate(str(event.tag).replace("tag:yaml.org,2002:", "!!"), 40))
            self.problem(position, f"tags such as {shown} are refused; remove it", path)
        if isinstance(event, self.yaml.ScalarEvent):
            node = self.scalar(event, position, path)
        else:
            self.check_depth(len(path) + 1, position, path)
            self.anchors.pop(event.anchor, None)  # an alias inside the value means the value itself
            is_list = isinstance(event, self.yaml.SequenceStartEvent)
            node = collection(self.items(path) if is_list else self.entries(path), position)
            if node.size > _MAX_VALUES:
                self.fatal(position, f"aliases repeat more than {_MAX_VALUES} values; write fewer", path)
        self.anchors[event.anchor] = node
        return node

    def check_depth(self, depth: int, position: Position, path: Path) -> None:
        if depth > MAX_DEPTH:
            self.fatal(position, f"is nested more than {MAX_DEPTH} levels deep", path)

    def items(self, path: Path) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self.parser.check_event(self.yaml.SequenceEndEvent):
            items.append(self.value((*path, len(items))))
        self.next()
        return tuple(items)

    def entries(self, path: Path) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        while not self.parser.check_event(self.yaml.MappingEndEvent):
            key = self.value((*path, "?"))
            name = str(key.value) if isinstance(key.value, str) else "?"
            refusal = _key_problem(key, entries.get(name))
            if refusal:
                self.problem(key.position, refusal, path if name == "?" else (*path, name))
            node = self.value((*path, name))
            if not refusal:
                entries[name] = Entry(key.position, node)
        self.next()
        return entries

    def scalar(self, event: Any, position: Position, path: Path) -> Node:
        value: Any = event.value
        if "env:" in value:
            written = value.translate(_HIDDEN)
            value = _VARIABLE.sub(lambda match: self.variable(match, position, path), written)
        if event.implicit[0] and not event.style:
            try:
                value = parse_scalar(value.strip())
            except OverflowError:
                self.problem(position, _TOO_MANY_DIGITS, path)
        if isinstance(value, str):
            value = ConfigStr.in_folder(self.source.folder, value)
        return Node(value, position)

    def variable(self, match: re.Match[str], position: Position, path: Path) -> str:
        """Return what a reference to an environment variable stands for."""
        name, default = match[1], match[3]
        if match[0].startswith("$$"):
            return match[0][1:]
        value = os.environ.get(name or "")
        bad = _FORBIDDEN.search(value or "")
        message = ""
        if name is None:
            message = "expected ${env:NAME} or ${env:NAME:-default}; $${env: stands for these characters"
        elif bad:
            message = f"the environment variable {name} holds the character U+{ord(bad[0]):04X}; remove it"
        elif value is None and default is None:
            message = f"the environment variable {name} is not set; set it, or write ${{env:{name}:-default}}"
        if message:
            self.problem(position, message, path)
            return ""
        self.source.variables.add(name)
        return default if default is not None and not value else value or ""

    def alias(self, name: str, position: Position, path: Path) -> Node:
        node = self.anchors.get(name)
        if node is None:
            shown = printable(truncate(name, 40))
            self.problem(position, f"no value that ends before this has the anchor &{shown}", path)
            return Node(None, position)
        self.check_depth(len(path) + node.height, position, path)
        return Node(node.value, position, node.height, node.size)


def _key_problem(key: Node, first: Entry | None) -> str | None:
    """Return why a mapping cannot have this key; `first` is the entry that has it already."""
    if not isinstance(key.value, str):
        article = "the number " if type(key.value) in (int, float) else ""
        return f"a key must be a string, not {article}{describe_value(key.value)}; put it in quotes"
    if first is not None:
        where = f"line {first.position.line + 1}, column {first.position.column + 1}"
        return f"duplicate key; first given at {where}; keep one of them"
    if key.value == "<<":
        return "merge keys are not part of YAML 1.2; write the keys out, or use `base:`"
    return None


def _syntax_message(error: Exception) -> str:
    """Return the parser's message, with what would work for common mistakes."""
    what = getattr(error, "problem", None) or str(error)
    context, start = getattr(error, "context", None), getattr(error, "context_mark", None)
    if context:
        what += f" {context}" + (f" that starts in line {start.line + 1}" if start else "")
    hint = next((hint for fragment, hint in _SYNTAX_HINTS.items() if fragment in what), "")
    return printable(f"not valid YAML: {what}{hint}")


def parse_scalar(plain: str) -> bool | int | float | str | None:
    """Return the value of a plain scalar in YAML 1.2's core schema: `on` is a string, `012` is 12.

    Raises:
        OverflowError: If it has more digits than any number of a config needs.
    """
    if plain in _NAMED_SCALARS:
        return _NAMED_SCALARS[plain]
    if plain[0] not in "-+.0123456789":
        return plain
    is_based = _BASED.fullmatch(plain)
    if not is_based and not _FLOAT.fullmatch(plain):
        return plain
    if len(plain) > _MAX_DIGITS:
        raise OverflowError
    if is_based or _DECIMAL.fullmatch(plain):
        return fit_int64(int(plain, 0 if is_based else 10))
    return float(plain)


def is_plain_string(plain: str) -> bool:
    """Return True if a plain scalar is read as the string that it is."""
    try:
        return isinstance(parse_scalar(plain), str)
    except OverflowError:
        return False


def fit_int64(number: int) -> int | float:
    """Return the number, as a float where it needs more than 64 bits; raises OverflowError."""
    return number if -(2**63) <= number < 2**63 else float(number)


def compose_mapping(mapping: Mapping[str, Any], source: Source) -> Node:
    """Return the tree of `mapping`; arrays become lists, and paths are relative to the source's folder."""
    # without lines, the order of the values is what problems are sorted by
    return _compose_value(mapping, (Position(source, number, 0) for number in count()), ())


def _compose_value(value: Any, positions: Iterator[Position], path: Path) -> Node:
    position = next(positions)
    if len(path) > MAX_DEPTH:
        position.refuse(f"is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        entries = {}
        for key in value:
            if not isinstance(key, str):
                position.refuse(f"a key must be a string, not {key!r}; give its text", path)
            node = _compose_value(value[key], positions, (*path, key))
            entries[str(key)] = Entry(node.position, node)
        return collection(entries, position)
    if isinstance(value, list | tuple):
        items = (_compose_value(item, positions, (*path, index)) for index, item in enumerate(value))
        return collection(tuple(items), position)
    if isinstance(value, str):
        folder = value.folder if isinstance(value, ConfigStr) else position.source.folder
        return Node(ConfigStr.in_folder(folder, value), position)
    if value is None or type(value) in (bool, int, float):
        try:
            return Node(fit_int64(value) if type(value) is int else value, position)
        except OverflowError:
            position.refuse(_TOO_MANY_DIGITS, path)
    if not hasattr(value, "tolist"):
        what = f"a {type(value).__name__} is not a config value"
        position.refuse(f"{what}; expected numbers, strings, lists and mappings", path)
    return _compose_value(value.tolist(), positions, path)  # NumPy's arrays and scalars, and tensors
