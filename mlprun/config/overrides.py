"""`KEY=VALUE` from the command line: a dotted path, and a value read as YAML, laid over a config."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn

from mlprun.config.merge import merge
from mlprun.config.nodes import MOST_DEPTH, Entry, Node, group
from mlprun.config.places import Complaint, Path, Place, Source, dotted
from mlprun.config.text import cut
from mlprun.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_CHARACTERS: Final = 100_000
_INDEX = re.compile("[0-9]{1,8}")


def apply_overrides(
    root: Node, overrides: Sequence[str], complaints: list[Complaint], *, rank: int, section: str = ""
) -> tuple[Node, list[Path]]:
    """`root` with every override laid over it in turn, and the paths of those that are wrong.

    What is wrong with them is added to `complaints`. `section` is where `root` stands for those who typed
    the overrides, such as `base.`, and begins them where they are told of.
    """
    failed: list[Path] = []
    for index, override in enumerate(overrides):
        try:
            root = _apply(root, override, section=section, rank=rank + index)
        except ConfigError as error:
            complaints += (Complaint((rank + index, 0, 0), problem) for problem in error.problems)
            failed.append(tuple(override.partition("=")[0].strip().split(".")))
    return root, failed


def _apply(root: Node, override: str, *, section: str, rank: int) -> Node:
    from mlprun.config.reader import compose  # here, since it brings the YAML library

    key, equals, written = override.partition("=")
    key = key.strip()
    source = Source(section + override, folder="", rank=rank, key=key)
    place = Place(source, 0, 0)
    parts = key.split(".")
    if not equals or not all(parts):
        _refuse(place, f"expected KEY=VALUE such as {section}optimizer.lr=0.1")
    if parts[0] == "base":
        _refuse(place, "base cannot be overridden; name it in the file")
    if len(parts) > MOST_DEPTH or len(override) > _MOST_CHARACTERS:
        _refuse(place, "is too long; write it in the config file")
    value = compose(written, source) if written.strip() else None
    if value is None:
        short = cut(section + key, 40)
        _refuse(place, f"no value; write {short}=null for none, or {short}=\"''\" for an empty text")
    return _assign(root, parts, value, 0)


def assign(root: Node, key: str, value: Node) -> Node:
    """`root` with `value` laid over what stands at a dotted path; a ConfigError names the value's place."""
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
        at = entries[key].place if deeper < len(parts) else value.place
        entry = Entry(at, _assign(entries[key].node, parts, value, deeper))
    else:
        entry = Entry(value.place, _nested(parts[deeper:], value))
    if isinstance(node.value, dict):
        return group({**node.value, key: entry}, node.place)
    return merge(node, group({key: entry}, value.place), parts[depth - 1])


def _key(entries: dict[str, Entry], parts: list[str], depth: int) -> tuple[str, int]:
    """The key that `parts[depth:]` starts with, and where the rest begins; a known key may contain dots."""
    for end in range(len(parts), depth + 1, -1):
        joined = ".".join(parts[depth:end])
        if joined in entries:
            return joined, end
    return parts[depth], depth + 1


def _nested(parts: list[str], value: Node) -> Node:
    for part in reversed(parts):
        value = group({part: Entry(value.place, value)}, value.place)
    return value


def _assign_item(node: Node, items: tuple[Node, ...], parts: list[str], value: Node, depth: int) -> Node:
    index = int(parts[depth]) if _INDEX.fullmatch(parts[depth]) else len(items)
    if index >= len(items):
        where = f"{dotted(tuple(parts[:depth]))} is "
        if not items:
            _refuse(value.place, f"{where}an empty list; give the whole list")
        last = len(items) - 1
        _refuse(value.place, f"{where}a list of {len(items)}; expected an index from 0 to {last}")
    inner = _assign(items[index], parts, value, depth + 1)
    return group((*items[:index], inner, *items[index + 1 :]), node.place)


def _refuse(place: Place, message: str) -> NoReturn:
    raise ConfigError([place.report("", message)])
