"""Config files read as text, and what to say when that cannot be done."""

from __future__ import annotations

import difflib
import os
import re
import textwrap
from typing import Final, NamedTuple

from mlprun import files
from mlprun.config.places import Place, Source, lines_of
from mlprun.config.text import printable
from mlprun.errors import ConfigError, UsageError, shell_path

_CAP: Final = 1_000_000
_NEARBY: Final = "configs"
_GENERAL: Final = frozenset({"name", "device", "engine"})
"""keys that are found in other programs' files too"""
_TOP_KEY: Final = re.compile(r"""(["']?)([^\s"':#\[\]{},.]+)(?:\.[^\s"':]+)?\1\s*:(?=\s|$)""")
_FLOW_KEY: Final = re.compile(r"""[{,]\s*(["']?)([^\s"':#\[\]{},.]+)\1\s*:""")
_NOT_CONTENT: Final = re.compile(r"\s*#|(---|\.\.\.)\s*(#|$)|%(YAML|TAG)\s")
_NOT_KEYS: Final = re.compile(r"\s|$|[\]}][\s,\]}]*$")
_NEAR: Final = 0.85
_MOST_COMPARED: Final = 100


class Kind(NamedTuple):
    """What a file was given as, for those who gave another."""

    name: str
    least: str
    """what it says at least"""
    way: str
    """how one comes to such a file"""
    folder: str = ""
    """where they stand below a folder of configs"""
    keys: frozenset[str] = frozenset()
    """what it may have at its top; a file without these is something else, and no message quotes it"""


CONFIG: Final = Kind("config", "`dataset: moons`", "`mlprun init` writes one")


def read_source(path: str, *, rank: int, kind: Kind = CONFIG) -> Source:
    """The text of a file; raises UsageError, ConfigError where it is not UTF-8, FileError."""
    try:
        raw = files.read_bytes(path, cap=_CAP)
    except FileNotFoundError as error:
        raise UsageError(
            printable(path) or "''", f"there is no such {kind.name}", _remedy(path, kind)
        ) from error
    except files.WrongKindError as error:
        what = f"is {error.kind}, not a {kind.name}"
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
        raise ConfigError([place.report("", "is not UTF-8 text; save the file as UTF-8")]) from error
    source = Source.of_file(path, text, rank=rank)
    line = _first_foreign_line(text, kind.keys, is_base=rank > 0)
    if line is not None:
        message = f"is not a {kind.name}; a {kind.name} says at least {kind.least}"
        raise ConfigError([Place(Source.of_file(path, "", rank=rank), line, 0).report("", message)])
    return source


def _first_foreign_line(text: str, known: frozenset[str], *, is_base: bool) -> int | None:
    """The first line, from 0, without a known key, of a text that is no file of these keys; None if it is.

    A config may come from somebody else and name any file of this machine as its base. So messages may show
    lines of a file only if most of its keys are a config's; of a file that the user named, one of them.
    """
    content = ["" if _NOT_CONTENT.match(line) else line for line in lines_of(text)]
    lines = textwrap.dedent("\n".join(content)).split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if lines[first].lstrip().startswith("{"):
        names = [match[2] for match in _FLOW_KEY.finditer("\n".join(lines))]
        # nested keys count too, since only the parser can tell; a base must begin with one of its own
        found = known & {*names} if not is_base or known.issuperset(names[:1]) else frozenset()
        others = [first]
    else:
        # without any key at the margin, the first line counts, which is not at the margin
        margin = [(number, line) for number, line in enumerate(lines) if not _NOT_KEYS.match(line)]
        top = margin or [(first, lines[first])] * any(lines)
        keys = {number: match[2] for number, line in top if (match := _TOP_KEY.match(line))}
        if not is_base:  # a mistyped key
            for number in list(keys)[:_MOST_COMPARED]:
                near = difflib.get_close_matches(keys[number], known, n=1, cutoff=_NEAR)
                keys[number] = near[0] if near else keys[number]
        found = known & set(keys.values())
        items = not keys  # `- ...` is an item of the key above, if there is one
        others = [n for n, line in top if keys.get(n) not in known and (items or not line.startswith("- "))]
    if not known or not others or (found & known - _GENERAL and (not is_base or len(found) >= len(others))):
        return None
    return others[0]


def _remedy(path: str, kind: Kind) -> str:
    """What would work instead of a path that is no file: one in that folder, or of a similar name."""
    if files.is_url(path):
        return "download it and give the path of the file"
    inside = _configs_in(os.path.join(path, kind.folder)) or _configs_in(path)
    nearby = _configs_in(os.path.join(_NEARBY, kind.folder))
    candidates = inside or [*_configs_in(os.path.dirname(path)), *nearby]
    by_stem = {_stem(candidate): candidate for candidate in reversed(candidates)}
    near = difflib.get_close_matches(_stem(path), by_stem, n=1)
    if near and not inside:
        return f"did you mean {shell_path(by_stem[near[0]])}?"
    if candidates:
        return f"expected a YAML file such as {shell_path(candidates[0])}"
    return f"expected a YAML file; {kind.way}"


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _configs_in(folder: str) -> list[str]:
    if not files.is_folder(folder or "."):
        return []
    names = (name for name in files.names(folder or ".") if name.endswith((".yaml", ".yml")))
    return [os.path.join(folder, name) for name in names]
