"""`mlprun sweep show`: the results of a sweep by setting, with notes on how to read them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from mlprun.analysis import report_text
from mlprun.analysis.summary import ConfigurationSummary, Summary, describe_counts, summarize
from mlprun.cli.options import Metric, Of, SweepPath  # noqa: TC001 -- Typer reads them
from mlprun.cli.terminal import Output, Table
from mlprun.errors import command_line, plural, shell_path
from mlprun.parts.part import inline
from mlprun.sweeps.folder import SweepFolder, SweepStatus, open_sweep
from mlprun.sweeps.objective import APART, LAST, UNSOUND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlprun.analysis.statistics import SuccessRate


def show_command(
    folder: SweepPath,
    *,
    metric: Metric = None,
    of: Of = "best",
    top: Annotated[int, Option(min=0, help="Maximum number of settings; 0 for all.")] = 30,
    output: Output,
) -> None:
    """Show the results of a sweep by setting, best first.

    mlprun sweep show runs/xor_width-001
    mlprun sweep show runs/xor_width-001 --metric test_accuracy --of last

    Also works while the sweep runs. Shows its status and how to resume it. n is
    the number of seeds behind mean, standard deviation and the 95% interval of
    the mean (Student's t); diverged and failed trials are counted separately and
    excluded from means, and a diverged trial counts as no success. Settings of
    which most trials diverged are listed last but for pruned settings, which are
    shown with the epoch at which they were pruned and the objective then. The
    success rate has a 95% Wilson interval. With folds, the value of a seed is the
    mean over its folds, and the interval of the success rate counts seeds.

    --json prints {"sweep", "name", "status": "running" | "finished" | "interrupted"
      | "failed" | "crashed", "reason", "metric", "of", "goal", "sorted_by", "success",
      "trials": {STATUS: N}, "total", "kept": trials of unfinished
      cohorts, "settings": [{"setting", "values": {PATH: VALUE}, "n", "mean",
      "deviation", "interval": [LOW, HIGH], "median", "median_interval",
      "success": {"successes", "n", "rate", "interval", "independent": n
      of the interval} or null, "pruned_at": EPOCH or null,
      "pruned_objective": objective at that epoch or null,
      "trials": {STATUS: N}, "best": {"trial", "seed", "fold", "value"} or null}]},
      all settings, best first; null if there are too few seeds.

    Exit codes: 0 success, 2 usage, 4 not a sweep, 7 files.
    """
    sweep = open_sweep(folder)
    status = sweep.status()
    with sweep.results() as results:
        summary = summarize(results, metric=metric, of=of)
    output.warn(sweep.edit_warning(summary.description.definition))
    output.document(_document(folder, status, summary))
    shown = summary.lines[: top or None]
    output.result(_status_line(folder, status, summary) + "\n", table(summary, shown), "")
    if len(shown) < len(summary.lines):
        output.result(f"{len(summary.lines) - len(shown):,} more settings; --top 0 shows all")
    for text in (*report_text.notes(summary, shown), *next_steps(sweep, status, summary)):
        output.result(text)


def table(summary: Summary, lines: Sequence[ConfigurationSummary]) -> Table:
    """Return the settings as rows: values, then results."""
    names = report_text.short_names(summary.description.parameters)
    there = {status for line in lines for status, count in line.counts.items() if count}
    # a setting is pruned as a whole, shown by its epoch
    apart = [status for status in APART if status in there and status != "pruned"]
    headings = ["setting", *names.values(), "n"]
    headings += ["median" if summary.aggregate == "median" else "mean", "std", "95% interval"]
    if has_success := summary.description.success is not None:
        headings += ["success", "95% interval"]
    if has_pruned := any(line.pruned_at is not None for line in lines):
        objective = summary.description.objective  # of the pruner, whichever metric is shown
        by = "success" if objective["aggregate"] == "success" else objective["metric"]
        headings += ["pruned at", f"{by} then"]
    rows = []
    for line in lines:
        row = [line.setting.id, *(_value(line.setting.values.get(path)) for path in names)]
        center, interval = line.center(summary.aggregate)
        row += [line.stats.n, center, line.stats.std, report_text.interval_text(interval)]
        row += _share(line.success) if has_success else ()
        row += (line.pruned_at, line.pruned_objective) if has_pruned else ()
        row += [line.counts.get(status, 0) for status in apart]
        rows.append([*row, *((line.best[1], line.best[0].id) if line.best else (None, None))])
    title = f"{summary.column.removeprefix(LAST)} of each trial's {_of(summary)} epoch, over seeds"
    return Table([*headings, *apart, "best", "trial"], rows, title)


def _of(summary: Summary) -> str:
    return "last" if summary.column.startswith(LAST) else "best"


def _share(rate: SuccessRate | None) -> tuple[str | None, str]:
    if rate is None or rate.rate is None:
        return None, ""
    return report_text.fraction(rate), report_text.percent_interval(rate.interval)


def _value(value: Any) -> str | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else inline(value)


def _status_line(folder: str, status: SweepStatus, summary: Summary) -> str:
    counts, settings = summary.counts, len(summary.lines)
    total = max(summary.description.total, sum(counts.values()))
    ended = sum(counts.values()) - counts.get("pending", 0)
    parts = [status.state, f"{ended:,} of {total:,} trials"]
    parts += [f"{status.kept:,} more partially trained"] if status.kept else []
    parts.append(plural(settings, "setting"))
    parts += describe_counts(counts, UNSOUND)
    return f"{folder}: {', '.join(parts)}"


def _document(folder: str, status: SweepStatus, summary: Summary) -> Mapping[str, Any]:
    description = summary.description
    return {
        "sweep": folder,
        "name": description.name,
        "status": status.state,
        "reason": status.reason,
        "metric": summary.column.removeprefix(LAST),
        "of": _of(summary),
        "goal": summary.direction,
        "sorted_by": summary.aggregate,
        "success": description.success["text"] if description.success else None,
        "trials": summary.counts,
        "total": description.total,
        "kept": status.kept,
        "settings": [_setting_document(line) for line in summary.lines],
    }


def _setting_document(line: ConfigurationSummary) -> Mapping[str, Any]:
    best = None
    if line.best is not None:
        trial, value = line.best
        best = {"trial": trial.id, "seed": trial.seed, "fold": trial.fold, "value": value}
    return {
        "setting": line.setting.id,
        "values": line.setting.values,
        **line.stats._asdict(),
        "deviation": line.stats.std,
        "success": line.success._asdict() if line.success else None,
        "pruned_at": line.pruned_at,
        "pruned_objective": line.pruned_objective,
        "trials": line.counts,
        "best": best,
    }


def next_steps(sweep: SweepFolder, status: SweepStatus, summary: Summary) -> Iterator[str]:
    """Yield the next command: to resume a stopped sweep, or to analyse it."""
    if status.state in ("running", "finished"):
        known = sum(line.stats.n > 0 for line in summary.lines)
        yield f"next: {command_line('sweep compare' if known > 1 else 'plot', sweep.path)}"
        return
    if status.reason:
        yield f"{status.state}: {status.reason}"
    description = summary.description
    if sweep.name.rpartition("-")[0] != description.name:
        yield f"to resume, rename the folder to {description.name}-001: sweeps are found by name"
        return
    out = os.path.dirname(sweep.path.rstrip("/")) or "."
    elsewhere = "" if out == "runs" else f" --out {shell_path(out)}"
    # user code runs only if the user allows it
    trusted = " --allow-code" if description.base.get("extend") else ""
    yield f"to resume: {command_line('sweep run', sweep.definition)}{elsewhere}{trusted}"
