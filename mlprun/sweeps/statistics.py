"""What figures over seeds say: means with intervals, success rates, and whether settings differ.

Numbers that are not finite have no mean; whoever calls leaves them out and counts them apart.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from mlprun.sweeps.distributions import heads, normal_reach, t_reach, t_tails

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

LEVEL = 0.95
"""of all intervals: so often they cover the truth, were the whole sweep repeated with other seeds"""
FEWEST = 3
"""values that an interval or a test of means takes: with two, Student's t reaches 12.7 standard errors"""


class Interval(NamedTuple):
    """From `low` to `high`."""

    low: float
    high: float


class Sample(NamedTuple):
    """Figures of one setting over its seeds; None is what so few of them cannot say.

    `interval` is Student's, of the mean; `median_interval` lies between two of the figures themselves and
    assumes nothing of their distribution.
    """

    n: int
    mean: float | None = None
    deviation: float | None = None
    interval: Interval | None = None
    median: float | None = None
    median_interval: Interval | None = None
    smallest: float | None = None
    largest: float | None = None


class Rate(NamedTuple):
    """A share of trials with Wilson's interval; None without trials."""

    successes: int
    n: int
    rate: float | None = None
    interval: Interval | None = None
    independent: int = 0
    """what the interval takes for n: all trials, or the seeds where each has several"""


def sample(values: Sequence[float], level: float = LEVEL) -> Sample:
    """Mean, standard deviation (n − 1), median and their intervals of finite numbers."""
    assert all(map(math.isfinite, values)), "figures without a value are counted apart"
    if not values:
        return Sample(0)
    ordered = sorted(values)
    mean = mean_of(ordered)
    middle = middle_of(ordered)
    deviation = deviation_of(ordered, mean)
    return Sample(
        len(ordered),
        mean,
        deviation,
        None if deviation is None or len(ordered) < FEWEST else _around(mean, deviation, len(ordered), level),
        middle,
        _between(ordered, level),
        ordered[0],
        ordered[-1],
    )


def mean_of(values: Sequence[float]) -> float:
    """The mean, which of equal numbers is that number."""
    scale = scale_of(values)
    mean = math.fsum(value / scale for value in values) / len(values) * scale
    return min(max(mean, min(values)), max(values))


def middle_of(ordered: Sequence[float]) -> float:
    """The median of sorted numbers."""
    return mean_of(ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1])


def deviation_of(values: Sequence[float], mean: float) -> float | None:
    """The standard deviation with n − 1; None of a single number."""
    if len(values) < 2:
        return None
    scale = scale_of(values)
    squares = ((value / scale - mean / scale) ** 2 for value in values)
    return math.sqrt(math.fsum(squares) / (len(values) - 1)) * scale


def scale_of(values: Iterable[float]) -> float:
    """The power of two by which numbers are divided, exactly, so that their squares are finite and not 0."""
    largest = max(map(abs, values), default=0.0)
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest else 1.0


def _around(mean: float, deviation: float, n: int, level: float) -> Interval:
    half = t_reach(level, n - 1) * (deviation / math.sqrt(n))
    return Interval(mean - half, mean + half)


def _between(ordered: Sequence[float], level: float) -> Interval | None:
    """The innermost two of the sorted figures that hold the median with probability `level`, or more."""
    low, high = 0, len(ordered) // 2 + 1
    while high - low > 1:  # the largest place k with heads(k - 1) small enough
        middle = (low + high) // 2
        low, high = (middle, high) if heads(middle - 1, len(ordered)) <= (1 - level) / 2 else (low, middle)
    return Interval(ordered[low - 1], ordered[-low]) if low else None


def rate(successes: int, n: int, independent: int | None = None, level: float = LEVEL) -> Rate:
    """A share with its interval, which is of use near 0 and 1 and for few trials too.

    Where trials depend on one another, as those of a seed do, so many as are independent stand for n in the
    interval: the worst case, in which a seed's trials all say the same.

    Source: Wilson (1927), doi.org/10.1080/01621459.1927.10502953
    """
    if not n:
        return Rate(0, 0)
    of = n if independent is None else independent
    share, z = successes / n, normal_reach(level)
    weight = 1 + z * z / of
    middle = (share + z * z / (2 * of)) / weight
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / weight
    # the ends are exactly 0 and 1 where none or all succeeded, but for the last digit
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return Rate(successes, n, share, Interval(low, high), of)


class Comparison(NamedTuple):
    """What setting `second` does to a figure against `first`.

    `effect` is second less first: the mean over seeds that both have (`paired`), or, where they share none,
    the difference of their means. `p` is how often chance alone would give so large an effect (by `test`),
    `adjusted` that among all comparisons made beside it, `comparisons` of them. None is what cannot be said.
    """

    n: int
    paired: bool
    test: str
    effect: float | None = None
    interval: Interval | None = None
    p: float | None = None
    adjusted: float | None = None
    comparisons: int = 1
    sizes: tuple[int, int] | None = None
    """of two samples that share no seeds: n is their sum"""
    same: bool = False
    """the difference is the same number on every seed: no spread tells how sure that is"""

    @property
    def is_evidence(self) -> bool:
        """Whether there is evidence of a difference."""
        return self.adjusted is not None and self.adjusted <= 1 - LEVEL


def compare(
    first: Mapping[Hashable, float], second: Mapping[Hashable, float], level: float = LEVEL
) -> Comparison:
    """Two settings' finite figures by seed (or seed and fold).

    Over common seeds it is `compare_paired`; where they share one at most and both have three, test and
    interval are of two independent means (Welch).
    """
    common = sum(seed in second for seed in first)
    if common > 1 or min(len(first), len(second)) < (FEWEST if common else 1):
        return compare_paired(first, second, level)
    return _unpaired(list(first.values()), list(second.values()), level)


def compare_paired(
    first: Mapping[Hashable, float], second: Mapping[Hashable, float], level: float = LEVEL
) -> Comparison:
    """Finite figures over the seeds that both sides have: the paired t test and the interval that inverts it.

    Where every difference is the same number, t says nothing: there is no interval, and p is that of the
    sign test, which n seeds cannot bring below 2 * 0.5^n.
    """
    common = [seed for seed in first if seed in second]
    if not common:
        return Comparison(0, paired=True, test="paired t")
    scale = scale_of(side[seed] for side in (first, second) for seed in common)
    differences = [second[seed] / scale - first[seed] / scale for seed in common]
    n, effect = len(common), mean_of(differences)
    deviation = deviation_of(differences, effect) or 0.0
    plain = Comparison(n, paired=True, test="paired t", effect=effect * scale)
    if n < FEWEST:
        return plain
    rounding = 4 * math.ulp(max(max(abs(first[seed]), abs(second[seed])) / scale for seed in common))
    if deviation <= rounding:
        p = 1.0 if abs(effect) <= rounding else 2 * 0.5**n
        return plain._replace(test="sign test", p=p, adjusted=p, same=True)
    p = t_tails(effect / (deviation / math.sqrt(n)), n - 1)
    low, high = _around(effect, deviation, n, level)
    return plain._replace(interval=Interval(low * scale, high * scale), p=p, adjusted=p)


def _unpaired(first: Sequence[float], second: Sequence[float], level: float) -> Comparison:
    """Two independent samples of unequal spread. Source: Welch (1947), doi.org/10.1093/biomet/34.1-2.28."""
    fewest = min(len(first), len(second))
    sizes = len(first), len(second)
    plain = Comparison(sum(sizes), paired=False, test="Welch's t", sizes=sizes)
    if fewest == 0:
        return plain
    scale = scale_of((*first, *second))
    scaled = [[value / scale for value in values] for values in (first, second)]
    means = [mean_of(values) for values in scaled]
    effect = means[1] - means[0]
    plain = plain._replace(effect=effect * scale)
    shares = [
        ((deviation_of(values, mean) or 0.0) ** 2 / len(values), len(values) - 1)
        for values, mean in zip(scaled, means, strict=True)
    ]
    variance = sum(share for share, _ in shares)
    if fewest < FEWEST or not variance:
        return plain
    freedom = variance**2 / sum(share**2 / less for share, less in shares)
    half = t_reach(level, freedom) * math.sqrt(variance)
    p = t_tails(effect / math.sqrt(variance), freedom)
    interval = Interval((effect - half) * scale, (effect + half) * scale)
    return plain._replace(interval=interval, p=p, adjusted=p)


def compare_rates(
    first: Mapping[Hashable, float], second: Mapping[Hashable, float], level: float = LEVEL
) -> Comparison:
    """Two settings' successes, 0 or 1, by seed, over the seeds that both have: the difference of their rates.

    p is McNemar's (1947, doi.org/10.1007/BF02295996) for the seeds on which only one setting succeeds, with
    the continuity correction of Edwards (1948, doi.org/10.1007/BF02289261), by which it is close to the exact
    p for few seeds too. The interval inverts this test as Tango does (1998, Statistics in Medicine 17,
    891-908).
    """
    common = [seed for seed in first if seed in second]
    n = len(common)
    plain = Comparison(n, paired=True, test="McNemar's test")
    if not n:
        return plain
    lost = sum(first[seed] > second[seed] for seed in common)
    won = sum(second[seed] > first[seed] for seed in common)
    plain = plain._replace(effect=(won - lost) / n)
    if n < FEWEST:
        return plain
    z = max(0, abs(won - lost) - 1) / math.sqrt(max(1, won + lost))
    p = math.erfc(z / math.sqrt(2))
    # exchanging the settings mirrors the interval
    interval = Interval(-_largest_difference(lost, won, n, level), _largest_difference(won, lost, n, level))
    return plain._replace(interval=interval, p=p, adjusted=p)


def _largest_difference(won: int, lost: int, n: int, level: float) -> float:
    """The largest difference of two paired rates that the score test does not reject."""
    reach, low, high = normal_reach(level), (won - lost) / n, 1.0
    while low < (middle := (low + high) / 2) < high:
        # the most likely share of seeds on which only the first succeeds, given this difference
        b = (2 * n - won + lost) * middle - won - lost
        share = (math.sqrt(b * b + 8 * n * lost * middle * (1 - middle)) - b) / (4 * n)
        error = math.sqrt(n * (2 * share + middle * (1 - middle)))
        low, high = (low, middle) if n * middle - (won - lost) - 1 >= reach * error else (middle, high)
    return high


def compare_shares(
    first: Mapping[Hashable, float], second: Mapping[Hashable, float], level: float = LEVEL
) -> Comparison:
    """As `compare_paired`, of figures between 0 and 1, whose difference is at most 1 either way."""
    one = compare_paired(first, second, level)
    if one.interval is None:
        return one
    return one._replace(interval=Interval(max(-1.0, one.interval.low), min(1.0, one.interval.high)))


def among(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons, each with p as it is when all of them are made at once: Bonferroni's correction.

    Holm's correction would find a little more, but no interval of each comparison corresponds to it; here an
    interval of level `simultaneous` excludes 0 if and only if the corrected p is at most 0.05.

    Source: Dunn (1961), doi.org/10.1080/01621459.1961.10482090
    """
    count = tested(comparisons)
    return [
        one._replace(adjusted=None if one.p is None else min(1.0, count * one.p), comparisons=count)
        for one in comparisons
    ]


def tested(comparisons: Iterable[Comparison]) -> int:
    """How many comparisons have a p, 1 at least."""
    return max(1, sum(one.p is not None for one in comparisons))


def simultaneous(count: int) -> float:
    """The level of each of so many intervals that all of them cover the truth with probability `LEVEL`."""
    return 1 - (1 - LEVEL) / count
