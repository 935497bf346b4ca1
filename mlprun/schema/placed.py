"""Paths in a config: as seen from the working directory, and back to a folder's own point of view."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, get_args

from mlprun.parts.datasets.split import Split
from mlprun.parts.part import ConfigPath, Options

if TYPE_CHECKING:
    from mlprun.schema.model import Config

_MARK: Final = next(entry for entry in ConfigPath.__metadata__ if hasattr(entry, "func"))  # type: ignore[attr-defined]


def placed(path: str) -> str:
    """A path of a config as seen from the working directory."""
    return str(_MARK.func(path))


def dump(config: Config, folder: str, *, unset: bool = True) -> dict[str, Any]:
    """The config as a plain mapping of dicts, lists and scalars, its paths relative to `folder`.

    With `unset=False` without what it was not given: the defaults.
    """
    whole: dict[str, Any] = _plain(config, folder, unset=unset)
    return whole


def _plain(value: Any, folder: str, *, unset: bool, path: bool = False) -> Any:
    if isinstance(value, Split) and (unset or value.same or value.column is not None):
        return plain_split(value)
    if isinstance(value, Options):
        fields, given = type(value).model_fields, value.model_fields_set
        return {
            name: _plain(inner, folder, unset=unset, path=_is_path(fields[name]))
            for name, inner in value
            if unset or name in given
        }
    if isinstance(value, dict):
        return {key: _plain(inner, folder, unset=unset, path=path) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner, folder, unset=unset, path=path) for inner in value]
    if path and isinstance(value, str):
        return os.path.relpath(value, folder or ".")
    return value


def plain_split(split: Split) -> Any:
    """A split as a config says it: a word, a column, or who gets how many rows."""
    if split.same:
        return "same"
    if split.column is not None:
        return {"column": split.column}
    return split.model_dump(
        exclude={"same", "column"} | ({"folds", "fold"} if split.folds is None else set())
    )


def _is_path(annotated: Any) -> bool:
    """Whether a field, or something in its type, is a path."""
    metadata = (*getattr(annotated, "metadata", ()), *getattr(annotated, "__metadata__", ()))
    inner = (getattr(annotated, "annotation", None), *get_args(annotated))
    return _MARK in metadata or any(_is_path(part) for part in inner if part is not None)
