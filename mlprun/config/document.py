"""A config as it was written: its data, and where each value of it stands."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlprun.config.bases import read_chain
from mlprun.config.mapping import compose_mapping
from mlprun.config.nodes import Node, exists, locate, plain
from mlprun.config.overrides import apply_overrides
from mlprun.config.places import Complaint, Path, Source, dotted
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


def read(path: str, overrides: Sequence[str] = ()) -> Document:
    """The config file at `path`, laid over its bases, with `overrides` (`KEY=VALUE`) laid over it.

    Raises UsageError when there is no such file, ConfigError for what leaves nothing to read, FileError.
    """
    path = os.fspath(path)
    stem, folder = os.path.splitext(os.path.basename(path))[0], os.path.dirname(path)
    complaints: list[Complaint] = []
    try:
        root = read_chain(path, complaints)
    except ConfigError as error:
        nothing = compose_mapping({}, Source(path, folder=folder, rank=0))
        files, complaints = complaints, []
        apply_overrides(nothing, overrides, complaints, rank=_AFTER_FILES)
        told = ([one.text for one in files], error.problems, [one.text for one in complaints])
        raise ConfigError([text for texts in told for text in texts]) from error
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
