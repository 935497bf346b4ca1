"""Config files as documents: read, merged over the files that `base:` names, overridden by `KEY=VALUE`."""

from __future__ import annotations

import difflib
import os
import re
import textwrap
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from mlprun import files
from mlprun.config.parser import compose, compose_mapping
from mlprun.config.tree import (
    MAX_DEPTH,
    ConfigStr,
    Entry,
    Node,
    Path,
    Position,
    ReadProblem,
    Source,
    child,
    collection,
    dotted,
    exists,
    lines_of,
    merge,
    plain,
    position_of,
    printable,
    truncate,
)
from mlprun.errors import ConfigError, UsageError, shell_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


_CAP: Final = 1_000_000
_NEARBY: Final = "configs"
_GENERAL: Final = frozenset({"name", "device", "engine"})
"""keys that are found in other programs' files too"""
_TOP_KEY: Final = re.compile(r"""(["']?)([^\s"':#\[\]{},.]+)(?:\.[^\s"':]+)?\1\s*:(?=\s|$)""")
_FLOW_KEY: Final = re.compile(r"""[{,]\s*(["']?)([^\s"':#\[\]{},.]+)\1\s*:""")
_NOT_CONTENT: Final = re.compile(r"\s*#|(---|\.\.\.)\s*(#|$)|%(YAML|TAG)\s")
_NOT_KEYS: Final = re.compile(r"\s|$|[\]}][\s,\]}]*$")
_NEAR: Final = 0.85
_MAX_COMPARED: Final = 100
_MAX_SHOWN: Final = 100


class FileKind(NamedTuple):
    """What a file was given as, for those who gave another."""

    name: str
    least: str
    """what it says at least"""
    way: str
    """how one comes to such a file"""
    folder: str = ""
    """where they stand below a folder of configs"""
    keys: frozenset[str] = frozenset()
    """what it may have at its top; a file without these is something else, and no message quotes it"""


CONFIG: Final = FileKind("config", "`dataset: moons`", "`mlprun init` writes one")


def read_source(path: str, *, rank: int, kind: FileKind = CONFIG) -> Source:
    """The text of a file; raises UsageError, ConfigError where it is not UTF-8, FileError."""
    try:
        raw = files.read_bytes(path, cap=_CAP)
    except FileNotFoundError as error:
        raise UsageError(
            printable(path) or "''", f"there is no such {kind.name}", _remedy(path, kind)
        ) from error
    except files.WrongKindError as error:
        what = f"is {error.kind}, not a {kind.name}"
        raise UsageError(printable(path), what, _remedy(path, kind)) from error
    except files.TooLargeError as error:
        remedy = "keep large data in a table: `dataset: {name: table, path: ...}`"
        raise UsageError(printable(path), "is larger than 1 MB", remedy) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = lines_of(raw[: error.start].decode("utf-8-sig", "replace"))
        source = Source.of_file(path, "", rank=rank)
        position = Position(source, len(before) - 1, len(before[-1]))
        raise ConfigError([position.report("", "is not UTF-8 text; save the file as UTF-8")]) from error
    source = Source.of_file(path, text, rank=rank)
    line = _first_foreign_line(text, kind.keys, is_base=rank > 0)
    if line is not None:
        message = f"is not a {kind.name}; a {kind.name} says at least {kind.least}"
        raise ConfigError([Position(Source.of_file(path, "", rank=rank), line, 0).report("", message)])
    return source


def _first_foreign_line(text: str, known: frozenset[str], *, is_base: bool) -> int | None:
    """The first line, from 0, without a known key, of a text that is no file of these keys; None if it is.

    A config may come from somebody else and name any file of this machine as its base. So messages may show
    lines of a file only if most of its keys are a config's; of a file that the user named, one of them.
    """
    content = ["" if _NOT_CONTENT.match(line) else line for line in lines_of(text)]
    lines = textwrap.dedent("\n".join(content)).split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if lines[first].lstrip().startswith("{"):
        names = [match[2] for match in _FLOW_KEY.finditer("\n".join(lines))]
        # nested keys count too, since only the parser can tell; a base must begin with one of its own
        found = known & {*names} if not is_base or known.issuperset(names[:1]) else frozenset()
        others = [first]
    else:
        # without any key at the margin, the first line counts, which is not at the margin
        margin = [(number, line) for number, line in enumerate(lines) if not _NOT_KEYS.match(line)]
        top = margin or [(first, lines[first])] * any(lines)
        keys = {number: match[2] for number, line in top if (match := _TOP_KEY.match(line))}
        if not is_base:  # a mistyped key
            for number in list(keys)[:_MAX_COMPARED]:
                near = difflib.get_close_matches(keys[number], known, n=1, cutoff=_NEAR)
                keys[number] = near[0] if near else keys[number]
        found = known & set(keys.values())
        items = not keys  # `- ...` is an item of the key above, if there is one
        others = [n for n, line in top if keys.get(n) not in known and (items or not line.startswith("- "))]
    if not known or not others or (found & known - _GENERAL and (not is_base or len(found) >= len(others))):
        return None
    return others[0]


def _remedy(path: str, kind: FileKind) -> str:
    """What would work instead of a path that is no file: one in that folder, or of a similar name."""
    if files.is_url(path):
        return "download it and give the path of the file"
    inside = _configs_in(os.path.join(path, kind.folder)) or _configs_in(path)
    nearby = _configs_in(os.path.join(_NEARBY, kind.folder))
    candidates = inside or [*_configs_in(os.path.dirname(path)), *nearby]
    by_stem = {_stem(candidate): candidate for candidate in reversed(candidates)}
    near = difflib.get_close_matches(_stem(path), by_stem, n=1)
    if near and not inside:
        return f"did you mean {shell_path(by_stem[near[0]])}?"
    if candidates:
        return f"expected a YAML file such as {shell_path(candidates[0])}"
    return f"expected a YAML file; {kind.way}"


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _configs_in(folder: str) -> list[str]:
    if not files.is_folder(folder or "."):
        return []
    names = (name for name in files.names(folder or ".") if name.endswith((".yaml", ".yml")))
    return [os.path.join(folder, name) for name in names]


_MAX_FILES: Final = 20


def read_with_bases(path: str, problems: list[ReadProblem], *, kind: FileKind = CONFIG) -> Node:
    """The mapping of the config at `path`, laid over its bases; raises UsageError, ConfigError, FileError.

    What is wrong in a file that can be read even so is added to `problems`.
    """
    root = read_mapping(path, problems, rank=0, kind=kind)
    return merge_bases(root, problems, rank=0, seen={os.path.realpath(path)}, kind=kind)


def merge_bases(
    root: Node, problems: list[ReadProblem], *, rank: int, seen: set[str], kind: FileKind = CONFIG
) -> Node:
    """A mapping laid over the files that it builds on; its own problems come at `rank`, theirs behind it."""
    layers = [root]
    while (base := _take_base(layers)) is not None:
        target, position = base
        if os.path.realpath(target) in seen:
            _refuse(position, f"{target} is a base of itself; remove one of the two `base:` lines", "base")
        if len(layers) == _MAX_FILES:
            _refuse(position, f"more than {_MAX_FILES} files build on each other; merge some of them", "base")
        seen.add(os.path.realpath(target))
        layers.append(_read_base(target, position, problems, rank=rank + len(layers), kind=kind))
    whole = layers.pop()
    while layers:
        whole = merge(whole, layers.pop())
    return whole


def read_mapping(path: str, problems: list[ReadProblem], *, rank: int, kind: FileKind = CONFIG) -> Node:
    """The mapping in the file at `path`, its `base` a value like others; raises as `read_with_bases` does."""
    source = read_source(path, rank=rank, kind=kind)
    root = compose(source.text or "", source, problems)
    unquoted = Position(Source.of_file(path, "", rank=rank), *root.position[1:] if root else (0, 0))
    if root is None or root.value is None:
        raise ConfigError([unquoted.report("", f"is empty; a {kind.name} needs at least {kind.least}")])
    if not isinstance(root.value, dict):
        message = f"is not a mapping; a {kind.name} says at least {kind.least}"
        raise ConfigError([unquoted.report("", message)])
    known = [key for key in root.value if key.partition(".")[0] in kind.keys]
    if rank and kind.keys and 2 * len(known) < len(root.value):
        message = f"is not a {kind.name}; a {kind.name} says at least {kind.least}"
        raise ConfigError([unquoted.report("", message)])
    return _with_format(root, path)


def _with_format(root: Node, path: str) -> Node:
    """A config that is stored in a run folder or a sweep: format 1 if it does not say its `format`."""
    folder, name = os.path.split(path)
    assert isinstance(root.value, dict)
    if name not in ("config.yaml", "sweep.yaml") or files.kind(os.path.join(folder, "run.json")) != "file":
        return root
    entry = root.value.get("base") if name == "sweep.yaml" else Entry(root.position, root)
    if entry is None or not isinstance(entry.node.value, dict) or "format" in entry.node.value:
        return root
    first = Entry(entry.position, Node(1, entry.position))
    config = collection({**entry.node.value, "format": first}, entry.node.position)
    return (
        config
        if name == "config.yaml"
        else collection({**root.value, "base": Entry(entry.position, config)}, root.position)
    )


def _read_base(
    target: str, position: Position, problems: list[ReadProblem], *, rank: int, kind: FileKind
) -> Node:
    try:
        return read_mapping(target, problems, rank=rank, kind=kind)
    except ConfigError:
        raise
    except UsageError as error:
        raise ConfigError([position.report("base", str(error))]) from error


def _take_base(layers: list[Node]) -> tuple[str, Position] | None:
    """Take `base` out of the last layer: the path it names, as seen from the working directory."""
    top = layers[-1]
    assert isinstance(top.value, dict)
    entry = top.value.get("base")
    if entry is None:
        return None
    layers[-1] = collection({key: value for key, value in top.value.items() if key != "base"}, top.position)
    named, position = entry.node.value, entry.node.position
    if not isinstance(named, ConfigStr) or not named:
        _refuse(position, "expected the path of another config, such as ../moons.yaml", "base")
    if files.is_url(named):
        _refuse(
            position, f"{truncate(named, 80)} is a URL; download it and give the path of the file", "base"
        )
    return os.path.normpath(os.path.join(named.folder, named)), position


def _refuse(position: Position, message: str, label: str = "") -> NoReturn:
    raise ConfigError([position.report(label, printable(message))])


_MAX_CHARACTERS: Final = 100_000
_INDEX = re.compile("[0-9]{1,8}")


def apply_overrides(
    root: Node, overrides: Sequence[str], problems: list[ReadProblem], *, rank: int, section: str = ""
) -> tuple[Node, list[Path]]:
    """`root` with every override laid over it in turn, and the paths of those that are wrong.

    What is wrong with them is added to `problems`. `section` is where `root` stands for those who typed
    the overrides, such as `base.`, and begins them where they are told of.
    """
    failed: list[Path] = []
    for index, override in enumerate(overrides):
        try:
            root = _apply(root, override, section=section, rank=rank + index)
        except ConfigError as error:
            problems += (ReadProblem((rank + index, 0, 0), problem) for problem in error.problems)
            failed.append(tuple(override.partition("=")[0].strip().split(".")))
    return root, failed


def _apply(root: Node, override: str, *, section: str, rank: int) -> Node:
    key, equals, written = override.partition("=")
    key = key.strip()
    source = Source(section + override, folder="", rank=rank, key=key)
    position = Position(source, 0, 0)
    parts = key.split(".")
    if not equals or not all(parts):
        _refuse(position, f"expected KEY=VALUE such as {section}optimizer.lr=0.1")
    if parts[0] == "base":
        _refuse(position, "base cannot be overridden; name it in the file")
    if len(parts) > MAX_DEPTH or len(override) > _MAX_CHARACTERS:
        _refuse(position, "is too long; write it in the config file")
    value = compose(written, source) if written.strip() else None
    if value is None:
        short = truncate(section + key, 40)
        _refuse(position, f"no value; write {short}=null for none, or {short}=\"''\" for an empty text")
    return _assign(root, parts, value, 0)


def assign(root: Node, key: str, value: Node) -> Node:
    """`root` with `value` laid over what stands at a dotted path; a ConfigError names its position."""
    return _assign(root, key.split("."), value, 0)


def _assign(node: Node, parts: list[str], value: Node, depth: int) -> Node:
    """`node` with `value` laid over what stands at `parts[depth:]`."""
    if depth == len(parts):
        return merge(node, value, parts[-1])
    if isinstance(node.value, tuple):
        return _assign_item(node, node.value, parts, value, depth)
    entries = node.value if isinstance(node.value, dict) else {}
    key, deeper = _key(entries, parts, depth)
    if key in entries:
        at = entries[key].position if deeper < len(parts) else value.position
        entry = Entry(at, _assign(entries[key].node, parts, value, deeper))
    else:
        entry = Entry(value.position, _nested(parts[deeper:], value))
    if isinstance(node.value, dict):
        return collection({**node.value, key: entry}, node.position)
    return merge(node, collection({key: entry}, value.position), parts[depth - 1])


def _key(entries: dict[str, Entry], parts: list[str], depth: int) -> tuple[str, int]:
    """The key that `parts[depth:]` starts with, and where the rest begins; a known key may contain dots."""
    for end in range(len(parts), depth + 1, -1):
        joined = ".".join(parts[depth:end])
        if joined in entries:
            return joined, end
    return parts[depth], depth + 1


def _nested(parts: list[str], value: Node) -> Node:
    for part in reversed(parts):
        value = collection({part: Entry(value.position, value)}, value.position)
    return value


def _assign_item(node: Node, items: tuple[Node, ...], parts: list[str], value: Node, depth: int) -> Node:
    index = int(parts[depth]) if _INDEX.fullmatch(parts[depth]) else len(items)
    if index >= len(items):
        where = f"{dotted(tuple(parts[:depth]))} is "
        if not items:
            _refuse(value.position, f"{where}an empty list; give the whole list")
        last = len(items) - 1
        _refuse(value.position, f"{where}a list of {len(items)}; expected an index from 0 to {last}")
    inner = _assign(items[index], parts, value, depth + 1)
    return collection((*items[:index], inner, *items[index + 1 :]), node.position)


_AFTER_FILES = 1000  # the rank of the first override: it is told of after the files


@dataclass(frozen=True)
class Problem:
    """A message about the value at a path, or about its key."""

    path: Path
    message: str
    at_key: bool = False


class Document:
    """The values of a config with their positions; `name` is what the run is called by default.

    `problems` were found while reading it and are to be told with what is wrong with the values. `failed`
    holds the paths of overrides that could not be laid over it: nothing is known of the values there.
    """

    def __init__(
        self,
        root: Node,
        *,
        name: str,
        folder: str,
        read_problems: Sequence[ReadProblem] = (),
        failed: Sequence[Path] = (),
    ) -> None:
        self._root, self.name, self.folder = root, name, folder
        self.read_problems, self.failed = tuple(read_problems), tuple(failed)

    @cached_property
    def data(self) -> dict[str, Any]:
        """The values: dicts, tuples, scalars, and strings as ConfigStr; not to be changed."""
        data: dict[str, Any] = plain(self._root)
        return data

    @property
    def title(self) -> str:
        """What problems of the whole config name."""
        return printable(self._root.position.source.title)

    def node(self, path: Path) -> Node:
        """The value at `path`, which must exist, with its positions."""
        node = self._root
        for part in path:
            entry = child(node, part)
            assert entry is not None
            node = entry.node
        return node

    def with_values(self, values: Mapping[str, Node]) -> Document:
        """The config with values laid over it, by dotted path; problems with one are told where it stands.

        Raises ConfigError for a path that does not exist and cannot be made.
        """
        root = self._root
        for key, value in values.items():
            root = assign(root, key, value)
        return Document(
            root, name=self.name, folder=self.folder, read_problems=self.read_problems, failed=self.failed
        )

    def base(self, overrides: Sequence[str] = (), *, section: str = "", kind: FileKind = CONFIG) -> Document:
        """The config that `base` names or holds, laid over its own bases; raises as `read` does.

        `section` is what stood before each of the overrides where they were typed.
        """
        node, given = self.node(("base",)), self.data["base"]
        if not isinstance(node.value, dict):
            assert isinstance(self._root.value, dict)
            node = collection({"base": self._root.value["base"]}, node.position)
        problems: list[ReadProblem] = []
        root = merge_bases(node, problems, rank=1, seen=set(), kind=kind)
        root, failed = apply_overrides(root, overrides, problems, rank=_AFTER_FILES, section=section)
        named = str(given.get("name", given.get("base", self.name)) if isinstance(given, dict) else given)
        stem = os.path.splitext(os.path.basename(named))[0]
        return Document(root, name=stem, folder=self.folder, read_problems=problems, failed=failed)

    def raise_problems(self, problems: Iterable[Problem]) -> None:
        """Raise ConfigError with every problem, those found while reading too; do nothing if none."""
        found: list[tuple[tuple[int, int, int], Problem | str]] = [*self.read_problems]
        read = {order for order, _ in found}
        for problem in problems:
            order = self.order(problem.path, at_key=problem.at_key)
            # a value that could not be read is wrong again as what stands there in its stead
            if not self.is_unknown(problem.path) and (problem.at_key or order not in read):
                found.append((order, problem))
        found.sort(key=lambda pair: pair[0])
        lines = [
            one if isinstance(one, str) else self.problem(one.path, one.message, at_key=one.at_key)
            for _, one in found[:_MAX_SHOWN]
        ]
        if len(found) > _MAX_SHOWN:
            lines.append(f"{self.title}: more problems follow; correct these first")
        if lines:
            raise ConfigError(lines)

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> str:
        """`message` about the value (or key) at `path`, with file, line and caret, or naming the override.

        A path that does not exist is shown at its nearest existing parent.
        """
        return position_of(self._root, path, at_key=at_key).report(dotted(path), message)

    def is_unknown(self, path: Path) -> bool:
        """Whether an override that could not be read would have said what stands at `path`."""
        here = tuple(map(str, path))
        for failed in self.failed:
            if here[: len(failed)] == failed:
                return True
            if failed[: len(here)] == here and not exists(self._root, path):
                return True
        return False

    def order(self, path: Path, *, at_key: bool = False) -> tuple[int, int, int]:
        """What sorts problems in the order of the files, overrides last."""
        return position_of(self._root, path, at_key=at_key).order


def read(path: str, overrides: Sequence[str] = (), *, kind: FileKind = CONFIG) -> Document:
    """The config file at `path`, laid over its bases, with `overrides` (`KEY=VALUE`) laid over it.

    Raises UsageError when there is no such file, ConfigError for what leaves nothing to read, FileError.
    """
    path = os.fspath(path)
    stem, folder = os.path.splitext(os.path.basename(path))[0], os.path.dirname(path)
    problems: list[ReadProblem] = []
    try:
        root = read_with_bases(path, problems, kind=kind)
    except ConfigError as error:
        nothing = compose_mapping({}, Source(path, folder=folder, rank=0))
        files, problems = problems, []
        apply_overrides(nothing, overrides, problems, rank=_AFTER_FILES)
        told = ([one.text for one in files], error.problems, [one.text for one in problems])
        raise ConfigError([text for texts in told for text in texts]) from error
    root, failed = apply_overrides(root, overrides, problems, rank=_AFTER_FILES)
    return Document(root, name=stem, folder=folder, read_problems=problems, failed=failed)


def read_without_bases(path: str, overrides: Sequence[str] = (), *, kind: FileKind = CONFIG) -> Document:
    """The YAML file at `path` as it stands, its `base` a value like others; raises as `read` does.

    `kind` is what the file should be, told where it is nothing of the sort.
    """
    path = os.fspath(path)
    stem, folder = os.path.splitext(os.path.basename(path))[0], os.path.dirname(path)
    problems: list[ReadProblem] = []
    root = read_mapping(path, problems, rank=0, kind=kind)
    root, failed = apply_overrides(root, overrides, problems, rank=_AFTER_FILES)
    return Document(root, name=stem, folder=folder, read_problems=problems, failed=failed)


def from_mapping(
    mapping: Mapping[str, Any], folder: str, name: str, overrides: Sequence[str] = ()
) -> Document:
    """A config given as a mapping, whose paths are relative to `folder`; problems are told as of `name`.

    Raises ConfigError for values that no config can hold.
    """
    root = compose_mapping(mapping, Source(name, folder=folder, rank=0))
    problems: list[ReadProblem] = []
    root, failed = apply_overrides(root, overrides, problems, rank=_AFTER_FILES)
    return Document(root, name=name, folder=folder, read_problems=problems, failed=failed)
