"""The tree of a config: values with places, never changed, so that anchors and merges may share them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from mlprun.config.places import Path, Place
    from mlprun.config.text import Text

MOST_DEPTH: Final = 100


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands. Mappings hold entries, so that a key has a place too."""

    value: bool | int | float | Text | tuple[Node, ...] | dict[str, Entry] | None
    place: Place
    height: int = 0
    """levels of nesting below"""
    size: int = 1
    """values here and below, those behind aliases counted each time"""


class Entry(NamedTuple):
    """A key's place, and the value."""

    place: Place
    node: Node


def group(value: tuple[Node, ...] | dict[str, Entry], place: Place) -> Node:
    """A sequence or mapping node, measured."""
    inner = [entry.node for entry in value.values()] if isinstance(value, dict) else value
    height = 1 + max((node.height for node in inner), default=0)
    return Node(value, place, height, 1 + sum(node.size for node in inner))


def plain(node: Node) -> Any:
    """The value without places: dicts, tuples and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(entry.node) for key, entry in node.value.items()}
    if isinstance(node.value, tuple):
        return tuple(plain(item) for item in node.value)
    return node.value


def child(node: Node, part: str | int) -> Entry | None:
    """What stands at a key or an index of a node; an item's place serves as that of its key."""
    if isinstance(node.value, dict) and isinstance(part, str):
        return node.value.get(part)
    if isinstance(node.value, tuple) and isinstance(part, int) and 0 <= part < len(node.value):
        return Entry(node.value[part].place, node.value[part])
    return None


def locate(root: Node, path: Path, *, at_key: bool) -> Place:
    """Where `path` stands; for one that does not exist, its nearest existing parent's key."""
    place, node = root.place, root
    for index, part in enumerate(path):
        entry = child(node, part)
        if entry is None:
            return place
        is_last = index == len(path) - 1
        place = entry.place if at_key or not is_last else entry.node.place
        node = entry.node
    return place


def exists(root: Node, path: Path) -> bool:
    """Whether there is a value at `path`."""
    node = root
    for part in path:
        entry = child(node, part)
        if entry is None:
            return False
        node = entry.node
    return True
