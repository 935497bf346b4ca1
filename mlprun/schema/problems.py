"""What is wrong with a config: one thing each, at a path, told in the order of the files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlprun.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlprun.config import Document, Path

_MOST: Final = 100


@dataclass(frozen=True)
class Problem:
    """A message about the value at a path, or about its key."""

    path: Path
    message: str
    at_key: bool = False


def refuse(document: Document, problems: Iterable[Problem]) -> None:
    """Raise ConfigError with every problem; does nothing when there is none."""
    found = sorted(problems, key=lambda problem: document.order(problem.path, at_key=problem.at_key))
    lines = [document.problem(p.path, p.message, at_key=p.at_key) for p in found[:_MOST]]
    if len(found) > _MOST:
        lines.append(f"{document.title}: more problems follow; correct these first")
    if lines:
        raise ConfigError(lines)
