"""Settings of a sweep, or values of a parameter, against one another, seed by seed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from mlprun.errors import UsageError
from mlprun.parts.part import suggestion
from mlprun.sweeps import pooling, ranks, reading, statistics, words
from mlprun.sweeps.statistics import LEVEL
from mlprun.sweeps.summary import SOUND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlprun.sweeps.pooling import Figures
    from mlprun.sweeps.statistics import Comparison
    from mlprun.sweeps.summary import Line, Summary

SUCCESS = "success"
"""the figure of a pair that is compared by its success rates"""


@dataclass(frozen=True)
class Side:
    """What is compared: a setting or a value, by name, with its figures by seed."""

    told: Any
    """the setting's number or the value itself"""
    name: str
    label: str
    """the name as a table has it: with the setting's number"""
    values: Figures
    """of what is compared, such as test_loss or the share of successes"""
    lacks: str = ""
    """why it has none"""


@dataclass(frozen=True)
class Pair:
    """What one side does against another, in a figure (`test_loss`) or in the success rate (`success`)."""

    first: Side
    second: Side
    figure: str
    comparison: Comparison
    left_out: int
    """figures without a partner: the other side's trial of that seed diverged, failed or is pending"""

    @property
    def verdict(self) -> str:
        """Whether there is evidence of a difference, in words."""
        lacking = [side for side in (self.first, self.second) if side.lacks]
        if lacking:
            return "nothing to compare: " + " and ".join(f"{side.name} {side.lacks}" for side in lacking)
        figure = "the success rate" if self.figure == SUCCESS else self.figure
        return words.verdict(self.comparison, self.first.name, self.second.name, figure)


def compare(summary: Summary, settings: Sequence[int] = (), by: str | None = None) -> list[Pair]:
    """Settings or, with `by`, a parameter's values against one another. Raises UsageError as these do."""
    if by is None:
        return compare_settings(summary, settings)
    if settings:
        raise UsageError("--by", "compares values of a parameter, not settings", "name one or the other")
    return compare_values(summary, by)


def compare_settings(summary: Summary, settings: Sequence[int] = ()) -> list[Pair]:
    """All pairs of the settings with these ids or, without any, the best against each other one.

    They are compared by the figure and, where the sweep says what it is, by success; p is corrected within
    each. The best is compared with those that were not pruned. Raises UsageError for a setting that is not
    there and where there is nothing to compare.
    """
    lines = {line.setting.id: line for line in summary.lines}
    for number in settings:
        if number not in lines:
            remedy = f"expected 1 to {max(lines, default=0)}"
            raise UsageError(f"setting {number}", "is not in this sweep", remedy)
    if len(lines) < 2:
        raise UsageError("compare", "the sweep has one setting", "vary something under grid: or random:")
    chosen = [lines[number] for number in dict.fromkeys(settings)]
    if len(chosen) == 1:
        raise UsageError("compare", "there is nothing to compare with", "name two settings or none")
    of_lines = list(combinations(chosen, 2)) or _with_best(summary)

    def pairs(figure: str) -> list[tuple[Side, Side, int]]:
        sides = {line.setting.id: _side(summary, line, figure) for both in of_lines for line in both}
        found = [(sides[first.setting.id], sides[second.setting.id]) for first, second in of_lines]
        return [(one, two, len(one.values.keys() ^ two.values.keys())) for one, two in found]

    of_success = statistics.compare_shares if summary.has_folds_by_seed else statistics.compare_rates
    return _compared(summary, pairs, statistics.compare, of_success)


def _with_best(summary: Summary) -> list[tuple[Line, Line]]:
    """The best setting with every other one that was trained to its end."""
    lines = [line for line in summary.lines if line.pruned_at is None]
    if len(lines) < 2:
        what = f"all settings but {lines[0].setting.id} were pruned" if lines else "all settings were pruned"
        raise UsageError("compare", what, "mlprun sweep show says where")
    return [(lines[0], other) for other in lines[1:]]


def _side(summary: Summary, line: Line, figure: str) -> Side:
    number, name = line.setting.id, reading.label(summary.description.parameters, line.setting.values)
    values = _figures(line, figure)
    return Side(number, name, f"{number}: {name}", values, "" if values else _lacks(line))


def _lacks(line: Line) -> str:
    """Why a setting has no figure."""
    if line.pruned_at is not None:
        return f"was pruned at epoch {line.pruned_at}"
    (status, count), *others = Counter(line.counts).most_common() or [("", 0)]
    if others or status in SOUND or not count:
        return "has no such figure"
    return f"has {count} {status} trial{'' if count == 1 else 's'} and no other"


def _figures(line: Line, figure: str) -> Figures:
    return line.successes if figure == SUCCESS else line.values


def compare_values(summary: Summary, parameter: str) -> list[Pair]:
    """All pairs of the values of one parameter: seed by seed the mean over settings alike in all others.

    Raises UsageError for a parameter that does not vary and where no two settings differ in it alone.
    """
    path = path_of(summary, parameter)
    name = reading.short_names(summary.description.parameters)[path]
    by_value = pooling.alike(summary.lines, path)
    chosen = [
        (first, second)
        for first, second in combinations(by_value, 2)
        if by_value[first].keys() & by_value[second].keys()
    ]
    if not chosen:
        remedy = "compare settings by their numbers, or vary it under grid:"
        raise UsageError("--by", f"no two settings differ in {parameter} alone", remedy)

    def pairs(figure: str) -> list[tuple[Side, Side, int]]:
        return [_over(name, (first, second), by_value, figure) for first, second in chosen]

    return _compared(summary, pairs, statistics.compare_paired, statistics.compare_shares)


def _over(
    name: str, values: tuple[str, str], by_value: Mapping[str, Mapping[str, Line]], figure: str
) -> tuple[Side, Side, int]:
    """Two values of a parameter, by the means over the settings that both have."""
    lines = [by_value[value] for value in values]
    shared = [others for others in lines[0] if others in lines[1]]
    found = pooling.pooled([{others: _figures(one[others], figure) for others in shared} for one in lines])
    sides = []
    for value, means in zip(values, found.means, strict=True):
        label = f"{name}={reading.text(json.loads(value))}"
        sides.append(Side(json.loads(value), label, label, means))
    return sides[0], sides[1], found.left_out


def path_of(summary: Summary, parameter: str) -> str:
    """The dotted path of a parameter that is named by it or by an ending that no other has."""
    paths = summary.description.parameters
    found = [path for path in paths if path == parameter or path.endswith(f".{parameter}")]
    if parameter in found or len(found) == 1:
        return parameter if parameter in found else found[0]
    if found:
        raise UsageError("--by", f"{parameter} may be {' or '.join(found)}", "name one of them")
    known = [*reading.short_names(paths).values(), *paths]
    raise UsageError("--by", f"{parameter} is no parameter of this sweep", suggestion(parameter, known))


def _compared(
    summary: Summary,
    pairs: Callable[[str], Sequence[tuple[Side, Side, int]]],
    of_figures: Callable[..., Comparison],
    of_success: Callable[..., Comparison],
) -> list[Pair]:
    """The pairs by the figure and, where the sweep says what it is, by success.

    A sweep that goes by medians is compared by ranks in place of means.
    """
    test = ranks.compare_ranks if summary.aggregate == "median" else of_figures
    found = _tested(summary.column, pairs(summary.column), test)
    if summary.description.success is not None:
        found += _tested(SUCCESS, pairs(SUCCESS), of_success)
    return found


def _tested(
    figure: str, pairs: Sequence[tuple[Side, Side, int]], test: Callable[..., Comparison]
) -> list[Pair]:
    """The pairs with their comparisons, all by one test and corrected for their number.

    Where the differences of one pair have no spread, t is of no use for it, and all pairs are compared by
    signed ranks: by t a smaller effect beside it would be the stronger evidence.
    """

    def every(level: float = LEVEL) -> list[Comparison]:
        return [
            one(first.values, second.values, level)
            for one, (first, second, _) in zip(tests, pairs, strict=True)
        ]

    tests = [test] * len(pairs)
    found = every()
    if any(one.same and one.p != 1 for one in found):
        tests = [ranks.compare_ranks if one.paired else test for one in found]
        found = every()
    found = every(statistics.simultaneous(statistics.tested(found)))
    return [
        Pair(first, second, figure, one, left_out)
        for (first, second, left_out), one in zip(pairs, statistics.among(found), strict=True)
    ]
