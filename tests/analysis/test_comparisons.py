"""Settings against one another: which pairs, over which seeds, and what is said."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from mlprun.analysis.comparisons import compare_configurations, compare_values
from mlprun.analysis.significance import WILCOXON
from mlprun.analysis.summary import summarize
from mlprun.errors import UsageError
from mlprun.sweeps.folder import open_sweep
from mlprun.sweeps.schema import Trial

from .conftest import DEV, describe, write


def compared(folder: str, *settings: int):
    with open_sweep(folder).results() as results:
        return compare_configurations(summarize(results), settings)


def test_two_settings_are_compared_over_the_seeds_they_share(folder: str) -> None:
    loss, success = compared(folder, 1, 3)
    assert (loss.metric, loss.comparison.n, loss.left_out) == ("dev_loss", 3, 1)
    kept = [0, 1, 3]
    expected = scipy.stats.ttest_rel([DEV[3][k] for k in kept], [DEV[1][k] for k in kept])
    assert loss.comparison.p == pytest.approx(expected.pvalue)
    assert loss.comparison.effect == pytest.approx(1 / 30)
    assert loss.verdict.startswith(
        "3 seeds are too few for a reliable answer: no evidence of a difference: the interval of the diff"
    )
    assert (success.metric, success.comparison.n, success.comparison.effect) == ("success", 4, 0.25)


def test_without_settings_the_best_is_compared_with_every_other(folder: str) -> None:
    pairs = [pair for pair in compared(folder) if pair.metric == "dev_loss"]
    assert [(pair.first.key, pair.second.key) for pair in pairs] == [(2, 1), (2, 3), (2, 4)]
    assert pairs[0].verdict == (
        "4 seeds are too few for a reliable answer: no evidence of a difference: "
        "p = 0.25 (Wilcoxon's signed ranks, Bonferroni's correction for 2 comparisons); "
        "too few seeds for an interval, or most of them differ alike"
    )
    assert pairs[2].verdict == "nothing to compare: a setting has no such metric"
    known = [pair.comparison for pair in pairs[:2]]
    assert [one.comparisons for one in known] == [2, 2]
    # by one test, which differences without spread have too; the other has fewer seeds
    assert [(one.test, one.p) for one in known] == [(WILCOXON, 0.125), (WILCOXON, 0.25)]
    assert [one.adjusted for one in known] == [0.25, 0.5]


def test_several_settings_are_compared_in_all_pairs(folder: str) -> None:
    pairs = [pair for pair in compared(folder, 3, 1, 2, 1) if pair.metric == "dev_loss"]
    assert [(pair.first.key, pair.second.key) for pair in pairs] == [(3, 1), (3, 2), (1, 2)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [((1, 9), "setting 9: is not in this sweep; expected 1 to 4"), ((2,), "nothing to compare with")],
)
def test_what_cannot_be_compared_is_refused(settings: tuple, message: str, folder: str) -> None:
    with pytest.raises(UsageError, match=message):
        compared(folder, *settings)


def by(folder: str, parameter: str):
    with open_sweep(folder).results() as results:
        return compare_values(summarize(results), parameter)


def test_values_of_a_parameter_are_compared_over_settings_alike_in_all_others(folder: str) -> None:
    loss, success = by(folder, "hidden")
    assert (loss.first.name, loss.second.name, loss.second.key) == ("hidden=[2]", "hidden=[8, 4]", [8, 4])
    # with a learning rate of 1 the wide network has no figure: only settings 1 and 2 are a pair
    assert loss.comparison.effect == pytest.approx(-0.3)
    assert loss.comparison.n == 4
    assert (loss.left_out, success.left_out) == (3, 2)
    # successes: settings 1 and 2 differ on all seeds; 3 and 4 on none of the two seeds that 4 tells of
    assert (success.comparison.n, success.comparison.effect) == (4, 0.75)
    assert by(folder, "optimizer.lr")[0].comparison == compare_configurations_of(folder, 1, 3)


def test_a_difference_of_success_rates_over_settings_is_at_most_1(tmp_path) -> None:
    settings = {1: {"x": 1}, 2: {"x": 2}}
    reached = {1: (0.0, 0.0, 0.0, 1.0), 2: (1.0, 1.0, 1.0, 1.0)}
    trials = [
        Trial(10 * k + seed, k, seed, status="finished", figures={"dev_loss": 0.5, "test_accuracy": value})
        for k, values in reached.items()
        for seed, value in enumerate(values)
    ]
    write(tmp_path, describe(parameters=("x",)), trials, settings)
    (_, success) = by(str(tmp_path), "x")
    expected = scipy.stats.ttest_rel(reached[2], reached[1]).confidence_interval()
    assert expected.high > 1
    assert success.comparison.interval == pytest.approx((expected.low, 1.0))


def test_a_larger_effect_is_no_weaker_evidence_where_it_has_no_spread(tmp_path) -> None:
    """Of two settings each, over six seeds: x = 1 fails always, x = 2 wins nearly always and x = 3 always."""
    lost = {(2, 0, 3)}
    settings = {2 * x + y: {"x": x, "y": y} for x in (1, 2, 3, 4) for y in (0, 1)}
    trials = [
        Trial(100 * k + seed, k, seed, status="finished", figures={"dev_loss": 0.5, "test_accuracy": reached})
        for k, one in settings.items()
        for seed in range(6)
        for reached in (float(one["x"] in (2, 3) and (one["x"], one["y"], seed) not in lost),)
    ]
    write(tmp_path, describe(parameters=("x", "y")), trials, settings)
    success = [pair for pair in by(str(tmp_path), "x") if pair.metric == "success"]
    found = {(pair.first.key, pair.second.key): pair for pair in success}
    less, whole, none = (found[values].comparison for values in ((1, 2), (1, 3), (1, 4)))
    assert (less.effect, whole.effect, none.effect) == (1.0, 1.0, 0.0)
    assert less.p == whole.p == scipy.stats.binomtest(6, 6).pvalue
    assert (whole.interval, none.interval, none.p) == (None, None, 1.0)
    assert {one.comparison.test for one in success} == {WILCOXON}
    assert ": p = 0.19 (Wilcoxon's signed ranks, " in found[1, 3].verdict
    assert found[1, 4].verdict == "no difference: the success rate is equal on all 6 seeds"


def test_a_diverged_trial_takes_away_its_partner_and_no_more(tmp_path) -> None:
    draw = np.random.default_rng(3)
    table = draw.normal(size=(2, 6, 4))  # two values, six settings of the others, four seeds
    table[1] += 0.5
    lost = {(1, 0, 0), (1, 1, 1), (1, 2, 2), (0, 3, 3), (1, 4, 3)}  # one seed or two of every setting
    trials = [
        Trial(
            100 * a + 10 * b + seed,
            6 * a + b + 1,
            seed,
            status="diverged" if (a, b, seed) in lost else "finished",
            figures={"dev_loss": value},
        )
        for (a, b, seed), value in np.ndenumerate(table)
    ]
    values = {6 * a + b + 1: {"x": a, "y": b} for a in range(2) for b in range(6)}
    write(tmp_path, describe(parameters=("x", "y"), success=None), trials, values)
    (pair,) = by(str(tmp_path), "x")
    known = np.ones((6, 4), dtype=bool)
    for _, b, seed in lost:
        known[b, seed] = False
    differences = np.where(known, table[1] - table[0], np.nan)
    expected = scipy.stats.ttest_1samp(np.nanmean(differences, axis=0), 0)
    assert (pair.comparison.n, pair.comparison.paired, pair.left_out) == (4, True, 5)
    assert pair.comparison.p == pytest.approx(expected.pvalue)
    assert pair.comparison.interval == pytest.approx(tuple(expected.confidence_interval()))


def test_values_that_share_one_seed_are_not_taken_for_samples(tmp_path) -> None:
    ended = {1: range(4), 2: (0,), 3: ()}
    trials = [
        Trial(10 * k + seed, k, seed, status="finished" if seed in ended[k] else "diverged", figures=figures)
        for k in ended
        for seed in range(4)
        for figures in ({"dev_loss": k + 0.1 * seed},)
    ]
    write(tmp_path, describe(parameters=("x",), success=None), trials, {k: {"x": k} for k in ended})
    first, second, third = (pair.comparison for pair in by(str(tmp_path), "x"))
    assert [(one.n, one.paired, one.p) for one in (first, second, third)] == [
        (1, True, None),
        (0, True, None),
        (0, True, None),
    ]
    assert (first.effect, second.effect) == (1.0, None)


def test_medians_are_compared_by_ranks(tmp_path) -> None:
    table = np.random.default_rng(6).normal([[0.0], [1.0]], 1.0, (2, 7))
    trials = [
        Trial(10 * k + seed, k + 1, seed, status="finished", figures={"dev_loss": value})
        for (k, seed), value in np.ndenumerate(table)
    ]
    objective = {"metric": "dev_loss", "mode": "min", "aggregate": "median"}
    write(
        tmp_path,
        describe(parameters=("x",), success=None, objective=objective),
        trials,
        {1: {"x": 1}, 2: {"x": 2}},
    )
    for (pair,) in (compared(str(tmp_path), 1, 2), by(str(tmp_path), "x")):
        expected = scipy.stats.wilcoxon(table[1], table[0])
        assert (pair.comparison.test, pair.comparison.p) == ("Wilcoxon's signed ranks", expected.pvalue)


def test_success_rates_over_folds_are_compared_by_seed(tmp_path) -> None:
    draw = np.random.default_rng(2)
    won = 1.0 * (draw.random((2, 4, 5)) < [[[0.3]], [[0.8]]])
    trials = [
        Trial(
            100 * k + 10 * seed + fold, k + 1, seed, fold, status="finished", figures={"test_accuracy": value}
        )
        for (k, seed, fold), value in np.ndenumerate(won)
    ]
    write(tmp_path, describe(parameters=("x",), folds=5), trials, {1: {"x": 1}, 2: {"x": 2}})
    success = compared(str(tmp_path), 1, 2)[-1]
    expected = scipy.stats.ttest_rel(won[1].mean(axis=1), won[0].mean(axis=1))
    assert (success.comparison.n, success.comparison.test) == (4, "paired t")
    assert success.comparison.p == pytest.approx(expected.pvalue)


def test_pruned_settings_are_not_compared_unless_they_are_named(tmp_path) -> None:
    trials = [
        Trial(
            10 * k + seed,
            k,
            seed,
            status="pruned" if k == 2 else "finished",
            epochs=9,
            figures={"dev_loss": k},
        )
        for k in (1, 2, 3)
        for seed in range(2)
    ]
    values = {k: {"x": k} for k in (1, 2, 3)}
    write(tmp_path, describe(parameters=("x",), success=None), trials, values)
    assert [(pair.first.key, pair.second.key) for pair in compared(str(tmp_path))] == [(1, 3)]
    (pair,) = compared(str(tmp_path), 1, 2)
    assert pair.verdict == "nothing to compare: a setting has no such metric"
    (tmp_path / "most").mkdir()
    write(
        tmp_path / "most", describe(parameters=("x",), success=None), trials[:4], {1: {"x": 1}, 2: {"x": 2}}
    )
    with pytest.raises(UsageError, match="compare: all settings but 1 were pruned"):
        compared(str(tmp_path / "most"))


def test_an_ending_that_two_parameters_have_is_refused(tmp_path) -> None:
    values = {k: {"optimizer.name": k, "loss.name": 1} for k in (1, 2)}
    trials = [Trial(k, k, 0, status="finished", figures={"dev_loss": 1.0}) for k in (1, 2)]
    write(tmp_path, describe(parameters=("optimizer.name", "loss.name"), success=None), trials, values)
    with pytest.raises(
        UsageError, match=r"--by: name may be optimizer\.name or loss\.name; name one of them"
    ):
        by(str(tmp_path), "name")
    assert by(str(tmp_path), "optimizer.name")[0].first.label == "optimizer.name=1"


def compare_configurations_of(folder: str, *settings: int):
    return compared(folder, *settings)[0].comparison


def test_means_over_settings_are_paired_by_seed(tmp_path) -> None:
    draw = np.random.default_rng(1)
    table = draw.normal(size=(2, 3, 8))  # two values, three settings of the others, eight seeds
    values = {1 + 3 * a + b: {"x": a, "y": "abc"[b]} for a in range(2) for b in range(3)}
    trials = [
        Trial(100 * setting + seed, setting, seed, status="finished", figures={"dev_loss": table[a, b, seed]})
        for setting, (a, b) in enumerate(((a, b) for a in range(2) for b in range(3)), start=1)
        for seed in range(8)
    ]
    write(tmp_path, describe(parameters=("x", "y"), success=None), trials, values)
    (pair,) = by(str(tmp_path), "x")
    expected = scipy.stats.ttest_rel(table[1].mean(axis=0), table[0].mean(axis=0))
    assert pair.comparison.p == pytest.approx(expected.pvalue)
    assert pair.comparison.interval == pytest.approx(tuple(expected.confidence_interval()))
    assert len(by(str(tmp_path), "y")) == 3


@pytest.mark.parametrize(
    ("parameter", "message"),
    [("hiden", "hiden is no parameter of this sweep; did you mean hidden"), ("lr", "no two settings differ")],
)
def test_what_no_settings_differ_in_alone_is_refused(parameter: str, message: str, tmp_path) -> None:
    values = {1: {"hidden": 2, "lr": 0.1}, 2: {"hidden": 3, "lr": 0.2}}
    trials = [Trial(k, k, 0, status="finished", figures={"dev_loss": 1.0}) for k in (1, 2)]
    write(tmp_path, describe(parameters=("hidden", "lr"), success=None), trials, values)
    with pytest.raises(UsageError, match=message):
        by(str(tmp_path), parameter)
