"""A Python mapping made into a tree: a dict from the API, or the config that a checkpoint carries."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from mlprun.config.nodes import MOST_DEPTH, Entry, Node, group
from mlprun.config.places import Path, Place, Source, dotted
from mlprun.config.scalars import TooManyDigitsError, whole
from mlprun.config.text import Text
from mlprun.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


def compose_mapping(mapping: Mapping[str, Any], source: Source) -> Node:
    """The tree of `mapping`; arrays become lists, and paths are relative to the source's folder."""
    # without lines, the order of the values is what problems are sorted by
    return _node(mapping, (Place(source, number, 0) for number in count()), ())


def _node(value: Any, places: Iterator[Place], path: Path) -> Node:
    place = next(places)
    if len(path) > MOST_DEPTH:
        raise ConfigError([place.report("", f"is nested more than {MOST_DEPTH} levels deep")])
    if isinstance(value, Mapping):
        return group(
            {_key(key, place, path): _entry(value[key], places, (*path, key)) for key in value}, place
        )
    if isinstance(value, list | tuple):
        return group(tuple(_node(inner, places, (*path, i)) for i, inner in enumerate(value)), place)
    if isinstance(value, str):
        folder = value.folder if isinstance(value, Text) else place.source.folder
        return Node(Text.within(folder, value), place)
    if type(value) is int:
        try:
            return Node(whole(value), place)
        except TooManyDigitsError as error:
            raise ConfigError([place.report(dotted(path), str(error))]) from error
    if value is None or type(value) in (bool, float):
        return Node(value, place)
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars, and tensors
        return _node(value.tolist(), places, path)
    kind = type(value).__name__
    message = f"a {kind} is not a config value; expected numbers, strings, lists and mappings"
    raise ConfigError([place.report(dotted(path), message)])


def _key(key: object, place: Place, path: Path) -> str:
    if not isinstance(key, str):
        raise ConfigError([place.report(dotted(path), f"a key must be a string, not {key!r}; give its text")])
    return str(key)


def _entry(value: Any, places: Iterator[Place], path: Path) -> Entry:
    node = _node(value, places, path)
    return Entry(node.place, node)
