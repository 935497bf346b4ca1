"""A sweep's trials as lines of a table: what each setting reached over its seeds.

A trial that diverged, failed or was pruned has no place in a mean, which is of those that came to their end;
it is counted beside it. A diverged trial is no success; a failed or pruned one, which does not say how it
would have ended, is none of the trials that a success rate is a share of. Pruned settings come last, in the
order of their objective where they were given up, and before them those of which most trials diverged: the
figure of few survivors says little of a setting.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, get_args

from mlprun.sweeps import reading, statistics
from mlprun.sweeps.schema import TrialStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from mlprun.sweeps.database import Results
    from mlprun.sweeps.schema import Configuration, Description, Trial
    from mlprun.sweeps.statistics import Rate, Sample

SOUND: tuple[TrialStatus, ...] = ("finished", "early_stopping")
"""how a trial ends whose figures count"""
BAD: tuple[TrialStatus, ...] = ("diverged", "failed")
"""how one ends that could not be trained as far as it should"""
UNSOUND = tuple(one for one in get_args(TrialStatus) if one not in (*SOUND, "pending"))
"""how one ends whose figures do not count"""
APART = (*UNSOUND, "pending")
"""trials that have no place in a mean"""
SILENT = tuple(one for one in APART if one != "diverged")
"""trials that do not say whether they are a success"""
OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One setting over its seeds."""

    setting: Configuration
    counts: Mapping[str, int]
    """trials by status"""
    values: Mapping[Hashable, float]
    """the figure by seed; with folds the mean over them, or by (seed, fold) where there is one seed"""
    sample: Sample
    """of `values`"""
    success: Rate | None
    """of trials, with an interval over seeds; None where the sweep does not say what success is"""
    successes: Mapping[Hashable, float]
    """for comparisons, by what `values` are: with folds the share over them, else 0 or 1"""
    best: tuple[Trial, float] | None
    """the trial of the best value, and it"""
    score: tuple[float, ...]
    """what settings are sorted by, small being good; infinite where there is none or it was pruned"""
    pruned_at: int | None = None
    """the epoch where a search gave it up"""
    pruned_objective: float | None = None
    """what the sweep goes by, as it stood there"""

    @property
    def has_mostly_diverged(self) -> bool:
        """Whether the figures are those of few survivors: more trials diverged than came to their end."""
        return self.counts.get("diverged", 0) > sum(self.counts.get(one, 0) for one in SOUND)

    def place(self, aggregate: str) -> tuple[int, tuple[float, ...], int]:
        """Where it stands among settings: first by score, then survivors, those without a figure last.

        A success rate counts what diverged, and ranks it by itself.
        """
        is_survivor = self.has_mostly_diverged and aggregate != "success"
        return (2 if math.isinf(self.score[0]) else int(is_survivor)), self.score, self.setting.id


@dataclass(frozen=True)
class Summary:
    """All settings, the best first, by one figure."""

    description: Description
    column: str
    """of the figures, such as test_loss or last_test_loss"""
    goal: str
    """min or max"""
    aggregate: str
    """what settings are sorted by: mean, median or success"""
    lines: Sequence[Line]
    counts: Mapping[Any, int]
    """trials by status"""

    @property
    def has_folds_by_seed(self) -> bool:
        """Whether a seed's figure is the mean over its folds, and a seed's success the share of them."""
        return self.description.folds is not None and not any(
            isinstance(key, tuple) for line in self.lines for key in (*line.values, *line.successes)
        )

    def line(self, setting: int) -> Line | None:
        """The line of a setting by its id."""
        return next((line for line in self.lines if line.setting.id == setting), None)


def summarize(results: Results, *, metric: str | None = None, of: str = "best") -> Summary:
    """Every setting's figures by `metric`, by default the objective's, as they stand now."""
    with results.snapshot():
        return _summary(results, metric, of)


def _summary(results: Results, metric: str | None, of: str) -> Summary:
    description = results.description
    column = reading.column_of(description, metric, of)
    goal = reading.goal_of(description, column)
    aggregate = str(description.objective.get("aggregate", "mean"))
    if metric is not None and aggregate == "success":
        aggregate = "mean"
    settings, by = {setting.id: setting for setting in results.settings()}, (column, goal, aggregate)
    grouped = groupby(results.each(by_setting=True), key=operator.attrgetter("setting"))
    given_up = {one.setting: one.objective for one in results.rungs() if not one.promoted}
    lines = [
        _line(settings.pop(number), list(trials), description, by, given_up.get(number))
        for number, trials in grouped
        if number in settings
    ]
    lines += [_line(setting, (), description, by) for setting in settings.values()]
    lines.sort(key=lambda line: line.place(aggregate))
    return Summary(description, column, goal, aggregate, lines, dict(results.counts()))


def objective(description: Description, trials: Sequence[Trial]) -> float | None:
    """What a setting's trials reach by the sweep's objective; None where none has a finite figure."""
    column, folds, success = description.objective["metric"], description.folds, description.success
    sample = statistics.sample(list(_values(trials, column, folds).values()))
    rate = _rate(trials, success, folds) if success else None
    return _middle(sample, rate, description.objective["aggregate"])


def score(description: Description, value: float | None) -> float:
    """An objective such that small is good, infinity standing for none."""
    small = description.objective["mode"] == "min" and description.objective["aggregate"] != "success"
    return math.inf if value is None else value if small else -value


def counted(counts: Mapping[Any, int], statuses: Iterable[str]) -> list[str]:
    """How many trials there are of each of these statuses, such as `3 diverged`; nothing where none."""
    return [f"{counts[one]:,} {one}" for one in statuses if counts.get(one)]


def value_of(trial: Trial, column: str) -> float | None:
    """A trial's figure where it counts: it came to its end and the figure is a finite number."""
    value = trial.figures.get(column) if trial.status in SOUND else None
    return value if value is not None and math.isfinite(value) else None


def succeeded(trial: Trial, success: Mapping[str, Any]) -> bool | None:
    """Whether a trial is a success; None where it does not say: it is pending, pruned or failed."""
    if trial.status in SILENT:
        return None
    value = value_of(trial, success["figure"])
    return value is not None and OPERATORS[success["operator"]](value, success["number"])


def _line(
    setting: Configuration,
    trials: Sequence[Trial],
    description: Description,
    by: tuple[str, str, str],
    at_rung: float | None = None,
) -> Line:
    """`at_rung` is the objective of a setting where it was given up."""
    column, goal, aggregate = by
    sign = 1 if goal == "min" else -1
    known = [(trial, value) for trial in trials if (value := value_of(trial, column)) is not None]
    values = _values(trials, column, description.folds)
    sample = statistics.sample(list(values.values()))
    successes, success = {}, None
    if description.success is not None:
        told = [(trial, float(said)) for trial, said in _told(trials, description.success)]
        successes = _by_seed(told, _seeds(trials), description.folds)
        success = _rate(trials, description.success, description.folds)
    best = min(known, key=lambda pair: (sign * pair[1], pair[0].id), default=None)
    counts: Counter[str] = Counter(trial.status for trial in trials)
    pruned_at = max((trial.epochs or 0 for trial in trials if trial.status == "pruned"), default=None)
    if pruned_at is None:
        place, at_rung = _score(sample, success, sign, aggregate), None
    else:
        place = math.inf, -pruned_at, score(description, at_rung)
    return Line(setting, counts, values, sample, success, successes, best, place, pruned_at, at_rung)


def _told(trials: Sequence[Trial], success: Mapping[str, Any]) -> list[tuple[Trial, bool]]:
    """The trials that say whether they are a success."""
    every = ((trial, succeeded(trial, success)) for trial in trials)
    return [(trial, said) for trial, said in every if said is not None]


def _rate(trials: Sequence[Trial], success: Mapping[str, Any], folds: int | None) -> Rate:
    """The share of successes. The folds of a seed share their rows, so that its interval counts seeds."""
    told = _told(trials, success)
    seeds = None if folds is None or _seeds(trials) < 2 else _seeds([trial for trial, _ in told])
    return statistics.rate(sum(said for _, said in told), len(told), seeds)


def _seeds(trials: Sequence[Trial]) -> int:
    return len({trial.seed for trial in trials})


def _values(trials: Sequence[Trial], column: str, folds: int | None) -> dict[Hashable, float]:
    known = [(trial, value) for trial in trials if (value := value_of(trial, column)) is not None]
    return _by_seed(known, _seeds(trials), folds)


def _by_seed(known: Sequence[tuple[Trial, float]], seeds: int, folds: int | None) -> dict[Hashable, float]:
    """The figures that are independent: one for each seed.

    The folds of one seed share most of their rows and count as one, all of them or none; only where there is
    a single seed do they stand for themselves.
    """
    if folds is None or seeds < 2:
        return {trial.seed if folds is None else (trial.seed, trial.fold): value for trial, value in known}
    by_seed: dict[int, list[float]] = {}
    for trial, value in known:
        by_seed.setdefault(trial.seed, []).append(value)
    return {seed: statistics.mean_of(values) for seed, values in by_seed.items() if len(values) == folds}


def _score(sample: Sample, success: Rate | None, sign: int, aggregate: str) -> tuple[float, ...]:
    middle = _middle(sample, None, aggregate)
    value = math.inf if middle is None else sign * middle
    if aggregate != "success" or success is None:
        return value, 0.0
    return (math.inf if success.rate is None else -success.rate), value


def _middle(sample: Sample, success: Rate | None, aggregate: str) -> float | None:
    """The figure that stands for a setting."""
    if aggregate == "success" and success is not None:
        return success.rate
    return sample.median if aggregate == "median" else sample.mean
