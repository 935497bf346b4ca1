"""The metric of a sweep over epochs, with bands over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.analysis.statistics import MIN_SAMPLE
from mlprun.figures import chart, style
from mlprun.figures.chart import Axis, Band, Chart, Line, Mark, Panel, grid_of
from mlprun.figures.curves import EPOCHS
from mlprun.figures.figure import SweepFigure, sweep_figures
from mlprun.figures.style import LineStyle
from mlprun.sweeps.objective import SOUND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.chart import Array
    from mlprun.figures.sweeps.sweep_data import History, SweepData

TOGETHER = 4
"""configurations whose bands can be told apart in one panel, at most; more have a panel each"""
PANELS = 12
POINTS = 400
"""epochs at which bands are computed, at most"""
TAIL = 0.1
"""of the trials lie below a band, and as many above"""
SPLITS = ("train", "dev")
LABEL = 58
"""characters of a configuration in a legend"""
TITLE = 28
"""characters of a configuration over a panel"""


@dataclass(frozen=True)
class SeedBand:
    """The median over trials at each epoch, and what the middle 80% lie between; nan where none is known."""

    epochs: Array
    low: Array
    median: Array
    high: Array
    trials: int

    @classmethod
    def of(cls, histories: Sequence[History], column: str) -> SeedBand | None:
        """The band of one column over trials, as long as half of them are still trained; None without any.

        Trials may have been logged at different epochs, as when they stopped early: an epoch counts those
        that have it.
        """
        known = [one for one in histories if column in one and len(one["epoch"])]
        if not known:
            return None
        every = np.unique(np.concatenate([one["epoch"] for one in known])).astype(np.int64)
        table = np.full((len(known), len(every)), np.nan)
        for row, one in zip(table, known, strict=True):
            row[np.searchsorted(every, one["epoch"])] = one[column]
        table[~chart.is_drawable(table)] = np.nan
        enough = np.isfinite(table).sum(axis=0) * 2 >= max(1, len(known))
        every, table = every[enough], table[:, enough]
        if not len(every):
            return None
        chosen = chart.evenly_spaced(len(every), POINTS)
        low, median, high = np.nanquantile(table[:, chosen], [TAIL, 0.5, 1 - TAIL], axis=0)
        if len(known) < MIN_SAMPLE:
            low = high = median
        return cls(every[chosen].astype(np.float64), low, median, high, len(known))

    def marks(self, label: str, look: LineStyle) -> list[Mark]:
        """The median with its band."""
        fill = Band(self.epochs, self.low, self.high, color=look.color, opacity=0.2)
        return [fill, Line(self.epochs, self.median, label, *look)]


@sweep_figures.register
class SweepCurves(SweepFigure):
    """The metric over epochs: the median over seeds, with a band that holds the middle 80% of them."""

    name: Literal["curves"] = "curves"

    def unsupported_reason(self, data: SweepData) -> str | None:
        if not _columns(data):
            return f"the history has no {data.metric.partition(' ')[2]}"
        return None if bands_of(data, most=1) else "no trial has ended"

    def compute(self, data: SweepData) -> Chart:
        found = bands_of(data, most=PANELS)
        lines, bands = [line for line, _ in found], [some for _, some in found]
        sides = (side for some in bands for one in some.values() for side in (one.low, one.high))
        y = Axis(_columns(data)[0].partition("_")[2].replace("_", " "), chart.scale_of(*sides))
        most = max(band.trials for some in bands for band in some.values())
        whole = len(data.lines) - len(data.pruned)
        held = f"; bands hold the middle {1 - 2 * TAIL:.0%}" if most >= MIN_SAMPLE else ", too few for bands"
        details = chart.joined(
            f"medians over {data.seeds}{held}" if most > 1 else f"one {data.seed_noun}",
            f"the best {len(found)} of {whole:,} settings" if len(found) < whole else "",
            data.left_out(),
        )
        if len(found) > TOGETHER or len(found) == 1:  # a panel for each configuration
            panels = {
                label: [mark for split, one in some.items() for mark in one.marks(split, style.SPLITS[split])]
                for label, some in zip(data.labels(lines, TITLE), bands, strict=True)
            }
        else:  # a panel for each split
            labels = data.labels(lines, LABEL)
            panels = {
                split: [
                    mark
                    for index, (label, some) in enumerate(zip(labels, bands, strict=True))
                    if split in some
                    for mark in some[split].marks(label, LineStyle.of(index))
                ]
                for split in bands[0]
            }
        return grid_of(
            f"Curves of {data.name}",
            details,
            (Panel(tuple(marks), EPOCHS, y, title) for title, marks in panels.items()),
            share="both",
        )


def bands_of(data: SweepData, *, most: int) -> list[tuple[ConfigurationSummary, dict[str, SeedBand]]]:
    """The bands by split of the best configurations that have any."""
    found: list[tuple[ConfigurationSummary, dict[str, SeedBand]]] = []
    for line in data.lines:
        trials = [trial for trial in data.trials[line.setting.id] if trial.status in SOUND]
        histories = [history for trial in trials if (history := data.history(trial)) is not None]
        every = {column.partition("_")[0]: SeedBand.of(histories, column) for column in _columns(data)}
        bands = {split: one for split, one in every.items() if one is not None}
        found += [(line, bands)] if bands else []
        if len(found) == most:
            break
    return found


def _columns(data: SweepData) -> list[str]:
    """The columns of the history that show the metric on train and dev rows."""
    name = data.metric.replace(" ", "_").partition("_")[2]
    return [column for split in SPLITS if (column := f"{split}_{name}") in data.description.history]
