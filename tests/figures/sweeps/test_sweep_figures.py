"""What figures of sweeps compute, against NumPy, SciPy and closed forms."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.stats

from mlprun import figures
from mlprun.figures import SweepData
from mlprun.figures.chart import Band, Bars, HeatMap, Line, Points, Segments, Text
from mlprun.figures.sweeps.curves import SeedBand
from mlprun.figures.sweeps.importance import interactions_of

from .conftest import GRID, Shape, bent, history, trials_of, write
from .conftest import SHAPES as MADE

if TYPE_CHECKING:
    from pathlib import Path

    from mlprun.figures import Chart

SEEDS = 5


def computed(kind: str, data: SweepData, **options: Any) -> Chart:
    return figures.make(figures.sweep_figures, kind, options).compute(data)


def losses(setting: int) -> list[float]:
    """Of the grid: the losses of a setting's seeds, without those that diverged."""
    found = (bent(GRID[setting], seed) for seed in range(SEEDS))
    return [loss for loss in found if loss is not None]


def test_a_band_is_the_quantiles_over_trials_at_each_epoch() -> None:
    curves = np.random.default_rng(0).normal(size=(21, 40))
    found = SeedBand.of([{"epoch": np.arange(1, 41), "x": curve} for curve in curves], "x")
    assert found is not None
    assert found.trials == 21
    assert np.array_equal(found.epochs, np.arange(1, 41))
    for side, share in ((found.low, 0.1), (found.median, 0.5), (found.high, 0.9)):
        assert side == pytest.approx(np.quantile(curves, share, axis=0))


def test_a_band_ends_where_half_of_the_trials_have_stopped() -> None:
    ends = (10, 20, 30, 40)
    found = SeedBand.of(
        [{"epoch": np.arange(1, end + 1), "x": np.full(end, float(end))} for end in ends], "x"
    )
    assert found is not None
    assert found.epochs[-1] == 30
    assert found.median[-1] == 35.0  # of the two that are left
    assert SeedBand.of([], "x") is None
    assert SeedBand.of([{"epoch": np.arange(3), "x": np.full(3, np.nan)}], "x") is None


def test_curves_are_of_the_best_settings_and_leave_out_what_diverged(sweeps: dict[str, SweepData]) -> None:
    chart = computed("curves", sweeps["rates"])
    (panel,) = chart.panels
    assert panel.y.label == "dev loss"
    lines = {mark.label: mark for mark in panel.marks if isinstance(mark, Line)}
    assert list(lines) == ["2: lr 0.1", "1: lr 0.01", "3: lr 1", "4: lr 3"]
    trials = [one for one in trials_of(MADE["rates"]) if one.setting == 4 and one.status == "finished"]
    kept = np.array([history(trial)["dev_loss"] for trial in trials])
    line, bands = lines["4: lr 3"], chart.marks(Band)
    assert [one.color for one in bands] == [line.color for line in list(lines.values())[2::-1]]
    assert "bands of the best 3 hold the middle 80%" in chart.details[0]
    assert np.array_equal(line.x, np.arange(2, 13, 2))  # dev was evaluated at even epochs
    assert line.y == pytest.approx(np.median(kept[:, 1::2], axis=0))
    best = [one for one in trials_of(MADE["rates"]) if one.setting == 2 and one.status == "finished"]
    kept = np.array([history(trial)["dev_loss"] for trial in best])
    assert bands[-1].low == pytest.approx(np.quantile(kept[:, 1::2], 0.1, axis=0))  # the best is on top


def cells_of(chart: Chart) -> HeatMap:
    (cells,) = chart.marks(HeatMap)
    assert isinstance(cells, HeatMap)
    return cells


def names_of(chart: Chart) -> tuple[str, str]:
    return chart.panels[0].x.label, chart.panels[0].y.label


def test_cells_of_a_map_are_means_over_seeds_and_other_parameters(sweeps: dict[str, SweepData]) -> None:
    chart = computed("heat_map", sweeps["grid"])
    cells = cells_of(chart)
    assert (names_of(chart), cells.values.shape) == (("hidden", "lr"), (4, 3))
    for units, rate in product(range(3), range(3)):
        assert cells.values[rate, units] == pytest.approx(np.mean(losses(4 * units + rate)))
    assert np.isnan(cells.values[3]).all()
    assert cells.texts[3] == ("diverged",) * 3
    turned = computed("heat_map", sweeps["grid"], parameters=("optimizer.lr", "hidden"))
    assert pytest.approx(cells.values, nan_ok=True) == cells_of(turned).values.T
    cube = computed("heat_map", sweeps["cube"])
    pair = [bent(one, seed) for one in MADE["cube"].settings[:2] for seed in range(3)]
    assert cells_of(cube).values[0, 0] == pytest.approx(np.mean(pair))
    assert "over all values of the other parameters" in cube.details[0]


def test_a_map_is_of_the_two_most_important_parameters(sweeps: dict[str, SweepData], tmp_path: Path) -> None:
    random = computed("heat_map", sweeps["random"])
    bars = computed("importance", sweeps["random"]).panels[0].y.tick_labels or ()
    assert set(names_of(random)) == set(bars[:2])
    assert "the two most important of 5 parameters" in random.details[0]
    first = [{"a": k % 2, "b": k // 2 % 3, "c": k // 6} for k in range(12)]
    shape = Shape(("a", "b", "c"), first, 2, lambda one, seed: one["b"] + 2.0 * one["c"] + seed)
    write(tmp_path / "x", "x", shape)
    data = SweepData.of(str(tmp_path / "x"))
    assert names_of(computed("heat_map", data)) == ("b", "c")
    asked = computed("heat_map", data, parameters=("a", "c"))
    assert names_of(asked) == ("a", "c")
    assert "most important" not in asked.details[0]


def test_settings_without_a_metric_are_marked_apart(tmp_path: Path) -> None:
    write(tmp_path / "x", "x", MADE["random"], prune=lambda chosen: chosen["optimizer.momentum"] > 0.5)
    data = SweepData.of(str(tmp_path / "x"))
    chart = computed("heat_map", data)
    dots, others = chart.marks(Points)
    assert len(dots.x) == sum(line.stats.mean is not None for line in data.lines)
    assert (len(dots.x) + len(others.x), others.label) == (len(data.lines), "without a result")
    assert "pruned" in chart.details[0]


def test_success_rates_count_what_diverged_as_no_success(sweeps: dict[str, SweepData]) -> None:
    cells = cells_of(computed("success", sweeps["grid"]))
    for units, rate in product(range(3), range(4)):
        good = sum(1 - loss >= 0.7 for loss in losses(4 * units + rate))
        assert cells.values[rate, units] == good / SEEDS
        assert cells.texts[rate][units] == f"{good}/{SEEDS}"
    chart = computed("success", sweeps["rates"])
    (line,), (interval,), (text,) = (chart.marks(kind) for kind in (Line, Segments, Text))
    assert len(text.texts) == 5
    for count, rate, low, high in zip(text.texts, line.y, interval.y0, interval.y1, strict=True):
        good, n = map(int, count.split("/"))
        wilson = scipy.stats.binomtest(good, n).proportion_ci(method="wilson")
        assert rate == good / n
        assert (low, high) == (pytest.approx(wilson.low, abs=1e-12), pytest.approx(wilson.high))


def test_parallel_lines_stand_where_their_values_are(sweeps: dict[str, SweepData]) -> None:
    chart = computed("parallel", sweeps["grid"])
    others, best = chart.marks(Line)[:2]
    assert chart.panels[0].x.tick_labels == ("hidden", "lr", "dev loss (best epoch)")
    assert sweeps["grid"].lines[0].setting.values == {"architecture.hidden": [8], "optimizer.lr": 0.1}
    assert best.y == pytest.approx([1.0, 1 / 3, 0.0])  # lr: 0.01 to 10 is three decades
    assert list(others.values) == sorted(others.values, reverse=True)  # good ones on top
    assert len(others.y) == 8
    assert "left out: 15 diverged" in chart.details[0]


def test_a_distribution_has_every_metric_of_a_setting(sweeps: dict[str, SweepData]) -> None:
    chart = computed("distribution", sweeps["rates"])
    axis = chart.panels[0].y
    assert (axis.label, axis.tick_labels) == ("setting: lr", ("2: 0.1", "1: 0.01", "3: 1", "4: 3", "5: 10"))
    best = np.sort([bent({"optimizer.lr": 0.1}, seed) for seed in range(6)])
    dots, mean = chart.marks(Points)[:2]
    assert dots.x == pytest.approx(best)
    assert mean.x == pytest.approx([best.mean()])
    assert [text.texts for text in chart.marks(Text)] == [("1 diverged",), ("6 diverged",)]


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
        "interactions": (additive - full) / total,
        "seeds": full / total,
    }


def test_importance_is_the_analysis_of_variance_of_a_grid(sweeps: dict[str, SweepData]) -> None:
    sweep = sweeps["grid"]
    shares, thresholds = shares_of(computed("importance", sweep))
    kept = np.array([losses(setting) for setting in range(12) if GRID[setting]["optimizer.lr"] < 10])
    expected = analysis(kept.reshape(3, 3, SEEDS))
    assert shares["hidden"] == pytest.approx(expected["first"])
    assert shares["lr"] == pytest.approx(expected["second"])
    assert shares["interactions"] == pytest.approx(expected["interactions"])
    assert shares["seeds, within a setting"] == pytest.approx(expected["seeds"])
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["lr"] > thresholds[0]


def shares_of(chart: Chart) -> tuple[dict[str, float], list[float]]:
    """The length of each bar by its name, and the thresholds."""
    names = chart.panels[0].y.tick_labels or ()
    lengths = np.concatenate([bars.height for bars in chart.marks(Bars)])
    thresholds = [float(x) for mark in chart.marks(Segments) for x in mark.x0]
    return dict(zip(names, lengths.tolist(), strict=True)), thresholds


def test_with_one_seed_what_parameters_leave_over_is_their_interactions() -> None:
    table = np.random.default_rng(2).normal(size=(3, 4)) + np.arange(4)
    expected = analysis(table[:, :, None])
    groups = [np.repeat(np.arange(3), 4), np.tile(np.arange(4), 3)]
    found = interactions_of([np.array([value]) for value in table.reshape(-1)], groups)
    assert found / (table.var() * table.size) == pytest.approx(expected["interactions"])


def drawn(count: int) -> list[dict[str, Any]]:
    draw = np.random.default_rng(4)
    return [
        {"optimizer.lr": float(10 ** draw.uniform(-3, 0)), "dropout": float(draw.uniform(0, 0.5))}
        for _ in range(count)
    ]


def sweep_of(folder: Path, settings: list[dict[str, Any]], loss: Any) -> SweepData:
    scales = {"optimizer.lr": "log"}
    write(folder, "x", Shape(tuple(settings[0]), settings, 2, loss, scales, is_drawn=True))
    return replace(SweepData.of(str(folder)), history=history)


def test_importance_of_drawn_values_is_their_total_effect(tmp_path: Path) -> None:
    def loss(chosen: dict[str, Any], seed: int) -> float:  # only the learning rate matters
        return 0.3 + 0.2 * (math.log10(chosen["optimizer.lr"]) + 1.5) ** 2 + 0.001 * seed

    shares, _ = shares_of(computed("importance", sweep_of(tmp_path / "x", drawn(60), loss)))
    assert list(shares) == ["lr", "dropout", "not predicted"]
    assert shares["lr"] > 0.7
    assert shares["dropout"] < 0.05
    assert shares["not predicted"] < 0.3
    both, _ = shares_of(
        computed("importance", sweep_of(tmp_path / "y", drawn(60), lambda c, _: c["dropout"]))
    )
    assert next(iter(both)) == "dropout"


def test_importance_that_cannot_be_known_is_not_shown(tmp_path: Path) -> None:
    few = sweep_of(tmp_path / "few", drawn(8), lambda chosen, _: chosen["dropout"])
    assert (
        figures.sweep_figures["importance"]().unsupported_reason(few)
        == "fewer than 20 settings have a metric"
    )
    noise = np.random.default_rng(3).normal(size=(1000, 2)) + 5
    without = sweep_of(tmp_path / "x", drawn(30), lambda c, seed: noise[int(c["dropout"] * 1999), seed])
    chart = computed("importance", without)
    assert list(shares_of(chart)[0].values())[:2] == [0, 0]
    assert "too little to tell which parameters matter" in chart.details[0]


def test_few_drawn_numbers_are_dots_on_true_axes(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path / "x", drawn(6), lambda chosen, seed: chosen["dropout"] + seed)
    assert [(one.is_continuous, one.scale) for one in sweep.dimensions] == [(True, "log"), (True, "linear")]
    (dots,) = computed("heat_map", sweep).marks(Points)
    assert sorted(dots.x) == sorted(line.setting.values["optimizer.lr"] for line in sweep.lines)
    assert [one.axis().scale for one in sweep.dimensions] == ["log", "linear"]
    assert not computed("parameter", sweep).marks(Line)


def test_two_seeds_have_no_bands_and_no_intervals(tmp_path: Path) -> None:
    settings = [{"optimizer.lr": rate} for rate in (0.1, 0.2)]
    sweep = sweep_of(tmp_path / "x", settings, lambda chosen, seed: chosen["optimizer.lr"] + seed)
    curves = computed("curves", sweep)
    assert "medians over 2 seeds, too few for bands" in curves.details[0]
    band = curves.marks(Band)[0]
    assert np.array_equal(band.low, band.high)
    assert "means of too few for intervals" in computed("distribution", sweep).details[0]
    assert "large dots are means over 2 seeds" in computed("parameter", sweep).details[0]
    assert not computed("distribution", sweep).marks(Bars)  # no box of two values


def test_charts_say_that_pruned_trials_are_left_out(sweeps: dict[str, SweepData]) -> None:
    grid = sweeps["grid"]
    lines = [replace(line, counts={"pruned": 5}) if line.stats.mean is None else line for line in grid.lines]
    counts = {"finished": 45, "pruned": 1015}
    pruned = replace(grid, summary=replace(grid.summary, lines=lines, counts=counts))
    assert pruned.left_out() == "left out: 1,015 pruned"
    chart = computed("heat_map", pruned)
    assert cells_of(chart).texts[3] == ("pruned",) * 3
    assert "left out: 1,015 pruned" in chart.details[0]
    assert "left out: 1,015 pruned" in " ".join(computed("success", pruned).details)
    texts = [text.texts for text in computed("distribution", pruned).marks(Text)]
    assert texts[-3:] == [("5 pruned",)] * 3


def test_metrics_that_no_axis_can_hold_are_left_out_with_a_note(tmp_path: Path) -> None:
    rates = [{"optimizer.lr": rate} for rate in (0.1, 0.2, 0.3)]

    def loss(chosen: dict[str, Any], seed: int) -> float:
        return {0.1: 1.7e308, 0.2: -1.7e308}.get(chosen["optimizer.lr"], 0.5 + seed)

    write(tmp_path / "x", "x", Shape(("optimizer.lr",), rates, 3, loss, success=False))
    data = SweepData.of(str(tmp_path / "x"))
    assert "left out: 6 values beyond ±1e+150" in data.left_out()
    for kind in ("parameter", "distribution"):
        chart = figures.compute(kind, data)
        assert "6 values beyond" in " ".join(chart.details)
        assert figures.encode(chart, "png", dpi=40).startswith(b"\x89PNG")
