"""`mlprun sweep show`: a sweep as a table by setting, and below it what its figures are not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun.analysis import columns, report_text, statistics
from mlprun.analysis.summary import describe_counts, summarize
from mlprun.cli.options import Metric, Of, check_of
from mlprun.cli.reference import inline
from mlprun.cli.terminal import Output, Table
from mlprun.errors import command_line, shell_path
from mlprun.sweeps.folder import open_sweep
from mlprun.sweeps.objective import APART, SOUND, UNSOUND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlprun.analysis.statistics import SuccessRate
    from mlprun.analysis.summary import ConfigurationSummary, Summary
    from mlprun.sweeps.folder import SweepFolder, SweepStatus
    from mlprun.sweeps.plan import Plan

_NAMED = 8
"""settings that a remark names by number, at most"""
_FEWEST_OF_MEDIAN = 6


def show_command(
    folder: Annotated[str, typer.Argument(help="the sweep's folder")],
    *,
    metric: Metric = None,
    of: Of = "best",
    top: Annotated[int, typer.Option("--top", min=0, help="Settings to show, at most; 0 is all.")] = 30,
    output: Output,
) -> None:
    """Show a sweep's settings, the best first: what each reached over its seeds.

    mlprun sweep show runs/xor_width-001
    mlprun sweep show runs/xor_width-001 --metric test_accuracy --of last

    Works while the sweep runs; says how it stands and, where it stopped before
    its end, what goes on with it. n counts the seeds behind mean, standard
    deviation and the 95% interval of the mean (Student's t); trials that
    diverged or failed are counted apart, have no place in a mean, and a
    diverged one is no success. Settings of which most trials diverged come
    after the others, and settings that were pruned last, with the epoch where
    they were given up and the sweep's objective then. The success rate has
    Wilson's 95% interval. With folds a seed's figure is the mean over its folds,
    and the interval of the success rate counts seeds and not folds.

    --json prints {"sweep", "name", "status": "running" | "finished" | "interrupted"
      | "failed" | "crashed", "reason", "metric", "of", "goal", "sorted_by", "success",
      "trials": {STATUS: N}, "total", "kept": trials that are in the middle of their
      cohort, "settings": [{"setting", "values": {PATH: VALUE}, "n", "mean",
      "deviation", "interval": [LOW, HIGH], "median", "median_interval",
      "success": {"successes", "n", "rate", "interval", "independent": what the
      interval takes for n} or null, "pruned_at": EPOCH or null,
      "pruned_objective": the sweep's objective then or null,
      "trials": {STATUS: N}, "best": {"trial", "seed", "fold", "value"} or null}]},
      all settings, the best first; null stands for what so few seeds cannot say.

    Exit codes: 0 done, 2 usage, 4 not a sweep, 7 files.
    """
    check_of(of)
    place = open_sweep(folder)
    status = place.status()
    with place.results() as results:
        summary = summarize(results, metric=metric, of=of)
    output.document(_document(folder, status, summary))
    shown = summary.lines[: top or None]
    output.result(_standing(folder, status, summary) + "\n", table(summary, shown), "")
    for text in (*remarks(summary, shown), *following(place, status, summary)):
        output.result(text)


def table(summary: Summary, lines: Sequence[ConfigurationSummary]) -> Table:
    """The settings as rows: their values, then what they reached."""
    description = summary.description
    names = columns.short_names(description.parameters)
    has_success = description.success is not None
    has_pruned = any(line.pruned_at is not None for line in lines)
    there = {status for line in lines for status, count in line.counts.items() if count}
    # a setting is pruned as a whole, and its epoch says so
    apart = [status for status in APART if status in there and status != "pruned"]
    headings = [
        "setting",
        *names.values(),
        "n",
        *(("median", "95% interval") if summary.aggregate == "median" else ("mean", "std", "95% interval")),
        *(("success", "95% interval") if has_success else ()),
        *(("pruned at", f"{_goes_by(summary)} then") if has_pruned else ()),
        *apart,
        "best",
        "trial",
    ]
    rows = [
        (
            line.setting.id,
            *(_value(line.setting.values.get(path)) for path in names),
            line.stats.n,
            *_middle(line, summary.aggregate),
            *(_share(line.success) if has_success else ()),
            *((line.pruned_at, line.pruned_objective) if has_pruned else ()),
            *(line.counts.get(status, 0) for status in apart),
            line.best[1] if line.best else None,
            line.best[0].id if line.best else None,
        )
        for line in lines
    ]
    of = "last" if summary.column.startswith(columns.LAST) else "best"
    plain = summary.column.removeprefix(columns.LAST)
    return Table(headings, rows, f"{plain} of each trial's {of} epoch, over seeds")


def _goes_by(summary: Summary) -> str:
    """What a pruner looks at, whatever figure the table is of."""
    objective = summary.description.objective
    return "success" if objective["aggregate"] == "success" else str(objective["metric"])


def _middle(line: ConfigurationSummary, aggregate: str) -> tuple[str | float | None, ...]:
    sample = line.stats
    if aggregate == "median":
        return sample.median, report_text.interval_text(sample.median_interval)
    return sample.mean, sample.std, report_text.interval_text(sample.interval)


def _share(rate: SuccessRate | None) -> tuple[str | None, str]:
    if rate is None or rate.rate is None:
        return None, ""
    return report_text.fraction(rate), report_text.percent_interval(rate.interval)


def _value(value: Any) -> str | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else inline(value)


def _standing(folder: str, status: SweepStatus, summary: Summary) -> str:
    counts, settings = summary.counts, len(summary.lines)
    total = max(summary.description.total, sum(counts.values()))
    ended = sum(counts.values()) - counts.get("pending", 0)
    parts = [status.state, f"{ended:,} of {total:,} trials"]
    parts += [f"{status.kept:,} more in the middle"] if status.kept else []
    parts.append(f"{settings:,} setting{'' if settings == 1 else 's'}")
    parts += describe_counts(counts, UNSOUND)
    return f"{folder}: {', '.join(parts)}"


def _document(folder: str, status: SweepStatus, summary: Summary) -> Mapping[str, Any]:
    description = summary.description
    return {
        "sweep": folder,
        "name": description.name,
        "status": status.state,
        "reason": status.reason,
        "metric": summary.column.removeprefix(columns.LAST),
        "of": "last" if summary.column.startswith(columns.LAST) else "best",
        "goal": summary.direction,
        "sorted_by": summary.aggregate,
        "success": description.success["text"] if description.success else None,
        "trials": summary.counts,
        "total": description.total,
        "kept": status.kept,
        "settings": [_told(line) for line in summary.lines],
    }


def _told(line: ConfigurationSummary) -> Mapping[str, Any]:
    sample, best = line.stats, line.best
    return {
        "setting": line.setting.id,
        "values": line.setting.values,
        "n": sample.n,
        "mean": sample.mean,
        "deviation": sample.std,
        "interval": sample.interval,
        "median": sample.median,
        "median_interval": sample.median_interval,
        "success": line.success._asdict() if line.success else None,
        "pruned_at": line.pruned_at,
        "pruned_objective": line.pruned_objective,
        "trials": line.counts,
        "best": {"trial": best[0].id, "seed": best[0].seed, "fold": best[0].fold, "value": best[1]}
        if best
        else None,
    }


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
