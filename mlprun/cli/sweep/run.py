"""`mlprun sweep run`: run a sweep, or go on with it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun.cli.terminal import Output
from mlprun.errors import command_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlprun.api import Sweep


def command(
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
    from mlprun.cli.sweep.following import follow

    words = overrides or []
    if dry_run:
        return show_plan(sweep, words, output, out=out, allow_code=allow_code, retry_failed=retry_failed)
    options = {"allow_code": allow_code, "fail_fast": fail_fast, "retry_failed": retry_failed}
    ended = follow(sweep, words, output, out=out, on=on, address=address, **options)
    show_end(ended, output)
    return None


def show_end(ended: "Sweep", output: Output) -> None:
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
    sweep: "str | Mapping[str, Any]",
    words: "Sequence[str]",
    output: Output,
    *,
    out: str,
    allow_code: bool,
    retry_failed: bool = False,
) -> None:
    """What a sweep, a file or a mapping, would run."""
    from mlprun import api
    from mlprun.cli.sweep.planned import described, told
    from mlprun.sweeps import run

    options = {"allow_code": allow_code, "retry_failed": retry_failed}
    plan, place, _, said, _ = run.look(api.load_definition(sweep, *words), out=out, **options)
    folder = None if place is None else place.path
    for line in said:
        output.note(line)
    output.result(told(plan, folder, plan.done))
    output.document(described(plan, folder, plan.done))
