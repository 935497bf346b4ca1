"""Config files as documents: read, merged over the files that `base:` names, overridden by `KEY=VALUE`."""

from __future__ import annotations

import difflib
import json
import os
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

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
    collection,
    dotted,
    follow,
    merge,
    plain,
    printable,
    truncate,
)
from mlprun.errors import ConfigError, UsageError, shell_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MAX_BYTES: Final = 1_000_000
_MAX_FILES: Final = 20
_MAX_OVERRIDE: Final = 100_000
_MAX_SHOWN: Final = 100
_OVERRIDE_RANK: Final = 1000
"""the rank of the first override, whose problems are reported after those of the files"""
_EXAMPLES: Final = "configs"
_BASE: Final = ("base",)
_DOWNLOAD: Final = "download it and give the path of the file"
_INDEX: Final = re.compile("[0-9]{1,8}")

_COMMON_KEYS: Final = frozenset({"name", "device", "engine"})
"""keys that are found in other programs' files too"""
_FORMAT_KEYS: Final = {"config.yaml": ["format"], "sweep.yaml": ["base", "format"]}
"""where the stored files of runs and sweeps say their format"""


class FileKind(NamedTuple):
    """What a file is expected to be, for messages about a file that is something else."""

    name: str
    example: str
    """its least content"""
    hint: str
    """how to get such a file"""
    folder: str = ""
    """the folder of such files below a folder of configs"""
    keys: frozenset[str] = frozenset()
    """its top-level keys; a base without these is something else, and no message quotes it"""


CONFIG: Final = FileKind("config", "`dataset: moons`", "`mlprun init` writes one")


@dataclass(frozen=True)
class Problem:
    """A message about the value at a path, or about its key."""

    path: Path
    message: str
    at_key: bool = False


@dataclass(frozen=True, eq=False)
class Document:
    """The values of a config with their positions; `name` is what the run is called by default.

    `read_problems` were found while reading and are reported with the problems of the values.
    """

    root: Node
    name: str
    folder: str
    read_problems: Sequence[ReadProblem] = ()

    @cached_property
    def data(self) -> dict[str, Any]:
        """The values: dicts, tuples, scalars, and strings as ConfigStr; not to be changed."""
        data: dict[str, Any] = plain(self.root)
        return data

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that files and overrides name, sorted."""
        sources, nodes = set[Source](), [self.root]
        for node in nodes:
            sources.add(node.position.source)
            if isinstance(node.value, dict):
                nodes += (entry.node for entry in node.value.values())
            elif isinstance(node.value, tuple):
                nodes += node.value
        return tuple(sorted({name for source in sources for name in source.variables}))

    @property
    def title(self) -> str:
        """The name of the whole config in messages."""
        return printable(self.root.position.source.title)

    def node(self, path: Path) -> Node:
        """Return the value at `path`, which must exist, with its positions."""
        entries = follow(self.root, path)
        assert len(entries) == len(path)
        return entries[-1].node if entries else self.root

    def with_values(self, values: Mapping[str, Node]) -> Document:
        """Return the config with values laid over it, by dotted path; problems are shown where these stand.

        Raises ConfigError for a path that does not exist and cannot be made.
        """
        root = self.root
        for key, value in values.items():
            root = _assign(root, key.split("."), value)
        return replace(self, root=root)

    def base(self, overrides: Sequence[str] = (), *, section: str = "", kind: FileKind = CONFIG) -> Document:
        """Return the config that `base` names or holds, merged over its own bases; raises as `read` does.

        `section` is what the overrides were prefixed with where they were typed.
        """
        node, value = self.node(("base",)), self.data["base"]
        if not isinstance(node.value, dict):
            assert isinstance(self.root.value, dict)
            node = collection({"base": self.root.value["base"]}, node.position)
        problems: list[ReadProblem] = []
        root = _merge_bases(node, problems, rank=1, seen=set(), kind=kind)
        named = value.get("name", value.get("base", self.name)) if isinstance(value, dict) else value
        return _overridden(root, overrides, problems, _stem(str(named)), self.folder, section=section)

    def position(self, path: Path, *, at_key: bool = False) -> Position:
        """Return the position of the value (or key) at `path`, or of its nearest existing parent's key."""
        entries = follow(self.root, path)
        if not entries:
            return self.root.position
        at_value = len(entries) == len(path) and not at_key
        return entries[-1].node.position if at_value else entries[-1].position

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> str:
        """Return `message` about the value (or key) at `path`, with file, line and caret, or the override."""
        return self.position(path, at_key=at_key).report(dotted(path), message)

    def raise_problems(self, problems: Iterable[Problem]) -> None:
        """Raise ConfigError with every problem, those found while reading too, in the order of the files.

        Does nothing if there is none.
        """
        found: list[tuple[tuple[int, int, int], Problem | str]] = [*self.read_problems]
        read = {order for order, _ in found}
        for problem in problems:
            order = self.position(problem.path, at_key=problem.at_key).order
            # a value that could not be read is wrong again as what replaces it
            if problem.at_key or order not in read:
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


def read(
    path: str, overrides: Sequence[str] = (), *, kind: FileKind = CONFIG, text: str | None = None
) -> Document:
    """Return the config file at `path`, merged over its bases, with `overrides` (`KEY=VALUE`) applied.

    A `text` is read in place of a file's. Raises UsageError when there is no such file, ConfigError for what
    leaves nothing to read, FileError.
    """
    path = os.fspath(path)
    folder = os.path.dirname(path)
    problems: list[ReadProblem] = []
    try:
        root = _read_mapping(path, problems, rank=0, kind=kind, text=text)
        root = _merge_bases(root, problems, rank=0, seen={os.path.realpath(path)}, kind=kind)
    except ConfigError as error:
        raise ConfigError([*(one.text for one in problems), *error.problems]) from error
    return _overridden(root, overrides, problems, _stem(path), folder)


def read_without_bases(path: str, overrides: Sequence[str] = (), *, kind: FileKind = CONFIG) -> Document:
    """Return the YAML file at `path` with its `base` a value like others; raises as `read` does."""
    path = os.fspath(path)
    problems: list[ReadProblem] = []
    root = _read_mapping(path, problems, rank=0, kind=kind)
    return _overridden(root, overrides, problems, _stem(path), os.path.dirname(path))


def from_mapping(
    mapping: Mapping[str, Any], folder: str, name: str, overrides: Sequence[str] = ()
) -> Document:
    """Return a mapping as a config whose paths are relative to `folder`; problems are reported as of `name`.

    Raises ConfigError for values that no config can hold.
    """
    return _overridden(compose_mapping(mapping, Source(name, folder, 0)), overrides, [], name, folder)


def _overridden(
    root: Node,
    overrides: Sequence[str],
    problems: list[ReadProblem],
    name: str,
    folder: str,
    *,
    section: str = "",
) -> Document:
    """Return the document of `root` with every override applied; adds their problems to `problems`."""
    for rank, override in enumerate(overrides, _OVERRIDE_RANK):
        try:
            root = _apply(root, override, section=section, rank=rank)
        except ConfigError as error:
            found = error.problems
            if is_cut := _is_cut(override):
                what = "ends inside a bracket; quote the override in the shell, since it contains spaces"
                found = (Position(Source(section + override, "", rank), 0, 0).report("", what),)
            problems += (ReadProblem((rank, 0, 0), problem) for problem in found)
            if is_cut:
                break  # the next ones are the rest of its value
    return Document(root, name, folder, problems)


def _is_cut(override: str) -> bool:
    """Return True if the shell may have divided the list or mapping of an override at a space."""
    value = override.partition("=")[2].strip()
    return value.startswith(("[", "{")) and not value.endswith(("]", "}"))


def _apply(root: Node, override: str, *, section: str, rank: int) -> Node:
    key, equals, written = override.partition("=")
    key = key.strip()
    source = Source(section + override, "", rank, key=key)
    refuse = Position(source, 0, 0).refuse
    parts = key.split(".")
    if not equals or not all(parts):
        refuse(f"expected KEY=VALUE such as {section}optimizer.lr=0.1")
    if parts[0] == "base":
        refuse("base cannot be overridden; name it in the file")
    if len(parts) > MAX_DEPTH or len(override) > _MAX_OVERRIDE:
        refuse("is too long; write it in the config file")
    problems: list[ReadProblem] = []
    written = written.strip()
    if written.startswith((",", "%", "@", "`")):  # YAML has no value that starts with these: it is a text
        written = json.dumps(written)
    value = compose(written, source, problems) if written else None
    if problems:
        raise ConfigError([problem.text for problem in problems])
    if value is None:
        short = truncate(section + key, 40)
        refuse(f"no value; write {short}=null for none, or {short}=\"''\" for an empty text")
    return _assign(root, parts, value)


def _assign(node: Node, parts: list[str], value: Node, depth: int = 0) -> Node:
    """Return `node` with `value` laid over the value at `parts[depth:]`."""
    if depth == len(parts):
        return merge(node, value, parts[-1])
    if isinstance(node.value, tuple):
        return _assign_item(node, node.value, parts, value, depth)
    entries = node.value if isinstance(node.value, dict) else {}
    key, deeper = _known_key(entries, parts, depth)
    if key in entries:
        position = entries[key].position if deeper < len(parts) else value.position
        entry = Entry(position, _assign(entries[key].node, parts, value, deeper))
    else:
        inner = value
        for part in reversed(parts[deeper:]):
            inner = collection({part: Entry(value.position, inner)}, value.position)
        entry = Entry(value.position, inner)
    if isinstance(node.value, dict):
        return collection({**node.value, key: entry}, node.position)
    return merge(node, collection({key: entry}, value.position), parts[depth - 1])


def _known_key(entries: dict[str, Entry], parts: list[str], depth: int) -> tuple[str, int]:
    """Return the key that `parts[depth:]` starts with, and where the rest begins; keys may contain dots."""
    for end in range(len(parts), depth + 1, -1):
        joined = ".".join(parts[depth:end])
        if joined in entries:
            return joined, end
    return parts[depth], depth + 1


def _assign_item(node: Node, items: tuple[Node, ...], parts: list[str], value: Node, depth: int) -> Node:
    index = int(parts[depth]) if _INDEX.fullmatch(parts[depth]) else len(items)
    if index >= len(items):
        where = dotted(tuple(parts[:depth]))
        value.position.refuse(f"{where} has {len(items)} items; expected the index of one")
    inner = _assign(items[index], parts, value, depth + 1)
    return collection((*items[:index], inner, *items[index + 1 :]), node.position)


def _merge_bases(
    root: Node, problems: list[ReadProblem], *, rank: int, seen: set[str], kind: FileKind
) -> Node:
    """Return a mapping laid over the files that it builds on; its own problems have `rank`, theirs follow."""
    layers = [root]
    while (base := _take_base(layers)) is not None:
        path, position = base
        if os.path.realpath(path) in seen:
            position.refuse(f"{path} is a base of itself; remove one of the two `base:` lines", _BASE)
        if len(layers) == _MAX_FILES:
            position.refuse(f"more than {_MAX_FILES} files build on each other; merge some of them", _BASE)
        seen.add(os.path.realpath(path))
        try:
            layers.append(_read_mapping(path, problems, rank=rank + len(layers), kind=kind))
        except ConfigError:
            raise
        except UsageError as error:
            raise ConfigError([position.report("base", str(error))]) from error
    whole = layers.pop()
    while layers:
        whole = merge(whole, layers.pop())
    return whole


def _take_base(layers: list[Node]) -> tuple[str, Position] | None:
    """Remove `base` from the last layer; return the path it names, as seen from the working directory."""
    top = layers[-1]
    assert isinstance(top.value, dict)
    entry = top.value.get("base")
    if entry is None:
        return None
    layers[-1] = collection({key: value for key, value in top.value.items() if key != "base"}, top.position)
    path, position = entry.node.value, entry.node.position
    if not isinstance(path, ConfigStr) or not path:
        position.refuse("expected the path of another config, such as ../moons.yaml", _BASE)
    if files.is_url(path):
        position.refuse(f"{truncate(path, 80)} is a URL; {_DOWNLOAD}", _BASE)
    return os.path.normpath(os.path.join(path.folder, path)), position


def _read_mapping(
    path: str, problems: list[ReadProblem], *, rank: int, kind: FileKind, text: str | None = None
) -> Node:
    """Return the mapping in the file at `path`, its `base` a value like others; raises as `read` does.

    A config may come from somebody else and name any file of this machine as its base, so messages quote
    a base only if most of its keys are a config's.
    """
    folder = os.path.dirname(path)
    text = _read_text(path, kind) if text is None else text
    source, unquoted = Source(path, folder, rank, text), Source(path, folder, rank, "")
    needs = f"a {kind.name} needs at least {kind.example}"
    found: list[ReadProblem] = []
    try:
        root = compose(text, source, found)
    except ConfigError:
        if rank and kind.keys:
            _, line, column = found[-1].order
            Position(unquoted, line, column).refuse(f"is not a {kind.name} in valid YAML; {needs}")
        raise
    refuse = Position(unquoted, *root.position[1:] if root else (0, 0)).refuse
    if root is None or root.value is None:
        refuse(f"is empty; {needs}")
    if not isinstance(root.value, dict):
        refuse(f"is not a mapping; {needs}")
    known = {key for key in root.value if key.partition(".")[0] in kind.keys}
    foreign = len(root.value) - len(known)
    if rank and kind.keys and foreign and (foreign > len(known) or known <= _COMMON_KEYS):
        refuse(f"is not a {kind.name}; {needs}")
    problems += found
    return _with_format(root, path)


def _with_format(root: Node, path: str) -> Node:
    """Return a config that is stored in a run folder or a sweep, with format 1 if it names no `format`."""
    folder, name = os.path.split(path)
    keys = _FORMAT_KEYS.get(name)
    if keys is None or files.kind(os.path.join(folder, "run.json")) != "file":
        return root
    above = [root, *(entry.node for entry in follow(root, tuple(keys)))]
    if len(above) != len(keys) or not isinstance(above[-1].value, dict):
        return root
    return _assign(root, keys, Node(1, above[-1].position))


def _read_text(path: str, kind: FileKind) -> str:
    """Return the text of a file, with surrogates for what is not UTF-8; raises UsageError, FileError."""
    try:
        return files.read_bytes(path, cap=_MAX_BYTES).decode("utf-8-sig", "surrogateescape")
    except (FileNotFoundError, files.WrongKindError) as error:
        what = f"there is no such {kind.name}"
        if isinstance(error, files.WrongKindError):
            what = f"is {error.kind}, not a {kind.name}"
        raise UsageError(printable(path) or "''", what, _remedy(path, kind)) from error
    except files.TooLargeError as error:
        remedy = "keep large data in a table: `dataset: {name: table, path: ...}`"
        raise UsageError(printable(path), "is larger than 1 MB", remedy) from error


def _remedy(path: str, kind: FileKind) -> str:
    """Return what would work instead of a path that is no file: one in that folder, or of a similar name."""
    if files.is_url(path):
        return _DOWNLOAD
    folders = (
        os.path.join(path, kind.folder),
        path,
        os.path.dirname(path),
        os.path.join(_EXAMPLES, kind.folder),
    )
    candidates = [file for folder in folders for file in _configs_in(folder)]
    by_stem = {_stem(candidate): candidate for candidate in reversed(candidates)}
    near = difflib.get_close_matches(_stem(path), by_stem, n=1)
    if near and not files.is_folder(path):
        return f"did you mean {shell_path(by_stem[near[0]])}?"
    return f"expected a YAML file such as {shell_path(candidates[0])}" if candidates else kind.hint


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _configs_in(folder: str) -> list[str]:
    if not files.is_folder(folder or "."):
        return []
    names = (name for name in files.names(folder or ".") if name.endswith((".yaml", ".yml")))
    return [os.path.join(folder, name) for name in names]
