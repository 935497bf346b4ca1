"""What the order of figures says, whatever their distribution: signed ranks of differences."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from mlprun.sweeps.statistics import FEWEST, LEVEL, Comparison, Interval, middle_of, scale_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

EXACT = 50
"""differences, at most, of which every assignment of signs is counted; of more the sum of ranks is normal"""
TEST = "Wilcoxon's signed ranks"


def compare_ranks(
    first: Mapping[Hashable, float], second: Mapping[Hashable, float], level: float = LEVEL
) -> Comparison:
    """Finite figures over the seeds that both sides have, by the median of their differences.

    All come from the means of pairs of differences, each with itself too: the effect is their median (Hodges
    and Lehmann, 1963, doi.org/10.1214/aoms/1177704172), p is that of Wilcoxon's signed ranks (1945,
    doi.org/10.2307/3001968), whose sum counts those on one side of 0 (Tukey, 1949), and the interval holds
    the shifts that this test does not reject. A mean of 0 counts for both sides, which makes p larger. Fewer
    than six differences have no interval of 95%, nor have those that are nearly all equal.
    """
    common = [seed for seed in first if seed in second]
    plain = Comparison(len(common), paired=True, test=TEST)
    if not common:
        return plain
    scale = scale_of(side[seed] for side in (first, second) for seed in common)
    differences = [second[seed] / scale - first[seed] / scale for seed in common]
    rounding = 4 * math.ulp(max(max(abs(first[seed]), abs(second[seed])) / scale for seed in common))
    pairs = ((one + other) / 2 for place, one in enumerate(differences) for other in differences[place:])
    means = sorted(0.0 if abs(mean) <= rounding else mean for mean in pairs)
    plain = plain._replace(effect=middle_of(means) * scale)
    if len(common) < FEWEST:
        return plain
    few = min(sum(one <= 0 for one in means), sum(one >= 0 for one in means))
    p = min(1.0, 2 * _below(few, len(common)))
    place = _place(len(common), level)
    interval = None if place is None else Interval(means[place] * scale, means[-1 - place] * scale)
    if interval is not None and interval.high - interval.low <= 2 * rounding * scale:
        interval = None  # of no width, as if there were no doubt: most differences are one number
    return plain._replace(interval=interval, p=p, adjusted=p, same=means[-1] - means[0] <= 2 * rounding)


def doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the rank of each value, from 2; equal ones share the mean of theirs."""
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for place, value in enumerate(sorted(values), start=1):
        first.setdefault(value, place)
        last[value] = place
    return [first[value] + last[value] for value in values]


def _below(most: int, n: int) -> float:
    """How likely the ranks 1 to n that get a plus by the throw of a coin add up to `most` or less."""
    if n > EXACT:
        mean, variance = n * (n + 1) / 4, n * (n + 1) * (2 * n + 1) / 24
        return math.erfc((mean - most - 0.5) / math.sqrt(2 * variance)) / 2
    return sum(_ways(n)[: most + 1]) / (1 << n)


@cache
def _ways(n: int) -> list[int]:
    """How many choices of the ranks 1 to n have each sum, from 0."""
    ways = [1]
    for rank in range(1, n + 1):
        longer = ways + [0] * rank
        for total, count in enumerate(ways):
            longer[total + rank] += count
        ways = longer
    return ways


@cache
def _place(n: int, level: float) -> int | None:
    """Where the interval begins among the sorted means of pairs; None where n differences have none."""
    low, high = -1, n * (n + 1) // 4 + 1
    while high - low > 1:  # the largest sum of ranks that is rare enough
        middle = (low + high) // 2
        low, high = (middle, high) if _below(middle, n) <= (1 - level) / 2 else (low, middle)
    return None if low < 0 else low
