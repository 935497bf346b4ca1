"""Tests whether two configurations differ, over common seeds, with intervals that invert the tests."""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from mlprun.analysis.statistics import (
    LEVEL,
    MIN_SAMPLE,
    Interval,
    norm_ppf,
    standard_deviation,
    t_ppf,
    t_sf,
)
from mlprun.sweeps.objective import mean, median, scale_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    Values = Mapping[Hashable, float]

MAX_EXACT = 50
"""Differences up to which Wilcoxon's null distribution is exact; for more it is approximated as normal."""
WILCOXON = "Wilcoxon's signed ranks"
_MIN_CORRELATED = 4
"""Pairs that a rank correlation takes."""


class Comparison(NamedTuple):
    """The effect of a second configuration on a metric, relative to a first; None is what cannot be stated.

    `effect` is second − first: the mean over common seeds (`paired`) or, where there are none, the difference
    of the means. `p` is the p-value of `test`, `adjusted` the same corrected for `comparisons` of them.
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
    """Sizes of two samples without common seeds, whose sum is n."""
    constant: bool = False
    """The difference is the same number on every seed, so that no spread says how certain it is."""

    @property
    def is_evidence(self) -> bool:
        """Whether the difference is significant after correction."""
        return self.adjusted is not None and self.adjusted <= 1 - LEVEL


class Spearman(NamedTuple):
    """A rank correlation over n pairs; None where there are too few, or one side is constant."""

    n: int
    rho: float | None = None
    p: float | None = None


def compare_means(first: Values, second: Values, level: float = LEVEL) -> Comparison:
    """Compare finite metrics of two configurations by seed (or seed and fold).

    Over common seeds this is `paired_t_test`; where the two share one at most and both have three, it is
    Welch's test of two independent means.
    """
    common = sum(seed in second for seed in first)
    if common > 1 or min(len(first), len(second)) < (MIN_SAMPLE if common else 1):
        return paired_t_test(first, second, level)
    return _welch_t_test(list(first.values()), list(second.values()), level)


def paired_t_test(first: Values, second: Values, level: float = LEVEL) -> Comparison:
    """The paired t test over common seeds and the interval that inverts it.

    Where every difference is the same number, t is undefined: there is no interval, and p is that of the sign
    test, which n seeds cannot bring below 2 * 0.5^n.
    """
    differences, scale, rounding = _scaled_differences(first, second)
    n = len(differences)
    if not n:
        return Comparison(0, paired=True, test="paired t")
    effect = mean(differences)
    std = standard_deviation(differences, effect) or 0.0
    result = Comparison(n, paired=True, test="paired t", effect=effect * scale)
    if n < MIN_SAMPLE:
        return result
    if std <= rounding:
        p = 1.0 if abs(effect) <= rounding else 2 * 0.5**n
        return result._replace(test="sign test", p=p, adjusted=p, constant=True)
    return _t_test(result, (effect, std / math.sqrt(n), n - 1), scale, level)


def _t_test(result: Comparison, effect: tuple[float, float, float], scale: float, level: float) -> Comparison:
    """The result with the t test and the interval of an effect, its standard error and degrees of freedom."""
    center, error, df = effect
    half = t_ppf((1 + level) / 2, df) * error
    p = 2 * t_sf(abs(center) / error, df)
    interval = Interval((center - half) * scale, (center + half) * scale)
    return result._replace(interval=interval, p=p, adjusted=p)


def paired_t_test_of_shares(first: Values, second: Values, level: float = LEVEL) -> Comparison:
    """The paired t test of values between 0 and 1, whose difference is between −1 and 1."""
    result = paired_t_test(first, second, level)
    if result.interval is None:
        return result
    return result._replace(interval=Interval(max(-1.0, result.interval.low), min(1.0, result.interval.high)))


def _scaled_differences(first: Values, second: Values) -> tuple[list[float], float, float]:
    """Differences over common seeds divided by a power of two, that power, and a bound on rounding."""
    common = [seed for seed in first if seed in second]
    if not common:
        return [], 1.0, 0.0
    scale = scale_of(side[seed] for side in (first, second) for seed in common)
    differences = [second[seed] / scale - first[seed] / scale for seed in common]
    largest = max(max(abs(first[seed]), abs(second[seed])) / scale for seed in common)
    return differences, scale, 4 * math.ulp(largest)


def _welch_t_test(first: Sequence[float], second: Sequence[float], level: float) -> Comparison:
    """Two independent samples of unequal spread. Source: Welch (1947), doi.org/10.1093/biomet/34.1-2.28."""
    sizes = len(first), len(second)
    result = Comparison(sum(sizes), paired=False, test="Welch's t", sizes=sizes)
    if not min(sizes):
        return result
    scale = scale_of((*first, *second))
    samples = [[value / scale for value in values] for values in (first, second)]
    means = [mean(values) for values in samples]
    effect = means[1] - means[0]
    result = result._replace(effect=effect * scale)
    errors = [
        ((standard_deviation(values, center) or 0.0) ** 2 / len(values), len(values) - 1)
        for values, center in zip(samples, means, strict=True)
    ]
    variance = sum(error for error, _ in errors)
    if min(sizes) < MIN_SAMPLE or not variance:
        return result
    df = variance**2 / sum(error**2 / freedom for error, freedom in errors)
    return _t_test(result, (effect, math.sqrt(variance), df), scale, level)


def mcnemar_test(first: Values, second: Values, level: float = LEVEL) -> Comparison:
    """Compare successes, 0 or 1, over common seeds; the effect is the difference of the success rates.

    p is McNemar's (1947, doi.org/10.1007/BF02295996) for the seeds on which only one configuration succeeds,
    with the continuity correction of Edwards (1948, doi.org/10.1007/BF02289261), which is close to the exact
    p for few seeds too. The interval inverts this test as Tango does (1998, Statistics in Medicine 17,
    891-908).
    """
    common = [seed for seed in first if seed in second]
    n = len(common)
    result = Comparison(n, paired=True, test="McNemar's test")
    if not n:
        return result
    lost = sum(first[seed] > second[seed] for seed in common)
    won = sum(second[seed] > first[seed] for seed in common)
    result = result._replace(effect=(won - lost) / n)
    if n < MIN_SAMPLE:
        return result
    z = max(0, abs(won - lost) - 1) / math.sqrt(max(1, won + lost))
    p = math.erfc(z / math.sqrt(2))
    # exchanging the configurations mirrors the interval
    interval = Interval(-_largest_difference(lost, won, n, level), _largest_difference(won, lost, n, level))
    return result._replace(interval=interval, p=p, adjusted=p)


def _largest_difference(won: int, lost: int, n: int, level: float) -> float:
    """The largest difference of two paired rates that the score test does not reject."""
    z, low, high = norm_ppf((1 + level) / 2), (won - lost) / n, 1.0
    while low < (middle := (low + high) / 2) < high:
        # the most likely share of seeds on which only the first succeeds, given this difference
        b = (2 * n - won + lost) * middle - won - lost
        share = (math.sqrt(b * b + 8 * n * lost * middle * (1 - middle)) - b) / (4 * n)
        error = math.sqrt(n * (2 * share + middle * (1 - middle)))
        low, high = (low, middle) if n * middle - (won - lost) - 1 >= z * error else (middle, high)
    return high


def wilcoxon_test(first: Values, second: Values, level: float = LEVEL) -> Comparison:
    """Compare finite metrics over common seeds by the median of their differences.

    All results come from the Walsh averages, the means of pairs of differences, each with itself too. The
    effect is their median (Hodges and Lehmann, 1963, doi.org/10.1214/aoms/1177704172); p is that of
    Wilcoxon's signed ranks (1945, doi.org/10.2307/3001968), whose sum counts the averages on one side of 0
    (Tukey, 1949); the interval holds the shifts that this test does not reject. An average of 0 counts for
    both sides, which makes p larger. Fewer than six differences have no interval of 95%, nor have those that
    are nearly all equal. `scipy.stats.wilcoxon` has no interval, and drops
    differences of 0.
    """
    differences, scale, rounding = _scaled_differences(first, second)
    n = len(differences)
    result = Comparison(n, paired=True, test=WILCOXON)
    if not n:
        return result
    pairs = ((one + other) / 2 for index, one in enumerate(differences) for other in differences[index:])
    averages = sorted(0.0 if abs(average) <= rounding else average for average in pairs)
    result = result._replace(effect=median(averages) * scale)
    if n < MIN_SAMPLE:
        return result
    rank_sum = min(sum(one <= 0 for one in averages), sum(one >= 0 for one in averages))
    p = min(1.0, 2 * _rank_sum_cdf(rank_sum, n))
    index = _first_average(n, level)
    interval = None if index is None else Interval(averages[index] * scale, averages[-1 - index] * scale)
    if interval is not None and interval.high - interval.low <= 2 * rounding * scale:
        interval = None  # of no width, as if there were no doubt: most differences are one number
    constant = averages[-1] - averages[0] <= 2 * rounding
    return result._replace(interval=interval, p=p, adjusted=p, constant=constant)


def _rank_sum_cdf(most: int, n: int) -> float:
    """The probability that the ranks 1 to n, each counted on heads of a coin, add up to `most` or less."""
    if n > MAX_EXACT:
        center, variance = n * (n + 1) / 4, n * (n + 1) * (2 * n + 1) / 24
        return math.erfc((center - most - 0.5) / math.sqrt(2 * variance)) / 2
    return sum(_subset_counts(n)[: most + 1]) / (1 << n)


@cache
def _subset_counts(n: int) -> list[int]:
    """How many subsets of the ranks 1 to n have each sum, from 0."""
    counts = [1] + [0] * (n * (n + 1) // 2)
    for rank in range(1, n + 1):
        for total in range(len(counts) - 1, rank - 1, -1):
            counts[total] += counts[total - rank]
    return counts


@cache
def _first_average(n: int, level: float) -> int | None:
    """The index of the sorted Walsh average where the interval begins; None where n is too small for one."""
    sums = range(n * (n + 1) // 4 + 1)
    rare = bisect_right(sums, (1 - level) / 2, key=lambda most: _rank_sum_cdf(most, n))
    return rare - 1 if rare else None


def spearman(pairs: Sequence[tuple[float, float]]) -> Spearman:
    """Spearman's rank correlation; p by Student's t. Source: Spearman (1904), doi.org/10.2307/1412159."""
    if len(pairs) < _MIN_CORRELATED or any(len(set(side)) == 1 for side in zip(*pairs, strict=True)):
        return Spearman(len(pairs))
    from scipy.stats import spearmanr

    result = spearmanr(pairs)
    return Spearman(len(pairs), float(result.statistic), float(result.pvalue))


def bonferroni(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with p-values corrected for all of them being made at once.

    Holm's correction would find a little more, but no interval of each comparison corresponds to it; here an
    interval of level `simultaneous_level` excludes 0 if and only if the corrected p is at most 0.05.

    Source: Dunn (1961), doi.org/10.1080/01621459.1961.10482090
    """
    count = count_tests(comparisons)
    return [
        one._replace(adjusted=None if one.p is None else min(1.0, count * one.p), comparisons=count)
        for one in comparisons
    ]


def count_tests(comparisons: Iterable[Comparison]) -> int:
    """The number of comparisons that have a p-value, at least 1."""
    return max(1, sum(one.p is not None for one in comparisons))


def simultaneous_level(count: int) -> float:
    """The level of each of `count` intervals that all of them cover the truth with probability `LEVEL`."""
    return 1 - (1 - LEVEL) / count
