"""Whether a figure goes up or down with a parameter that has too many values to compare each with each."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mlprun.errors import UsageError
from mlprun.sweeps import comparing, reading, words
from mlprun.sweeps.distributions import t_tails
from mlprun.sweeps.ranks import doubled_ranks
from mlprun.sweeps.statistics import LEVEL, deviation_of, mean_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.sweeps.summary import Line, Summary

MOST = 8
"""values of a parameter that are compared each with each"""
_FEWEST = 4
"""settings of which a correlation says something"""


class Spearman(NamedTuple):
    """A rank correlation over `n` pairs; None where they are too few, or all alike on one side."""

    n: int
    rho: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Correlation:
    """A parameter and a figure (or the success rate), over settings."""

    path: str
    name: str
    figure: str
    spearman: Spearman

    @property
    def verdict(self) -> str:
        """Whether there is evidence of a direction, in words."""
        one, figure = self.spearman, self.figure
        if figure == comparing.SUCCESS:
            figure = "the success rate"
        if one.rho is None or one.p is None:
            return f"too few settings, or all alike: nothing tells whether {figure} goes with {self.name}"
        p = "p < 0.001" if one.p < 0.001 else f"p = {one.p:.2g}"
        told = f"rank correlation {words.shown(round(one.rho, 3))} over {one.n} settings, {p} (Spearman)"
        if one.p > 1 - LEVEL:
            return f"no evidence that {figure} rises or falls with {self.name}: {told}"
        return f"evidence that {figure} {'rises' if one.rho > 0 else 'falls'} with {self.name}: {told}"


def is_for(summary: Summary, parameter: str) -> bool:
    """Whether a parameter has too many values to be compared. UsageError where they are no numbers."""
    path = comparing.path_of(summary, parameter)
    values = {json.dumps(line.setting.values.get(path)) for line in summary.lines}
    if len(values) <= MOST:
        return False
    if not all(_is_number(line.setting.values.get(path)) for line in summary.lines):
        what = f"{parameter} has {len(values)} values, too many to compare each with each, and no numbers"
        raise UsageError("--by", what, "compare settings by their numbers")
    return True


def correlate(summary: Summary, parameter: str) -> list[Correlation]:
    """A parameter against the figure and, where the sweep says what it is, against success."""
    path = comparing.path_of(summary, parameter)
    name = reading.short_names(summary.description.parameters)[path]
    figures = [summary.column, *([comparing.SUCCESS] if summary.description.success is not None else [])]
    found = []
    for figure in figures:
        values = [(line.setting.values[path], _of(line, figure, summary.aggregate)) for line in summary.lines]
        pairs = [(float(value), reached) for value, reached in values if reached is not None]
        found.append(Correlation(path, name, figure, spearman(pairs)))
    return found


def spearman(pairs: Sequence[tuple[float, float]]) -> Spearman:
    """The correlation of ranks, ties sharing theirs; p by Student's t.

    Source: Spearman (1904), doi.org/10.2307/1412159
    """
    n = len(pairs)
    if n < _FEWEST:
        return Spearman(n)
    sides = [[float(rank) for rank in doubled_ranks(side)] for side in zip(*pairs, strict=True)]
    means = [mean_of(side) for side in sides]
    spreads = [deviation_of(side, mean) or 0.0 for side, mean in zip(sides, means, strict=True)]
    if not all(spreads):
        return Spearman(n)
    products = ((one - means[0]) * (other - means[1]) for one, other in zip(*sides, strict=True))
    rho = max(-1.0, min(1.0, math.fsum(products) / (n - 1) / (spreads[0] * spreads[1])))
    rest = 1 - rho * rho
    return Spearman(n, rho, t_tails(rho * math.sqrt((n - 2) / rest), n - 2) if rest > 0 else 0.0)


def _of(line: Line, figure: str, aggregate: str) -> float | None:
    if figure == comparing.SUCCESS:
        return line.success.rate if line.success is not None else None
    return line.sample.median if aggregate == "median" else line.sample.mean


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
