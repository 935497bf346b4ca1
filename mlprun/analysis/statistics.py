"""Means, medians and success rates over seeds, with intervals; and the distributions that these take.

Metrics that are not finite have no mean; callers leave them out and count them apart.

SciPy has these distributions, but importing them takes 0.2 to 0.6 s, more than all of `mlprun sweep
show`. So the few that are needed are our own, tested against SciPy's to 9 digits.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from mlprun.sweeps.objective import mean, median, scale_of

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.95
"""Confidence level of all intervals, over repetitions of the sweep with other seeds."""
MIN_SAMPLE = 3
"""Values that an interval or a test of means takes: with two, Student's t reaches 12.7 standard errors."""
_MAX_TERMS = 100_000
_PRECISION = 1e-15


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class SampleStats(NamedTuple):
    """Statistics of a configuration's metric over seeds; None where there are too few values.

    `interval` is Student's t interval of the mean. `median_interval` lies between two of the values and
    assumes nothing about their distribution.
    """

    n: int
    mean: float | None = None
    std: float | None = None
    interval: Interval | None = None
    median: float | None = None
    median_interval: Interval | None = None
    minimum: float | None = None
    maximum: float | None = None


class SuccessRate(NamedTuple):
    """A share of trials with Wilson's interval; None without trials."""

    successes: int
    n: int
    rate: float | None = None
    interval: Interval | None = None
    independent: int = 0
    """Sample size of the interval: all trials, or the seeds where each seed has several trials."""


def sample_stats(values: Sequence[float]) -> SampleStats:
    """Summarize finite numbers by mean, standard deviation (n − 1), median, and intervals."""
    assert all(map(math.isfinite, values)), "values that are not finite are counted apart"
    if not values:
        return SampleStats(0)
    ordered = sorted(values)
    center = mean(ordered)
    std = standard_deviation(ordered, center)
    interval = None
    if std is not None and len(ordered) >= MIN_SAMPLE:
        half = t_ppf((1 + LEVEL) / 2, len(ordered) - 1) * (std / math.sqrt(len(ordered)))
        interval = Interval(center - half, center + half)
    median_interval = _median_interval(ordered)
    return SampleStats(
        len(ordered), center, std, interval, median(ordered), median_interval, ordered[0], ordered[-1]
    )


def standard_deviation(values: Sequence[float], center: float) -> float | None:
    """The standard deviation around the mean `center` with n − 1; None for a single number."""
    if len(values) < 2:
        return None
    scale = scale_of(values)
    squares = ((value / scale - center / scale) ** 2 for value in values)
    return math.sqrt(math.fsum(squares) / (len(values) - 1)) * scale


def _median_interval(ordered: Sequence[float]) -> Interval | None:
    """The innermost two order statistics that enclose the median with a probability of at least LEVEL."""
    ranks = range(len(ordered) // 2)
    rank = bisect_right(ranks, (1 - LEVEL) / 2, key=lambda k: binom_cdf(k, len(ordered)))
    return Interval(ordered[rank - 1], ordered[-rank]) if rank else None


def success_rate(successes: int, n: int, independent: int | None = None) -> SuccessRate:
    """A share with Wilson's interval, which holds near 0 and 1 and for few trials too.

    Trials may depend on one another, as those of one seed do. Then `independent`, the number of seeds, is the
    sample size of the interval: the worst case, in which all trials of a seed agree.

    Source: Wilson (1927), doi.org/10.1080/01621459.1927.10502953
    """
    if not n:
        return SuccessRate(0, 0)
    size = n if independent is None else independent
    share, z = successes / n, norm_ppf((1 + LEVEL) / 2)
    weight = 1 + z * z / size
    center = (share + z * z / (2 * size)) / weight
    half = z * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size)) / weight
    # the ends are exactly 0 and 1 where none or all succeeded, up to rounding
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == n else min(1.0, center + half)
    return SuccessRate(successes, n, share, Interval(low, high), size)


def t_sf(t: float, df: float) -> float:
    """The probability that Student's t with `df` degrees of freedom exceeds `t`."""
    square = t * t
    tail = 0.0 if math.isinf(square) else _beta(df / (df + square), square / (df + square), df / 2, 0.5) / 2
    return tail if t >= 0 else 1 - tail


@cache
def t_ppf(q: float, df: float) -> float:
    """The quantile of Student's t for q of at least 0.5, to the last digit, by bisection."""
    high = 1.0
    while t_sf(high, df) > 1 - q:
        high *= 2
    low = 0.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if t_sf(middle, df) <= 1 - q else (middle, high)
    return high


@cache
def norm_ppf(q: float) -> float:
    """The quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(q)


def binom_cdf(k: int, n: int) -> float:
    """The probability of at most k heads in n tosses of a fair coin."""
    if k < 0:
        return 0.0
    return 1.0 if k >= n else _beta(0.5, 0.5, n - k, k + 1)


def _beta(x: float, rest: float, a: float, b: float) -> float:
    """The regularized incomplete beta function of x; `rest` = 1 − x is passed to keep its digits.

    The continued fraction converges fast for x below (a + 1) / (a + b + 2); beyond, the function is 1 less
    its mirror image. Source: NIST Digital Library of Mathematical Functions, dlmf.nist.gov/8.17.E22
    """
    if x <= 0 or rest <= 0:
        return float(x > 0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(rest, x, b, a)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    return math.exp(logarithm) / a / _continued_fraction(x, a, b)


def _continued_fraction(x: float, a: float, b: float) -> float:
    """1 + d1 / (1 + d2 / (1 + ...)), evaluated from the front by the modified method of Lentz.

    Source: Thompson and Barnett (1986), doi.org/10.1016/0021-9991(86)90046-X
    """
    value = numerator = 1.0
    denominator = 0.0
    for step in range(1, _MAX_TERMS):
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1 / (1 + term * denominator)
        numerator = 1 + term / numerator
        value *= numerator * denominator
        if abs(numerator * denominator - 1) < _PRECISION:
            break
    return value
