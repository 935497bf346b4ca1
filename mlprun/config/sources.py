"""Config files read as text, and what to say when that cannot be done."""

from __future__ import annotations

import difflib
import os
from typing import Final, NamedTuple

from mlprun import files
from mlprun.config.places import Place, Source, lines_of
from mlprun.config.text import printable
from mlprun.errors import ConfigError, UsageError

_CAP: Final = 1_000_000
_NEARBY: Final = "configs"


class Kind(NamedTuple):
    """What a file was given as, for those who gave another."""

    name: str
    least: str
    """what it says at least"""
    way: str
    """how one comes to such a file"""
    folder: str = ""
    """where they stand below a folder of configs"""


CONFIG: Final = Kind("config", "`dataset: moons`", "`mlprun init` writes one")


def read_source(path: str, *, rank: int, kind: Kind = CONFIG) -> Source:
    """The text of a file; raises UsageError, ConfigError where it is not UTF-8, FileError."""
    try:
        raw = files.read_bytes(path, cap=_CAP)
    except FileNotFoundError as error:
        raise UsageError(
            printable(path) or "''", f"there is no such {kind.name}", _remedy(path, kind)
        ) from error
    except IsADirectoryError as error:
        what = f"is a folder, not a {kind.name}"
        raise UsageError(printable(path), what, _remedy(path, kind)) from error
    except files.TooLargeError as error:
        remedy = "keep large data in a table: `dataset: {name: table, path: ...}`"
        raise UsageError(printable(path), "is larger than 1 MB", remedy) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = lines_of(raw[: error.start].decode("utf-8-sig", "replace"))
        source = Source.of_file(path, "", rank=rank)
        place = Place(source, len(before) - 1, len(before[-1]))
        message = f"is not UTF-8 text: byte 0x{raw[error.start]:02x}; save the file as UTF-8"
        raise ConfigError([place.report("", message)]) from error
    return Source.of_file(path, text, rank=rank)


def _remedy(path: str, kind: Kind) -> str:
    """What would work instead of a path that is no file: one in that folder, or of a similar name."""
    inside = _configs_in(os.path.join(path, kind.folder)) or _configs_in(path)
    nearby = _configs_in(os.path.join(_NEARBY, kind.folder))
    candidates = inside or [*_configs_in(os.path.dirname(path)), *nearby]
    by_stem = {_stem(candidate): candidate for candidate in reversed(candidates)}
    near = difflib.get_close_matches(_stem(path), by_stem, n=1)
    if near and not inside:
        return f"did you mean {printable(by_stem[near[0]])}?"
    if candidates:
        return f"expected a YAML file such as {printable(candidates[0])}"
    return f"expected a YAML file; {kind.way}"


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _configs_in(folder: str) -> list[str]:
    if not files.is_folder(folder or "."):
        return []
    names = (name for name in files.names(folder or ".") if name.endswith((".yaml", ".yml")))
    return [os.path.join(folder, name) for name in names]
