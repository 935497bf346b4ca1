"""Settings against one another: which pairs, over which seeds, and what is said."""

from __future__ import annotations

import pytest
import scipy.stats

from mlprun.errors import UsageError
from mlprun.sweeps import reading
from mlprun.sweeps.comparing import compare_settings
from mlprun.sweeps.summary import summarize

from .conftest import DEV


def compared(folder: str, *settings: int):
    with reading.open_folder(folder) as results:
        return compare_settings(summarize(results), settings)


def test_two_settings_are_compared_over_the_seeds_they_share(folder: str) -> None:
    loss, success = compared(folder, 1, 3)
    assert (loss.figure, loss.comparison.n, loss.left_out) == ("dev_loss", 3, 1)
    kept = [0, 1, 3]
    expected = scipy.stats.ttest_rel([DEV[3][k] for k in kept], [DEV[1][k] for k in kept])
    assert loss.comparison.p == pytest.approx(expected.pvalue)
    assert loss.comparison.effect == pytest.approx(1 / 30)
    assert loss.verdict.startswith("no evidence of a difference: the interval of the difference")
    assert (success.figure, success.comparison.n, success.comparison.effect) == ("success", 4, 0.25)


def test_without_settings_the_best_is_compared_with_every_other(folder: str) -> None:
    pairs = [pair for pair in compared(folder) if pair.figure == "dev_loss"]
    assert [(pair.first.setting.id, pair.second.setting.id) for pair in pairs] == [(2, 1), (2, 3), (2, 4)]
    assert pairs[0].verdict == (
        "no evidence of a difference: too few seeds, though dev_loss is higher by 0.3 on each of 4 seeds "
        "with hidden=[2] lr=0.1 than with hidden=[8, 4] lr=0.1, p = 0.12 (sign test, Holm's correction for "
        "2 comparisons)"
    )
    assert pairs[2].verdict == "nothing to compare: a setting has no such figure"
    known = [pair.comparison for pair in pairs[:2]]
    assert [one.comparisons for one in known] == [2, 2]
    assert known[0].p == 0.125 > known[1].p  # the fewer by chance is corrected for both, the other for one
    assert [one.adjusted for one in known] == [0.125, pytest.approx(2 * known[1].p)]


def test_several_settings_are_compared_in_all_pairs(folder: str) -> None:
    pairs = [pair for pair in compared(folder, 3, 1, 2, 1) if pair.figure == "dev_loss"]
    assert [(pair.first.setting.id, pair.second.setting.id) for pair in pairs] == [(3, 1), (3, 2), (1, 2)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [((1, 9), "setting 9: is not in this sweep; expected 1 to 4"), ((2,), "nothing to compare with")],
)
def test_what_cannot_be_compared_is_refused(settings: tuple, message: str, folder: str) -> None:
    with pytest.raises(UsageError, match=message):
        compared(folder, *settings)
