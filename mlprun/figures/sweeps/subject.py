"""What there is to draw of a sweep: its settings with their trials, by one figure, and the trials' curves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.analysis import columns, summary
from mlprun.figures import style
from mlprun.figures.sweeps import chance
from mlprun.figures.sweeps.dimensions import Dimension, dimension, labelled
from mlprun.sweeps.folder import SweepFolder, open_sweep
from mlprun.sweeps.objective import APART, mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary, Summary
    from mlprun.sweeps.schema import Description, Trial

History = dict[str, "NDArray[Any]"]
COHORTS = 4
"""files of curves that are kept in memory, at most"""


@dataclass(frozen=True)
class Sweep:
    """One sweep as pictures need it, seen by one figure. Make one with `Sweep.of`."""

    name: str
    """what titles call it"""
    summary: Summary
    trials: Mapping[int, Sequence[Trial]]
    """by setting"""
    history: Callable[[Trial], History | None]
    """a trial's curves by column, as in history.csv; None where there are none"""

    @classmethod
    def of(cls, folder: str, *, metric: str | None = None, of: str = "best") -> Sweep:
        """The sweep in a folder, as far as it has come. Raises CheckpointError, FileError, UsageError."""
        with open_sweep(folder).results() as results:
            seen = summary.summarize(results, metric=metric, of=of)
            trials: dict[int, list[Trial]] = {line.setting.id: [] for line in seen.lines}
            for trial in results.each():
                trials.setdefault(trial.setting, []).append(trial)
        return cls(seen.description.name, seen, trials, histories(folder))

    @property
    def description(self) -> Description:
        """What the sweep is."""
        return self.summary.description

    @property
    def lines(self) -> Sequence[ConfigurationSummary]:
        """All settings, the best first."""
        return self.summary.lines

    @property
    def figure(self) -> str:
        """The figure in words: `dev loss`."""
        return self.summary.column.removeprefix(columns.LAST).replace("_", " ")

    @property
    def axis(self) -> str:
        """The name of an axis that shows the figure: which epoch's it is stands with it."""
        of = "last" if self.summary.column.startswith(columns.LAST) else "best"
        chosen = of == "last" or any(trial.best_epoch for trials in self.trials.values() for trial in trials)
        return f"{self.figure} ({of} epoch)" if chosen else self.figure

    @property
    def best_is_small(self) -> bool:
        """Whether small values are good."""
        return self.summary.direction == "min"

    @property
    def pruned(self) -> list[ConfigurationSummary]:
        """The settings that a search gave up, which have no place in means."""
        return [line for line in self.lines if line.pruned_at is not None]

    @cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The parameters that have more than one value."""
        settings = [line.setting.values for line in sorted(self.lines, key=lambda line: line.setting.id)]
        names = columns.short_names(self.description.parameters)
        every = (
            dimension(
                path,
                names[path],
                [one.get(path) for one in settings],
                self.description.scales.get(path),
                is_continuous=chance.is_continuous(self.description, path),
            )
            for path in self.description.parameters
        )
        return tuple(one for one in every if len(one.levels) > 1)

    def values(self, line: ConfigurationSummary) -> NDArray[np.float64]:
        """The figures of a setting, one for each seed, in the order of seeds."""
        return np.array([line.values[seed] for seed in sorted(line.values)], np.float64)  # type: ignore[type-var]

    def given_up(self, line: ConfigurationSummary) -> float | None:
        """What a setting reached until it was pruned, as the mean over its trials; None for any other."""
        figures = [trial.figures.get(self.summary.column) for trial in self.trials[line.setting.id]]
        known = [one for one in figures if one is not None and math.isfinite(one)]
        return mean(known) if known and line.pruned_at is not None else None

    def labels(self, lines: Sequence[ConfigurationSummary], length: int) -> list[str]:
        """Settings by the numbers that `sweep show` gives them, with their values where these have room.

        `17: hidden 4, lr 0.1` in so many characters, or `setting 17`, alike for all; the sweep's name where
        nothing varies.
        """
        plain = [f"setting {line.setting.id}" for line in lines]
        if not self.dimensions:
            return [style.name(self.name, length)] if len(self.lines) == 1 else plain
        texts = labelled(self.dimensions, [line.setting.values for line in lines])
        full = [
            [f"{line.setting.id}: {text}" for line, text in zip(lines, some, strict=True)] for some in texts
        ]
        return next((some for some in full if max(map(len, some), default=0) <= length), plain)

    @property
    def seeds(self) -> str:
        """How many seeds stand behind a setting: `20 seeds`, `17 to 20 seeds`."""
        counts = [line.stats.n for line in self.lines if line.stats.n]
        if not counts:
            return "no seeds"
        low, high, what = min(counts), max(counts), self.seeds_word
        return f"{high:,} {what if high > 1 else what[:-1]}" if low == high else f"{low:,} to {high:,} {what}"

    @property
    def seeds_word(self) -> str:
        """What figures of one setting are told apart by."""
        return "folds" if self.description.folds and not self._has_seeds else "seeds"

    @cached_property
    def is_grid(self) -> bool:
        """Whether every combination of the parameters' values is a setting."""
        return len(self.lines) == math.prod(len(one.levels) for one in self.dimensions)

    @property
    def _has_seeds(self) -> bool:
        return len({trial.seed for trials in self.trials.values() for trial in trials}) > 1

    def lacks_figures(self) -> str | None:
        """Why nothing can be drawn of the figure; None where something can."""
        return None if any(line.stats.n for line in self.lines) else "no trial has ended well"

    def missing(self) -> str:
        """What a picture leaves out, in words; empty where it leaves out nothing."""
        parts = summary.describe_counts(self.summary.counts, APART)
        return f"left out: {', '.join(parts)}" if parts else ""


def histories(folder: str) -> Callable[[Trial], History | None]:
    """Reads the curves of a trial; those of the cohorts read last are kept."""
    from mlprun.sweeps import cohort_file

    place = SweepFolder(folder)
    read = lru_cache(maxsize=COHORTS)(lambda number: cohort_file.read(place.cohort(number)))

    def history(trial: Trial) -> History | None:
        if trial.cohort is None or trial.member is None:
            return None
        cohort = read(trial.cohort)
        return dict(zip(cohort.columns, cohort.history(trial.member).T, strict=True))

    return history


def amount(count: int, noun: str) -> str:
    """So many of what a noun names: `1 trial`, `1,000 trials`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def wants_log(values: NDArray[np.float64]) -> bool:
    """Whether positive figures span so much that a linear axis would show only the largest."""
    known = values[np.isfinite(values)]
    return bool(len(known) and known.min() > 0 and known.max() / known.min() >= 30)


def line_of(place: int) -> style.Line:
    """How the curve of the setting at a place is drawn."""
    return style.Line(
        style.COLORS[place % len(style.COLORS)],
        style.dashes_of(place),
        style.MARKERS[place % len(style.MARKERS)],
    )
