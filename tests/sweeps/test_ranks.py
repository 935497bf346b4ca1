"""Comparisons by signed ranks against SciPy, all assignments of signs, and the test turned round."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from mlprun.sweeps.ranks import EXACT, TEST, compare_ranks, signed_ranks
from mlprun.sweeps.statistics import Comparison

DRAW = np.random.default_rng(11)


def compared(differences):
    """The comparison of figures that differ by just these, on seeds 0, 1, ..."""
    return compare_ranks(
        dict.fromkeys(range(len(differences)), 0.0), dict(enumerate(map(float, differences)))
    )


@pytest.mark.parametrize("n", [2, 5, 6, 12, EXACT, EXACT + 1, 300])
def test_p_is_wilcoxons(n: int) -> None:
    for shift in (0.0, 0.2, 0.7):
        differences = DRAW.normal(shift, 1, n)
        if n <= EXACT:
            expected = scipy.stats.wilcoxon(differences, method="exact").pvalue
        else:
            expected = scipy.stats.wilcoxon(differences, method="asymptotic", correction=True).pvalue
        found = compared(differences)
        assert (found.n, found.paired, found.test) == (n, True, TEST)
        assert found.p == found.adjusted == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    "differences", [(1, 1, 2, -1, 3), (1, -1, 2, -2, 2, 2), (4, 4, 4, 4), (1, 2, 2, 2, -3)]
)
def test_ties_share_their_ranks(differences: tuple) -> None:
    ranks = scipy.stats.rankdata(np.abs(differences))
    sums = [ranks @ signs for signs in itertools.product((0, 1), repeat=len(ranks))]
    reached = ranks[np.array(differences) > 0].sum()
    below, above = np.mean(np.array(sums) <= reached), np.mean(np.array(sums) >= reached)
    assert signed_ranks([float(one) for one in differences]) == pytest.approx(min(1, 2 * min(below, above)))


def test_differences_of_nothing_are_left_out_of_the_ranks() -> None:
    assert compared((0, 0, 1, 2, 3)).p == pytest.approx(compared((1, 2, 3)).p) == 0.25
    same = compared((0, 0, 0, 0, 0, 0))
    assert (same.effect, same.interval, same.p, same.same) == (0, None, 1, True)
    nearly = compared((1,) * 11 + (2,))
    assert (nearly.effect, nearly.interval, nearly.same) == (1, None, False)
    third = {seed: 0.1 * seed for seed in range(1, 8)}
    assert compare_ranks(third, {seed: value + 0.2 - 0.2 for seed, value in third.items()}).p == 1


@pytest.mark.parametrize("n", [6, 9, 20])
def test_the_interval_holds_the_shifts_that_the_test_lets_pass(n: int) -> None:
    differences = DRAW.normal(0.3, 1, n)
    found = compared(differences)
    pairs = [(a + b) / 2 for place, a in enumerate(differences) for b in differences[place:]]
    assert found.effect == pytest.approx(np.median(pairs))

    def p(shift: float) -> float:
        return scipy.stats.wilcoxon(differences - shift, method="exact").pvalue

    near = 1e-9
    assert min(p(found.interval.low + near), p(found.interval.high - near)) > 0.05
    assert max(p(found.interval.low - near), p(found.interval.high + near)) <= 0.05


def test_few_differences_have_no_interval_and_one_no_p() -> None:
    five = compared((1, 2, 3, 4, 5))
    assert (five.effect, five.interval, five.p) == (3, None, 0.0625)
    assert compared((2,)) == Comparison(1, True, TEST, effect=2.0)
    assert compare_ranks({1: 1.0}, {2: 1.0}) == Comparison(0, True, TEST)


def test_large_figures_do_not_overflow() -> None:
    found = compared(np.array([1.0, 2, 3, 4, 5, 6]) * 1e307)
    assert (found.effect, found.interval.high) == (pytest.approx(3.5e307), 6e307)
