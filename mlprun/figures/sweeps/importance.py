"""How much of the variance of the metric each parameter explains."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from mlprun.figures import style
from mlprun.figures.chart import (
    Array,
    Axis,
    Bars,
    Chart,
    Mark,
    Panel,
    Text,
    evenly_spaced,
    intervals,
    joined,
    scale_of,
)
from mlprun.figures.figure import SweepFigure, sweep_figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.figures.sweeps.sweep_data import SweepData

MIN_CONFIGURATIONS = 20
"""settings with a metric that a forest is fitted to, at least"""
MAX_CONFIGURATIONS = 1000
"""settings that it is fitted to, at most: evenly spread ones, in the order in which they were tried"""
MIN_PREDICTED = 0.2
"""of the variance that a forest predicts, for its importances to mean something"""
FOLDS = 5
REPEATS = 20
QUANTILE = 0.95
PERMUTATIONS = 999
MIN_PERMUTATIONS = 199
MAX_WORK = 20_000_000
"""permutations times trials, more or less, beyond which there are fewer permutations"""


class Share(NamedTuple):
    """The share of the variance that a parameter explains, and the 95% threshold without an effect."""

    name: str
    share: float
    threshold: float = np.nan
    """nan where values cannot be exchanged"""


@sweep_figures.register
class ImportanceFigure(SweepFigure):
    """The share of the metric's variance that each parameter explains.

    In a grid the variance of the metric over all trials is taken apart as in an analysis of variance: what
    the means at each value of a parameter differ by (its main effect), what settings differ by beyond a sum
    of such effects (interactions), and what seeds of one setting differ by. These add up to the whole unless
    some settings have no metric. The mark at a bar is what a parameter without any effect stays below in 95%
    of sweeps: what it explains when its values are exchanged between trials of one seed whose settings are
    alike in all else.

    Elsewhere, as in a random search, few settings share a value. There a random forest predicts the mean of a
    setting from its values, and a parameter's importance is by how much the squared error on held-out
    settings grows when its values are permuted (Breiman, 2001, doi.org/10.1023/A:1010933404324). Half of that
    is the variance that is lost without the parameter, alone or together with others (its total effect;
    Gregorutti et al., 2017, doi.org/10.1007/s11222-016-9646-1), so that shares may add up to more than the
    whole. A forest that predicts too little of held-out settings gives no shares.
    Metrics that span a factor of 30 are taken as logarithms.
    """

    is_default = False

    name: Literal["importance"] = "importance"

    def unsupported_reason(self, data: SweepData) -> str | None:
        if len(data.dimensions) < 2:
            return "fewer than two parameters vary"
        known = [line for line in data.lines if line.stats.n]
        least = 4 if data.is_grid else MIN_CONFIGURATIONS
        if len(known) < least:
            return f"fewer than {least} settings have a metric"
        values = np.concatenate([data.values(line) for line in known])
        return None if values.max() > values.min() else "the metric is equal everywhere"

    def compute(self, data: SweepData) -> Chart:
        known, is_log = _known(data)
        shares, rest = explained_variance(data)
        parts = [f"shares of the variance of {'log ' if is_log else ''}{data.axis}"]
        if data.is_grid:
            parts += [f"{sum(len(line.values) for line in known):,} trials (analysis of variance)"]
            parts += (
                ["some settings have no metric: shares may overlap"] if len(known) < len(data.lines) else []
            )
        else:
            predicted = 1 - rest["not predicted"]
            how = f"permutation importance of a random forest, which predicts {predicted:.0%} of it"
            parts += [f"{len(known):,} settings ({how})"]
            parts += ["too little to tell which parameters matter"] if predicted < MIN_PREDICTED else []
            parts += ["chosen by earlier metrics, not evenly"] if data.is_adaptive else []
        height = float(np.clip(1.6 + 0.34 * (len(shares) + len(rest)), 2.6, 7.0))
        title = f"What explains the {data.metric}: {data.name}"
        label = "a parameter alone" if data.is_grid else "a parameter, alone and with others"
        details = joined(*parts, data.left_out())
        return Chart(title, details, (_panel(label, shares, rest),), height=height)


def _panel(label: str, shares: list[Share], rest: dict[str, float]) -> Panel:
    """A bar for each parameter, the largest on top, and for the rest."""
    names = (*(style.name(one.name, 30) for one in shares), *rest)
    lengths = np.array([*(one.share for one in shares), *rest.values()])
    rows, count = np.arange(len(names), dtype=np.float64), len(shares)
    start, end = rows - 0.31, rows + 0.31
    marks: list[Mark] = [
        Bars(start[:count], end[:count], lengths[:count], label=label, along="y"),
        Bars(
            start[count:], end[count:], lengths[count:], label="the rest", color="#d9d9d9",
            edge=style.GREY, hatch="////", along="y",
        ),
    ]  # fmt: skip
    thresholds = np.array([one.threshold for one in shares])
    known = np.isfinite(thresholds)
    if known.any():
        at, low, high = thresholds[known], start[:count][known], end[:count][known]
        marks.append(intervals(at, low, high, "95% null threshold", color=style.VERMILLION, width=1.8))
    marks.append(Text(lengths, rows, tuple(f"{share:.1%}" for share in lengths)))
    x = Axis("share of the variance", limits=(0, 1.13 * max(0.02, *lengths, *thresholds[known])))
    y = Axis("", "category", (len(names) - 0.4, -0.6), tuple(range(len(names))), names)
    return Panel(tuple(marks), x, y)


def most_important(data: SweepData) -> Sequence[Dimension]:
    """The parameters by what they explain, the most important first; as they are where that is not known."""
    if ImportanceFigure().unsupported_reason(data) is not None:
        return data.dimensions
    shares = {one.name: one.share for one in explained_variance(data)[0]}
    return sorted(data.dimensions, key=lambda one: -shares[one.name])


@lru_cache(maxsize=1)
def explained_variance(data: SweepData) -> tuple[list[Share], dict[str, float]]:
    """What each parameter explains, the largest share first, and what is left; computed once for a sweep."""
    known, _ = _known(data)
    shares, rest = _of_grid(data, known) if data.is_grid else _of_forest(data.dimensions, known)
    return sorted(shares, key=lambda one: -one.share), rest


def _of_grid(data: SweepData, known: Sequence[ConfigurationSummary]) -> tuple[list[Share], dict[str, float]]:
    """The analysis of variance: the main effect of each parameter, interactions and seeds."""
    values = [np.array(list(line.values.values())) for line in known]
    total = _squares(np.concatenate(values))
    groups = [
        np.array([one.index(line.setting.values.get(one.path)) for line in known]) for one in data.dimensions
    ]
    shares = []
    for one, group in zip(data.dimensions, groups, strict=True):
        sums = sums_of_squares(one.path, group, known) / total
        shares.append(Share(one.name, float(sums[0]), null_threshold(sums)))
    interactions, seeds = interactions_of(values, groups) / total, sum(map(_squares, values)) / total
    if not seeds:
        return shares, {"interactions, and seeds": interactions}
    return shares, {"interactions": interactions, "seeds, within a setting": seeds}


def _squares(values: Array) -> float:
    """The sum of squares around the mean."""
    return float(np.sum((values - values.mean()) ** 2))


def interactions_of(values: Sequence[Array], groups: Sequence[NDArray[np.int64]]) -> float:
    """The sum of squares of means beyond a sum of effects of the parameters, fitted by least squares.

    `values` are the metrics of each configuration, `groups` the index of its value of each parameter.
    """
    counts, means = np.array([len(some) for some in values]), np.array([some.mean() for some in values])
    columns = [one == level for one in groups for level in np.unique(one)[1:]]
    design = np.column_stack([np.ones(len(means)), *columns]).astype(np.float64)
    root = np.sqrt(counts)
    fitted = design @ np.linalg.lstsq(design * root[:, None], means * root, rcond=None)[0]
    return float(np.sum(counts * (means - fitted) ** 2))


def _of_forest(
    dimensions: Sequence[Dimension], known: Sequence[ConfigurationSummary]
) -> tuple[list[Share], dict[str, float]]:
    """The total effect of each parameter by permutation, and the share that the forest does not predict."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    tried = sorted(known, key=lambda line: line.setting.id)
    chosen = [tried[k] for k in evenly_spaced(len(tried), MAX_CONFIGURATIONS)]
    values = [[one.fraction(line.setting.values.get(one.path)) for one in dimensions] for line in chosen]
    positions = np.nan_to_num(np.array(values, np.float64), nan=-1.0)
    means = np.array([np.mean(list(line.values.values())) for line in chosen])
    draw, count = np.random.default_rng(0), len(dimensions)
    lost, left = np.zeros(count), 0.0
    for train, held in KFold(FOLDS, shuffle=True, random_state=0).split(positions):
        forest = RandomForestRegressor(n_estimators=100, random_state=0).fit(positions[train], means[train])
        permuted = np.tile(positions[held], (count, REPEATS, 1, 1))
        for k, repeat in np.ndindex(count, REPEATS):
            permuted[k, repeat, :, k] = draw.permutation(positions[:, k])[: len(held)]
        predicted = forest.predict(permuted.reshape(-1, count)).reshape(count, REPEATS, len(held))
        error = np.sum((forest.predict(positions[held]) - means[held]) ** 2)
        lost += np.sum((predicted - means[held]) ** 2, axis=(1, 2)) / REPEATS - error
        left += error
    total = np.sum((means - means.mean()) ** 2)
    shares = np.clip(lost / (2 * total), 0, None) * (1 - left / total >= MIN_PREDICTED)
    rest = {"not predicted": float(min(1.0, left / total))}
    return [Share(one.name, float(share)) for one, share in zip(dimensions, shares, strict=True)], rest


def _known(data: SweepData) -> tuple[list[ConfigurationSummary], bool]:
    """The settings that have metrics, and whether these were taken as logarithms."""
    known = [line for line in data.lines if line.stats.n]
    is_log = scale_of(*map(data.values, known)) == "log"
    if is_log:
        logs = ({seed: float(np.log10(one)) for seed, one in line.values.items()} for line in known)
        known = [replace(line, values=values) for line, values in zip(known, logs, strict=True)]
    return known, is_log


def sums_of_squares(
    path: str, groups: NDArray[np.int64], lines: Sequence[ConfigurationSummary]
) -> NDArray[np.float64]:
    """The sum of squares between the values of a parameter, and that after each of many permutations.

    If a parameter of a grid had no effect, metrics would be as likely with its values exchanged between the
    trials of one seed whose configurations are alike in all else. That holds for any noise, shared by the
    trials of a seed or not, and in grids with holes; a test that takes seeds or configurations for
    independent would not hold.
    Source: Anderson and ter Braak (2003), Journal of Statistical Computation and Simulation 73, 85-113

    `lines` are configurations of a grid with their metrics as `values`; `groups` has the index of each one's
    value of the parameter.
    """
    keys: dict[str, int] = {}
    rows = []
    for group, line in zip(groups, lines, strict=True):
        others = {key: value for key, value in line.setting.values.items() if key != path}
        for seed, value in line.values.items():
            key = json.dumps([others, seed], sort_keys=True)
            rows.append((group, keys.setdefault(key, len(keys)), value))
    values, strata, metrics = np.array(rows, np.float64).T
    _, member, counts = np.unique(values, return_inverse=True, return_counts=True)
    metrics = metrics - metrics.mean()  # sums of squares keep their digits around the mean
    size, places, draw = len(metrics), np.argsort(strata, kind="stable"), np.random.default_rng(0)
    order, sums = np.arange(size), []
    for _ in range(1 + int(np.clip(MAX_WORK // size, MIN_PERMUTATIONS, PERMUTATIONS))):
        sums.append(np.sum(np.bincount(member, metrics[order]) ** 2 / counts))
        order[places] = np.argsort(strata + draw.random(size), kind="stable")
    return np.array(sums)


def null_threshold(sums: NDArray[np.float64]) -> float:
    """The 95% quantile of sums of squares without an effect; nan where no permutation exceeds it."""
    every = np.sort(sums)
    mark = float(every[int(np.ceil(QUANTILE * len(every))) - 1])
    return mark if every[-1] > mark + 1e-9 * max(1e-300, every[-1]) else np.nan
