"""Tails and quantiles against SciPy, which light commands do without."""

from __future__ import annotations

import pytest
import scipy.stats

from mlprun.analysis.statistics import binom_cdf, norm_ppf, t_ppf, t_sf


@pytest.mark.parametrize("df", [1, 2, 3, 4.7, 9, 19, 100.5, 999, 99_999])
def test_tails_of_student_s_t_are_scipys(df: float) -> None:
    for t in (0.0, 1e-9, 0.3, 1.0, 1.96, 5.0, -2.5, 40.0):
        assert t_sf(t, df) == pytest.approx(scipy.stats.t.sf(t, df), rel=1e-9, abs=1e-290)


@pytest.mark.parametrize("df", [1, 2, 5.5, 19, 199, 99_999])
def test_quantiles_of_student_s_t_are_scipys(df: float) -> None:
    for q in (0.75, 0.95, 0.975, 0.995, 0.9995):
        assert t_ppf(q, df) == pytest.approx(scipy.stats.t.ppf(q, df), rel=1e-9)


def test_quantiles_of_the_normal_are_scipys() -> None:
    for q in (0.75, 0.95, 0.975, 0.9995, 1 - 5e-7):
        assert norm_ppf(q) == pytest.approx(scipy.stats.norm.ppf(q), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 40, 1000, 100_000])
def test_heads_of_a_coin_are_scipys(n: int) -> None:
    for k in {-1, 0, 1, n // 3, n // 2, n // 2 + 3, n - 1, n, n + 1}:
        assert binom_cdf(k, n) == pytest.approx(scipy.stats.binom.cdf(k, n, 0.5), rel=1e-8, abs=1e-290)


def test_a_t_beyond_all_numbers_has_probability_0() -> None:
    assert t_sf(float("inf"), 3) == 0.0
    assert t_sf(1e200, 1) == 0.0
