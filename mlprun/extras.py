"""Libraries that mlprun can do without: what its installation says of them, and how one comes to them.

An extra carries the name of its library, but for `dev`.
"""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from mlprun.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Requirements(NamedTuple):
    """What this installation of mlprun requires, such as `numpy>=2.0`, and what each of its extras does."""

    always: list[str]
    extras: dict[str, list[str]]


def requirements() -> Requirements:
    """As the installed metadata has them; nothing where mlprun runs from its source folder, not installed."""
    from importlib import metadata  # here, since only those ask who lack a library

    found = Requirements([], {})
    try:
        lines = metadata.requires("mlprun") or []
    except metadata.PackageNotFoundError:
        lines = []
    for line in lines:
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra == ['\"]([^'\"]+)", marker)
        (found.extras.setdefault(extra[1], []) if extra else found.always).append(requirement.strip())
    return found


def remedy(needed: Iterable[str]) -> str:
    """What installs libraries however mlprun was: its own name with extras is known to no index."""
    return f"pip install {shlex.join(needed)}"


def need(library: str, *, where: str) -> None:
    """Raise UsageError where an extra's library is absent; `where` is what asks for it."""
    if find_spec(library) is None:
        needed = requirements().extras.get(library, [library])
        raise UsageError(where, f"{library.capitalize()} is not installed", remedy(needed))
