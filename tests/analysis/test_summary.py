"""Trials by setting: which figures count, which trials are apart, and in what order settings come."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import pytest
import scipy.stats

from mlprun.analysis import report_text
from mlprun.analysis.summary import describe_counts, summarize
from mlprun.errors import CheckpointError, UsageError
from mlprun.sweeps.folder import open_sweep
from mlprun.sweeps.objective import APART, BAD, SOUND, UNSOUND, succeeded
from mlprun.sweeps.schema import Trial, TrialStatus

from .conftest import DEV, describe, write

if TYPE_CHECKING:
    from pathlib import Path


def of(folder: str, **options: str):
    with open_sweep(folder).results() as results:
        return summarize(results, **options)


def test_settings_come_by_their_mean_with_their_statistics(folder: str) -> None:
    summary = of(folder)
    assert [line.setting.id for line in summary.lines] == [2, 1, 3, 4]
    best = summary.lines[0]
    assert (best.stats.n, best.stats.mean) == (4, pytest.approx(0.2))
    expected = scipy.stats.t.interval(0.95, 3, 0.2, scipy.stats.sem(DEV[2]))
    assert best.stats.interval == pytest.approx(expected)
    assert (best.best[0].id, best.best[1]) == (5, 0.1)
    assert summary.counts["diverged"] == 2


def test_the_trials_of_a_setting_need_not_follow_one_another(folder: str, tmp_path: Path) -> None:
    with open_sweep(folder).results() as results:
        trials = [replace(one, id=1 + one.seed * 4 + one.setting - 1) for one in results.trials()]
        assert [one.setting for one in results.each(by_setting=True)] == [
            setting for setting in range(1, 5) for _ in range(4)
        ]
    write(tmp_path, describe(), sorted(trials, key=lambda one: one.id))
    told = [
        [(line.setting.id, line.counts, line.values, line.stats, line.success) for line in of(path).lines]
        for path in (folder, str(tmp_path))
    ]
    assert told[0] == told[1]


def test_what_diverged_or_failed_has_no_place_in_a_mean_and_is_counted(folder: str) -> None:
    third, fourth = of(folder).lines[2:]
    assert (third.stats.n, third.stats.mean) == (3, pytest.approx(0.5))
    assert dict(third.counts) == {"finished": 3, "diverged": 1}
    assert (fourth.stats.n, fourth.stats.mean, fourth.best) == (0, None, None)
    assert dict(fourth.counts) == {"pending": 1, "failed": 1, "diverged": 1, "finished": 1}


def test_a_success_rate_is_of_the_trials_that_say_something(folder: str) -> None:
    lines = {line.setting.id: line.success for line in of(folder).lines}
    assert {number: (rate.successes, rate.n) for number, rate in lines.items()} == {
        1: (0, 4),  # an accuracy of 0.6 is not more than 0.6
        2: (4, 4),
        3: (1, 4),  # the diverged one is no success
        4: (0, 2),  # nor is a figure that is no number; pending and failed ones say nothing
    }
    wilson = scipy.stats.binomtest(1, 4).proportion_ci(method="wilson")
    assert lines[3].interval == pytest.approx((wilson.low, wilson.high))


@pytest.mark.parametrize(
    ("operator", "said"), [(">=", True), ("<=", True), ("==", True), (">", False), ("<", False)]
)
def test_success_is_figure_operator_number(operator: str, said: bool) -> None:
    trial = Trial(1, 1, 0, status="early_stopping", figures={"x": 0.5})
    success = {"figure": "x", "operator": operator, "number": 0.5}
    assert succeeded(trial, success) is said
    assert succeeded(replace(trial, status="diverged"), success) is False
    assert succeeded(replace(trial, status="pending"), success) is None


def test_an_infinite_figure_has_no_place_in_a_mean(tmp_path: Path) -> None:
    trials = [
        Trial(k + 1, 1, k, status="finished", figures={"dev_loss": loss})
        for k, loss in enumerate((1.0, float("inf"), 2.0))
    ]
    write(tmp_path, describe(success=None), trials, {1: {"optimizer.lr": 1}})
    line = of(str(tmp_path)).lines[0]
    assert (line.stats.n, line.stats.mean, line.best[1]) == (2, 1.5, 1.0)


def test_a_figure_is_of_the_best_epoch_or_of_the_last(folder: str) -> None:
    last = of(folder, of="last")
    assert (last.column, last.lines[0].stats.mean) == ("last_dev_loss", pytest.approx(0.4))
    named = of(folder, metric="test_accuracy", of="last")
    assert (named.column, named.direction) == ("last_test_accuracy", "max")
    assert [line.setting.id for line in named.lines] == [2, 1, 3, 4]
    assert of(folder, metric="last_test_loss").column == "last_test_loss"
    with pytest.raises(UsageError, match="dev_los: is no metric of this sweep; did you mean dev_loss"):
        of(folder, metric="dev_los")


def test_settings_are_sorted_by_what_the_objective_aggregates(tmp_path: Path) -> None:
    losses = {1: [1.0, 1.0, 10.0], 2: [3.0, 3.0, 3.1], 3: [2.0, 4.0, 4.0]}
    trials = [
        Trial(10 * setting + seed, setting, seed, status="finished", figures={"dev_loss": value})
        for setting, values in losses.items()
        for seed, value in enumerate(values)
    ]
    success = {"figure": "dev_loss", "operator": "<", "number": 2.5, "text": "dev_loss < 2.5"}
    orders = {"mean": [2, 3, 1], "median": [1, 2, 3], "success": [1, 3, 2]}
    for aggregate, order in orders.items():
        path = tmp_path / aggregate
        path.mkdir()
        objective = {"metric": "dev_loss", "mode": "min", "aggregate": aggregate}
        about = describe(objective=objective, success=success)
        write(path, about, trials, {number: {"optimizer.lr": number} for number in losses})
        assert [line.setting.id for line in of(str(path)).lines] == order


def test_folds_of_a_seed_count_as_one(tmp_path: Path) -> None:
    def sweep(name: str, values: dict) -> str:
        path = tmp_path / name
        path.mkdir()
        trials = [
            Trial(number, 1, seed, fold, status="finished", figures={"dev_loss": value})
            for number, ((seed, fold), value) in enumerate(values.items(), start=1)
        ]
        write(path, describe(folds=2, success=None), trials, {1: {"optimizer.lr": 1}})
        return str(path)

    two = {(0, 0): 1.0, (0, 1): 2.0, (1, 0): 3.0, (1, 1): 5.0, (2, 0): 100.0}  # the last lacks a fold
    assert of(sweep("two", two)).lines[0].values == {0: 1.5, 1: 4.0}
    assert of(sweep("one", {(7, 0): 1.0, (7, 1): 2.0})).lines[0].values == {(7, 0): 1.0, (7, 1): 2.0}


def test_successes_of_folds_are_counted_by_seed(tmp_path: Path) -> None:
    won = {(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)}
    trials = [
        Trial(
            1 + 2 * seed + fold,
            1,
            seed,
            fold,
            status="finished",
            figures={"test_accuracy": (seed, fold) in won},
        )
        for seed in range(3)
        for fold in range(2)
    ]
    write(tmp_path, describe(folds=2), trials, {1: {"optimizer.lr": 1}})
    summary = of(str(tmp_path))
    (line,) = summary.lines
    assert summary.has_folds_by_seed
    assert line.successes == {0: 1.0, 1: 0.5, 2: 1.0}
    assert (line.success.successes, line.success.n, line.success.independent) == (5, 6, 3)
    # Wilson's equation |p - x| = z sqrt(x (1 - x) / n), of three seeds in place of six trials
    for end in line.success.interval:
        assert abs(5 / 6 - end) == pytest.approx(1.959964 * (end * (1 - end) / 3) ** 0.5, rel=1e-6)


def test_one_seed_s_folds_stand_for_themselves(tmp_path: Path) -> None:
    trials = [
        Trial(1 + fold, 1, 7, fold, status="finished", figures={"test_accuracy": 1.0}) for fold in range(3)
    ]
    write(tmp_path, describe(folds=3), trials, {1: {"optimizer.lr": 1}})
    summary = of(str(tmp_path))
    assert not summary.has_folds_by_seed
    assert (summary.lines[0].successes, summary.lines[0].success.independent) == (
        dict.fromkeys(((7, 0), (7, 1), (7, 2)), 1.0),
        3,
    )


def test_settings_of_which_most_trials_diverged_come_after_the_others(tmp_path: Path) -> None:
    ends = {1: (0.5, 0.6, 0.7), 2: (0.1, None, None), 3: (0.9, 0.9, None), 4: (None, None, None)}
    trials = [
        Trial(
            10 * k + seed,
            k,
            seed,
            status="finished" if loss else "diverged",
            figures={"dev_loss": loss or 9.0},
        )
        for k, losses in ends.items()
        for seed, loss in enumerate(losses)
    ]
    for aggregate, order in {"mean": [1, 3, 2, 4], "median": [1, 3, 2, 4], "success": [1, 3, 2, 4]}.items():
        path = tmp_path / aggregate
        path.mkdir()
        success = {"figure": "dev_loss", "operator": "<", "number": 1.0, "text": "dev_loss < 1"}
        about = describe(
            objective={"metric": "dev_loss", "mode": "min", "aggregate": aggregate}, success=success
        )
        write(path, about, trials, {number: {"optimizer.lr": number} for number in ends})
        lines = of(str(path)).lines
        assert [line.setting.id for line in lines] == order
        assert [line.has_mostly_diverged for line in lines] == [False, False, True, True]


def test_parameters_are_called_by_their_shortest_ending() -> None:
    assert report_text.short_names(("optimizer.lr", "architecture.hidden")) == {
        "optimizer.lr": "lr",
        "architecture.hidden": "hidden",
    }
    assert report_text.short_names(("optimizer.name", "loss.name", "name")) == {
        "optimizer.name": "optimizer.name",
        "loss.name": "loss.name",
        "name": "name",
    }


def test_a_parameter_is_called_neither_like_a_column_nor_by_a_word_that_says_nothing() -> None:
    paths = ("architecture.init.weight.std", "optimizer.name", "dataset.seed", "seed")
    assert list(report_text.short_names(paths).values()) == ["weight.std", *paths[1:]]
    assert report_text.short_names(("a.lr", "b.lr.c", "lr")) == {"a.lr": "a.lr", "b.lr.c": "c", "lr": "lr"}


def test_a_setting_is_told_in_a_line_with_the_digits_of_tables() -> None:
    chosen = {"optimizer.lr": 6.977743084427995, "architecture.hidden": [3, 2], "optimizer.name": "sgd"}
    label = report_text.configuration_label(tuple(chosen), chosen)
    assert label == 'lr=6.978 hidden=[3, 2] optimizer.name="sgd"'


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "no such folder"), ("file", "is a file"), (".", "is not a sweep: it has no sweep.yaml")],
)
def test_what_is_no_sweep_is_said_to_be_none(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=message):
        open_sweep(str(tmp_path / name)).results()


def test_every_way_a_trial_stands_counts_or_is_apart():
    assert {*SOUND, *APART} == set(get_args(TrialStatus))
    assert not {*SOUND} & {*APART}
    assert set(BAD) < set(UNSOUND) == {*APART} - {"pending"}
    assert describe_counts({"failed": 1, "diverged": 1234, "pruned": 0}, APART) == [
        "1,234 diverged",
        "1 failed",
    ]
