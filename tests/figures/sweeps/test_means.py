"""Means over the values of a parameter, against NumPy and SciPy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.stats

from mlprun import figures
from mlprun.analysis import comparisons
from mlprun.figures import SweepData
from mlprun.figures.sweeps.parameter import averages

from .conftest import CUBE, GRID, LOG, Shape, bent, write
from .conftest import SHAPES as MADE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlprun.figures import Chart
    from mlprun.figures.sweeps.parameter import Averages

FOUR = [{**one, "penalty.l2": rate} for one in CUBE for rate in (0.0, 1e-4)]


def computed(data: SweepData) -> Chart:
    return figures.compute("parameter", data)


def averages_of(data: SweepData, name: str) -> Averages:
    return averages(data, next(one for one in data.dimensions if one.name == name))


def interval_of(values: Any) -> Any:
    values = np.asarray(values)
    return scipy.stats.t.interval(0.95, len(values) - 1, values.mean(), scipy.stats.sem(values))


def test_means_of_two_parameters_have_students_intervals_over_seeds(sweeps: dict[str, SweepData]) -> None:
    found = averages_of(sweeps["grid"], "lr")
    assert [line.label for line in found.lines] == ["hidden 2", "hidden 4", "hidden 8"]
    for units, line in enumerate(found.lines):
        assert list(line.positions) == [0.01, 0.1, 1.0]  # at 10 every trial diverged
        for rate in range(3):
            seen = [bent(GRID[4 * units + rate], seed) for seed in range(5)]
            assert line.means[rate] == pytest.approx(np.mean(seen))
            assert (line.low[rate], line.high[rate]) == pytest.approx(interval_of(seen))


def test_means_over_one_of_three_parameters_are_averaged_seed_by_seed(sweeps: dict[str, SweepData]) -> None:
    said = "means over 3 seeds with 95% intervals, averaged over the other parameters; dots are settings"
    assert said in computed(sweeps["cube"]).details[0]
    (line,) = averages_of(sweeps["cube"], "hidden").lines
    for place, units in enumerate((2, 4, 8)):
        chosen = [one for one in CUBE if one["architecture.hidden"] == [units] and one["optimizer.lr"] < 10]
        seeds = np.mean([[bent(one, seed) for seed in range(3)] for one in chosen], axis=0)
        assert line.means[place] == pytest.approx(seeds.mean())
        assert (line.low[place], line.high[place]) == pytest.approx(interval_of(seeds))


def holed(folder: Path, gone: Callable[[dict[str, Any], int], bool], seeds: int = 6) -> SweepData:
    """Four parameters, of which hidden has an effect that is large against the seeds; some trials diverge."""

    def loss(chosen: dict[str, Any], seed: int) -> float | None:
        return None if gone(chosen, seed) else float(level(chosen) + 0.01 * np.sin(9.1 * seed))

    shape = Shape(tuple(FOUR[0]), FOUR, seeds, loss, LOG)
    write(folder / "holed", "holed", shape)
    return SweepData.of(str(folder / "holed"))


def level(chosen: dict[str, Any]) -> float:
    return float(1 / chosen["architecture.hidden"][0] + np.log10(chosen["optimizer.lr"]) ** 2)


def effects(found: Averages) -> np.ndarray:
    (line,) = found.lines
    return line.means - line.means[0]


def test_a_diverged_trial_takes_only_its_partners_away(tmp_path: Path) -> None:
    units = "architecture.hidden"
    whole = holed(tmp_path, lambda _chosen, _seed: False)
    (tmp_path / "some").mkdir()
    some = holed(
        tmp_path / "some",
        lambda chosen, seed: chosen["optimizer.lr"] == 10 and chosen[units] == [2] and seed > 0,
    )
    panel, before = (averages_of(sweep, "hidden") for sweep in (some, whole))
    assert before.left_out == 0
    assert panel.left_out == 2 * 5 * 4  # at the two other widths; l2 and activation have two values each
    assert panel.lines[0].counts == (6, 6, 6)  # no seed is lost
    # like is compared with like: the widths differ as in the whole grid
    for one in (panel, before):
        assert effects(one) == pytest.approx([0, 1 / 4 - 1 / 2, 1 / 8 - 1 / 2])
    # and seeds that lack settings do not make intervals wide
    assert (panel.lines[0].high - panel.lines[0].low).max() < 0.03
    # at each of three other rates, of which more are told
    assert "means leave out up to 60 trials without a partner" in computed(some).details[0]


def test_a_value_where_most_trials_diverged_has_no_mean_and_takes_nothing_away(tmp_path: Path) -> None:
    sweep = holed(tmp_path, lambda chosen, seed: chosen["optimizer.lr"] == 10 and seed > 0)
    rates = averages_of(sweep, "lr")
    assert list(rates.lines[0].positions) == [0.01, 0.1, 1.0]
    assert rates.left_out == 0


def test_without_holes_centered_metrics_are_pooled_ones() -> None:
    table = np.random.default_rng(0).normal(size=(3, 4, 5))
    values = [{str(c): dict(enumerate(row)) for c, row in enumerate(value)} for value in table]
    plain, level = comparisons.pool_by_seed(values), comparisons.center_by_configuration(values)
    for one, other, value in zip(plain.means, level.means, table, strict=True):
        for means in (one, other):
            assert list(means.values()) == pytest.approx(list(value.mean(axis=0)))
    assert comparisons.center_by_configuration([{}, {}]).means == ({}, {})


def test_settings_that_were_drawn_are_what_intervals_are_over(sweeps: dict[str, SweepData]) -> None:
    values = computed(sweeps["random"])
    assert not averages_of(sweeps["random"], "lr").lines
    (line,) = averages_of(sweeps["random"], "activation").lines
    made = MADE["random"].settings
    tanh = [bent(one, 0) for one in made if one["architecture.activation"] == "tanh"]
    known = [loss for loss in tanh if loss is not None]
    activation = next(one for one in sweeps["random"].dimensions if one.name == "activation")
    place = line.positions.tolist().index(activation.position("tanh"))
    assert line.means[place] == pytest.approx(np.mean(known))
    assert (line.low[place], line.high[place]) == pytest.approx(interval_of(known))
    assert "settings with 95% intervals" in values.details[0]


def test_two_settings_are_too_few_for_an_interval(tmp_path: Path) -> None:
    settings = [{"a": k % 3, "b": k / 7} for k in range(9)]
    for name, is_drawn in (("drawn", True), ("listed", False)):
        shape = Shape(("a", "b"), settings, 1, lambda chosen, _seed: 1 + chosen["b"], is_drawn=is_drawn)
        write(tmp_path / name, name, shape)
    drawn = averages_of(SweepData.of(str(tmp_path / "drawn")), "a")
    assert drawn.lines[0].counts == (3, 3, 3)
    assert np.isnan(drawn.lines[0].low).all()
    # values of lists that go together differ in more than one parameter
    assert averages_of(SweepData.of(str(tmp_path / "listed")), "a").lines == ()


def test_settings_that_a_search_chose_have_no_means(sweeps: dict[str, SweepData], tmp_path: Path) -> None:
    sweep = sweeps["random"]
    words = {**sweep.description.definition, "search": {"name": "tpe"}}
    searched = replace(
        sweep, summary=replace(sweep.summary, description=replace(sweep.description, definition=words))
    )
    write(tmp_path / "x", "x", MADE["random"], prune=lambda chosen: chosen["optimizer.momentum"] > 0.5)
    for other in (searched, SweepData.of(str(tmp_path / "x"))):
        one = next(one for one in other.dimensions if one.name == "activation")
        assert averages(other, one).lines == ()


def test_one_seed_has_no_interval_and_none_is_announced(sweeps: dict[str, SweepData]) -> None:
    for name in ("equal", "begun"):
        (details,) = computed(sweeps[name]).details
        assert "means over 1 seed, too few for intervals" in details
        assert "95%" not in details


def test_panels_of_one_figure_have_one_upward_axis(sweeps: dict[str, SweepData]) -> None:
    assert {computed(sweeps[name]).share for name in ("grid", "random", "cube")} == {"y"}
