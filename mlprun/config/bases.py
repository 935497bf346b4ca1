"""A config file laid over the file that its `base:` names, and that over its own."""

from __future__ import annotations

import os
from typing import Final, NoReturn

from mlprun import files
from mlprun.config.merge import merge
from mlprun.config.nodes import Entry, Node, group
from mlprun.config.places import Complaint, Place, Source
from mlprun.config.sources import CONFIG, Kind, read_source
from mlprun.config.text import Text, cut, printable
from mlprun.errors import ConfigError, UsageError

_MOST_FILES: Final = 20


def read_chain(path: str, complaints: list[Complaint], *, kind: Kind = CONFIG) -> Node:
    """The mapping of the config at `path`, laid over its bases; raises UsageError, ConfigError, FileError.

    What is wrong in a file that can be read even so is added to `complaints`.
    """
    root = read_mapping(path, complaints, rank=0, kind=kind)
    return lay_over_bases(root, complaints, rank=0, seen={os.path.realpath(path)}, kind=kind)


def lay_over_bases(
    root: Node, complaints: list[Complaint], *, rank: int, seen: set[str], kind: Kind = CONFIG
) -> Node:
    """A mapping laid over the files that it builds on; its own problems come at `rank`, theirs behind it."""
    layers = [root]
    while (base := _take_base(layers)) is not None:
        target, place = base
        if os.path.realpath(target) in seen:
            _refuse(place, f"{target} is a base of itself; remove one of the two `base:` lines")
        if len(layers) == _MOST_FILES:
            _refuse(place, f"more than {_MOST_FILES} files build on each other; merge some of them")
        seen.add(os.path.realpath(target))
        layers.append(_read_base(target, place, complaints, rank=rank + len(layers), kind=kind))
    whole = layers.pop()
    while layers:
        whole = merge(whole, layers.pop())
    return whole


def read_mapping(path: str, complaints: list[Complaint], *, rank: int, kind: Kind = CONFIG) -> Node:
    """The mapping in the file at `path`, its `base` a value like others; raises as `read_chain` does."""
    from mlprun.config.reader import compose  # here, since it brings the YAML library

    source = read_source(path, rank=rank, kind=kind)
    root = compose(source.text or "", source, complaints)
    unquoted = Place(Source.of_file(path, "", rank=rank), *root.place[1:] if root else (0, 0))
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
    entry = root.value.get("base") if name == "sweep.yaml" else Entry(root.place, root)
    if entry is None or not isinstance(entry.node.value, dict) or "format" in entry.node.value:
        return root
    first = Entry(entry.place, Node(1, entry.place))
    config = group({**entry.node.value, "format": first}, entry.node.place)
    return (
        config
        if name == "config.yaml"
        else group({**root.value, "base": Entry(entry.place, config)}, root.place)
    )


def _read_base(target: str, place: Place, complaints: list[Complaint], *, rank: int, kind: Kind) -> Node:
    try:
        return read_mapping(target, complaints, rank=rank, kind=kind)
    except ConfigError:
        raise
    except UsageError as error:
        raise ConfigError([place.report("base", str(error))]) from error


def _take_base(layers: list[Node]) -> tuple[str, Place] | None:
    """Take `base` out of the last layer: the path it names, as seen from the working directory."""
    top = layers[-1]
    assert isinstance(top.value, dict)
    entry = top.value.get("base")
    if entry is None:
        return None
    layers[-1] = group({key: value for key, value in top.value.items() if key != "base"}, top.place)
    named, place = entry.node.value, entry.node.place
    if not isinstance(named, Text) or not named:
        _refuse(place, "expected the path of another config, such as ../moons.yaml")
    if files.is_url(named):
        _refuse(place, f"{cut(named, 80)} is a URL; download it and give the path of the file")
    return os.path.normpath(os.path.join(named.folder, named)), place


def _refuse(place: Place, message: str) -> NoReturn:
    raise ConfigError([place.report("base", printable(message))])
