"""Summarize every configuration of a sweep over its seeds.

A trial that diverged, failed or was pruned is not part of a mean; it is counted beside it, see
`mlprun.sweeps.objective`. Pruned configurations come last, in the order of their objective where they were
pruned, and before them those of which most trials diverged: the metric of few survivors says little.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mlprun.analysis.statistics import Interval, SampleStats, SuccessRate, sample_stats, success_rate
from mlprun.errors import UsageError
from mlprun.parts.metrics import metrics
from mlprun.parts.part import suggestion
from mlprun.sweeps.objective import (
    LAST,
    SOUND,
    by_seed,
    count_seeds,
    outcomes_of,
    score,
    value_of,
    values_by_seed,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from mlprun.sweeps.database import Results
    from mlprun.sweeps.schema import Configuration, Description, Trial


@dataclass(frozen=True, slots=True)
class ConfigurationSummary:
    """One configuration over its seeds."""

    setting: Configuration
    counts: Mapping[str, int]
    """Trials by status."""
    values: Mapping[Hashable, float]
    """The metric by seed; with folds the mean over them, or by (seed, fold) where there is one seed."""
    stats: SampleStats
    """Statistics of `values`."""
    success: SuccessRate | None
    """Over trials, with an interval over seeds; None where the sweep does not define success."""
    successes: Mapping[Hashable, float]
    """For comparisons, keyed as `values`: with folds the share over them, else 0 or 1."""
    best: tuple[Trial, float] | None
    """The trial of the best value, and the value."""
    score: tuple[float, ...]
    """Sort key, less is better; infinite where there is no metric or the configuration was pruned."""
    pruned_at: int | None = None
    """The epoch where the configuration was pruned."""
    pruned_objective: float | None = None
    """The objective at that epoch."""

    @property
    def has_mostly_diverged(self) -> bool:
        """Whether more trials diverged than came to their end: the metric is that of few survivors."""
        return self.counts.get("diverged", 0) > sum(self.counts.get(one, 0) for one in SOUND)

    def center(self, aggregate: str) -> tuple[float | None, Interval | None]:
        """The median with its interval where configurations are sorted by it, else the mean with its own."""
        stats = self.stats
        is_median = aggregate == "median"
        return (stats.median, stats.median_interval) if is_median else (stats.mean, stats.interval)

    def sort_key(self, aggregate: str) -> tuple[int, tuple[float, ...], int]:
        """First configurations by score, then those that mostly diverged, those without a metric last.

        A success rate counts diverged trials, and ranks by itself.
        """
        is_survivor = self.has_mostly_diverged and aggregate != "success"
        return (2 if math.isinf(self.score[0]) else int(is_survivor)), self.score, self.setting.id


@dataclass(frozen=True)
class Summary:
    """All configurations by one metric, the best first."""

    description: Description
    column: str
    """The metric's column, such as test_loss or last_test_loss."""
    direction: str
    """Which values are better: min or max."""
    aggregate: str
    """What configurations are sorted by: mean, median or success."""
    lines: Sequence[ConfigurationSummary]
    counts: Mapping[Any, int]
    """Trials by status."""

    @property
    def has_folds_by_seed(self) -> bool:
        """Whether a seed's metric is the mean over its folds, and its success the share of them."""
        return self.description.folds is not None and not any(
            isinstance(key, tuple) for line in self.lines for key in (*line.values, *line.successes)
        )


def summarize(results: Results, *, metric: str | None = None, of: str = "best") -> Summary:
    """Summarize the configurations of a sweep by `metric`, by default the objective's.

    `of` is best or last: the epoch that metrics are taken from. Raises UsageError for an unknown metric.
    """
    with results.snapshot():
        description = results.description
        column = column_of(description, metric, of)
        direction = direction_of(description, column)
        aggregate = str(description.objective.get("aggregate", "mean"))
        if metric is not None and aggregate == "success":
            aggregate = "mean"
        by = column, direction, aggregate
        settings = {setting.id: setting for setting in results.settings()}
        pruned = {one.setting: one.objective for one in results.rungs() if not one.promoted}
        grouped = groupby(results.each(by_setting=True), key=operator.attrgetter("setting"))
        lines = [
            _summarized(settings.pop(number), list(trials), description, by, pruned.get(number))
            for number, trials in grouped
            if number in settings
        ]
        lines += [_summarized(setting, (), description, by) for setting in settings.values()]
        lines.sort(key=lambda line: line.sort_key(aggregate))
        return Summary(description, column, direction, aggregate, lines, dict(results.counts()))


def column_of(description: Description, metric: str | None, of: str) -> str:
    """The column of a metric, by default the objective's; `of` is best or last.

    Raises UsageError for a metric that the sweep does not have.
    """
    names = [name for name in description.figures if not name.startswith(LAST)]
    unseen = next((name for name in ("dev_loss", "test_loss") if name in names), names[0])
    plain = metric or str(description.objective.get("metric") or unseen)
    column = plain if of == "best" or plain.startswith(LAST) else LAST + plain
    if column in description.figures:
        return column
    raise UsageError(plain, "is no metric of this sweep", suggestion(plain, names))


def direction_of(description: Description, column: str) -> str:
    """Which values of a metric are better: `min` or `max`."""
    plain = column.removeprefix(LAST)
    if plain == description.objective.get("metric") and description.objective.get("mode"):
        return str(description.objective["mode"])
    name = plain.partition("_")[2]
    return metrics[name].mode if name in metrics else "min"


def describe_counts(counts: Mapping[Any, int], statuses: Iterable[str]) -> list[str]:
    """The number of trials with each of these statuses, such as `3 diverged`, without those of 0."""
    return [f"{counts[one]:,} {one}" for one in statuses if counts.get(one)]


def _summarized(
    setting: Configuration,
    trials: Sequence[Trial],
    description: Description,
    by: tuple[str, str, str],
    pruned_objective: float | None = None,
) -> ConfigurationSummary:
    """Summarize one configuration `by` a column, its direction and an aggregate."""
    column, direction, aggregate = by
    sign, folds = (1 if direction == "min" else -1), description.folds
    scored = [(trial, value) for trial in trials if (value := value_of(trial, column)) is not None]
    values = values_by_seed(trials, column, folds)
    stats = sample_stats(list(values.values()))
    successes, success = {}, None
    if description.success is not None:
        outcomes = outcomes_of(trials, description.success)
        seeds = count_seeds(trials)
        successes = by_seed([(trial, float(reached)) for trial, reached in outcomes], seeds, folds)
        # the folds of a seed share their rows, so that the interval counts seeds
        independent = None if folds is None or seeds < 2 else count_seeds(trial for trial, _ in outcomes)
        success = success_rate(sum(reached for _, reached in outcomes), len(outcomes), independent)
    pruned_at = max((trial.epochs or 0 for trial in trials if trial.status == "pruned"), default=None)
    if pruned_at is None:
        key, pruned_objective = _sort_score(stats, success, sign, aggregate), None
    else:
        key = math.inf, -pruned_at, score(description, pruned_objective)
    return ConfigurationSummary(
        setting,
        Counter(trial.status for trial in trials),
        values,
        stats,
        success,
        successes,
        min(scored, key=lambda pair: (sign * pair[1], pair[0].id), default=None),
        key,
        pruned_at,
        pruned_objective,
    )


def _sort_score(
    stats: SampleStats, success: SuccessRate | None, sign: int, aggregate: str
) -> tuple[float, ...]:
    center = stats.median if aggregate == "median" else stats.mean
    value = math.inf if center is None else sign * center
    if aggregate != "success" or success is None:
        return value, 0.0
    return (math.inf if success.rate is None else -success.rate), value
