"""How much of the spread of the figure each parameter explains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.plot import SweepPlot, sweep_kinds
from mlprun.figures.sweeps import chance
from mlprun.figures.sweeps.subject import wants_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.figures.sweeps.subject import Sweep

SETTINGS = 20
"""settings with a figure that a forest is fitted to, at least"""
MOST_SETTINGS = 1000
"""settings that it is fitted to, at most: evenly spread ones, in the order in which they were tried"""
LEAST = 0.2
"""of the variance that a forest predicts, for its importances to mean something"""
FOLDS = 5
REPEATS = 20


@dataclass(frozen=True)
class Share:
    """What one parameter explains of the variance, and what chance stays below in 95% of sweeps."""

    name: str
    share: float
    chance: float = np.nan
    """nan where there is nothing to tell chance from"""


@dataclass(frozen=True)
class Importance:
    """Shares of the variance: of parameters, and of what they leave over."""

    title: str
    details: tuple[str, ...]
    label: str
    """what the share of a parameter is"""
    shares: tuple[Share, ...]
    """the largest first"""
    rest: dict[str, float]


@sweep_kinds.register
class ImportancePlot(SweepPlot):
    """The share of the figure's variance that each parameter explains.

    In a grid the variance of the figure over all trials is taken apart as in an analysis of variance: what
    the means at each value of a parameter differ by (its main effect), what settings differ by beyond a sum
    of such effects (interplay), and what seeds of one setting differ by. These add up to the whole unless
    some settings have no figure. The mark at a bar is what a parameter without any effect stays below in 95%
    of sweeps: what it explains when its values are exchanged between trials of one seed whose settings are
    alike in all else.

    Elsewhere, as in a random search, few settings share a value. There a random forest predicts the mean of a
    setting from its values, and a parameter's importance is by how much the squared error on held-out
    settings grows when its values are permuted (Breiman, 2001, doi.org/10.1023/A:1010933404324). Half of that
    is the variance that is lost without the parameter, alone or together with others (its total effect;
    Gregorutti et al., 2017, doi.org/10.1007/s11222-016-9646-1), so that shares may add up to more than the
    whole. A forest that predicts too little of held-out settings gives no shares.
    Figures that span a factor of 30 are taken as logarithms.
    """

    name: Literal["importance"] = "importance"

    def refuses(self, sweep: Sweep) -> str | None:
        if len(sweep.dimensions) < 2:
            return "fewer than two parameters vary"
        known = [line for line in sweep.lines if line.stats.n]
        least = 4 if sweep.is_grid else SETTINGS
        if len(known) < least:
            return f"fewer than {least} settings have a figure"
        values = np.concatenate([sweep.values(line) for line in known])
        return None if values.max() > values.min() else "the figure is equal everywhere"

    def compute(self, sweep: Sweep) -> Importance:
        known, is_log = _known(sweep)
        what = f"log {sweep.axis}" if is_log else sweep.axis
        title = f"What explains the {sweep.figure} of {sweep.name}"
        if sweep.is_grid:
            label, (shares, rest) = "a parameter alone", _of_grid(sweep, known)
            trials = sum(len(line.values) for line in known)
            parts = [f"shares of the variance of {what} over {trials:,} trials (analysis of variance)"]
            parts += (
                ["some settings have no figure: shares may overlap"] if len(known) < len(sweep.lines) else []
            )
            unmarked = [style.name(one.name, 20) for one in shares if np.isnan(one.chance)]
            parts += [f"no mark at {', '.join(unmarked)}: too little to exchange"] if unmarked else []
        else:
            label, (shares, left) = "a parameter, alone and with others", _of_forest(sweep.dimensions, known)
            rest = {"not predicted": left}
            how = f"permutation importance of a random forest, which predicts {1 - left:.0%} of it"
            parts = [f"shares of the variance of {what} over {len(known):,} settings ({how})"]
            parts += ["too little to tell which parameters matter"] if 1 - left < LEAST else []
            parts += (
                ["chosen by earlier figures, not evenly"] if chance.is_adaptive(sweep.description) else []
            )
        shares.sort(key=lambda one: -one.share)
        details = "; ".join(part for part in (*parts, sweep.missing()) if part)
        return Importance(title, (details,), label, tuple(shares), rest)

    def draw(self, values: Importance) -> Figure:
        from mlprun.figures import canvas

        names = [*(style.name(one.name, 30) for one in values.shares), *values.rest]
        shares = np.array([*(one.share for one in values.shares), *values.rest.values()])
        figure = canvas.picture(height=float(np.clip(1.6 + 0.34 * len(names), 2.6, 7.0)))
        axes = figure.subplots()
        parts, others = np.split(np.arange(len(names)), [len(values.shares)])
        axes.barh(parts, shares[parts], height=0.62, color=style.BLUE, label=values.label)
        axes.barh(
            others, shares[others], height=0.62, color="#d9d9d9", hatch="////", edgecolor="#888888",
            linewidth=0.5, label="the rest",
        )  # fmt: skip
        chances = np.array([one.chance for one in values.shares])
        if np.isfinite(chances).any():
            axes.vlines(
                chances, parts - 0.42, parts + 0.42, color=style.VERMILLION, linewidth=1.8, zorder=4,
                label="no effect stays below (95%)",
            )  # fmt: skip
        for place, share in enumerate(shares):
            _write(axes, place, share)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0, max(float(shares.max()), float(np.nanmax([0.02, *chances]))) * 1.13)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_xlabel("share of the variance")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        canvas.entitle(figure, values.title, *values.details)
        canvas.legend_below(figure)
        return figure


@dataclass(frozen=True)
class Spread:
    """Sums of squares of trials [N] that belong to settings [S]."""

    every: NDArray[np.float64]
    counts: NDArray[np.int64]
    means: NDArray[np.float64]
    total: float
    within: float
    """of trials around the means of their settings"""

    @classmethod
    def of(cls, figures: Sequence[NDArray[np.float64]]) -> Spread:
        """The spread of the figures of each setting."""
        every = np.concatenate(figures)
        total = float(np.sum((every - every.mean()) ** 2))
        within = float(sum(np.sum((values - values.mean()) ** 2) for values in figures))
        counts = np.array([len(values) for values in figures])
        return cls(every, counts, np.array([values.mean() for values in figures]), total, within)

    def between(self, groups: NDArray[np.int64]) -> float:
        """What the means of groups of settings differ by."""
        weights = np.bincount(groups, weights=self.counts)
        sums = np.bincount(groups, weights=self.counts * self.means)
        filled = weights > 0
        return float(np.sum(weights[filled] * (sums[filled] / weights[filled] - self.every.mean()) ** 2))

    def beyond(self, groups: Sequence[NDArray[np.int64]]) -> float:
        """What settings differ by beyond the sum of an effect of each parameter, fitted by least squares."""
        columns = [one == level for one in groups for level in np.unique(one)[1:]]
        design = np.column_stack([np.ones(len(self.means)), *columns]).astype(np.float64)
        root = np.sqrt(self.counts)
        fitted = design @ np.linalg.lstsq(design * root[:, None], self.means * root, rcond=None)[0]
        return float(np.sum(self.counts * (self.means - fitted) ** 2))


def most_important(sweep: Sweep, among: Sequence[Dimension]) -> list[Dimension] | None:
    """The parameters by what they explain, the most important first; None where that is not known."""
    if ImportancePlot().refuses(sweep) is not None:
        return None
    known, _ = _known(sweep)
    found = _of_grid(sweep, known)[0] if sweep.is_grid else _of_forest(sweep.dimensions, known)[0]
    shares = {one.name: one.share for one in found}
    return sorted(among, key=lambda one: -shares[one.name])


def _of_grid(sweep: Sweep, known: Sequence[ConfigurationSummary]) -> tuple[list[Share], dict[str, float]]:
    """The analysis of variance: the main effect of each parameter, interplay and seeds."""
    spread = Spread.of([np.array(list(line.values.values())) for line in known])
    groups = [
        np.array([one.index(line.setting.values.get(one.path)) for line in known]) for one in sweep.dimensions
    ]
    shares = [
        Share(
            one.name,
            spread.between(group) / spread.total,
            chance.units(one, group, known).reach() / spread.total,
        )
        for one, group in zip(sweep.dimensions, groups, strict=True)
    ]
    interplay, seeds = spread.beyond(groups) / spread.total, spread.within / spread.total
    if not seeds:
        return shares, {"interplay, and seeds": interplay}
    return shares, {"interplay of parameters": interplay, "seeds, within a setting": seeds}


def _of_forest(
    dimensions: Sequence[Dimension], known: Sequence[ConfigurationSummary]
) -> tuple[list[Share], float]:
    """The total effect of each parameter by permutation, and the share that the forest does not predict."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    tried = sorted(known, key=lambda line: line.setting.id)
    some = np.unique(np.linspace(0, len(tried) - 1, min(len(tried), MOST_SETTINGS)).astype(np.int64))
    chosen = [tried[k] for k in some]
    values = [[one.scaled(line.setting.values.get(one.path)) for one in dimensions] for line in chosen]
    places = np.nan_to_num(np.array(values, np.float64), nan=-1.0)
    means = np.array([np.mean(list(line.values.values())) for line in chosen])
    draw, count = np.random.default_rng(0), len(dimensions)
    lost, left = np.zeros(count), 0.0
    for train, held in KFold(FOLDS, shuffle=True, random_state=0).split(places):
        forest = RandomForestRegressor(n_estimators=100, random_state=0).fit(places[train], means[train])
        permuted = np.tile(places[held], (count, REPEATS, 1, 1))
        for k, repeat in np.ndindex(count, REPEATS):
            permuted[k, repeat, :, k] = draw.permutation(places[:, k])[: len(held)]
        predicted = forest.predict(permuted.reshape(-1, count)).reshape(count, REPEATS, len(held))
        error = np.sum((forest.predict(places[held]) - means[held]) ** 2)
        lost += np.sum((predicted - means[held]) ** 2, axis=(1, 2)) / REPEATS - error
        left += error
    total = np.sum((means - means.mean()) ** 2)
    shares = np.clip(lost / (2 * total), 0, None) * (1 - left / total >= LEAST)
    return [Share(one.name, float(share)) for one, share in zip(dimensions, shares, strict=True)], float(
        min(1.0, left / total)
    )


def _known(sweep: Sweep) -> tuple[list[ConfigurationSummary], bool]:
    """The settings that have figures, and whether these were taken as logarithms."""
    known = [line for line in sweep.lines if line.stats.n]
    if not wants_log(np.concatenate([sweep.values(line) for line in known])):
        return known, False
    return [
        replace(line, values={seed: float(np.log10(one)) for seed, one in line.values.items()})
        for line in known
    ], True


def _write(axes: object, place: int, share: float) -> None:
    axes.annotate(  # type: ignore[attr-defined]
        f"{share:.1%}",
        (share, place),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=style.SIZE - 2,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
        zorder=5,
    )
