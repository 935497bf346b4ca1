"""What a check is, and how those run whose sections are valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mlprun.parts.datasets import Facts
    from mlprun.schema.model import Config
    from mlprun.schema.problems import Problem

OfConfig = Callable[["Config"], "Iterator[Problem]"]
OfData = Callable[["Config", "Facts"], "Iterator[Problem]"]


class Check(NamedTuple):
    """A function that finds problems, and the sections it reads."""

    sections: frozenset[str]
    of_config: OfConfig | None = None
    of_data: OfData | None = None


CHECKS: list[Check] = []


def reads(*sections: str) -> Callable[[OfConfig], OfConfig]:
    """Declare a check that reads these sections."""

    def declare(function: OfConfig) -> OfConfig:
        CHECKS.append(Check(frozenset(sections), of_config=function))
        return function

    return declare


def reads_data_and(*sections: str) -> Callable[[OfData], OfData]:
    """Declare a check that reads the facts of the dataset and these sections."""

    def declare(function: OfData) -> OfData:
        CHECKS.append(Check(frozenset(sections), of_data=function))
        return function

    return declare


def check(config: Config, facts: Facts | None, valid: frozenset[str]) -> list[Problem]:
    """Every problem of the sections in `valid`; without `facts` those that need no data."""
    problems: list[Problem] = []
    for one in CHECKS:
        if not one.sections <= valid:
            continue
        if one.of_config is not None:
            problems += one.of_config(config)
        elif one.of_data is not None and facts is not None:
            problems += one.of_data(config, facts)
    return problems
