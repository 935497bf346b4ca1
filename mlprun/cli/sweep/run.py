"""`mlprun sweep run`: run a sweep, or go on with it."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun import api
from mlprun.cli.sweep.show import of_search
from mlprun.cli.terminal import LINE_SECONDS, Output, ProgressReporter
from mlprun.errors import command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlprun.api import Sweep
    from mlprun.sweeps.plan import Plan

FIRST_SECONDS = 2.0
"""until the first line of progress"""


def run_command(
    sweep: Annotated[str, typer.Argument(help="the sweep, a YAML file")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="values that replace the sweep's, or base.KEY its base's"
        ),
    ] = None,
    *,
    out: Annotated[str, typer.Option("--out", help="The folder that sweep folders are made in.")] = "runs",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every trial and say what would run; run nothing.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at a trial that diverges or fails, or did so before.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train the trials again that failed.")
    ] = False,
    on: Annotated[
        str, typer.Option("--on", metavar="PLACE", help="Where trials are trained: local or ray.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option("--address", help="The Ray cluster, as HOST:PORT; by default one on this machine."),
    ] = None,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run the user code that the base's `extend` names.")
    ] = False,
    output: Output,
) -> None:
    """Run a sweep: every setting with every seed, as one experiment.

    mlprun sweep run configs/sweeps/xor_width.yaml
    mlprun sweep run configs/sweeps/xor_width.yaml seeds=20 base.training.epochs=500
    mlprun sweep run configs/sweeps/xor_width.yaml --dry-run

    A sweep file names a base config and what replaces its values:

    base: ../xor.yaml                  a config; paths are relative to this file
    base: {base: ../xor.yaml, training: {epochs: 500}}
                                       or one written here, with or without a
                                       `base` of its own
    seeds: 200                         how many, or a list
    grid: {optimizer.lr: [0.1, 1.0]}   all combinations
    paired: {KEY: [...], KEY: [...]}   first with first, second with second
    random: {optimizer.lr: {log_uniform: [1e-3, 1]}}, with trials: 100
                                       or uniform, integers, choice
    search: {name: tpe, trials: 200}   in place of trials: Optuna asks for the
                                       settings, a `batch` of 32 at a time;
                                       mlprun doctor says how to install it
    search: {name: random, trials: 200, pruner: {name: successive_halving}}
                                       only the settings that look good are trained
                                       to their end, with tpe as well
    folds: 5                           cross-validation: each trial tests on one
                                       fifth of the rows
    objective: {metric: dev_loss, mode: min, aggregate: mean}
    success: test_accuracy >= 0.99     when a trial counts as a success

    Every problem of every trial is told before anything runs. A trial's bytes
    are those of `mlprun train` with its config. One that diverges or fails is
    marked, and the sweep goes on. Ctrl-C saves what stands; the same command
    goes on with it, and does nothing when all trials have ended.

    A sweep that asks for more than one that is there goes on in its folder: more
    seeds, values, `trials` or `search.trials`, all else alike. What is there
    keeps its numbers and its bytes, and new trials come after it. A search asks
    on with all that it knows by then, which are not the settings that it would
    have asked for had it been as long from the start. One that asks for less
    gets a folder of its own.

    --retry-failed trains the trials again that failed, and keeps the others of
    their cohorts. A file of cohorts/ that is missing or cut off is noticed, and
    its trials are trained again.

    Where versions, the processor or user code are not those that a sweep was
    started with, a line says so and status.json keeps it; a table whose rows
    changed is refused.

    --on ray trains the trials as tasks of a Ray cluster; this process gathers
    and writes, and the bytes are the same. Tables and user code lie at the same
    paths on all its machines, and all have the same versions. Tasks whose worker
    dies are started again, and what is trained when the sweep is stopped or killed
    loses some five seconds there. mlprun doctor says how to install Ray.

    --json prints {"sweep": FOLDER, "status", "trials", "counts": {STATUS: N},
      "seconds"}
      and under --dry-run {"name", "sweep": FOLDER that it goes on with or null,
      "done": N, "trials", "settings", "seeds", "folds", "parameters", "figures",
      "objective", "success", "search", "rungs", "cohorts",
      "engines": {NAME: TRIALS}, "cores", "estimate": {"core_seconds", "seconds",
      "bytes_of_a_cohort"}}

    Exit codes: 0 done, 2 config or usage, 3 data, 4 sweep folder, 5 in use,
    6 device or Ray cluster, 7 files, 9 memory, 130 Ctrl-C, 143 SIGTERM; with
    --fail-fast 8 diverged, 10 failed.
    """
    words = overrides or []
    if dry_run:
        return show_plan(sweep, words, output, out=out, allow_code=allow_code, retry_failed=retry_failed)
    options = {"allow_code": allow_code, "fail_fast": fail_fast, "retry_failed": retry_failed}
    ended = follow(sweep, words, output, out=out, on=on, address=address, **options)
    show_end(ended, output)
    return None


def follow(sweep: str | Mapping[str, Any], words: Sequence[str], output: Output, **options: Any) -> api.Sweep:
    """Run a sweep before the user's eyes; `options` are those of `api.sweep`."""
    with closing(SweepProgress(output)) as progress:
        return api.sweep(sweep, *words, processes=True, reporter=progress, **options)


def show_end(ended: Sweep, output: Output) -> None:
    """How many trials came to which end, the folder and what to type next."""
    status = ended.status
    with ended.folder.results() as results:
        counts = results.counts()
    output.document(
        {
            "sweep": ended.path,
            "status": status.state,
            "trials": status.total,
            "counts": dict(counts),
            "seconds": status.seconds,
        }
    )
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
    output.result(f"{status.done} of {status.total} trials in {status.seconds:.2f} s: {told}")
    if counts["failed"]:
        output.result("the same command with --retry-failed trains what failed again")
    output.result(f"sweep folder: {ended.path}\nnext: {command_line('sweep show', ended.path)}")


def show_plan(
    sweep: str | Mapping[str, Any],
    words: Sequence[str],
    output: Output,
    *,
    out: str,
    allow_code: bool,
    retry_failed: bool = False,
) -> None:
    """What a sweep, a file or a mapping, would run."""
    from mlprun.sweeps import run

    options = {"allow_code": allow_code, "retry_failed": retry_failed}
    plan, place, _, said, _ = run.look(api.load_definition(sweep, *words), out=out, **options)
    folder = None if place is None else place.path
    for line in said:
        output.note(line)
    output.result(plan_summary(plan, folder, plan.done))
    output.document(plan_document(plan, folder, plan.done))


class SweepProgress(ProgressReporter):
    """A reporter that says how far a sweep is."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._total, self._due = 0, 0.0

    def begin(self, folder: str, plan: Plan, done: int) -> None:
        """Show what is to be done, where it is written, and the bar."""
        self._total, self._due = plan.total, time.monotonic() + FIRST_SECONDS
        if done == plan.total:
            self.say(going_on(folder, done, plan.total))
            return
        self.say(plan_summary(plan, folder if done else None, done))
        if not done:
            self.say(f"running in {folder}")
        self._start_bar("trial", plan.total, done)

    def report(self, done: int, seconds: float, left: Callable[[], float | None]) -> None:
        """Move the bar; without one, say a line after a moment and then every few seconds."""
        if self._bar is not None:
            self._bar.update(0, completed=done, refresh=True)
        elif time.monotonic() >= self._due:
            self._due = time.monotonic() + LINE_SECONDS
            more = left()
            rest = "" if more is None else f", about {duration(more)} left"
            self.say(f"{done} of {self._total} trials, {seconds:.0f} s{rest}")


def plan_document(plan: Plan, folder: str | None, done: int) -> dict[str, Any]:
    """The document of `--dry-run`; `folder` is that of a sweep that goes on, with so many trials done."""
    from mlprun.sweeps.executors import cores

    cost, description = plan.cost, plan.description
    engines = Counter[str]()
    for cohort in plan.cohorts:
        engines[cohort.kind.engine] += len(cohort.members)
    search = plan.sweep.search
    # a search knows its first rounds: the others are taken to be like them
    rounds = 1 if search is None else -(-search.trials // search.batch)
    begun = 1 if search is None else -(-len(plan.settings) // search.batch)
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
        "figures": list(description.figures),
        "objective": dict(description.objective),
        "success": description.success and description.success["text"],
        "search": search and {"name": search.name, "rounds": rounds, "batch": search.batch},
        "rungs": list(plan.rungs),
        "cohorts": len(plan.cohorts) * rounds // begun,
        "engines": {name: round(plan.total * count / known) for name, count in engines.items()},
        "cores": cores(),
        "estimate": {
            "core_seconds": left * cost.seconds,
            "seconds": left * cost.seconds / cores(),
            "bytes_of_a_cohort": cost.bytes,
        },
    }


def plan_summary(plan: Plan, folder: str | None, done: int) -> str:
    """The same in a few lines."""
    said = plan_document(plan, folder, done)
    folds = f" × {said['folds']} folds" if said["folds"] else ""
    engines = ", ".join(f"{count} on {engine}" for engine, count in said["engines"].items())
    cohorts = "1 cohort" if said["cohorts"] == 1 else f"{said['cohorts']} cohorts"
    search = said["search"]
    rounds = f", asked for in {_count(search['rounds'], 'round')}" if search else ""
    going = "" if folder is None else f"\n{going_on(folder, done, plan.total)}"
    epochs = ", ".join(map(str, said["rungs"]))
    pruned = f"the better ones go on from epochs {epochs}\n" if epochs else ""
    remarks = "".join(f"{text}\n" for text in of_search(plan))
    return (
        f"{_count(said['trials'], 'trial')}: {_count(said['settings'], 'setting')} × "
        f"{_count(said['seeds'], 'seed')}{folds}{rounds}\n{pruned}{remarks}"
        f"{cohorts}, {engines}, {_count(said['cores'], 'core')}\n"
        f"about {duration(said['estimate']['seconds'])} and "
        f"{said['estimate']['bytes_of_a_cohort'] / 1e6:.3g} MB of curves and weights at a time{going}"
    )


def going_on(folder: str, done: int, total: int) -> str:
    """Where a sweep goes on, and how far it is."""
    if done == total:
        return f"all {done:,} trials of {folder} have ended before; nothing is left to do"
    return f"goes on with {folder}: {done:,} of its {total:,} trials are there"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time that is only roughly known."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1, round(seconds))} s"
