"""Tails and reaches against SciPy, which mlprun does without."""

from __future__ import annotations

import pytest
import scipy.stats

from mlprun.sweeps.distributions import heads, normal_reach, t_reach, t_tails


@pytest.mark.parametrize("freedom", [1, 2, 3, 4.7, 9, 19, 100.5, 999, 99_999])
@pytest.mark.parametrize("t", [0.0, 1e-9, 0.3, 1.0, 1.96, 5.0, -2.5, 40.0])
def test_tails_of_student_s_t_are_scipys(t: float, freedom: float) -> None:
    assert t_tails(t, freedom) == pytest.approx(2 * scipy.stats.t.sf(abs(t), freedom), rel=1e-9, abs=1e-290)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("freedom", [1, 2, 5.5, 19, 199, 99_999])
def test_the_reach_of_student_s_t_is_scipys(level: float, freedom: float) -> None:
    assert t_reach(level, freedom) == pytest.approx(scipy.stats.t.ppf((1 + level) / 2, freedom), rel=1e-9)


def test_the_reach_of_the_normal_is_scipys() -> None:
    for level in (0.5, 0.9, 0.95, 0.999):
        assert normal_reach(level) == pytest.approx(scipy.stats.norm.ppf((1 + level) / 2), rel=1e-12)


@pytest.mark.parametrize("throws", [1, 2, 7, 40, 1000, 100_000])
def test_heads_of_a_coin_are_scipys(throws: int) -> None:
    for most in {-1, 0, 1, throws // 3, throws // 2, throws // 2 + 3, throws - 1, throws, throws + 1}:
        expected = scipy.stats.binom.cdf(most, throws, 0.5)
        assert heads(most, throws) == pytest.approx(expected, rel=1e-8, abs=1e-290)


def test_a_t_beyond_all_numbers_is_never_met_by_chance() -> None:
    assert t_tails(float("inf"), 3) == 0.0
    assert t_tails(1e200, 1) == 0.0
