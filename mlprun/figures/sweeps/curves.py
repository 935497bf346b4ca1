"""Curves over epochs, with bands over seeds."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.analysis.statistics import MIN_SAMPLE
from mlprun.figures import style
from mlprun.figures.curves import EPOCH_AXIS, whole_epochs
from mlprun.figures.panels import Panels, head
from mlprun.figures.plot import SweepPlot, sweep_kinds
from mlprun.figures.sweeps.subject import amount, line_of, wants_log
from mlprun.sweeps.objective import SOUND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.subject import History, Sweep

TOGETHER = 4
"""settings whose bands can be told apart in one panel, at most; more have a panel each"""
PANELS = 12
POINTS = 400
"""epochs at which bands are computed, at most"""
SHARE = 0.1
"""of the trials lie below a band, and as many above"""
SPLITS = ("train", "dev")
LABEL = 58
"""characters of a setting in a legend"""
ACROSS = 27
"""characters of a setting in a line over a panel"""
PRUNED = 120
"""settings that were given up whose curves are drawn, at most"""


@dataclass(frozen=True)
class Band:
    """The median over trials at each epoch, and what most of them lie between; nan where none is known."""

    epochs: NDArray[np.int64]
    low: NDArray[np.float64]
    middle: NDArray[np.float64]
    high: NDArray[np.float64]
    trials: int


@dataclass(frozen=True)
class Bands:
    """The bands of each setting, by its label and by split, in panels of settings or of splits."""

    title: str
    details: tuple[str, ...]
    axis: str
    bands: dict[str, dict[str, Band]]
    pruned: tuple[dict[str, Band], ...]
    """of settings that were given up, up to that epoch; only beside few others"""
    is_log: bool


@sweep_kinds.register
class SweepCurves(SweepPlot):
    """The figure over epochs: the median over seeds, with a band that holds the middle 80% of them."""

    name: Literal["curves"] = "curves"

    def refuses(self, sweep: Sweep) -> str | None:
        if not _columns(sweep):
            return f"the history has no {sweep.figure.partition(' ')[2]}"
        return None if self._found(sweep, most=1) else "no trial has ended"

    def compute(self, sweep: Sweep) -> Bands:
        found = self._found(sweep, most=PANELS)
        pruned = _pruned(sweep) if len(found) <= TOGETHER else ()
        every = [band for bands in (*found.values(), *pruned) for band in bands.values()]
        values = np.concatenate([side for one in every for side in (one.low, one.middle, one.high)])
        whole = len(sweep.lines) - len(sweep.pruned)
        fewer = f"the best {len(found)} of {whole:,} settings" if len(found) < whole else ""
        most = max(band.trials for bands in found.values() for band in bands.values())
        bands = (
            f"; bands hold the middle {1 - 2 * SHARE:.0%}" if most >= MIN_SAMPLE else ", too few for bands"
        )
        about = f"medians over {sweep.seeds}{bands}" if most > 1 else f"one {sweep.seeds_word[:-1]}"
        grey = f"grey: {amount(len(pruned), 'pruned setting')}, medians to where given up" if pruned else ""
        details = "; ".join(part for part in (about, fewer, grey, sweep.missing()) if part)
        name = _columns(sweep)[0].partition("_")[2].replace("_", " ")
        return Bands(f"Curves of {sweep.name}", (details,), name, found, pruned, wants_log(values))

    def draw(self, values: Bands) -> Figure:
        is_together = len(values.bands) > 1 or values.pruned
        return (
            _draw_together(values) if is_together and len(values.bands) <= TOGETHER else _draw_apart(values)
        )

    @staticmethod
    def _found(sweep: Sweep, *, most: int) -> dict[str, dict[str, Band]]:
        """The bands of the best settings that have any, by label."""
        found: list[tuple[ConfigurationSummary, dict[str, Band]]] = []
        for line in sweep.lines:
            bands = _bands(sweep, line, SOUND)
            found += [(line, bands)] if bands else []
            if len(found) == most:
                break
        labels = sweep.labels([line for line, _ in found], LABEL)
        return dict(zip(labels, (bands for _, bands in found), strict=True))


def _columns(sweep: Sweep) -> list[str]:
    """The columns of the history that show the figure on train and dev rows."""
    name = sweep.figure.replace(" ", "_").partition("_")[2]
    return [column for split in SPLITS if (column := f"{split}_{name}") in sweep.description.history]


def _pruned(sweep: Sweep) -> tuple[dict[str, Band], ...]:
    found = (_bands(sweep, line, ("pruned",)) for line in sweep.pruned[:PRUNED])
    return tuple(bands for bands in found if bands)


def _bands(sweep: Sweep, line: ConfigurationSummary, statuses: Sequence[str]) -> dict[str, Band]:
    trials = [trial for trial in sweep.trials[line.setting.id] if trial.status in statuses]
    histories = [history for trial in trials if (history := sweep.history(trial)) is not None]
    found = {column.partition("_")[0]: band(histories, column) for column in _columns(sweep)}
    return {split: one for split, one in found.items() if one is not None}


def band(histories: Sequence[History], column: str) -> Band | None:
    """The band of one column over trials, as long as half of them are still trained; None without any.

    Trials may have been logged at different epochs, as when they stopped early: an epoch is of those that
    have it.
    """
    known = [one for one in histories if column in one and len(one["epoch"])]
    if not known:
        return None
    every = np.unique(np.concatenate([one["epoch"] for one in known])).astype(np.int64)
    table = np.full((len(known), len(every)), np.nan)
    for row, one in zip(table, known, strict=True):
        row[np.searchsorted(every, one["epoch"])] = one[column]
    enough = np.isfinite(table).sum(axis=0) * 2 >= max(1, len(known))
    every, table = every[enough], table[:, enough]
    if not len(every):
        return None
    chosen = np.unique(np.linspace(0, len(every) - 1, min(len(every), POINTS)).astype(np.int64))
    low, middle, high = np.nanquantile(table[:, chosen], [SHARE, 0.5, 1 - SHARE], axis=0)
    if len(known) < MIN_SAMPLE:
        low = high = middle
    return Band(every[chosen], low, middle, high, len(known))


def _draw_together(values: Bands) -> Figure:
    """A panel for each split, with all settings in it."""
    from mlprun.figures import canvas

    splits = list(dict.fromkeys(split for bands in values.bands.values() for split in bands))
    panels = Panels(len(splits), columns=2, height=3.0, alone=3.9, heading=1.0, share=True)
    for axes, split in zip(panels.axes, splits, strict=True):
        for bands in values.pruned:
            if split in bands:
                axes.plot(
                    bands[split].epochs,
                    bands[split].middle,
                    color=style.GREY,
                    linewidth=0.4,
                    alpha=0.5,
                    zorder=1,
                )
        for place, (label, bands) in enumerate(values.bands.items()):
            if split in bands:
                _draw_band(axes, bands[split], label, line_of(place), len(values.bands))
        if len(splits) > 1:
            head(axes, split)
        _finish(axes, values)
    panels.label(below=EPOCH_AXIS if len(splits) == 1 else "epoch", left=values.axis)
    canvas.entitle(panels.figure, values.title, *values.details)
    canvas.legend_below(panels.figure)
    return panels.figure


def _draw_apart(values: Bands) -> Figure:
    """A panel for each setting, with all splits in it."""
    from matplotlib.ticker import MaxNLocator

    from mlprun.figures import canvas

    count = len(values.bands)
    titles = _titles(values.bands)
    high = 1.62 + 0.13 * max(title.count("\n") + 1 for title in titles)
    panels = Panels(count, columns=3, height=high, alone=3.9, heading=1.1, share=True)
    for axes, title, bands in zip(panels.axes, titles, values.bands.values(), strict=True):
        for split, one in bands.items():
            _draw_band(axes, one, split, style.SPLIT_LINES[split], len(bands))
        if count > 1:
            head(axes, title)
            axes.title.set_fontsize(style.SIZE - 1.5)
        _finish(axes, values)
        if panels.columns > 2:  # epochs in thousands would run into one another
            axes.xaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    panels.label(below="epoch" if count > 1 else EPOCH_AXIS, left=values.axis)
    canvas.entitle(panels.figure, values.title, *values.details)
    canvas.legend_below(panels.figure)
    return panels.figure


def _titles(labels: Iterable[str]) -> list[str]:
    """Labels of settings in two lines each; by their numbers alone where one has no room."""
    labels = list(labels)
    lines = [list(_wrapped(label)) for label in labels]
    if all(len(some) <= 2 and max(map(len, some)) <= ACROSS for some in lines):
        return ["\n".join(some) for some in lines]
    numbers = [label.partition(":")[0] for label in labels]
    return [f"setting {number}" if number.isdecimal() else number for number in numbers]


def _wrapped(label: str) -> Iterator[str]:
    """Lines that are broken between parameters, and not between a name and its value."""
    solid = ", ".join(part.replace(" ", "\xa0") for part in label.split(", "))
    for line in textwrap.wrap(solid, ACROSS, break_long_words=False):
        yield line.replace("\xa0", " ")


def _draw_band(axes: Axes, one: Band, label: str, line: style.Line, count: int) -> None:
    axes.fill_between(
        one.epochs, one.low, one.high, color=line.color, alpha=0.22 if count <= 2 else 0.16, linewidth=0
    )
    for edge in (one.low, one.high):  # so that bands that lie on one another are told apart
        axes.plot(one.epochs, edge, color=line.color, linewidth=0.5, alpha=0.6)
    axes.plot(
        one.epochs,
        one.middle,
        label=label,
        color=line.color,
        linestyle=line.dashes,
        marker=line.marker,
        markevery=max(1, len(one.epochs) // 6),
        markersize=3.5,
        zorder=3,
    )


def _finish(axes: Axes, values: Bands) -> None:
    if values.is_log:
        style.use_log(axes.yaxis)
    axes.margins(x=0.02)
    whole_epochs(axes)
