"""How much of the spread of the figure each parameter explains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.plots import style
from mlprun.plots.sweeps import chance
from mlprun.plots.sweeps.plot import SweepPlot, kinds
from mlprun.plots.sweeps.subject import wants_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.plots.sweeps.dimensions import Dimension
    from mlprun.plots.sweeps.subject import Sweep
    from mlprun.sweeps.summary import Line

GROUPS = 8
"""groups of equal size that the values of a parameter with more values are put in, at most"""
SHARED = 3
"""settings that a value has on average at least, to be a group of its own"""


@dataclass(frozen=True)
class Share:
    """What one parameter alone explains of the variance, and what chance stays below in 95% of sweeps."""

    name: str
    share: float
    chance: float
    """nan where there is nothing to tell chance from"""


@dataclass(frozen=True)
class Importance:
    """Shares of the variance over all trials: of parameters alone, of their interplay, of seeds."""

    title: str
    details: tuple[str, ...]
    shares: tuple[Share, ...]
    """the largest first"""
    interplay: float
    """of settings, beyond what parameters explain alone"""
    seeds: float
    """within settings"""


@kinds.register
class ImportancePlot(SweepPlot):
    """The share of the figure's variance that each parameter explains alone (main effects).

    The variance of the figure over all trials is taken apart as in an analysis of variance: what the means at
    each value of a parameter differ by (its main effect; values that few settings share are put in groups of
    equal size), what settings differ by beyond a sum of such effects (interplay), and what seeds of one
    setting differ by.
    In a complete grid these add up to the whole; elsewhere shares of parameters overlap. Figures that span
    a factor of 30 are taken as logarithms. The mark at a bar is what a parameter without any effect stays
    below in 95% of sweeps: what it explains when its values are exchanged, between trials of one seed whose
    settings are alike in all else or, where they were drawn at random, between all draws. There is none where
    too few could be exchanged, and where a search chose settings by how earlier ones came out.
    """

    name: Literal["importance"] = "importance"

    def refuses(self, sweep: Sweep) -> str | None:
        if len(sweep.dimensions) < 2:
            return "fewer than two parameters vary"
        known = [line for line in sweep.lines if line.sample.n]
        if len(known) < 4:
            return "fewer than four settings have a figure"
        values = np.concatenate([sweep.values(line) for line in known])
        return None if values.max() > values.min() else "the figure is equal everywhere"

    def compute(self, sweep: Sweep) -> Importance:
        known, is_log = _known(sweep)
        spread = Spread.of([sweep.values(line) for line in known])
        groups = [groups_of(one, known) for one in sweep.dimensions]
        shares = [
            Share(
                one.name,
                spread.between(group) / spread.total,
                _reach(sweep, one, known, group) / spread.total,
            )
            for one, group in zip(sweep.dimensions, groups, strict=True)
        ]
        interplay = spread.beyond(groups) / spread.total
        what = f"log {sweep.axis}" if is_log else sweep.axis
        about = f"shares of the variance of {what} over {len(spread.every):,} trials (analysis of variance)"
        title = f"What explains the {sweep.figure} of {sweep.name}"
        shares.sort(key=lambda one: -one.share)
        details = "; ".join(part for part in (about, _rough(sweep, known), _unmarked(sweep, shares)) if part)
        return Importance(title, (details,), tuple(shares), interplay, spread.within / spread.total)

    def draw(self, values: Importance) -> Figure:
        from mlprun.plots import canvas

        rest = [("interplay of parameters" if values.seeds else "interplay, and seeds", values.interplay)]
        rest += [("seeds, within a setting", values.seeds)] if values.seeds else []
        names = [*(style.name(one.name, 30) for one in values.shares), *(name for name, _ in rest)]
        shares = np.array([*(one.share for one in values.shares), *(share for _, share in rest)])
        figure = canvas.picture(height=float(np.clip(1.6 + 0.34 * len(names), 2.6, 7.0)))
        axes = figure.subplots()
        parts, others = np.split(np.arange(len(names)), [len(values.shares)])
        axes.barh(parts, shares[parts], height=0.62, color=style.BLUE, label="a parameter alone")
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
    """The parameters by what they explain alone, the most important first; None where that is not known."""
    if ImportancePlot().refuses(sweep) is not None:
        return None
    known, _ = _known(sweep)
    spread = Spread.of([sweep.values(line) for line in known])
    return sorted(among, key=lambda one: -spread.between(groups_of(one, known)))


def _known(sweep: Sweep) -> tuple[list[Line], bool]:
    """The settings that have figures, and whether these were taken as logarithms."""
    known = [line for line in sweep.lines if line.sample.n]
    if not wants_log(np.concatenate([sweep.values(line) for line in known])):
        return known, False
    return [
        replace(line, values={seed: float(np.log10(one)) for seed, one in line.values.items()})
        for line in known
    ], True


def _reach(sweep: Sweep, one: Dimension, known: Sequence[Line], group: NDArray[np.int64]) -> float:
    """What stands between the groups of a parameter without effect at most, in 95% of sweeps."""
    units = chance.units(one, group, known, sweep.description)
    return np.nan if units is None else units.reach()


def _unmarked(sweep: Sweep, shares: Sequence[Share]) -> str:
    """Why parameters have no mark."""
    names = [style.name(one.name, 20) for one in shares if np.isnan(one.chance)]
    if not names:
        return ""
    if chance.is_adaptive(sweep.description):
        return "no marks, since a search chose settings by how earlier ones came out"
    return f"no mark at {', '.join(names)}: too little to exchange"


def groups_of(one: Dimension, lines: Sequence[Line]) -> NDArray[np.int64]:
    """The group of each setting: its value, or where there are many the share of settings below it."""
    values = [line.setting.chosen.get(one.path) for line in lines]
    if not one.is_number or not _is_many(one, len(lines)):
        return np.array([one.index(value) for value in values])
    most = max(2, min(GROUPS, len(lines) // 5))
    places = np.array([one.place(value) for value in values])
    edges = np.quantile(places, np.linspace(0, 1, most + 1)[1:-1])
    return np.searchsorted(edges, places, side="right")


def _is_many(one: Dimension, settings: int) -> bool:
    """Whether values are so many that too few settings share one."""
    return len(one.levels) > GROUPS and len(one.levels) * SHARED > settings


def _rough(sweep: Sweep, known: Sequence[Line]) -> str:
    """What makes the shares rough: parameters that were not varied independently, values put in groups."""
    parts = []
    if len(known) != np.prod([len(one.levels) for one in sweep.dimensions]):
        parts.append("settings are no complete grid, so that shares may overlap")
    if any(one.is_number and _is_many(one, len(known)) for one in sweep.dimensions):
        parts.append("many values are put in groups of equal size")
    return "; ".join(part for part in (*parts, sweep.missing()) if part)


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
