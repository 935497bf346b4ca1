"""`mlprun sweep run`, which runs or resumes a sweep, and `mlprun train --seeds N`, `--folds N`."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from typer import Argument, Option

from mlprun import api
from mlprun.analysis.statistics import LEVEL, MIN_SAMPLE
from mlprun.analysis.summary import describe_counts
from mlprun.cli.options import AllowCode, DryRun, Out, Overrides  # noqa: TC001 -- Typer reads them
from mlprun.cli.progress import Piece, ProgressReporter, clock
from mlprun.cli.terminal import Output, Table, duration
from mlprun.errors import CheckFailedError, DivergedError, command_line, plural, shell_path
from mlprun.sweeps.objective import BAD, LAST, SOUND, test_data_warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlprun.api import Sweep
    from mlprun.sweeps.plan import Plan

FIRST_SECONDS = 2.0
"""before the first progress line"""
_LONGEST = 58
"""characters of the config's name in that of a sweep over its seeds"""


def run_command(
    sweep: Annotated[str, Argument(help="the sweep, a YAML file")],
    overrides: Overrides = None,
    *,
    out: Out = "runs",
    dry_run: DryRun = False,
    fail_fast: Annotated[bool, Option("--fail-fast", help="Stop at the first failed trial.")] = False,
    retry_failed: Annotated[bool, Option("--retry-failed", help="Train failed trials again.")] = False,
    on: Annotated[str, Option(metavar="EXECUTOR", help="local or ray.")] = "local",
    address: Annotated[str | None, Option(help="HOST:PORT of the Ray cluster (default: start one).")] = None,
    storage: Annotated[
        str | None, Option(metavar="URL", help="Database for Optuna's study of a search.")
    ] = None,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Run a grid or random search over parameters, seeds and folds.

    mlprun sweep run configs/sweeps/xor_width.yaml
    mlprun sweep run configs/sweeps/xor_width.yaml seeds=20 base.training.epochs=500
    mlprun sweep run configs/sweeps/xor_width.yaml --dry-run

    A sweep file names a base config and the values that vary:

    base: ../xor.yaml                  a config; paths are relative to this file
    base: {base: ../xor.yaml, training: {epochs: 500}}
                                       or an inline config, with or without a
                                       `base` of its own
    seeds: 200                         number of seeds, or a list
    grid: {optimizer.lr: [0.1, 1.0]}   all combinations
    paired: {KEY: [...], KEY: [...]}   values combined one by one
    random: {optimizer.lr: {log_uniform: [1e-3, 1]}}, with trials: 100
                                       or uniform, integers, choice
    search: {name: tpe, trials: 200}   instead of trials: Optuna proposes settings
                                       in batches of `batch` (default 32);
                                       mlprun doctor shows how to install it
    search: {name: random, trials: 200, pruner: {name: successive_halving}}
                                       train only promising settings to the end;
                                       also available with tpe
    folds: 5                           cross-validation: each trial tests on one
                                       fifth of the rows
    objective: {metric: dev_loss, mode: min, aggregate: mean}
    success: test_accuracy >= 0.99     when a trial counts as a success

    All problems of all trials are reported first. A trial gives the same bytes
    as `mlprun train` with its config. Trials that diverge or fail are marked, and
    the sweep continues. Ctrl-C saves all results so far; the same command resumes
    the sweep, and does nothing if all trials are complete.

    A sweep that only adds seeds, values, `trials` or `search.trials` to an
    existing one extends that sweep in its folder: existing trials keep their
    numbers and bytes, and new trials follow. An extended search uses all results
    so far, so that its proposals differ from those of a longer search from the
    start. A sweep that asks for less gets a new folder.

    --retry-failed trains failed trials again and keeps the other trials of their
    cohorts. Missing or truncated files in cohorts/ are detected, and their trials
    are trained again.

    If versions, processor or user code differ from those at the start of the
    sweep, a warning is printed and recorded in status.json; a table with changed
    rows is refused.

    --storage sqlite:///optuna.db also writes a search to a study named after its
    folder, which optuna-dashboard shows: settings as they end, round by round. The
    search does not depend on it.

    --on ray trains the trials as tasks of a Ray cluster; this process collects
    and writes the results, and the bytes are the same. Tables and user code must
    be available under the same paths on all machines, with the same versions of
    all packages. Tasks of workers that die are restarted; stopping the sweep loses
    about five seconds of their work. mlprun doctor shows how to install Ray.

    --json prints {"sweep": FOLDER, "status", "trials", "counts": {STATUS: N},
      "seconds"};
      with --dry-run {"name", "sweep": FOLDER to resume or null, "done": N,
      "trials", "settings", "seeds", "folds", "parameters", "metrics", "objective",
      "success", "search", "rungs", "cohorts", "engines": {NAME: TRIALS}, "cores",
      "estimate": {"core_seconds", "seconds", "bytes_of_a_cohort"}}

    Exit codes: 0 success, 2 config or usage, 3 data, 4 sweep folder, 5 in use,
    6 device or Ray cluster, 7 files, 9 memory, 130 Ctrl-C, 143 SIGTERM; with
    --fail-fast 8 diverged, 10 failed.
    """
    values = overrides or []
    if dry_run:
        return show_plan(sweep, values, output, out=out, allow_code=allow_code, retry_failed=retry_failed)
    options = {"allow_code": allow_code, "fail_fast": fail_fast, "retry_failed": retry_failed}
    _show_end(
        follow(sweep, values, output, out=out, on=on, address=address, storage=storage, **options), output
    )
    return None


def follow(
    sweep: str | Mapping[str, Any], overrides: Sequence[str], output: Output, **options: Any
) -> api.Sweep:
    """Run a sweep with progress output; `options` are those of `api.sweep`."""
    if isinstance(sweep, str):
        output.note(f"reading {sweep} ...")
    reporter = None if output.quiet else SweepProgress(output)
    return api.sweep(sweep, *overrides, processes=True, reporter=reporter, **options)


def _show_end(sweep: Sweep, output: Output) -> None:
    """Print the number of trials by status, the folder and the next command."""
    status = sweep.status
    with sweep.folder.results() as results:
        counts = results.counts()
    head = {"sweep": sweep.path, "status": status.state, "trials": status.total}
    output.document({**head, "counts": dict(counts), "seconds": status.seconds})
    by_status = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
    output.result(f"{status.done} of {status.total} trials in {status.seconds:.2f} s: {by_status}")
    if counts["failed"]:
        output.result("add --retry-failed to the same command to train failed trials again")
    output.result(f"sweep folder: {sweep.path}\nnext: {command_line('sweep show', sweep.path)}")


def show_plan(
    sweep: str | Mapping[str, Any],
    overrides: Sequence[str],
    output: Output,
    *,
    out: str,
    allow_code: bool,
    retry_failed: bool = False,
) -> None:
    """Show what a sweep (a file or a mapping) would run."""
    from mlprun.sweeps import run

    options = {"allow_code": allow_code, "retry_failed": retry_failed}
    plan, existing, _, messages, _ = run.look(api.load_definition(sweep, *overrides), out=out, **options)
    folder = None if existing is None else existing.path
    for line in messages:
        output.message(line)
    output.result(plan_summary(plan, folder, plan.done))
    output.document(plan_document(plan, folder, plan.done))


class SweepProgress(ProgressReporter):
    """Progress of a sweep."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._name, self._total, self._before = "", 0, 0

    def begin(self, folder: str, plan: Plan, done: int) -> None:
        """Show the plan and the folder."""
        self._total, self._before = plan.total, done
        self.restart(FIRST_SECONDS)
        if done == plan.total:
            self.say(progress_summary(folder, done, plan.total))
            return
        self._name = plan.description.name
        self.say(plan_summary(plan, folder if done else None, done))
        if not done:
            self.say(f"running in {folder}")

    def report(self, done: int, seconds: float) -> None:
        """Draw the line again; without a terminal, print one after a moment and then every few seconds."""
        if not self.is_due():
            return
        ended = done - self._before
        left = seconds * (self._total - done) / ended if ended else 0.0
        if self.is_drawn:
            pieces = [Piece(self._name, 3), Piece(f"trial {done:,}/{self._total:,}", 0)]
            if ended:
                rate = float(f"{ended / max(seconds, 1e-9):.3g}")
                pieces += [Piece(f"{rate:,g} trials/s", 2), Piece(f"{clock(left)} left", 1)]
            self.show(pieces, done / self._total)
        else:
            rest = f", about {duration(left)} left" if ended else ""
            self.say(f"{done} of {self._total} trials, {seconds:.0f} s{rest}")


def plan_document(plan: Plan, folder: str | None, done: int) -> dict[str, Any]:
    """Return the document of `--dry-run`; `folder` is that of a resumed sweep with `done` trials."""
    from mlprun.sweeps.executors import cores

    cost, description = plan.cost, plan.description
    engines = Counter[str]()
    for cohort in plan.cohorts:
        engines[cohort.kind.engine] += len(cohort.members)
    search = plan.sweep.search
    # only the first rounds of a search are known; assume that the others are similar
    rounds = 1 if search is None else -(-search.trials // search.batch)
    planned = 1 if search is None else -(-len(plan.settings) // search.batch)
    known, left = sum(engines.values()), 1 - done / plan.total
    return {
        "name": description.name,
        "sweep": folder,
        "done": done,
        "trials": plan.total,
        "settings": plan.total // (len(plan.seeds) * (plan.folds or 1)),
        "seeds": len(plan.seeds),
        "folds": plan.folds,
        "parameters": list(description.parameters),
        "metrics": list(description.figures),
        "objective": dict(description.objective),
        "success": description.success and description.success["text"],
        "search": search and {"name": search.name, "rounds": rounds, "batch": search.batch},
        "rungs": list(plan.rungs),
        "cohorts": len(plan.cohorts) * rounds // planned,
        "engines": {name: round(plan.total * count / known) for name, count in engines.items()},
        "cores": cores(),
        "estimate": {
            "core_seconds": left * cost.seconds,
            "seconds": left * cost.seconds / cores(),
            "bytes_of_a_cohort": cost.bytes,
        },
    }


def plan_summary(plan: Plan, folder: str | None, done: int) -> str:
    """Return the plan as a few lines of text."""
    document = plan_document(plan, folder, done)
    folds = f" × {document['folds']} folds" if document["folds"] else ""
    engines = ", ".join(
        f"{plural(count, 'trial')} on the {name} engine" for name, count in document["engines"].items()
    )
    search, estimate = document["search"], document["estimate"]
    rounds = f", proposed in {plural(search['rounds'], 'batch')}" if search else ""
    sizes = [plural(document["trials"], "trial"), plural(document["settings"], "setting")]
    lines = [f"{sizes[0]}: {sizes[1]} × {plural(document['seeds'], 'seed')}{folds}{rounds}"]
    if document["rungs"]:
        lines.append(f"pruned after epochs {', '.join(map(str, document['rungs']))}")
    lines += _search_warning(plan)
    lines.append(f"{engines} in {plural(document['cohorts'], 'cohort')}, {plural(document['cores'], 'core')}")
    memory = f"{estimate['bytes_of_a_cohort'] / 1e6:.3g} MB of memory"
    lines.append(f"estimate: {duration(estimate['seconds'])}, {memory}")
    if folder is not None:
        lines.append(progress_summary(folder, done, plan.total))
    return "\n".join(lines)


def progress_summary(folder: str, done: int, total: int) -> str:
    """Return how far a sweep that is resumed has come."""
    if done == total:
        return f"all {done:,} trials of {folder} are complete; nothing to do"
    return f"resuming {folder}: {done:,} of {total:,} trials are complete"


def _search_warning(plan: Plan) -> Iterator[str]:
    """Yield a warning if a search or pruner selects on test data."""
    search, description = plan.sweep.search, plan.description
    if search is None or (search.name == "random" and search.pruner is None):
        return
    objective, success = description.objective, description.success
    by = success["figure"] if objective["aggregate"] == "success" and success else objective["metric"]
    yield from test_data_warning(by, description.figures)


def train_repeated(
    config: str,
    overrides: Sequence[str],
    output: Output,
    *,
    seeds: int | None,
    folds: int | None,
    out: str,
    allow_code: bool,
    dry_run: bool,
) -> None:
    """Run a sweep over seeds, folds or both and show the mean of each metric; with `dry_run`, the plan."""
    split = [] if folds is None else [f"dataset.split.folds={folds}", "dataset.split.fold=1"]
    name = api.load_config(config, *overrides, *split, allow_code=allow_code).name  # raises for a bad split
    unit = "seeds" if folds is None else "folds"
    sweep = {"name": f"{name[:_LONGEST]}-{unit}", "base": config, "seeds": seeds or 1, "folds": folds}
    if dry_run:
        return show_plan(sweep, overrides, output, out=out, allow_code=allow_code)
    swept = follow(sweep, overrides, output, out=out, allow_code=allow_code)
    return _show_means(swept, seeds or 1, folds, output)


def _show_means(sweep: Sweep, seeds: int, folds: int | None, output: Output) -> None:
    names = [name for name in sweep.description.figures if not name.startswith(LAST)]
    samples = {name: sweep.summary(name).lines[0].stats for name in names}
    status, counts = sweep.status, sweep.summary().counts
    of = "best" if any(one.best_epoch is not None for one in sweep.trials) else "last"
    rows, figures = [], {}
    for name, one in samples.items():
        half = None if one.interval is None else (one.interval.high - one.interval.low) / 2
        rows.append((name, one.mean, half, one.std, one.minimum, one.maximum))
        figures[name] = {"n": one.n, "mean": one.mean, "deviation": one.std, "interval": one.interval}
    head = {"sweep": sweep.path, "status": status.state, "seeds": seeds}
    head |= {"folds": folds, "counts": dict(counts)} if folds else {"counts": dict(counts)}
    output.document({**head, "seconds": status.seconds, "of": of, "metrics": figures})
    unit = "fold" if folds and seeds == 1 else "seed"
    sound = sum(counts[one] for one in SOUND)
    if not sound:
        _raise(sweep, unit)
    if folds and seeds > 1:  # each seed counts once, with all of its folds
        sound = max(one.n for one in samples.values())
    title = f"{of} epoch, mean over {plural(sound, unit)}"
    title += f" of {folds} folds" if folds and seeds > 1 else ""
    if sound < MIN_SAMPLE:
        title += f": an interval requires at least {MIN_SAMPLE}"
    else:
        title += f" with {100 * LEVEL:g}% interval"
    output.result(Table(("metric", "mean", "±", "std", "min", "max"), rows, title))
    for text in describe_counts(counts, BAD):
        output.result(f"{text}: excluded from the means")
    output.result(f"\n{status.total} trials in {status.seconds:.2f} s\nsweep folder: {sweep.path}")
    output.result(f"next: {command_line('sweep show', sweep.path)}")


def _raise(sweep: Sweep, unit: str) -> NoReturn:
    """Raise the error of a sweep of which no seed or fold finished."""
    epochs = [one.epochs or 0 for one in sweep.trials if one.status == "diverged"]
    if epochs:
        what = f"no {unit} finished: {len(epochs)} diverged after {max(epochs)} epochs or fewer"
        remedy = f"{command_line('sweep show', sweep.path)} shows them; try a smaller learning rate"
        raise DivergedError(sweep.path, what, remedy)
    what, out = f"no {unit} finished: {sweep.trials[0].error}", os.path.dirname(sweep.path) or "."
    command = f"{command_line('sweep run', sweep.folder.definition)} --retry-failed --out {shell_path(out)}"
    raise CheckFailedError(sweep.path, what, f"to train them again: {command}")
