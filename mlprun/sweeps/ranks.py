"""What the order of figures says, whatever their distribution: signed ranks of differences."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from mlprun.sweeps.statistics import LEVEL, Comparison, Interval, middle_of, scale_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

EXACT = 50
"""differences, at most, of which every assignment of signs is counted; of more the sum of ranks is normal"""
TEST = "Wilcoxon's signed ranks"


def compare_ranks(
    first: Mapping[Hashable, float], second: Mapping[Hashable, float], level: float = LEVEL
) -> Comparison:
    """Finite figures over the seeds that both sides have, by the median of their differences.

    The effect is the median of the means of all pairs of differences (Hodges and Lehmann, 1963,
    doi.org/10.1214/aoms/1177704172), the interval the innermost two of these means that hold it; p is
    that of Wilcoxon's signed ranks (1945, doi.org/10.2307/3001968), ties sharing theirs and differences of 0
    left out. Fewer than six differences have no interval of 95%, nor have those that are nearly all equal.
    """
    common = [seed for seed in first if seed in second]
    plain = Comparison(len(common), paired=True, test=TEST)
    if not common:
        return plain
    scale = scale_of(side[seed] for side in (first, second) for seed in common)
    differences = [second[seed] / scale - first[seed] / scale for seed in common]
    means = sorted(
        (one + other) / 2 for place, one in enumerate(differences) for other in differences[place:]
    )
    plain = plain._replace(effect=middle_of(means) * scale)
    if len(common) < 2:
        return plain
    rounding = 4 * math.ulp(max(max(abs(first[seed]), abs(second[seed])) / scale for seed in common))
    p = signed_ranks([one for one in differences if abs(one) > rounding])
    place = _place(len(common), level)
    interval = None if place is None else Interval(means[place] * scale, means[-1 - place] * scale)
    if interval is not None and interval.high - interval.low <= 2 * rounding * scale:
        interval = None  # of no width, as if there were no doubt: most differences are one number
    return plain._replace(interval=interval, p=p, adjusted=p, same=means[-1] - means[0] <= 2 * rounding)


def by_ranks(
    one: Comparison, first: Mapping[Hashable, float], second: Mapping[Hashable, float]
) -> Comparison:
    """A comparison of means over common seeds with its p by signed ranks; any other as it is."""
    if one.p is None or not one.paired:
        return one
    p = compare_ranks(first, second).p
    return one._replace(test=TEST, p=p, adjusted=p)


def signed_ranks(differences: Sequence[float]) -> float:
    """How likely chance alone would make differences, none of them 0, so one-sided, on either side."""
    doubled = doubled_ranks([abs(one) for one in differences])
    whole, positive = (
        sum(doubled),
        sum(rank for rank, one in zip(doubled, differences, strict=True) if one > 0),
    )
    few = min(positive, whole - positive)
    return min(1.0, 2 * _below(few, tuple(sorted(doubled))))


def doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the rank of each value, from 2; equal ones share the mean of theirs."""
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for place, value in enumerate(sorted(values), start=1):
        first.setdefault(value, place)
        last[value] = place
    return [first[value] + last[value] for value in values]


def _below(most: int, doubled: Sequence[int]) -> float:
    """How likely the doubled ranks that get a plus by the throw of a coin add up to `most` or less."""
    if len(doubled) > EXACT:
        # half the distance of two sums of ranks without ties is 1 of doubled ones
        distance = (most + 1 - sum(doubled) / 2) / math.sqrt(sum(rank * rank for rank in doubled) / 4)
        return math.erfc(-distance / math.sqrt(2)) / 2
    return sum(_ways(tuple(doubled))[: most + 1]) / (1 << len(doubled))


@cache
def _ways(doubled: tuple[int, ...]) -> list[int]:
    """How many choices of ranks have each sum, from 0."""
    ways = [1]
    for rank in doubled:
        longer = ways + [0] * rank
        for total, count in enumerate(ways):
            longer[total + rank] += count
        ways = longer
    return ways


@cache
def _place(n: int, level: float) -> int | None:
    """Where the interval begins among the sorted means of pairs; None where n differences have none."""
    doubled = tuple(range(2, 2 * n + 1, 2))
    low, high = -1, n * (n + 1) // 4 + 1
    while high - low > 1:  # the largest sum of ranks that is rare enough
        middle = (low + high) // 2
        low, high = (middle, high) if _below(2 * middle, doubled) <= (1 - level) / 2 else (low, middle)
    return None if low < 0 else low
