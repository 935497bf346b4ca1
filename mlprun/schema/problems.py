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
    """Raise ConfigError with every problem, those of reading among them; does nothing when there is none."""
    found: list[tuple[tuple[int, int, int], Problem | str]] = [*document.complaints]
    read = {order for order, _ in found}
    for problem in problems:
        order = document.order(problem.path, at_key=problem.at_key)
        # a value that could not be read is wrong again as what stands there in its stead
        if not document.is_unknown(problem.path) and (problem.at_key or order not in read):
            found.append((order, problem))
    found.sort(key=lambda pair: pair[0])
    lines = [_told(document, problem) for _, problem in found[:_MOST]]
    if len(found) > _MOST:
        lines.append(f"{document.title}: more problems follow; correct these first")
    if lines:
        raise ConfigError(lines)


def _told(document: Document, problem: Problem | str) -> str:
    if isinstance(problem, str):
        return problem
    return document.problem(problem.path, problem.message, at_key=problem.at_key)
