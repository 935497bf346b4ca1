"""What stands below the table of `mlprun sweep show`: what its figures are not, and what to type next."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlprun.analysis import columns, statistics
from mlprun.errors import command_line, shell_path
from mlprun.sweeps.objective import SOUND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlprun.analysis.summary import ConfigurationSummary, Summary
    from mlprun.sweeps.folder import SweepFolder, SweepStatus
    from mlprun.sweeps.plan import Plan

_NAMED = 8
"""settings that a remark names by number, at most"""
_FEWEST_OF_MEDIAN = 6


def remarks(summary: Summary, shown: Sequence[ConfigurationSummary]) -> Iterator[str]:
    """How the lines of a table are sorted, and what a reader could take them for and they are not."""
    best = "larger" if summary.direction == "max" else "smaller"
    how = {"success": "success rate", "median": f"median, {best} first"}
    success = summary.description.success
    told = f"; success: {success['text']}" if success is not None else ""
    yield f"sorted by {how.get(summary.aggregate, f'mean, {best} first')}{told}"
    if len(shown) < len(summary.lines):
        yield f"{len(summary.lines) - len(shown):,} more settings; --top 0 shows all"
    undefined = [line for line in shown if not line.stats.n and any(line.counts.get(one) for one in SOUND)]
    if undefined:
        yield f"{summary.column} was not a number in the trials of {_named(undefined)}"
    yield from (f"{text}; they come after the others" for text in survivors(shown))
    yield from _of_test_rows(summary)
    yield from _of_intervals(summary, shown)


def survivors(lines: Sequence[ConfigurationSummary]) -> Iterator[str]:
    """That figures are those of few survivors."""
    few = [line for line in lines if line.has_mostly_diverged and line.stats.n]
    if few:
        yield f"most trials of {_named(few)} diverged: the figures are of those that did not"


def _named(lines: Sequence[ConfigurationSummary]) -> str:
    numbers = [str(line.setting.id) for line in lines[:_NAMED]]
    more = f" and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return f"setting{'' if len(lines) == 1 else 's'} {', '.join(numbers)}{more}"


def _of_test_rows(summary: Summary) -> Iterator[str]:
    """That who chooses by test rows knows nothing of new ones."""
    success = summary.description.success
    by = success["figure"] if summary.aggregate == "success" and success else summary.column
    if len(summary.lines) > 1:
        yield from _too_good("sorted", "first", by, summary.description.figures)


def of_search(plan: Plan) -> Iterator[str]:
    """That a search or a pruner that goes by test rows fits the settings to them."""
    search, description = plan.sweep.search, plan.description
    if search is None or (search.name == "random" and search.pruner is None):
        return
    objective, success = description.objective, description.success
    by = success["figure"] if objective["aggregate"] == "success" and success else objective["metric"]
    yield from _too_good("searched" if search.name != "random" else "pruned", "best", by, description.figures)


def _too_good(how: str, which: str, by: str, figures: Iterable[str]) -> Iterator[str]:
    if by.removeprefix(columns.LAST).startswith("test_"):
        instead = "; choose by dev rows" if any(one.startswith("dev_") for one in figures) else ""
        yield f"{how} by test rows: the {which} setting's {by} is too good for new rows{instead}"


def _of_intervals(summary: Summary, shown: Sequence[ConfigurationSummary]) -> Iterator[str]:
    """What the intervals are not."""
    if summary.description.folds is not None:
        if summary.has_folds_by_seed:
            yield "intervals are over other seeds and folds of these rows, and say nothing of new rows"
        else:
            yield "the folds of one seed share rows: intervals over them are too narrow; more seeds say more"
    sizes = {line.stats.n for line in shown if line.stats.n}
    if summary.aggregate == "median" and sizes and min(sizes) < _FEWEST_OF_MEDIAN:
        yield f"an interval of the median takes {_FEWEST_OF_MEDIAN} seeds or more"
    if summary.aggregate != "median" and any(1 < size < statistics.MIN_SAMPLE for size in sizes):
        yield f"no interval of a mean over 2 seeds: it takes {statistics.MIN_SAMPLE} or more"
    intervals = [line.stats.interval for line in shown if line.stats.interval is not None]
    beyond = any(one.low < 0 or one.high > 1 for one in intervals)
    if summary.aggregate != "median" and beyond and columns.is_share(summary.column):
        yield "intervals pass 0 or 1 since Student's t knows no bounds; with more seeds they are narrower"


def following(place: SweepFolder, status: SweepStatus, summary: Summary) -> Iterator[str]:
    """What to type: what goes on with a sweep that stopped, or what shows more of it."""
    if status.state in ("running", "finished"):
        known = sum(line.stats.n > 0 for line in summary.lines)
        yield f"next: {command_line('sweep compare' if known > 1 else 'plot', place.path)}"
        return
    if status.reason:
        yield f"{status.state}: {status.reason}"
    description = summary.description
    if place.name.rpartition("-")[0] != description.name:
        yield f"to go on, call the folder {description.name}-001 again: its name is how it is found"
        return
    out = os.path.dirname(place.path.rstrip("/")) or "."
    elsewhere = "" if out == "runs" else f" --out {shell_path(out)}"
    # code of the user's runs only where the person at the keyboard says so
    trusted = " --allow-code" if description.base.get("extend") else ""
    yield f"to go on: {command_line('sweep run', place.definition)}{elsewhere}{trusted}"
