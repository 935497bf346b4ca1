"""The metric of a sweep over epochs, with bands over seeds."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.analysis.statistics import MIN_SAMPLE
from mlprun.figures import chart, style
from mlprun.figures.chart import Axis, Chart, Line, Mark, Panel, grid_of, joined
from mlprun.figures.curves import EPOCHS, EPOCHS_SHORT
from mlprun.figures.figure import SweepFigure, sweep_figures
from mlprun.figures.style import LineStyle
from mlprun.sweeps.objective import SOUND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary
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
LINE = 27
"""characters of a configuration in a line over a panel"""
PRUNED = 120
"""pruned configurations whose curves are drawn, at most"""


@dataclass(frozen=True)
class SeedBand:
    """The median over trials at each epoch, and what the middle 80% lie between; nan where none is known."""

    epochs: NDArray[np.float64]
    low: NDArray[np.float64]
    median: NDArray[np.float64]
    high: NDArray[np.float64]
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
        chosen = np.unique(np.linspace(0, len(every) - 1, min(len(every), POINTS)).astype(np.int64))
        low, median, high = np.nanquantile(table[:, chosen], [TAIL, 0.5, 1 - TAIL], axis=0)
        if len(known) < MIN_SAMPLE:
            low = high = median
        return cls(every[chosen].astype(np.float64), low, median, high, len(known))

    def marks(self, label: str, look: LineStyle, count: int) -> list[Mark]:
        """The median with its band; edges tell bands apart that lie on one another."""
        fill = chart.Band(
            self.epochs,
            self.low,
            self.high,
            color=look.color,
            opacity=0.22 if count <= 2 else 0.16,
            edge=look.color,
        )
        return [fill, Line(self.epochs, self.median, label, *look)]


Bands = dict[str, SeedBand]
"""by split"""


@sweep_figures.register
class SweepCurves(SweepFigure):
    """The metric over epochs: the median over seeds, with a band that holds the middle 80% of them."""

    name: Literal["curves"] = "curves"

    def unsupported_reason(self, data: SweepData) -> str | None:
        if not _columns(data):
            return f"the history has no {data.metric.partition(' ')[2]}"
        return None if bands_of(data, most=1) else "no trial has ended"

    def compute(self, data: SweepData) -> Chart:
        bands = bands_of(data, most=PANELS)
        pruned = pruned_bands(data) if len(bands) <= TOGETHER else ()
        every = [band for some in (*bands.values(), *pruned) for band in some.values()]
        is_log = style.spans_much(*(side for one in every for side in (one.low, one.median, one.high)))
        name = _columns(data)[0].partition("_")[2].replace("_", " ")
        y = Axis(name, "log" if is_log else "linear")
        title, details = f"Curves of {data.name}", _details(data, bands, len(pruned))
        is_together = len(bands) > 1 or pruned
        if is_together and len(bands) <= TOGETHER:
            return _together(title, details, bands, pruned, y)
        return _apart(title, details, bands, y)


def bands_of(data: SweepData, *, most: int) -> dict[str, Bands]:
    """The bands of the best configurations that have any, by label."""
    found: list[tuple[ConfigurationSummary, Bands]] = []
    for line in data.lines:
        bands = _bands(data, line, SOUND)
        found += [(line, bands)] if bands else []
        if len(found) == most:
            break
    labels = data.labels([line for line, _ in found], LABEL)
    return dict(zip(labels, (bands for _, bands in found), strict=True))


def pruned_bands(data: SweepData) -> tuple[Bands, ...]:
    """The bands of pruned configurations, up to the epoch where they were pruned."""
    found = (_bands(data, line, ("pruned",)) for line in data.pruned[:PRUNED])
    return tuple(bands for bands in found if bands)


def _bands(data: SweepData, line: ConfigurationSummary, statuses: Sequence[str]) -> Bands:
    trials = [trial for trial in data.trials[line.setting.id] if trial.status in statuses]
    histories = [history for trial in trials if (history := data.history(trial)) is not None]
    found = {column.partition("_")[0]: SeedBand.of(histories, column) for column in _columns(data)}
    return {split: one for split, one in found.items() if one is not None}


def _columns(data: SweepData) -> list[str]:
    """The columns of the history that show the metric on train and dev rows."""
    name = data.metric.replace(" ", "_").partition("_")[2]
    return [column for split in SPLITS if (column := f"{split}_{name}") in data.description.history]


def _details(data: SweepData, bands: dict[str, Bands], pruned: int) -> tuple[str, ...]:
    whole = len(data.lines) - len(data.pruned)
    most = max(band.trials for some in bands.values() for band in some.values())
    held = f"; bands hold the middle {1 - 2 * TAIL:.0%}" if most >= MIN_SAMPLE else ", too few for bands"
    return joined(
        f"medians over {data.seeds}{held}" if most > 1 else f"one {data.seed_noun}",
        f"the best {len(bands)} of {whole:,} settings" if len(bands) < whole else "",
        f"grey: {style.count_of(pruned, 'pruned setting')}, medians until pruned" if pruned else "",
        data.left_out(),
    )


def _together(
    title: str, details: tuple[str, ...], bands: dict[str, Bands], pruned: tuple[Bands, ...], y: Axis
) -> Chart:
    """A panel for each split, with all configurations in it."""
    splits = list(dict.fromkeys(split for some in bands.values() for split in some))
    panels = []
    for split in splits:
        marks: list[Mark] = [
            Line(some[split].epochs, some[split].median, color=style.GREY, width=0.4, opacity=0.5)
            for some in pruned
            if split in some
        ]
        for index, (label, some) in enumerate(bands.items()):
            if split in some:
                marks += some[split].marks(label, LineStyle.of(index), len(bands))
        x = EPOCHS if len(splits) == 1 else EPOCHS_SHORT
        panels.append(Panel(tuple(marks), x, y, split if len(splits) > 1 else ""))
    return grid_of(title, details, panels, columns=2, height=3.0, alone=3.9, heading=1.0, share="both")


def _apart(title: str, details: tuple[str, ...], bands: dict[str, Bands], y: Axis) -> Chart:
    """A panel for each configuration, with all splits in it."""
    headings = panel_titles(bands)
    height = 1.62 + 0.13 * max(heading.count("\n") + 1 for heading in headings)
    panels = []
    for heading, some in zip(headings, bands.values(), strict=True):
        marks = [
            mark for split, one in some.items() for mark in one.marks(split, style.SPLITS[split], len(some))
        ]
        panels.append(Panel(tuple(marks), EPOCHS_SHORT, y, heading))
    if len(panels) == 1:
        panels = [replace(panels[0], x=EPOCHS, title="")]
    return grid_of(title, details, panels, columns=3, height=height, alone=3.9, heading=1.1, share="both")


def panel_titles(labels: Iterable[str]) -> list[str]:
    """Labels of configurations in two lines each; by their numbers alone where one has no room."""
    labels = list(labels)
    lines = [list(_wrapped(label)) for label in labels]
    if all(len(some) <= 2 and max(map(len, some)) <= LINE for some in lines):
        return ["\n".join(some) for some in lines]
    numbers = [label.partition(":")[0] for label in labels]
    return [f"setting {number}" if number.isdecimal() else number for number in numbers]


def _wrapped(label: str) -> Iterator[str]:
    """Lines that are broken between parameters, and not between a name and its value."""
    solid = ", ".join(part.replace(" ", "\xa0") for part in label.split(", "))
    for line in textwrap.wrap(solid, LINE, break_long_words=False):
        yield line.replace("\xa0", " ")
