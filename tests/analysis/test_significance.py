"""Comparisons by signed ranks against SciPy, all assignments of signs, and the test turned round."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from mlprun.analysis.significance import MAX_EXACT, WILCOXON, Comparison, wilcoxon_test

DRAW = np.random.default_rng(11)


def compared(differences):
    """The comparison of figures that differ by just these, on seeds 0, 1, ..."""
    return wilcoxon_test(
        dict.fromkeys(range(len(differences)), 0.0), dict(enumerate(map(float, differences)))
    )


@pytest.mark.parametrize("n", [3, 5, 6, 12, MAX_EXACT, MAX_EXACT + 1, 300])
def test_p_is_wilcoxons(n: int) -> None:
    for shift in (0.0, 0.2, 0.7):
        differences = DRAW.normal(shift, 1, n)
        if n <= MAX_EXACT:
            expected = scipy.stats.wilcoxon(differences, method="exact").pvalue
        else:
            expected = scipy.stats.wilcoxon(differences, method="asymptotic", correction=True).pvalue
        found = compared(differences)
        assert (found.n, found.paired, found.test) == (n, True, WILCOXON)
        assert found.p == found.adjusted == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_ties_and_differences_of_0_make_p_larger_and_the_same_by_chance() -> None:
    for differences in ((1, 1, 2, -1, 3), (0, 0, 1, 2, 3), (1, 2, 2, 2, -3)):
        broken = [one + 1e-6 * k for k, one in enumerate(differences)]
        assert compared(differences).p >= compared(broken).p
    same = compared((0, 0, 0, 0, 0, 0))
    assert (same.effect, same.interval, same.p, same.constant) == (0, None, 1, True)
    nearly = compared((1,) * 11 + (2,))
    assert (nearly.effect, nearly.interval, nearly.constant) == (1, None, False)
    third = {seed: 0.1 * seed for seed in range(1, 8)}
    assert wilcoxon_test(third, {seed: value + 0.2 - 0.2 for seed, value in third.items()}).p == 1


@pytest.mark.parametrize("level", [0.95, 0.99, 1 - 0.05 / 40])
def test_the_interval_excludes_0_if_and_only_if_the_test_rejects_ties_or_not(level: float) -> None:
    draw, kinds = np.random.default_rng(5), set()
    for _ in range(300):
        differences = draw.integers(-3, 9, draw.integers(6, 16)) / draw.choice([1, 7])
        found = wilcoxon_test(
            dict.fromkeys(range(len(differences)), 0.0), dict(enumerate(differences.tolist())), level
        )
        if found.interval is not None:
            excludes = not found.interval.low <= 0 <= found.interval.high
            assert excludes == (found.p <= 1 - level)
            kinds.add(excludes)
    assert kinds == {False, True}


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
    assert compared((2,)) == Comparison(1, True, WILCOXON, effect=2.0)
    assert wilcoxon_test({1: 1.0}, {2: 1.0}) == Comparison(0, True, WILCOXON)


def test_large_figures_do_not_overflow() -> None:
    found = compared(np.array([1.0, 2, 3, 4, 5, 6]) * 1e307)
    assert (found.effect, found.interval.high) == (pytest.approx(3.5e307), 6e307)
