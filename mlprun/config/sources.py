"""Config files read as text, and what to say when that cannot be done."""

from __future__ import annotations

import difflib
import os
from typing import Final

from mlprun import files
from mlprun.config.places import Place, Source, lines_of
from mlprun.config.text import printable
from mlprun.errors import ConfigError, UsageError

_CAP: Final = 1_000_000
_NEARBY: Final = "configs"


def read_source(path: str, *, rank: int) -> Source:
    """The text of a config file; raises UsageError, ConfigError where it is not UTF-8, FileError."""
    try:
        raw = files.read_bytes(path, cap=_CAP)
    except FileNotFoundError as error:
        raise UsageError(printable(path) or "''", "there is no such config", _remedy(path)) from error
    except IsADirectoryError as error:
        raise UsageError(printable(path), "is not a config file", _remedy(path)) from error
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


def _remedy(path: str) -> str:
    """What would work instead of a path that is no file: a config in that folder, or of a similar name."""
    inside = _configs_in(path)
    candidates = inside or [*_configs_in(os.path.dirname(path)), *_configs_in(_NEARBY)]
    by_stem = {_stem(candidate): candidate for candidate in reversed(candidates)}
    near = difflib.get_close_matches(_stem(path), by_stem, n=1)
    if near and not inside:
        return f"did you mean {printable(by_stem[near[0]])}?"
    if candidates:
        return f"expected a YAML file such as {printable(candidates[0])}"
    return "expected a YAML file; `mlprun init` writes one"


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _configs_in(folder: str) -> list[str]:
    if not files.is_folder(folder or "."):
        return []
    names = (name for name in files.names(folder or ".") if name.endswith((".yaml", ".yml")))
    return [os.path.join(folder, name) for name in names]
