"""`mlprun sweep show`: a sweep as a table by setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun.analysis import columns, report_text
from mlprun.cli.reference import inline
from mlprun.cli.sweep.figure import Metric, Of, refuse
from mlprun.cli.sweep.remarks import following, remarks
from mlprun.cli.terminal import Output, Table
from mlprun.sweeps.folder import open_sweep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlprun.analysis.statistics import SuccessRate
    from mlprun.analysis.summary import ConfigurationSummary, Summary
    from mlprun.sweeps.folder import SweepStatus


def command(
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
    diverged or failed are describe_counts apart, have no place in a mean, and a
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
    from mlprun.analysis.summary import summarize

    refuse(of)
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
    from mlprun.sweeps.objective import APART

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
    from mlprun.analysis.summary import describe_counts
    from mlprun.sweeps.objective import UNSOUND

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
