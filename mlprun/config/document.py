"""A config as it was written: its data, and where each value of it stands."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlprun.config.bases import read_chain
from mlprun.config.mapping import compose_mapping
from mlprun.config.nodes import Node, locate, plain
from mlprun.config.overrides import apply_overrides
from mlprun.config.places import Path, Source, dotted
from mlprun.config.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_AFTER_FILES = 1000  # the rank of the first override: it is told of after the files


class Document:
    """The values of a config with their places; `name` is what the run is called by default."""

    def __init__(self, root: Node, *, name: str, folder: str) -> None:
        self._root, self.name, self.folder = root, name, folder

    @cached_property
    def data(self) -> dict[str, Any]:
        """The values: dicts, tuples, scalars, and strings as Text; not to be changed."""
        data: dict[str, Any] = plain(self._root)
        return data

    @property
    def title(self) -> str:
        """What problems of the whole config name."""
        return printable(self._root.place.source.title)

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> str:
        """`message` about the value (or key) at `path`, with file, line and caret, or naming the override.

        A path that does not exist is shown at its nearest existing parent.
        """
        return locate(self._root, path, at_key=at_key).report(dotted(path), message)

    def order(self, path: Path, *, at_key: bool = False) -> tuple[int, int, int]:
        """What sorts problems in the order of the files, overrides last."""
        return locate(self._root, path, at_key=at_key).order


def read(path: str, overrides: Sequence[str] = ()) -> Document:
    """The config file at `path`, laid over its bases, with `overrides` (`KEY=VALUE`) laid over it.

    Raises UsageError when there is no such file, ConfigError with every problem, FileError.
    """
    path = os.fspath(path)
    root = apply_overrides(read_chain(path), overrides, rank=_AFTER_FILES)
    stem = os.path.splitext(os.path.basename(path))[0]
    return Document(root, name=stem, folder=os.path.dirname(path))


def from_mapping(
    mapping: Mapping[str, Any], folder: str, name: str, overrides: Sequence[str] = ()
) -> Document:
    """A config given as a mapping, whose paths are relative to `folder`; problems are told as of `name`.

    Raises ConfigError for values that no config can hold.
    """
    root = compose_mapping(mapping, Source(name, folder=folder, rank=0))
    root = apply_overrides(root, overrides, rank=_AFTER_FILES)
    return Document(root, name=name, folder=folder)
