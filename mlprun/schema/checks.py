"""What pydantic cannot see: combinations across sections that cannot work, each with the reason.

A check names the sections it reads and runs when those are valid, whatever else is wrong; one that takes
facts runs when the data is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlprun.parts.datasets import Facts
    from mlprun.schema.model import Config
    from mlprun.schema.problems import Problem


def check(config: Config, facts: Facts | None, valid: frozenset[str]) -> list[Problem]:
    """Every problem of the sections in `valid`."""
    return []
