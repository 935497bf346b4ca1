"""Means of the figure at each value of a parameter: over what they are, and with which intervals."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.analysis import pooling, statistics
from mlprun.figures.sweeps import chance

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.analysis.pooling import Values
    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.figures.sweeps.subject import Sweep

LINES = 6
"""values of the other parameter that have a line of their own, at most"""
ENOUGH = 5
"""settings that were drawn with one value, at least, for an interval of their mean"""

Over = Literal["seeds", "settings", ""]


@dataclass(frozen=True)
class Means:
    """A line over the values of a parameter: the mean at each and its interval, nan where there is none."""

    label: str
    places: NDArray[np.float64]
    means: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    counts: tuple[int, ...]
    """how many figures each mean is over"""


@dataclass(frozen=True)
class Averages:
    """The lines of one parameter, and what they stand for."""

    lines: tuple[Means, ...] = ()
    other: str = ""
    """the parameter that the lines are values of; empty where there is one line"""
    over: Over = ""
    """what the means are over; empty where there are none"""
    left_out: int = 0
    """figures without a partner at another value"""
    without: int = 0
    """values without a mean, since most of their trials lack a figure"""


def averages(sweep: Sweep, one: Dimension) -> Averages:
    """What can be averaged at each value of a parameter so that its values are compared like with like.

    Of one or two parameters each mean is of one setting, over its own seeds. Of more in a grid it is over
    settings alike in all else, seed by seed; a trial without a figure takes away those beside it.
    Of settings that were drawn at random it is over those with that value. Otherwise there are none: settings
    that a search chose, or that differ in several parameters at once, differ by more than this value.
    """
    known = [line for line in sweep.lines if line.stats.n and one.path in line.setting.values]
    levels = one.sorted_in(known)
    is_drawn = one.path in chance.drawn(sweep.description)
    if len(sweep.dimensions) == 1 or (max(map(len, levels)) == 1 and not is_drawn):
        line = _of_seeds("", one, levels)
        return Averages((line,), over="seeds") if one.is_few or max(line.counts) > 1 else Averages()
    if not one.is_few:
        return Averages()
    other = _other(sweep, one)
    if other is not None:
        groups = zip(other.labels, other.sorted_in(known), strict=True)
        lines = tuple(_of_seeds(label, one, one.sorted_in(some)) for label, some in groups if some)
        return Averages(lines, other.name, "seeds")
    if not is_drawn:
        return _over_others(one, known)
    return Averages((_of_settings(one, levels),), over="settings") if _is_plain(sweep) else Averages()


def _is_plain(sweep: Sweep) -> bool:
    """Whether settings were drawn independently, and none of them given up for what it reached."""
    description = sweep.description
    return not (chance.is_adaptive(description) or description.definition.get("grid") or sweep.pruned)


def _other(sweep: Sweep, one: Dimension) -> Dimension | None:
    """The parameter whose values have lines of their own: the only other one of a grid, with few values."""
    others = [other for other in sweep.dimensions if other.path != one.path]
    alone = len(others) == 1 and len(others[0].levels) <= LINES and sweep.is_grid
    return others[0] if alone else None


def _of_seeds(label: str, one: Dimension, levels: Sequence[Sequence[ConfigurationSummary]]) -> Means:
    """Means of single settings over their seeds."""
    return _means(label, one, [list(lines[0].values.values()) if lines else [] for lines in levels])


def _of_settings(one: Dimension, levels: Sequence[Sequence[ConfigurationSummary]]) -> Means:
    """Means over settings that were drawn independently of one another."""
    figures = [[line.stats.mean for line in lines if line.stats.mean is not None] for lines in levels]
    return _means("", one, figures, ENOUGH)


def _means(label: str, one: Dimension, figures: Sequence[Sequence[float]], enough: int = 2) -> Means:
    rows, counts = [], []
    for level, some in zip(one.levels, figures, strict=True):
        found = statistics.sample_stats(some)
        if found.mean is not None:
            interval = found.interval if found.n >= enough else None
            rows.append((one.place(level), found.mean, *(interval or (np.nan, np.nan))))
            counts.append(found.n)
    places, means, low, high = np.array(rows, np.float64).reshape(-1, 4).T
    return Means(label, places, means, low, high, tuple(counts))


def _over_others(one: Dimension, known: Sequence[ConfigurationSummary]) -> Averages:
    """Means over settings alike in all but this parameter, as `sweep compare --by` takes them."""
    by_value = pooling.group_by_value(known, one.path)
    values: dict[int, Mapping[Hashable, Values]] = {
        one.index(json.loads(value)): {others: line.values for others, line in lines.items()}
        for value, lines in by_value.items()
    }
    every = {(others, seed) for value in values.values() for others, some in value.items() for seed in some}
    most = {k: value for k, value in values.items() if sum(map(len, value.values())) * 2 >= len(every)}
    found = pooling.center_by_configuration(list(most.values()))
    figures: list[list[float]] = [[] for _ in one.levels]
    for k, means in zip(most, found.means, strict=True):
        figures[k] = list(means.values())
    if not any(figures):
        return Averages()
    without = sum(k in values and not some for k, some in enumerate(figures))
    return Averages((_means("", one, figures),), "", "seeds", found.left_out, without)
