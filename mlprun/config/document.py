"""A config as it was written: its data, and where each value of it stands."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlprun.config.bases import lay_over_bases, read_chain, read_mapping
from mlprun.config.mapping import compose_mapping
from mlprun.config.nodes import Node, child, exists, group, locate, plain
from mlprun.config.overrides import apply_overrides, assign
from mlprun.config.places import Complaint, Path, Source, dotted
from mlprun.config.sources import CONFIG, Kind
from mlprun.config.text import printable
from mlprun.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_AFTER_FILES = 1000  # the rank of the first override: it is told of after the files


class Document:
    """The values of a config with their places; `name` is what the run is called by default.

    `complaints` were found while reading it and are to be told with what is wrong with the values. `failed`
    holds the paths of overrides that could not be laid over it: nothing is known of the values there.
    """

    def __init__(
        self,
        root: Node,
        *,
        name: str,
        folder: str,
        complaints: Sequence[Complaint] = (),
        failed: Sequence[Path] = (),
    ) -> None:
        self._root, self.name, self.folder = root, name, folder
        self.complaints, self.failed = tuple(complaints), tuple(failed)

    @cached_property
    def data(self) -> dict[str, Any]:
        """The values: dicts, tuples, scalars, and strings as Text; not to be changed."""
        data: dict[str, Any] = plain(self._root)
        return data

    @property
    def title(self) -> str:
        """What problems of the whole config name."""
        return printable(self._root.place.source.title)

    def node(self, path: Path) -> Node:
        """The value at `path`, which must exist, with its places."""
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
            root, name=self.name, folder=self.folder, complaints=self.complaints, failed=self.failed
        )

    def base(self, overrides: Sequence[str] = (), *, section: str = "", kind: Kind = CONFIG) -> Document:
        """The config that `base` names or holds, laid over its own bases; raises as `read` does.

        `section` is what stood before each of the overrides where they were typed.
        """
        node, given = self.node(("base",)), self.data["base"]
        if not isinstance(node.value, dict):
            assert isinstance(self._root.value, dict)
            node = group({"base": self._root.value["base"]}, node.place)
        complaints: list[Complaint] = []
        root = lay_over_bases(node, complaints, rank=1, seen=set(), kind=kind)
        root, failed = apply_overrides(root, overrides, complaints, rank=_AFTER_FILES, section=section)
        named = str(given.get("name", given.get("base", self.name)) if isinstance(given, dict) else given)
        stem = os.path.splitext(os.path.basename(named))[0]
        return Document(root, name=stem, folder=self.folder, complaints=complaints, failed=failed)

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> str:
        """`message` about the value (or key) at `path`, with file, line and caret, or naming the override.

        A path that does not exist is shown at its nearest existing parent.
        """
        return locate(self._root, path, at_key=at_key).report(dotted(path), message)

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
        return locate(self._root, path, at_key=at_key).order


def read(path: str, overrides: Sequence[str] = (), *, kind: Kind = CONFIG) -> Document:
    """The config file at `path`, laid over its bases, with `overrides` (`KEY=VALUE`) laid over it.

    Raises UsageError when there is no such file, ConfigError for what leaves nothing to read, FileError.
    """
    path = os.fspath(path)
    stem, folder = os.path.splitext(os.path.basename(path))[0], os.path.dirname(path)
    complaints: list[Complaint] = []
    try:
        root = read_chain(path, complaints, kind=kind)
    except ConfigError as error:
        nothing = compose_mapping({}, Source(path, folder=folder, rank=0))
        files, complaints = complaints, []
        apply_overrides(nothing, overrides, complaints, rank=_AFTER_FILES)
        told = ([one.text for one in files], error.problems, [one.text for one in complaints])
        raise ConfigError([text for texts in told for text in texts]) from error
    root, failed = apply_overrides(root, overrides, complaints, rank=_AFTER_FILES)
    return Document(root, name=stem, folder=folder, complaints=complaints, failed=failed)


def read_alone(path: str, overrides: Sequence[str] = (), *, kind: Kind = CONFIG) -> Document:
    """The YAML file at `path` as it stands, its `base` a value like others; raises as `read` does.

    `kind` is what the file should be, told where it is nothing of the sort.
    """
    path = os.fspath(path)
    stem, folder = os.path.splitext(os.path.basename(path))[0], os.path.dirname(path)
    complaints: list[Complaint] = []
    root = read_mapping(path, complaints, rank=0, kind=kind)
    root, failed = apply_overrides(root, overrides, complaints, rank=_AFTER_FILES)
    return Document(root, name=stem, folder=folder, complaints=complaints, failed=failed)


def from_mapping(
    mapping: Mapping[str, Any], folder: str, name: str, overrides: Sequence[str] = ()
) -> Document:
    """A config given as a mapping, whose paths are relative to `folder`; problems are told as of `name`.

    Raises ConfigError for values that no config can hold.
    """
    root = compose_mapping(mapping, Source(name, folder=folder, rank=0))
    complaints: list[Complaint] = []
    root, failed = apply_overrides(root, overrides, complaints, rank=_AFTER_FILES)
    return Document(root, name=name, folder=folder, complaints=complaints, failed=failed)
