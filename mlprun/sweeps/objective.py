"""What a configuration reaches by the sweep's objective, which is what a search minimizes.

A trial that diverged, failed or was pruned is not part of a mean, which is over trials that were trained to
their end. A diverged trial is not a success; a failed or pruned one, which does not say how it would have
ended, is not counted in a success rate.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from mlprun.sweeps.schema import Description, Trial, TrialStatus

SOUND: tuple[TrialStatus, ...] = ("finished", "early_stopping")
"""statuses of trials whose metrics count"""
BAD: tuple[TrialStatus, ...] = ("diverged", "failed")
"""statuses of trials that could not be trained as far as intended"""
UNSOUND: tuple[TrialStatus, ...] = ("pruned", "diverged", "failed")
"""statuses of ended trials whose metrics do not count"""
APART: tuple[TrialStatus, ...] = (*UNSOUND, "pending")
"""statuses of trials that are not part of a mean"""
SILENT: tuple[TrialStatus, ...] = ("pruned", "failed", "pending")
"""statuses of trials that are neither a success nor a failure to reach it"""
OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}

LAST = "last_"
"""prefix of metrics of a trial's last epoch; those without it are of its best"""


def test_data_warning(by: str, names: Iterable[str]) -> Iterator[str]:
    """Yield a warning if `by`, one of the metrics `names`, is measured on test data."""
    if by.removeprefix(LAST).startswith("test_"):
        instead = "; select on dev" if any(name.startswith("dev_") for name in names) else ""
        yield f"selecting on test data ({by}) is optimistic{instead}"


def objective(description: Description, trials: Sequence[Trial]) -> float | None:
    """The objective over the trials of one configuration; None where none has a finite metric."""
    aggregate, folds = description.objective["aggregate"], description.folds
    if aggregate == "success" and description.success is not None:
        outcomes = [reached for _, reached in outcomes_of(trials, description.success)]
        return sum(outcomes) / len(outcomes) if outcomes else None
    values = sorted(values_by_seed(trials, description.objective["metric"], folds).values())
    if not values:
        return None
    return median(values) if aggregate == "median" else mean(values)


def score(description: Description, value: float | None) -> float:
    """An objective turned so that less is better; infinite for None."""
    minimize = description.objective["mode"] == "min" and description.objective["aggregate"] != "success"
    return math.inf if value is None else value if minimize else -value


def value_of(trial: Trial, column: str) -> float | None:
    """A trial's metric where it counts: the trial came to its end and the metric is finite."""
    value = trial.figures.get(column) if trial.status in SOUND else None
    return value if value is not None and math.isfinite(value) else None


def succeeded(trial: Trial, success: Mapping[str, Any]) -> bool | None:
    """Whether a trial is a success; None where it is pending, pruned or failed."""
    if trial.status in SILENT:
        return None
    value = value_of(trial, success["figure"])
    return value is not None and OPERATORS[success["operator"]](value, success["number"])


def outcomes_of(trials: Iterable[Trial], success: Mapping[str, Any]) -> list[tuple[Trial, bool]]:
    """The trials that are a success or not, with which of both."""
    every = ((trial, succeeded(trial, success)) for trial in trials)
    return [(trial, reached) for trial, reached in every if reached is not None]


def values_by_seed(trials: Sequence[Trial], column: str, folds: int | None) -> dict[Hashable, float]:
    """The metric of every independent observation, see `by_seed`."""
    known = [(trial, value) for trial in trials if (value := value_of(trial, column)) is not None]
    return by_seed(known, count_seeds(trials), folds)


def by_seed(known: Iterable[tuple[Trial, float]], seeds: int, folds: int | None) -> dict[Hashable, float]:
    """Values of trials as independent observations, one for each of so many seeds.

    The folds of one seed share most of their rows and count as one observation, their mean, provided that
    all of them have a value. Only where there is a single seed does each fold count by itself.
    """
    if folds is None or seeds < 2:
        return {trial.seed if folds is None else (trial.seed, trial.fold): value for trial, value in known}
    values: dict[int, list[float]] = {}
    for trial, value in known:
        values.setdefault(trial.seed, []).append(value)
    return {seed: mean(some) for seed, some in values.items() if len(some) == folds}


def count_seeds(trials: Iterable[Trial]) -> int:
    """The number of different seeds."""
    return len({trial.seed for trial in trials})


def mean(values: Sequence[float]) -> float:
    """The mean of finite numbers; the mean of equal numbers is exactly that number."""
    scale = scale_of(values)
    value = math.fsum(value / scale for value in values) / len(values) * scale
    return min(max(value, min(values)), max(values))


def median(ordered: Sequence[float]) -> float:
    """The median of sorted numbers."""
    return mean(ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1])


def scale_of(values: Iterable[float]) -> float:
    """A power of two; numbers divided by it, which is exact, have finite and nonzero squares."""
    largest = max(map(abs, values), default=0.0)
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest else 1.0
