"""The metric of a sweep over epochs, with bands over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.analysis.statistics import MIN_SAMPLE
from mlprun.figures import chart, style
from mlprun.figures.chart import Array, Axis, Band, Chart, Line, Mark, Panel
from mlprun.figures.curves import DECADE, EPOCHS, SPARSE, label_of
from mlprun.figures.figure import SweepFigure, sweep_figures
from mlprun.figures.style import LineStyle
from mlprun.sweeps.objective import SOUND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.sweep_data import History, SweepData

TOGETHER = 6
"""configurations that can be told apart in one panel, at most: the best"""
BANDS = 3
"""configurations with bands, at most, since bands cover one another"""
POINTS = 400
"""epochs at which bands are computed, at most"""
TAIL = 0.1
"""of the trials lie below a band, and as many above"""
SPLITS = ("train", "dev")
LABEL = 58
"""characters of a configuration in a legend"""


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
        first = known[0]["epoch"]
        is_same = all(np.array_equal(one["epoch"], first) for one in known)
        every = first if is_same else np.unique(np.concatenate([one["epoch"] for one in known]))
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


@sweep_figures.register
class SweepCurves(SweepFigure):
    """The metric over epochs: medians of the best settings, with bands that hold the middle 80% of seeds.

    A sweep of one setting has both train and dev.
    """

    name: Literal["curves"] = "curves"

    def unsupported_reason(self, data: SweepData) -> str | None:
        if not _columns(data):
            return f"the history has no {data.metric.partition(' ')[2]}"
        return None if bands_of(data, most=1) else "no trial has ended"

    def compute(self, data: SweepData) -> Chart:
        found = bands_of(data, most=TOGETHER)
        if len(found) == 1:
            curves = {split: (band, style.SPLITS[split]) for split, band in found[0][1].items()}
        else:  # dev, or train where there are no dev rows
            labels = data.labels([line for line, _ in found], LABEL)
            pairs = enumerate(zip(labels, found, strict=True))
            curves = {label: (list(some.values())[-1], LineStyle.of(k)) for k, (label, (_, some)) in pairs}
        marks: list[Mark] = [  # the best on top
            Band(one.epochs, one.low, one.high, color=look.color, opacity=0.2)
            for one, look in list(curves.values())[BANDS - 1 :: -1]
        ]
        for label, (one, look) in curves.items():
            marker = look.marker if len(one.epochs) <= SPARSE else ""
            marks.append(Line(one.epochs, one.median, label, look.color, look.dashes, marker))
        column, sides = (
            _columns(data)[-1],
            (side for one, _ in curves.values() for side in (one.low, one.high)),
        )
        name = label_of(column if len(found) > 1 else column.partition("_")[2])
        y = Axis(name, chart.scale_of(*sides, span=DECADE))
        most, whole = max(one.trials for one, _ in curves.values()), len(data.lines) - len(data.pruned)
        of = f" of the best {BANDS}" if len(curves) > BANDS else ""
        bands = (
            f"; bands{of} hold the middle {1 - 2 * TAIL:.0%}" if most >= MIN_SAMPLE else ", too few for bands"
        )
        details = chart.joined(
            f"medians over {data.seeds}{bands}" if most > 1 else f"one {data.seed_noun}",
            f"the best {len(found)} of {whole:,} settings" if len(found) < whole else "",
            data.left_out(),
        )
        return Chart(f"Curves: {data.name}", details, (Panel(tuple(marks), EPOCHS, y),), height=4.2)


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
