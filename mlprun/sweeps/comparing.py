"""Settings of a sweep against one another, seed by seed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from mlprun.errors import UsageError
from mlprun.sweeps import statistics, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.sweeps.statistics import Comparison
    from mlprun.sweeps.summary import Line, Summary


@dataclass(frozen=True)
class Pair:
    """What one setting does against another, in a figure (`test_loss`) or in the success rate (`success`)."""

    first: Line
    second: Line
    figure: str
    comparison: Comparison
    left_out: int
    """seeds of which a setting has no figure: its trial diverged, failed or is pending"""
    verdict: str


def pairs_of(summary: Summary, settings: Sequence[int]) -> list[tuple[Line, Line]]:
    """All pairs of the settings with these ids or, without any, the best against each other one.

    Raises UsageError for a setting that is not there and where there is nothing to compare.
    """
    known = {line.setting.id: line for line in summary.lines}
    for number in settings:
        if number not in known:
            raise UsageError(
                f"setting {number}", "is not in this sweep", f"expected 1 to {max(known, default=0)}"
            )
    if len(known) < 2:
        raise UsageError("compare", "the sweep has one setting", "vary something under grid: or random:")
    chosen = [known[number] for number in dict.fromkeys(settings)]
    if len(chosen) == 1:
        raise UsageError("compare", "there is nothing to compare with", "name two settings or none")
    return list(combinations(chosen, 2)) or [(summary.lines[0], other) for other in summary.lines[1:]]


def compare_settings(summary: Summary, settings: Sequence[int] = ()) -> list[Pair]:
    """The pairs, by the figure and by success where the sweep says what that is; p by Holm within each."""
    pairs = pairs_of(summary, settings)
    column = [statistics.compare(first.values, second.values) for first, second in pairs]
    found = _told(summary.column, pairs, statistics.among(column))
    if summary.description.success is not None:
        rates = [statistics.compare_rates(first.successes, second.successes) for first, second in pairs]
        found += _told("success", pairs, statistics.among(rates))
    return found


def _told(figure: str, pairs: Sequence[tuple[Line, Line]], comparisons: Sequence[Comparison]) -> list[Pair]:
    return [
        Pair(
            first, second, figure, one, _left_out(first, second, figure), _verdict(first, second, figure, one)
        )
        for (first, second), one in zip(pairs, comparisons, strict=True)
    ]


def _verdict(first: Line, second: Line, figure: str, one: Comparison) -> str:
    name = "the success rate" if figure == "success" else figure
    return words.verdict(one, first.setting.label, second.setting.label, name)


def _left_out(first: Line, second: Line, figure: str) -> int:
    """Seeds (or seeds and folds) that only one of the two settings has."""
    sides = (first.successes, second.successes) if figure == "success" else (first.values, second.values)
    return len(sides[0].keys() ^ sides[1].keys())
