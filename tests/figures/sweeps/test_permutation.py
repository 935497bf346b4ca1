"""A parameter without effect exceeds its threshold as rarely as promised, one with an effect often."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun.analysis.statistics import SampleStats
from mlprun.analysis.summary import ConfigurationSummary
from mlprun.figures.sweeps import importance
from mlprun.figures.sweeps.dimensions import dimension
from mlprun.sweeps.schema import Configuration

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlprun.figures.sweeps.dimensions import Dimension

    Design = Callable[[np.random.Generator], list[dict[str, Any]]]

FIRST, LAST = "optimizer.lr", "penalty.l2"


def lines_of(settings: list[dict[str, Any]], table: NDArray[np.float64]) -> list[ConfigurationSummary]:
    """Settings with figures [settings, seeds]; nan is of a trial that diverged."""
    values = [{seed: float(one) for seed, one in enumerate(row) if np.isfinite(one)} for row in table]
    pairs = zip(settings, values, strict=True)
    return [
        ConfigurationSummary(
            Configuration(k + 1, chosen), {}, known, SampleStats(len(known)), None, {}, None, (0.0, 0.0)
        )
        for k, (chosen, known) in enumerate(pairs)
        if known
    ]


def grid(_draw: np.random.Generator) -> list[dict[str, Any]]:
    return [{FIRST: a, "b": b, LAST: c} for a, b, c in product((1, 2, 3, 4), ("p", "q"), (1, 2, 3))]


def some_of_a_grid(draw: np.random.Generator) -> list[dict[str, Any]]:
    every = grid(draw)
    return [every[k] for k in sorted(draw.choice(len(every), 18, replace=False))]


CASES: dict[str, tuple[Design, int]] = {
    "a grid with seeds": (grid, 5),
    "a grid with one seed": (grid, 1),
    "a grid with holes": (some_of_a_grid, 3),
}
"""settings, seeds"""


def figures(
    settings: list[dict[str, Any]], seeds: int, draw: np.random.Generator, effect: float
) -> NDArray[np.float64]:
    """The first two parameters matter, also together; seeds are shared; some trials diverge."""
    of_setting = np.array(
        [2 * one[FIRST] + (one["b"] == "p") * one[FIRST] ** 2 + effect * one[LAST] for one in settings]
    )
    noise = draw.standard_exponential((len(settings), seeds)) * (1 + of_setting[:, None] / 10)
    table = of_setting[:, None] + 3 * draw.normal(size=seeds) + noise
    gone = (of_setting[:, None] > 20) & (draw.uniform(size=table.shape) < 0.3)
    return np.where(gone, np.nan, table)


def levels_of(one: Dimension, lines: list[ConfigurationSummary]) -> NDArray[np.int64]:
    return np.array([one.index(line.setting.values[one.path]) for line in lines])


def exceeds(case: str, repeats: int, effect: float, parameter: str = LAST) -> int:
    """How often the share of a parameter is beyond its threshold."""
    design, seeds = CASES[case]
    draw = np.random.default_rng(0)
    found = 0
    for _ in range(repeats):
        settings = design(draw)
        lines = lines_of(settings, figures(settings, seeds, draw, effect))
        one = dimension(parameter, "x", [line.setting.values[parameter] for line in lines], "linear")
        sums = importance.sums_of_squares(parameter, levels_of(one, lines), lines)
        found += int(sums[0] > importance.null_threshold(sums) * (1 + 1e-9))
    return found


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "PERMUTATIONS", importance.MIN_PERMUTATIONS)


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("case", CASES)
def test_a_parameter_without_effect_exceeds_its_threshold_in_5_of_100_sweeps(case: str) -> None:
    assert 4 <= exceeds(case, 200, effect=0.0) <= 18  # of 98% of binomial counts


@pytest.mark.slow
@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("case", CASES)
def test_a_parameter_without_effect_exceeds_its_threshold_as_rarely_over_many_sweeps(case: str) -> None:
    assert exceeds(case, 4000, effect=0.0) / 4000 == pytest.approx(0.05, abs=0.009)


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("case", CASES)
def test_a_parameter_with_an_effect_exceeds_its_threshold(case: str) -> None:
    assert exceeds(case, 20, effect=0.0, parameter=FIRST) >= 18
    assert exceeds(case, 20, effect=8.0) >= 18


def test_the_threshold_is_the_95th_of_100_permutations_that_there_are() -> None:
    settings = [{FIRST: a, "b": "p", LAST: c} for a in (1, 2) for c in (1, 2, 3)]
    table = np.random.default_rng(1).normal(size=(6, 1)) + np.array([[0, 1, 5, 2, 3, 9]]).T
    lines = lines_of(settings, table)
    one = dimension(LAST, "l2", [1, 2, 3], "linear")
    sums = importance.sums_of_squares(LAST, levels_of(one, lines), lines)
    first, second = table.reshape(2, 3)
    every = []
    for left, right in product(permutations(first), permutations(second)):
        means = (np.array(left) + np.array(right)) / 2
        every.append(2 * np.sum((means - table.mean()) ** 2))
    assert set(np.round(sums, 9)) == set(np.round(every, 9))
    assert sums[0] == pytest.approx(every[0])
    assert np.isnan(
        importance.null_threshold(sums)
    )  # one in six exchanges at the least is as good as the best


def test_there_is_no_threshold_where_values_cannot_be_exchanged() -> None:
    paired = [{FIRST: k, "b": "p", LAST: k} for k in range(8)]
    lines = lines_of(paired, np.random.default_rng(0).normal(size=(8, 3)))
    one = dimension(LAST, "l2", list(range(8)), "linear")
    sums = importance.sums_of_squares(LAST, levels_of(one, lines), lines)
    assert np.isnan(importance.null_threshold(sums))
