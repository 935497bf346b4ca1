"""Settings of a sweep, or values of a parameter, against one another, seed by seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from mlprun.errors import UsageError
from mlprun.parts.part import suggestion
from mlprun.sweeps import reading, statistics, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.sweeps.statistics import Comparison
    from mlprun.sweeps.summary import Line, Summary

Figures = Mapping[Hashable, float]


@dataclass(frozen=True)
class Side:
    """What is compared: a setting or a value, by name, with its figures by seed."""

    told: Any
    """the setting's number or the value itself"""
    name: str
    label: str
    """the name as a table has it: with the setting's number"""
    values: Figures
    successes: Mapping[Hashable, float]
    """by seed and fold; the share of successes where several settings stand behind a seed"""


@dataclass(frozen=True)
class Pair:
    """What one side does against another, in a figure (`test_loss`) or in the success rate (`success`)."""

    first: Side
    second: Side
    figure: str
    comparison: Comparison
    left_out: int
    """seeds that only one side has: the trial of the other diverged, failed or is pending"""

    @property
    def verdict(self) -> str:
        """Whether there is evidence of a difference, in words."""
        figure = "the success rate" if self.figure == "success" else self.figure
        return words.verdict(self.comparison, self.first.name, self.second.name, figure)


def compare_settings(summary: Summary, settings: Sequence[int] = ()) -> list[Pair]:
    """All pairs of the settings with these ids or, without any, the best against each other one.

    They are compared by the figure and, where the sweep says what it is, by success; p is corrected within
    each. Raises UsageError for a setting that is not there and where there is nothing to compare.
    """
    sides = {line.setting.id: _side(line) for line in summary.lines}
    for number in settings:
        if number not in sides:
            remedy = f"expected 1 to {max(sides, default=0)}"
            raise UsageError(f"setting {number}", "is not in this sweep", remedy)
    if len(sides) < 2:
        raise UsageError("compare", "the sweep has one setting", "vary something under grid: or random:")
    chosen = [sides[number] for number in dict.fromkeys(settings)]
    if len(chosen) == 1:
        raise UsageError("compare", "there is nothing to compare with", "name two settings or none")
    best, *others = sides.values()
    pairs = list(combinations(chosen, 2)) or [(best, other) for other in others]
    return _compared(summary, pairs, statistics.compare_rates)


def _side(line: Line) -> Side:
    name = line.setting.label
    return Side(line.setting.id, name, f"{line.setting.id}: {name}", line.values, line.successes)


def compare_values(summary: Summary, parameter: str) -> list[Pair]:
    """All pairs of the values of one parameter: seed by seed the mean over settings alike in all others.

    Raises UsageError for a parameter that does not vary and where no two settings differ in it alone.
    """
    path = _path(summary, parameter)
    name = reading.short_names(summary.description.parameters)[path]
    by_value: dict[str, dict[str, Line]] = {}
    for line in sorted(summary.lines, key=lambda line: line.setting.id):
        others = {key: value for key, value in line.setting.chosen.items() if key != path}
        value = json.dumps(line.setting.chosen.get(path))
        by_value.setdefault(value, {})[json.dumps(others, sort_keys=True)] = line
    pairs = []
    for first, second in combinations(by_value, 2):
        alike = by_value[first].keys() & by_value[second].keys()
        both = [(by_value[first][key], by_value[second][key]) for key in alike]
        if both:
            pairs.append((_over(name, first, both, 0), _over(name, second, both, 1)))
    if not pairs:
        remedy = "compare settings by their numbers, or vary it under grid:"
        raise UsageError("--by", f"no two settings differ in {parameter} alone", remedy)
    return _compared(summary, pairs, statistics.compare_shares)


def _path(summary: Summary, parameter: str) -> str:
    """The dotted path of a parameter that is named by it or by its short name."""
    paths = summary.description.parameters
    known = {short: path for path, short in reading.short_names(paths).items()} | {
        path: path for path in paths
    }
    if parameter not in known:
        raise UsageError(
            "--by", f"{parameter} is no parameter of this sweep", suggestion(parameter, list(known))
        )
    return known[parameter]


def _over(name: str, value: str, both: Sequence[tuple[Line, Line]], side: int) -> Side:
    """One side of pairs of settings: for every seed that all of it have, the mean over the settings.

    Pairs of which a setting has no figure, as where all its trials diverged, are left out of the figure.
    """
    known = [pair[side].values for pair in both if pair[0].values and pair[1].values]
    told = [pair[side].successes for pair in both if pair[0].successes and pair[1].successes]
    label = f"{name}={value}"
    return Side(json.loads(value), label, label, _means(known), _means(told))


def _means(values: Sequence[Mapping[Hashable, float]]) -> Figures:
    shared = set.intersection(*(set(one) for one in values)) if values else set()
    return {seed: statistics.mean_of([one[seed] for one in values]) for seed in shared}


def _compared(
    summary: Summary, pairs: Sequence[tuple[Side, Side]], of_success: Callable[..., Comparison]
) -> list[Pair]:
    figures = [statistics.compare(first.values, second.values) for first, second in pairs]
    found = _paired(summary.column, pairs, figures, "values")
    if summary.description.success is not None:
        rates = [of_success(first.successes, second.successes) for first, second in pairs]
        found += _paired("success", pairs, rates, "successes")
    return found


def _paired(
    figure: str, pairs: Sequence[tuple[Side, Side]], comparisons: Sequence[Comparison], seen: str
) -> list[Pair]:
    return [
        Pair(first, second, figure, one, len(getattr(first, seen).keys() ^ getattr(second, seen).keys()))
        for (first, second), one in zip(pairs, statistics.among(comparisons), strict=True)
    ]
