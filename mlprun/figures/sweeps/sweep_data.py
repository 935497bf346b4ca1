"""What figures of a sweep are computed from: configurations with their trials by one metric, and curves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.analysis import report_text, statistics, summary
from mlprun.figures import chart, style
from mlprun.figures.chart import LARGEST, Array, ColorScale
from mlprun.figures.sweeps.dimensions import Dimension, configuration_label, dimension
from mlprun.sweeps import cohort_file
from mlprun.sweeps.folder import SweepFolder, open_sweep
from mlprun.sweeps.objective import APART, LAST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary, Summary
    from mlprun.sweeps.schema import Description, Trial

History = dict[str, "NDArray[Any]"]
COHORTS = 4
"""files of curves that are kept in memory, at most"""


@dataclass(frozen=True, eq=False)
class SweepData:
    """One sweep as figures need it, by one metric. Make one with `SweepData.of`."""

    name: str
    """what titles call it"""
    summary: Summary
    trials: Mapping[int, Sequence[Trial]]
    """by setting"""
    history: Callable[[Trial], History | None]
    """a trial's curves by column, as in history.csv; None where there are none"""
    extremes: int = 0
    """metrics that are left out because no axis can hold them"""
    warnings: tuple[str, ...] = ()
    """as those of a run; a sweep has none"""

    @classmethod
    def of(cls, folder: str, *, metric: str | None = None, of: str = "best") -> SweepData:
        """The sweep in a folder, as far as it has come. Raises CheckpointError, FileError, UsageError."""
        with open_sweep(folder).results() as results:
            found = summary.summarize(results, metric=metric, of=of)
            trials: dict[int, list[Trial]] = {line.setting.id: [] for line in found.lines}
            for trial in results.each():
                trials.setdefault(trial.setting, []).append(trial)
        lines = [_without_extremes(line) for line in found.lines]
        extremes = sum(len(line.values) for line in found.lines) - sum(len(line.values) for line in lines)
        found = replace(found, lines=lines)
        return cls(found.description.name, found, trials, histories(folder), extremes)

    @property
    def description(self) -> Description:
        """What the sweep is."""
        return self.summary.description

    @property
    def lines(self) -> Sequence[ConfigurationSummary]:
        """All settings, the best first."""
        return self.summary.lines

    @property
    def metric(self) -> str:
        """The metric as titles call it: `dev loss`."""
        return self.summary.column.removeprefix(LAST).replace("_", " ")

    @property
    def axis(self) -> str:
        """The label of an axis of the metric, with the epoch that it is of."""
        of = "last" if self.summary.column.startswith(LAST) else "best"
        chosen = of == "last" or any(trial.best_epoch for trials in self.trials.values() for trial in trials)
        return f"{self.metric} ({of} epoch)" if chosen else self.metric

    @property
    def is_minimized(self) -> bool:
        """Whether small values are good."""
        return self.summary.direction == "min"

    def color_scale(self, values: Array) -> ColorScale:
        """Colours of metrics, the good ones dark."""
        known = values[np.isfinite(values)]
        ends, is_log = (float(known.min()), float(known.max())), chart.scale_of(known) == "log"
        palette: Any = "cividis" if self.is_minimized else "cividis_r"
        return chart.ColorScale(self.axis, *ends, is_log, palette)

    @property
    def pruned(self) -> list[ConfigurationSummary]:
        """The settings that a search gave up, which have no place in means."""
        return [line for line in self.lines if line.pruned_at is not None]

    @cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The parameters that have more than one value."""
        settings = [line.setting.values for line in sorted(self.lines, key=lambda line: line.setting.id)]
        names = report_text.short_names(self.description.parameters)
        scales = self.description.scales
        every = []
        for path in self.description.parameters:
            values, drawn = [one.get(path) for one in settings], self.random.get(path)
            is_continuous = drawn is not None and "choice" not in drawn
            every.append(dimension(path, names[path], values, scales.get(path), is_continuous=is_continuous))
        return tuple(one for one in every if len(one.levels) > 1)

    @property
    def random(self) -> Mapping[str, Any]:
        """The parameters that were drawn at random, or searched."""
        drawn: Mapping[str, Any] = self.description.definition.get("random") or {}
        return drawn

    @property
    def is_adaptive(self) -> bool:
        """Return True if configurations were chosen by how earlier ones came out."""
        search = self.description.definition.get("search")
        name = search if isinstance(search, str) else (search or {"name": "random"}).get("name", "tpe")
        return bool(name != "random")

    def values(self, line: ConfigurationSummary) -> Array:
        """The metrics of a setting, one for each seed, in the order of seeds."""
        return np.array([line.values[seed] for seed in sorted(line.values)], np.float64)  # type: ignore[type-var]

    def labels(
        self, lines: Sequence[ConfigurationSummary], length: int, *, has_names: bool = True
    ) -> list[str]:
        """Settings by the numbers that `sweep show` gives them, with their values where these have room.

        `17: hidden 4, lr 0.1` in so many characters (`17: 4, 0.1` without names), or `setting 17`, alike for
        all; the sweep's name where nothing varies.
        """
        if not self.dimensions and len(self.lines) == 1:
            return [style.name(self.name, length)]
        settings = [line.setting for line in lines]
        texts = [
            f"{one.id}: {configuration_label(self.dimensions, one.values, has_names=has_names)}"
            for one in settings
        ]
        if self.dimensions and max(map(len, texts), default=0) <= length:
            return texts
        return [f"setting {one.id}" for one in settings]

    @property
    def seeds(self) -> str:
        """How many seeds stand behind a configuration: `20 seeds`, `17 to 20 seeds`."""
        counts = [line.stats.n for line in self.lines if line.stats.n]
        if not counts:
            return "no seeds"
        low, high = min(counts), max(counts)
        return (f"{low:,} to " if low < high else "") + style.format_count(high, self.seed_noun)

    @property
    def seed_noun(self) -> str:
        """What the trials of one configuration differ by: `seed` or `fold`."""
        seeds = {trial.seed for trials in self.trials.values() for trial in trials}
        return "fold" if self.description.folds and len(seeds) < 2 else "seed"

    @cached_property
    def is_grid(self) -> bool:
        """Whether every combination of the parameters' values is a setting."""
        return len(self.lines) == math.prod(len(one.levels) for one in self.dimensions)

    def no_metric_reason(self) -> str | None:
        """Why nothing can be drawn of the metric; None where something can."""
        return None if any(line.stats.n for line in self.lines) else "no trial has ended well"

    def left_out(self) -> str:
        """What a figure leaves out, in words; empty where it leaves out nothing."""
        parts = summary.describe_counts(self.summary.counts, APART)
        parts += (
            [f"{style.format_count(self.extremes, 'value')} beyond ±{LARGEST:.0e}"] if self.extremes else []
        )
        return f"left out: {', '.join(parts)}" if parts else ""


def _without_extremes(line: ConfigurationSummary) -> ConfigurationSummary:
    """The configuration without metrics so large that their squares and differences overflow."""
    values = {seed: value for seed, value in line.values.items() if abs(value) <= LARGEST}
    if len(values) == len(line.values):
        return line
    return replace(line, values=values, stats=statistics.sample_stats(list(values.values())))


def histories(folder: str) -> Callable[[Trial], History | None]:
    """Reads the curves of a trial; those of the cohorts read last are kept."""
    sweep_folder = SweepFolder(folder)
    read = lru_cache(maxsize=COHORTS)(lambda number: cohort_file.read(sweep_folder.cohort(number)))

    def history(trial: Trial) -> History | None:
        if trial.cohort is None or trial.member is None:
            return None
        cohort = read(trial.cohort)
        return dict(zip(cohort.columns, cohort.history(trial.member).T, strict=True))

    return history
