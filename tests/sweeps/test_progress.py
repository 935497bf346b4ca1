"""How long a sweep still takes: worked out by hand from costs that are known."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from mlprun.cli.sweep.run import SweepProgress
from mlprun.cli.terminal import Output
from mlprun.sweeps.cohort_file import TrialResult
from mlprun.sweeps.run import Progress


def cohort(number: int, *trials: int) -> Any:
    members = tuple(SimpleNamespace(trial=trial) for trial in trials)
    return SimpleNamespace(number=number, members=members, kind=SimpleNamespace(epochs=100))


def plan(*cohorts: Any, **given: Any) -> Any:
    """A plan whose trial number N takes N seconds."""
    total = sum(len(one.members) for one in cohorts)
    known = {"cohorts": cohorts, "rungs": (), "total": total, **given}
    return SimpleNamespace(cost_of=lambda member: SimpleNamespace(seconds=float(member.trial)), **known)


def paused(trial: int, epoch: int) -> TrialResult:
    return TrialResult(trial, "paused", epoch)


def ended(*trials: int) -> list[TrialResult]:
    return [TrialResult(trial, "finished", 100) for trial in trials]


def running(of: Any, *results: TrialResult) -> Any:
    return SimpleNamespace(cohort=of, results=lambda: results)


def test_what_is_left_goes_by_what_trials_are_expected_to_take() -> None:
    first, second = cohort(1, 1, 2, 3), cohort(2, 10, 20)
    progress = Progress(plan(first, second))
    progress.plan_round((first, second))
    progress.start(first, ())
    assert progress.left([running(first)], 5.0) is None
    # 1 + 2 + half of 3 are done in 5 s, and 1.5 + 30 are left
    assert progress.left([running(first, *ended(1, 2), paused(3, 50))], 5.0) == pytest.approx(5 * 31.5 / 4.5)
    progress.record(first)
    progress.start(second, ())
    assert progress.left([running(second, paused(20, 25))], 6.0) == pytest.approx(6 * 25 / 11)


def test_what_earlier_sessions_did_took_no_time_of_this_one() -> None:
    first, second = cohort(1, 1, 2, 3), cohort(2, 10)
    progress = Progress(plan(first, second))
    progress.plan_round((first, second))
    progress.start(first, [*ended(2), paused(3, 50)])
    assert progress.left([running(first, *ended(2), paused(3, 50))], 5.0) is None
    assert progress.left([running(first, *ended(1, 2), paused(3, 50))], 5.0) == pytest.approx(5 * 11.5)
    progress.record(first)
    assert progress.left([], 4.0) == pytest.approx(4 * 10 / 2.5)


def test_a_search_takes_the_trials_to_come_for_like_those_it_knows() -> None:
    first = cohort(1, 1, 2, 3)
    progress = Progress(plan(first, total=9))
    progress.plan_round((first,))
    progress.start(first, ())
    assert progress.left([running(first, *ended(1, 2))], 2.0) == pytest.approx(2 * (3 + 12) / 3)
    assert Progress(plan(first, rungs=(10,))).left([running(first, *ended(1, 2))], 2.0) is None


def test_the_first_line_comes_after_a_moment(capsys, monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    follower = SweepProgress(Output())
    follower.begin("runs/x-001", plan(cohort(1, 1), total=8), 8)
    capsys.readouterr()
    said = []
    for seconds in range(25):
        now[0] = 100.0 + seconds
        follower.report(seconds, float(seconds), lambda: 125.0)
        said += [seconds] * bool(capsys.readouterr().err)
    assert said == [2, 12, 22]
    now[0] = 150.0
    follower.report(3, 50.0, lambda: 125.0)
    assert capsys.readouterr().err == "3 of 8 trials, 50 s, about 2 minutes left\n"
