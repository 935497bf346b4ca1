"""Optional libraries: whether they are installed, and the command that installs them.

Each extra is named after its library, apart from `dev`.
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
    """The requirements of this installation, such as `numpy>=2.0`, and those of each extra."""

    always: list[str]
    extras: dict[str, list[str]]


def requirements() -> Requirements:
    """Return the requirements in the installed metadata; none if mlprun runs from its source folder."""
    from importlib import metadata  # here, since it is only needed where a library is missing

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
    """Return the command that installs libraries; no index knows mlprun with its extras."""
    return f"pip install {shlex.join(needed)}"


def need(library: str, *, where: str, title: str = "") -> None:
    """Raise UsageError if an extra's library is absent; `where` is what asks for it."""
    found = find_spec(library)
    if (
        found is None or found.origin is None
    ):  # a folder without code, as wandb leaves in the working directory
        needed = requirements().extras.get(library, [library])
        raise UsageError(where, f"{title or library.capitalize()} is not installed", remedy(needed))
