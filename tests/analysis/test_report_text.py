"""Sentences about figures: what is said must follow from the figures and no more."""

from __future__ import annotations

from mlprun.analysis.report_text import fraction, interval_text, percent_interval, verdict
from mlprun.analysis.significance import (
    bonferroni,
    compare_means,
    mcnemar_test,
    simultaneous_level,
    wilcoxon_test,
)
from mlprun.analysis.statistics import Interval, success_rate


def test_an_end_is_shown_as_0_only_where_it_is() -> None:
    assert interval_text(Interval(-0.04, -0.0001)) == "-0.040 to -0.0001"
    assert interval_text(Interval(-0.25, -0.0041)) == "-0.25 to -0.004"
    assert interval_text(Interval(0.00034, 0.04)) == "0.0003 to 0.040"
    assert interval_text(Interval(-0.0, 0.04)) == "0.000 to 0.040"
    assert interval_text(Interval(-0.0, 0.0)) == "0 to 0"


def test_no_interval_is_no_text() -> None:
    assert interval_text(None) == percent_interval(None) == ""


def test_rates_are_counts_and_percent() -> None:
    assert (fraction(success_rate(39, 40)), percent_interval(success_rate(39, 40).interval)) == (
        "39/40",
        "87% to 100%",
    )
    assert percent_interval(success_rate(99_900, 100_000).interval) == "99.9% to 99.9%"


def said(first: list, second: list) -> str:
    by_seed = [dict(enumerate(values)) for values in (first, second)]
    return verdict(compare_means(*by_seed), "A", "B", "test_loss")


def test_no_evidence_is_said_with_the_interval() -> None:
    assert said([0.1, 0.2, 0.3], [0.11, 0.19, 0.301]) == (
        "3 seeds are too few for a reliable answer: no evidence of a difference: the interval of the "
        "difference, -0.025 to 0.025, contains 0, p = 0.96 (paired t)"
    )


def test_evidence_is_said_with_its_direction_size_and_p() -> None:
    assert said([0.1, 0.2, 0.3, 0.4, 0.5], [0.31, 0.39, 0.49, 0.61, 0.7]) == (
        "evidence of a difference: test_loss is higher by 0.200 (0.188 to 0.212) with B than with A, "
        "p < 0.001 (paired t)"
    )
    assert "is lower by 0.200 (0.182 to 0.218)" in said([0.31, 0.39, 0.49, 0.61], [0.1, 0.2, 0.3, 0.4])


def test_too_little_is_said_to_be_too_little() -> None:
    assert said([], [1.0]) == "nothing to compare: a setting has no such metric"
    assert said([1.0], [2.0]).startswith("too few seeds to tell")
    assert said([1.0] * 5, [1.0] * 5) == "no difference: test_loss is equal on all 5 seeds"
    assert said([1.0, 1.1], [2.0, 2.2]).startswith("too few seeds to tell: it takes 3 that both")
    assert said([1.0, 2.0, 3.0], [1.5, 2.5, 3.5]) == (
        "3 seeds are too few for a reliable answer: no evidence of a difference: p = 0.25 (sign test); "
        "too few seeds for an interval, or most of them differ alike"
    )


def test_an_interval_that_too_few_seeds_have_is_not_asked_for() -> None:
    five = wilcoxon_test(dict.fromkeys(range(5), 0.0), {k: 1.0 + k for k in range(5)})
    assert verdict(five, "A", "B", "loss") == (
        "no evidence of a difference: p = 0.062 (Wilcoxon's signed ranks); too few seeds for an interval, or "
        "most of them differ alike"
    )


def test_what_many_comparisons_take_away_is_said() -> None:
    sides = {1: 0.0, 2: 0.1, 3: 0.0, 4: 0.0, 5: 0.0}, {1: 0.25, 2: 0.2, 3: 0.1, 4: 0.05, 5: 0.1}
    assert compare_means(*sides).is_evidence
    lost = bonferroni([compare_means(*sides, simultaneous_level(5))] * 5)[0]
    assert verdict(lost, "A", "B", "loss") == (
        "no evidence of a difference: the interval of the difference, -0.04 to 0.28, contains 0, "
        "p = 0.12 (paired t, Bonferroni's correction for 5 comparisons)"
    )


def test_success_rates_are_compared_in_words() -> None:
    first, second = ({k: k < few for k in range(20)} for few in (2, 14))
    assert verdict(mcnemar_test(first, second), "2 units", "8 units", "the success rate") == (
        "evidence of a difference: the success rate is higher by 0.60 (0.26 to 0.82) with 8 units than "
        "with 2 units, p = 0.0015 (McNemar's test)"
    )
