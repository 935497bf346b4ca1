"""Statistics over seeds against SciPy, closed forms and figures worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

from mlprun.analysis import significance, statistics
from mlprun.analysis.significance import (
    Comparison,
    bonferroni,
    compare_means,
    mcnemar_test,
    paired_t_test,
    paired_t_test_of_shares,
)
from mlprun.analysis.statistics import sample_stats, success_rate

DRAW = np.random.default_rng(20)


def by_seed(values) -> dict:
    return {seed: float(value) for seed, value in enumerate(values)}


@pytest.mark.parametrize("n", [3, 20, 1000])
def test_mean_deviation_and_interval_are_those_of_student(n: int) -> None:
    values = DRAW.normal(0.8, 0.02, n)
    found = sample_stats(list(values))
    error = scipy.stats.sem(values)
    low, high = scipy.stats.t.interval(0.95, n - 1, values.mean(), error)
    assert found.n == n
    assert found.mean == pytest.approx(values.mean(), rel=1e-13)
    assert found.std == pytest.approx(values.std(ddof=1), rel=1e-12)
    assert found.interval == pytest.approx((low, high), rel=1e-10)
    assert (found.median, found.minimum, found.maximum) == (np.median(values), values.min(), values.max())


@pytest.mark.parametrize("n", [*range(1, 40), 200, 10_001])
def test_the_interval_of_the_median_is_the_innermost_that_covers_it(n: int) -> None:
    found = sample_stats([float(k) for k in range(1, n + 1)]).median_interval
    fitting = [k for k in range(1, n // 2 + 1) if scipy.stats.binom.cdf(k - 1, n, 0.5) <= 0.025]
    assert found == ((max(fitting), n + 1 - max(fitting)) if fitting else None)
    assert (found is None) == (n < 6)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    draws = np.random.default_rng(3).exponential(size=(2000, 12))
    medians = [sample_stats(list(row)).median_interval for row in draws]
    covered = np.mean([low <= math.log(2) <= high for low, high in medians])
    expected = 1 - 2 * scipy.stats.binom.cdf(2, 12, 0.5)  # what the third of 12 figures promises: 0.961
    assert covered == pytest.approx(expected, abs=0.015)
    normal = np.random.default_rng(4).normal(size=(2000, 5))
    means = [sample_stats(list(row)).interval for row in normal]
    assert np.mean([low <= 0 <= high for low, high in means]) == pytest.approx(0.95, abs=0.015)


def test_few_or_equal_figures_say_what_they_can() -> None:
    assert sample_stats([]) == statistics.SampleStats(0)
    one = sample_stats([0.3])
    assert (one.n, one.mean, one.std, one.interval, one.median) == (1, 0.3, None, None, 0.3)
    two = sample_stats([0.3, 0.5])  # Student's interval of two is 12.7 standard errors wide on either side
    assert (two.mean, two.interval) == (0.4, None)
    pair = compare_means({1: 0.3, 2: 0.5}, {1: 0.4, 2: 0.7})
    assert (pair.n, pair.effect, pair.interval, pair.p) == (2, pytest.approx(0.15), None, None)
    equal = sample_stats([0.1] * 3)  # whose sum is not three times 0.1 in binary
    assert (equal.mean, equal.std, equal.interval) == (0.1, 0.0, (0.1, 0.1))


@pytest.mark.parametrize("size", [1e-200, 1e-160, 1e154, 1e200, 8e307])
def test_figures_whose_squares_are_too_large_or_small_have_statistics(size: float) -> None:
    first, second = [0.5, 1.0, 1.5, -0.25], [0.7, 1.1, 1.9, 0.0]
    plain, found = sample_stats(first), sample_stats([size * value for value in first])
    for name in ("mean", "std", "median", "maximum"):
        assert getattr(found, name) == pytest.approx(size * getattr(plain, name))
    assert found.interval == pytest.approx([size * end for end in plain.interval])
    for keys in (range(4), range(4, 8)):  # the same seeds, and others
        sides = by_seed(first), dict(zip(keys, second, strict=True))
        one = compare_means(*sides)
        large = compare_means(*({seed: size * value for seed, value in side.items()} for side in sides))
        assert large.p == pytest.approx(one.p)
        assert (large.effect, *large.interval) == pytest.approx(
            [size * value for value in (one.effect, *one.interval)]
        )


@pytest.mark.parametrize(("count", "n"), [(0, 1), (1, 1), (0, 20), (39, 40), (40, 40), (7, 12), (801, 1000)])
def test_a_rate_has_wilsons_interval(count: int, n: int) -> None:
    expected = scipy.stats.binomtest(count, n).proportion_ci(method="wilson")
    found = success_rate(count, n)
    assert (found.successes, found.n, found.rate) == (count, n, count / n)
    assert found.interval == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= found.interval.low <= found.rate <= found.interval.high <= 1


def test_a_rate_of_nothing_is_no_rate() -> None:
    assert success_rate(0, 0) == statistics.SuccessRate(0, 0)


@pytest.mark.parametrize("n", [3, 5, 50])
def test_settings_are_compared_seed_by_seed(n: int) -> None:
    first = DRAW.normal(size=n)
    second = first + DRAW.normal(0.2, 0.1, n)
    keys = [(seed, fold) for seed in range(n) for fold in range(1)]
    shuffled = dict(reversed(list(zip(keys, second, strict=True))))
    found = compare_means(dict(zip(keys, first, strict=True)) | {"only here": 100.0}, shuffled)
    expected = scipy.stats.ttest_rel(second, first)
    assert (found.n, found.paired, found.test) == (n, True, "paired t")
    assert found.effect == pytest.approx(np.mean(second - first), rel=1e-12)
    assert found.p == found.adjusted == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()), rel=1e-9)


def test_settings_without_common_seeds_are_compared_as_independent_samples() -> None:
    first, second = DRAW.normal(size=9), DRAW.normal(1, 3, 14)
    found = compare_means(by_seed(first), {f"other {k}": float(value) for k, value in enumerate(second)})
    expected = scipy.stats.ttest_ind(second, first, equal_var=False)
    assert (found.n, found.sizes, found.paired, found.test) == (23, (9, 14), False, "Welch's t")
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()), rel=1e-9)


def test_what_cannot_be_compared_has_no_p() -> None:
    assert compare_means({}, {1: 2.0}) == Comparison(0, True, "paired t")
    apart = Comparison(3, False, "Welch's t", effect=2.0, sizes=(1, 2))
    assert compare_means({1: 1.0}, {2: 2.0, 3: 4.0}) == apart
    one = compare_means({1: 1.0}, {1: 2.0})
    assert one == Comparison(1, True, "paired t", effect=1.0)
    assert not one.is_evidence
    assert compare_means({1: 1.0, 2: 5.0, 3: 7.0}, {1: 2.0}) == one
    flat = compare_means({1: 1.0, 2: 1.0}, {3: 2.0, 4: 2.0})
    assert (flat.effect, flat.p) == (1.0, None)


def test_a_difference_that_is_the_same_on_every_seed_counts_seeds() -> None:
    rounded = {seed: 0.1 * seed for seed in range(1, 8)}
    found = compare_means(rounded, {seed: value + 0.2 for seed, value in rounded.items()})
    assert found.effect == pytest.approx(0.2)
    assert (found.test, found.p) == ("sign test", scipy.stats.binomtest(7, 7).pvalue)
    assert found.is_evidence
    assert not compare_means({1: 0.0, 2: 0.0}, {1: 1.0, 2: 1.0}).is_evidence
    same = compare_means(rounded, dict(rounded))
    assert (same.effect, same.p, same.is_evidence) == (0.0, 1.0, False)


@pytest.mark.parametrize(
    ("both", "lost", "won", "neither"),
    [(10, 2, 9, 3), (0, 0, 5, 0), (40, 1, 0, 0), (3, 0, 0, 3), (9, 2, 8, 5)],
)
def test_success_rates_are_compared_by_the_score_test_and_its_interval(
    both: int, lost: int, won: int, neither: int
) -> None:
    cases = [(1, 1)] * both + [(1, 0)] * lost + [(0, 1)] * won + [(0, 0)] * neither
    found = mcnemar_test(by_seed(case[0] for case in cases), by_seed(case[1] for case in cases))
    n = len(cases)
    assert found.effect == pytest.approx((won - lost) / n)
    chi_square = max(0, abs(won - lost) - 1) ** 2 / max(1, won + lost)
    assert found.p == pytest.approx(scipy.stats.chi2.sf(chi_square, 1))
    assert (found.p <= 0.05) == (not found.interval.low <= 0 <= found.interval.high)

    def statistic(difference: float) -> float:
        """The score statistic, its nuisance parameter found by maximizing the likelihood numerically."""

        def loss(share: float) -> float:
            cells = (share + difference, share, 1 - 2 * share - difference)
            counts = (won, lost, both + neither)
            return -sum(scipy.special.xlogy(count, cell) for count, cell in zip(counts, cells, strict=True))

        bounds = (max(0.0, -difference), (1 - difference) / 2)
        share = scipy.optimize.minimize_scalar(
            loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}
        ).x
        error = math.sqrt(n * (2 * share + difference - difference**2))
        return (abs(won - lost - n * difference) - 1) / error

    for end in found.interval:
        if abs(end) < 1:
            assert statistic(end) == pytest.approx(1.959964, abs=1e-3)


def test_success_rates_of_few_seeds_have_no_p() -> None:
    assert mcnemar_test({}, {1: True}) == Comparison(0, True, "McNemar's test")
    two = mcnemar_test({1: False, 2: False}, {1: True, 2: True})
    assert (two.effect, two.p, two.interval) == (1.0, None, None)


def test_a_difference_of_shares_lies_within_1():
    low, high = {1: 0.0, 2: 0.0, 3: 0.1}, {1: 1.0, 2: 1.0, 3: 0.9}
    plain = compare_means(low, high)
    assert plain.interval.high > 1
    assert paired_t_test_of_shares(low, high) == plain._replace(interval=(plain.interval.low, 1.0))
    assert paired_t_test_of_shares(high, low).interval.low == -1.0
    assert paired_t_test_of_shares({}, high) == Comparison(0, True, "paired t")


def test_many_comparisons_are_corrected_as_bonferroni_says() -> None:
    alone = [Comparison(5, True, "paired t", 1.0, p=p, adjusted=p) for p in (0.01, 0.04, 0.3, 0.005)]
    found = bonferroni([*alone, Comparison(1, False, "Welch's t")])
    assert [one.adjusted for one in found] == pytest.approx([0.04, 0.16, 1.0, 0.02, None])
    assert [one.comparisons for one in found] == [4] * 5
    assert [one.is_evidence for one in found] == [True, False, False, True, False]
    assert bonferroni(alone[:1]) == alone[:1]


@pytest.mark.parametrize("test", [paired_t_test, paired_t_test_of_shares, mcnemar_test, compare_means])
def test_an_interval_excludes_0_if_and_only_if_p_is_small_however_many_are_compared(test) -> None:
    draw, kinds = np.random.default_rng(9), set()
    for _ in range(40):
        n, seeds = int(draw.integers(5, 12)), 100 if test is compare_means else 0
        settings = [
            by_seed(draw.random(n) < share) if test is mcnemar_test else by_seed(draw.normal(share, 0.2, n))
            for share in draw.choice([0.1, 0.5, 0.9], 4)
        ]
        others = [{seed + seeds: value for seed, value in one.items()} for one in settings]
        pairs = [(a, b) for k, a in enumerate(settings) for b in others[k + 1 :]]
        count = significance.count_tests([test(*pair) for pair in pairs])
        for one in bonferroni([test(*pair, significance.simultaneous_level(count)) for pair in pairs]):
            if one.interval is not None:
                assert one.is_evidence == (not one.interval.low <= 0 <= one.interval.high)
                kinds.add(one.is_evidence)
    assert kinds == {False, True}


def test_no_difference_is_found_no_more_often_than_promised() -> None:
    draw = np.random.default_rng(8)
    false = 0
    for _ in range(400):
        settings = [by_seed(draw.normal(size=6)) for _ in range(5)]
        pairs = [compare_means(a, b) for k, a in enumerate(settings) for b in settings[k + 1 :]]
        false += any(one.is_evidence for one in bonferroni(pairs))
    assert false / 400 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)
