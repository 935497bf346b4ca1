"""`mlprun train`, `resume` and `reproduce`: training runs from the command line."""

import json
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from mlprun import api, engines, evaluation
from mlprun.cli import metrics
from mlprun.cli.options import AllowCode, Baselines, ConfigPath, DryRun, Out, Overrides, RunPath
from mlprun.cli.progress import RunProgress
from mlprun.cli.terminal import Output, Table
from mlprun.engines import device as devices
from mlprun.errors import CheckFailedError, DivergedError, InterruptedRunError, UsageError, command_line
from mlprun.experiment import SPLITS, Experiment
from mlprun.storage.runs import selected

if TYPE_CHECKING:
    from mlprun.api import Run
    from mlprun.schema import Config
    from mlprun.training.reproducing import Reproduction

Live = Annotated[
    bool,
    Option("--live", help="Draw losses and, for two inputs, predictions in the terminal while training."),
]
SHOWN = 12
"""rows of the table of the largest differences"""


def train_command(
    config: ConfigPath,
    overrides: Overrides = None,
    *,
    out: Out = "runs",
    name: Annotated[str | None, Option(help="Short for name=NAME.")] = None,
    seed: Annotated[str | None, Option(help="Short for training.seed=SEED.")] = None,
    device: Annotated[str | None, Option(help="Short for device=DEVICE.")] = None,
    engine: Annotated[str | None, Option(help="Short for engine=ENGINE.")] = None,
    seeds: Annotated[int | None, Option(min=1, help="Train N seeds and report means.")] = None,
    folds: Annotated[int | None, Option(min=2, help="Cross-validate with N folds and report means.")] = None,
    baselines: Baselines = None,
    live: Live = False,
    dry_run: DryRun = False,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Train a config and save the run to a new folder.

    mlprun train configs/moons.yaml
    mlprun train configs/moons.yaml optimizer.lr=0.1 --seed 3
    mlprun train configs/moons.yaml --dry-run
    mlprun train configs/moons.yaml training.epochs=20000 --live

    mlprun train configs/moons.yaml --seeds 20
    mlprun train configs/wine.yaml --folds 5
    mlprun train configs/table.yaml --baselines boosting

    Prints the metrics of the best and the last epoch on train, dev and test,
    next to those of simple baselines; --baselines boosting adds scikit-learn's
    gradient boosting, which reads the columns of a table as they are. Ctrl-C saves
    the last completed epoch; `mlprun resume RUN` continues from there.

    --seeds N runs a sweep over N seeds, starting with training.seed, and prints
    the mean of each metric with its 95% interval. --folds N trains N networks,
    each with another fold of the rows as test rows; the rest is divided into train
    and dev in the proportion of the config's split. Folds share train rows, so that
    their interval is rather too narrow; with --seeds each seed divides the rows
    anew, and the interval is over the means of the seeds. The same command resumes
    an interrupted sweep.

    --json prints {"run", "status", "engine", "device", "epochs", "seconds",
      "best": {"epoch", "metric", "value"} or null, "positive": CLASS or null (the
      positive class of precision, recall, ...), "of": "best" | "last",
      "splits": {SPLIT: {"loss", METRIC, ...}}, "last": {"epoch", "splits"},
      "baselines": {NAME: {SPLIT: {...}}}}, also if the run diverged or was
      interrupted;
      with --dry-run {"config": {...}, "engine": {"name", "why"}, "device",
      "rows": {SPLIT: N}, "layers": [{"name", "kind", "shape", "parameters"}],
      "parameters"};
      with --seeds or --folds {"sweep": FOLDER, "status", "seeds", "folds" (with
      --folds), "counts": {STATUS: N}, "seconds", "of": "best" | "last", "metrics":
      {SPLIT_METRIC: {"n", "mean", "deviation", "interval": [LOW, HIGH]}}}, with
      --dry-run as `sweep run`

    Exit codes: 0 success, 2 config or usage, 3 data, 6 device, 7 files, 8 diverged,
    9 memory, 130 Ctrl-C, 143 SIGTERM; with --seeds or --folds, if none finished: 8 if
    any diverged, 10 if all failed.
    """
    # quoted, since values are parsed as YAML: a run may be named 2024
    options = {"name": name, "device": device, "engine": engine}
    values = [f"{key}={json.dumps(text)}" for key, text in options.items() if text is not None]
    values = [*(overrides or ()), *values, *([] if seed is None else [f"training.seed={seed}"])]
    if seeds is not None or folds is not None:
        if baselines is not None:
            raise UsageError("--baselines", "is for a single run", "leave it out beside --seeds and --folds")
        from mlprun.cli.sweep.run import train_repeated

        repeated = partial(train_repeated, config, values, output, seeds=seeds, folds=folds)
        return repeated(out=out, allow_code=allow_code, dry_run=dry_run)
    if dry_run:
        document, tables = _plan(api.load_config(config, *values, allow_code=allow_code))
        output.result(*tables)
        return output.document(document)
    output.note(f"reading {config} ...")
    more = [] if baselines is None else [baselines]
    training = partial(api.train, config, *values, out=out, allow_code=allow_code, baselines=more)
    return follow(training, output, live=live)


def resume_command(
    run: RunPath,
    *,
    epochs: Annotated[int | None, Option(help="Extend the run to so many epochs in total.")] = None,
    device: Annotated[str | None, Option(help="Resume on a different device.")] = None,
    live: Live = False,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Resume a run from its last checkpoint.

    mlprun resume runs/moons-001
    mlprun resume runs/moons-001 --epochs 2000

    The result is byte-identical to that of an uninterrupted run. A finished run
    is not changed unless --epochs extends it.

    --json prints the same document as `mlprun train`.

    Exit codes: 0 success, 2 usage, 3 data, 4 checkpoint or run folder, 5 in use,
    6 device, 7 files, 8 diverged, 9 memory, 130 Ctrl-C, 143 SIGTERM.
    """
    if epochs is not None and epochs >= 2**63:
        raise UsageError("--epochs", "is too large", "use fewer than 2^63")
    output.note(f"reading {run} ...")
    resumed = partial(api.resume, run, epochs=epochs, device=device, allow_code=allow_code)
    follow(resumed, output, live=live)


def reproduce_command(
    run: RunPath,
    *,
    tolerance: Annotated[
        float, Option(min=0.0, help="Allowed difference; 0 requires identical bytes.")
    ] = 0.0,
    out: Annotated[str | None, Option(help="Folder that keeps the new run.")] = None,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Train a run again in another folder and compare history and weights.

    mlprun reproduce runs/moons-001
    mlprun reproduce runs/moons-001 --tolerance 1e-6 --out again

    By default the whole history and all tensors must be byte-identical. With
    --tolerance, metrics and weights may differ by |a - b| / max(1, |a|, |b|). If
    they differ, lists what has changed since the run was recorded: versions,
    CPU, threads, data, user code.

    --json prints {"run", "again": folder or null, "equal", "tolerance", "largest",
      "first_epoch": epoch or null, "rows": [recorded, now], "history": {COLUMN: d},
      "weights": {"best" | "last": {TENSOR: d}}, "differences": [...]};
      a difference d that is infinite is null.

    Exit codes: 0 reproduced, 2 usage, 3 data, 4 run folder, 6 device, 7 files,
    9 memory, 10 not reproduced, 130 Ctrl-C, 143 SIGTERM.
    """
    callbacks = [] if output.quiet else [RunProgress(output)]
    made = api.reproduce(run, out=out, allow_code=allow_code, callbacks=callbacks)
    path = made.path if out is not None else None
    names = ("largest", "first_epoch", "rows", "history", "weights", "differences")
    details = {name: getattr(made, name) for name in names}
    output.document({"run": run, "again": path, "equal": made.equal, "tolerance": tolerance, **details})
    _show_differences(made, output)
    if not made.equal and not (tolerance > 0 and made.largest <= tolerance):
        raise _not_reproduced(run, made)


def _plan(config: "Config") -> tuple[dict[str, Any], list[Table]]:
    """Return the JSON document and the tables of the plan. Raises what training would raise."""
    experiment = evaluation.check_initial_weights(Experiment.of(config))
    engine, why = engines.choose(experiment, config.engine)
    where = devices.resolve(config.device)
    engine.initial_state(experiment)  # fails as training would, as for a weights file of other shapes
    counts = {split: len(experiment.rows(split, epoch=0)) for split in SPLITS}
    described, table = metrics.layers_table(experiment.layers())
    document = {
        "config": config.model_dump(mode="json"),
        "engine": {"name": engine.name, "why": why},
        "device": where,
        "rows": counts,
        "layers": described,
        "parameters": sum(row["parameters"] for row in described),
    }
    rows = Table(("split", "rows"), list(counts.items()), f"data: {config.dataset.name}")
    return document, [rows, table]


def follow(training: "partial[Run]", output: Output, *, live: bool) -> None:
    """Train with progress output and report the result, also if training diverged or was interrupted."""
    try:
        run = training(callbacks=[] if output.quiet else [RunProgress(output, live=live)], progress=False)
    except (DivergedError, InterruptedRunError) as error:
        _print_document(api.load(error.where, allow_code=training.keywords["allow_code"]), output)
        raise
    _show_end(run, output)


def _print_document(run: "Run", output: Output) -> None:
    """Print the JSON document of a run that has ended."""
    status, record, ended = run.status, run.record, run.metrics
    output.document(
        {
            "run": run.path,
            "status": status.state,
            "engine": record["engine"],
            "device": record["device"],
            "epochs": status.epochs,
            "seconds": status.seconds,
            "positive": ended.get("positive"),
            **selected(ended),
            "last": ended["last"],
            "baselines": ended["baselines"],
        }
    )


def _show_end(run: "Run", output: Output) -> None:
    """Print the table of final metrics, the run folder and the next command."""
    _print_document(run, output)
    status, record = run.status, run.record
    output.result(metrics.final_table(run.metrics))
    where = f"engine {record['engine']} on {record['device']}"
    output.result(f"\n{status.epochs} epochs in {status.seconds:.2f} s, {where}")
    for reason in metrics.early_end(status):
        output.result(reason)
    output.result(f"run folder: {run.path}")
    output.result(f"next: {command_line('plot', run.path)} --open")
    output.result(f"      {command_line('report', run.path)} --open")


def _show_differences(made: "Reproduction", output: Output) -> None:
    found = [("history", *item) for item in made.history.items()]
    found += [(kind, *item) for kind, tensors in made.weights.items() for item in tensors.items()]
    most = sorted((row for row in found if row[2] > 0), key=lambda row: -row[2])[:SHOWN]
    if made.equal:
        output.result("reproduced: identical byte for byte")
    elif most:
        output.result(Table(("of", "name", "largest difference"), most, "largest differences"))
    for difference in made.differences if not made.equal else ():
        output.result(f"changed: {difference}")


def _not_reproduced(run: str, made: "Reproduction") -> CheckFailedError:
    where = "" if made.first_epoch is None else f", first in the history at epoch {made.first_epoch}"
    what = f"was not reproduced: the largest difference is {made.largest:.3g}{where}"
    nothing = "nothing that is recorded has changed; use a larger --tolerance"
    return CheckFailedError(
        run, what, f"changed: {'; '.join(made.differences)}" * bool(made.differences) or nothing
    )
