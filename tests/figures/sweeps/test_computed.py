"""What pictures of sweeps draw, against NumPy, SciPy and closed forms."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.stats

from mlprun.figures import sweeps as pictures
from mlprun.figures.sweeps import Sweep
from mlprun.figures.sweeps.curves import band
from mlprun.figures.sweeps.importance import Spread

from .conftest import GRID, Shape, bent, history, trials_of, write
from .conftest import SHAPES as MADE

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = 5


def computed(kind: str, sweep: Sweep, **options: Any) -> Any:
    return pictures.make(kind, **options).compute(sweep)


def losses(setting: int) -> list[float]:
    """Of the grid: the losses of a setting's seeds, without those that diverged."""
    found = (bent(GRID[setting], seed) for seed in range(SEEDS))
    return [loss for loss in found if loss is not None]


def test_a_band_is_the_quantiles_over_trials_at_each_epoch() -> None:
    curves = np.random.default_rng(0).normal(size=(21, 40))
    found = band([{"epoch": np.arange(1, 41), "x": curve} for curve in curves], "x")
    assert found is not None
    assert found.trials == 21
    assert np.array_equal(found.epochs, np.arange(1, 41))
    for side, share in ((found.low, 0.1), (found.middle, 0.5), (found.high, 0.9)):
        assert side == pytest.approx(np.quantile(curves, share, axis=0))


def test_a_band_ends_where_half_of_the_trials_have_stopped() -> None:
    ends = (10, 20, 30, 40)
    found = band([{"epoch": np.arange(1, end + 1), "x": np.full(end, float(end))} for end in ends], "x")
    assert found is not None
    assert found.epochs[-1] == 30
    assert found.middle[-1] == 35.0  # of the two that are left
    assert band([], "x") is None
    assert band([{"epoch": np.arange(3), "x": np.full(3, np.nan)}], "x") is None


def test_curves_are_of_the_best_settings_and_leave_out_what_diverged(sweeps: dict[str, Sweep]) -> None:
    values = computed("curves", sweeps["rates"])
    assert list(values.bands) == ["2: lr 0.1", "1: lr 0.01", "3: lr 1", "4: lr 3"]
    trials = [one for one in trials_of(MADE["rates"]) if one.setting == 4 and one.status == "finished"]
    kept = np.array([history(trial)["dev_loss"] for trial in trials])
    shown = values.bands["4: lr 3"]["dev"]
    assert shown.trials == len(trials) == 5
    assert np.array_equal(shown.epochs, np.arange(2, 13, 2))  # dev was evaluated at even epochs
    assert shown.middle == pytest.approx(np.median(kept[:, 1::2], axis=0))


def test_cells_of_a_map_are_means_over_seeds_and_other_parameters(sweeps: dict[str, Sweep]) -> None:
    values = computed("heat_map", sweeps["grid"])
    assert (values.across.name, values.up.name, values.values.shape) == ("hidden", "lr", (4, 3))
    for units, rate in product(range(3), range(3)):
        assert values.values[rate, units] == pytest.approx(np.mean(losses(4 * units + rate)))
    assert np.isnan(values.values[3]).all()
    assert values.texts[3] == ["diverged"] * 3
    turned = computed("heat_map", sweeps["grid"], parameters=("optimizer.lr", "hidden"))
    assert pytest.approx(values.values, nan_ok=True) == turned.values.T
    cube = computed("heat_map", sweeps["cube"])
    pair = [bent(one, seed) for one in MADE["cube"].settings[:2] for seed in range(3)]
    assert cube.values[0, 0] == pytest.approx(np.mean(pair))
    assert "averaged over the other parameters" in cube.details[0]


def test_a_map_is_of_the_two_parameters_that_make_a_picture(sweeps: dict[str, Sweep], tmp_path: Path) -> None:
    random = computed("heat_map", sweeps["random"])
    assert {random.across.name, random.up.name} == {
        "lr",
        "momentum",
    }  # of three that spread, as importance says
    assert "the two most important of 3 that spread" in random.details[0]
    first = [{"a": k % 2, "b": k // 2 % 3, "c": k // 6} for k in range(12)]
    write(
        tmp_path / "x",
        "x",
        Shape(("a", "b", "c"), first, 2, lambda one, seed: one["b"] + 2.0 * one["c"] + seed),
    )
    values = computed("heat_map", Sweep.of(str(tmp_path / "x")))
    assert (values.across.name, values.up.name) == ("b", "c")
    asked = computed("heat_map", Sweep.of(str(tmp_path / "x")), parameters=("a", "c"))
    assert (asked.across.name, asked.up.name) == ("a", "c")
    assert "most important" not in asked.details[0]


def test_cells_that_lack_trials_have_a_star(tmp_path: Path) -> None:
    def loss(chosen: dict[str, Any], seed: int) -> float | None:
        return None if chosen["optimizer.lr"] == 1.0 and seed == 0 else bent(chosen, seed)

    write(tmp_path / "x", "x", Shape(("architecture.hidden", "optimizer.lr"), GRID, 3, loss))
    values = computed("heat_map", Sweep.of(str(tmp_path / "x")))
    assert [[text.endswith("*") for text in row] for row in values.texts[:3]] == [[False] * 3] * 2 + [
        [True] * 3
    ]
    assert "* of those trials of a cell that have a figure" in values.details[0]


def test_pruned_settings_are_not_as_those_that_diverged(sweeps: dict[str, Sweep], tmp_path: Path) -> None:
    write(tmp_path / "x", "x", MADE["random"], prune=lambda chosen: chosen["optimizer.momentum"] > 0.5)
    sweep = Sweep.of(str(tmp_path / "x"))
    for kind in ("heat_map", "success"):
        values = computed(kind, sweep)
        pruned = [one["optimizer.momentum"] > 0.5 for one in (line.setting.values for line in sweep.lines)]
        assert values.given_up.tolist() == pruned
        assert np.isnan(values.values[values.given_up]).all()
        legend = pictures.draw(kind, sweep).axes[0].get_legend()
        assert "pruned" in [text.get_text() for text in legend.get_texts()]


def test_success_rates_count_what_diverged_as_no_success(sweeps: dict[str, Sweep]) -> None:
    values = computed("success", sweeps["grid"])
    for units, rate in product(range(3), range(4)):
        good = sum(1 - loss >= 0.7 for loss in losses(4 * units + rate))
        assert values.values[rate, units] == good / SEEDS
        assert values.texts[rate][units] == f"{good}/{SEEDS}"
    rates = computed("success", sweeps["rates"])
    assert len(rates.texts) == 5
    for count, rate, low, high in zip(rates.texts, rates.rates, rates.low, rates.high, strict=True):
        good, n = map(int, count.split("/"))
        wilson = scipy.stats.binomtest(good, n).proportion_ci(method="wilson")
        assert (rate, low, high) == (
            good / n,
            pytest.approx(wilson.low, abs=1e-12),
            pytest.approx(wilson.high),
        )


def test_parallel_lines_stand_where_their_values_are(sweeps: dict[str, Sweep]) -> None:
    values = computed("parallel", sweeps["grid"])
    assert [one.name for one in values.dimensions] == ["hidden", "lr"]
    assert list(values.figures) == sorted(values.figures)
    best = sweeps["grid"].lines[0].setting.values
    assert best == {"architecture.hidden": [8], "optimizer.lr": 0.1}
    assert values.places[0] == pytest.approx([1.0, 1 / 3, 0.0])  # lr: 0.01 to 10 is three decades
    assert len(values.figures) == 9
    assert "left out: 3 without a figure" in values.details[0]


def test_a_distribution_has_every_figure_of_a_setting(sweeps: dict[str, Sweep]) -> None:
    values = computed("distribution", sweeps["rates"])
    assert [row.label for row in values.rows] == ["2: lr 0.1", "1: lr 0.01", "3: lr 1", "4: lr 3", "5: lr 10"]
    best = np.sort([bent({"optimizer.lr": 0.1}, seed) for seed in range(6)])
    assert values.rows[0].values == pytest.approx(best)
    assert values.rows[0].mean == pytest.approx(best.mean())
    assert [(row.apart, len(row.values)) for row in values.rows[3:]] == [("1 diverged", 5), ("6 diverged", 0)]


def analysis(table: np.ndarray) -> dict[str, float]:
    """Two-way analysis of variance of [A, B, seeds] by least squares on dummy variables."""
    first, second, seeds = table.shape
    rows = [(a, b) for a in range(first) for b in range(second) for _ in range(seeds)]
    values = table.reshape(-1)

    def left(columns: list[list[float]]) -> float:
        design = np.array([[1.0] * len(rows), *columns]).T
        return float(np.sum((values - design @ np.linalg.lstsq(design, values, rcond=None)[0]) ** 2))

    of_first = [[float(a == k) for a, _ in rows] for k in range(1, first)]
    of_second = [[float(b == k) for _, b in rows] for k in range(1, second)]
    both = [[x * y for x, y in zip(p, q, strict=True)] for p in of_first for q in of_second]
    total, additive = left([]), left([*of_first, *of_second])
    full = left([*of_first, *of_second, *both])
    return {
        "first": (total - left(of_first)) / total,
        "second": (total - left(of_second)) / total,
        "interplay": (additive - full) / total,
        "seeds": full / total,
    }


def test_importance_is_the_analysis_of_variance_of_a_grid(sweeps: dict[str, Sweep]) -> None:
    sweep = sweeps["grid"]
    found = computed("importance", sweep)
    kept = np.array([losses(setting) for setting in range(12) if GRID[setting]["optimizer.lr"] < 10])
    expected = analysis(kept.reshape(3, 3, SEEDS))
    shares = {one.name: one for one in found.shares}
    assert shares["hidden"].share == pytest.approx(expected["first"])
    assert shares["lr"].share == pytest.approx(expected["second"])
    assert list(found.rest.values()) == pytest.approx([expected["interplay"], expected["seeds"]])
    whole = sum(one.share for one in found.shares) + sum(found.rest.values())
    assert whole == pytest.approx(1.0)
    assert shares["lr"].share > shares["lr"].chance


def test_with_one_seed_what_parameters_leave_over_is_their_interplay() -> None:
    table = np.random.default_rng(2).normal(size=(3, 4)) + np.arange(4)
    expected = analysis(table[:, :, None])
    groups = [np.repeat(np.arange(3), 4), np.tile(np.arange(4), 3)]
    spread = Spread.of([np.array([value]) for value in table.reshape(-1)])
    assert spread.beyond(groups) / spread.total == pytest.approx(expected["interplay"])


def drawn(count: int) -> list[dict[str, Any]]:
    draw = np.random.default_rng(4)
    return [
        {"optimizer.lr": float(10 ** draw.uniform(-3, 0)), "dropout": float(draw.uniform(0, 0.5))}
        for _ in range(count)
    ]


def sweep_of(folder: Path, settings: list[dict[str, Any]], loss: Any) -> Sweep:
    scales = {"optimizer.lr": "log"}
    write(folder, "x", Shape(tuple(settings[0]), settings, 2, loss, scales, is_drawn=True))
    return replace(Sweep.of(str(folder)), history=history)


def test_importance_of_drawn_values_is_their_total_effect(tmp_path: Path) -> None:
    def loss(chosen: dict[str, Any], seed: int) -> float:  # only the learning rate matters
        return 0.3 + 0.2 * (math.log10(chosen["optimizer.lr"]) + 1.5) ** 2 + 0.001 * seed

    found = computed("importance", sweep_of(tmp_path / "x", drawn(60), loss))
    assert [one.name for one in found.shares] == ["lr", "dropout"]
    assert found.shares[0].share > 0.7
    assert found.shares[1].share < 0.05
    assert found.rest["not predicted"] < 0.3
    both = computed("importance", sweep_of(tmp_path / "y", drawn(60), lambda c, _: c["dropout"]))
    assert both.shares[0].name == "dropout"


def test_importance_that_cannot_be_known_is_not_shown(tmp_path: Path) -> None:
    few = sweep_of(tmp_path / "few", drawn(8), lambda chosen, _: chosen["dropout"])
    assert pictures.make("importance").refuses(few) == "fewer than 20 settings have a figure"
    noise = np.random.default_rng(3).normal(size=(1000, 2)) + 5
    without = sweep_of(tmp_path / "x", drawn(30), lambda c, seed: noise[int(c["dropout"] * 1999), seed])
    found = computed("importance", without)
    assert [one.share for one in found.shares] == [0, 0]
    assert "too little to tell which parameters matter" in found.details[0]


def test_few_drawn_numbers_are_dots_on_true_axes(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path / "x", drawn(6), lambda chosen, seed: chosen["dropout"] + seed)
    assert [(one.is_continuous, one.scale) for one in sweep.dimensions] == [(True, "log"), (True, "linear")]
    values = computed("heat_map", sweep)
    assert values.places is not None
    assert sorted(values.places[0]) == sorted(line.setting.values["optimizer.lr"] for line in sweep.lines)
    axes = pictures.draw("heat_map", sweep).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert not computed("parameter", sweep).panels[0].averages.lines


def test_two_seeds_have_no_bands_and_no_intervals(tmp_path: Path) -> None:
    settings = [{"optimizer.lr": rate} for rate in (0.1, 0.2)]
    sweep = sweep_of(tmp_path / "x", settings, lambda chosen, seed: chosen["optimizer.lr"] + seed)
    curves = computed("curves", sweep)
    assert "medians over 2 seeds, too few for bands" in curves.details[0]
    band = next(iter(curves.bands.values()))["dev"]
    assert np.array_equal(band.low, band.high)
    assert "means of too few for intervals" in computed("distribution", sweep).details[0]
    assert "too few for intervals" in computed("parameter", sweep).details[0]


def test_pictures_say_that_pruned_trials_are_left_out(sweeps: dict[str, Sweep]) -> None:
    grid = sweeps["grid"]
    lines = [replace(line, counts={"pruned": 5}) if line.stats.mean is None else line for line in grid.lines]
    counts = {"finished": 45, "pruned": 1015}
    pruned = replace(grid, summary=replace(grid.summary, lines=lines, counts=counts))
    assert pruned.missing() == "left out: 1,015 pruned"
    values = computed("heat_map", pruned)
    assert values.texts[3] == ["pruned"] * 3
    assert "left out: 1,015 pruned" in values.details[0]
    assert "left out: 1,015 pruned" in " ".join(computed("success", pruned).details)
    assert [row.apart for row in computed("distribution", pruned).rows[-3:]] == ["5 pruned"] * 3
