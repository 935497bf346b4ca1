"""`mlprun train`, `resume` and `reproduce`: training runs from the command line."""

import json
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun import api
from mlprun.cli import metrics
from mlprun.cli.metrics import layers_table
from mlprun.cli.options import ConfigCode, RunCode
from mlprun.cli.terminal import LINE_SECONDS, Output, ProgressReporter, Table
from mlprun.errors import CheckFailedError, DivergedError, InterruptedRunError, command_line

if TYPE_CHECKING:
    from mlprun.api import Run
    from mlprun.engines import ChunkResult
    from mlprun.training import Reproduction
    from mlprun.training.trainer import TrainingRun

SHOWN = 12
"""rows of the table of what differs most"""


def train_command(
    config: Annotated[str, typer.Argument(help="the config, a YAML file")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="values that replace the config's")
    ] = None,
    *,
    out: Annotated[str, typer.Option("--out", help="The folder that run folders are made in.")] = "runs",
    name: Annotated[str | None, typer.Option("--name", help="Short for name=NAME.")] = None,
    seed: Annotated[str | None, typer.Option("--seed", help="Short for training.seed=SEED.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Short for device=DEVICE.")] = None,
    engine: Annotated[str | None, typer.Option("--engine", help="Short for engine=ENGINE.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", min=1, help="Train so many seeds, as a sweep, and show means."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show the network; train nothing.")
    ] = False,
    allow_code: ConfigCode = False,
    output: Output,
) -> None:
    """Train a config; the run lands in a folder of its own.

    mlprun train configs/moons.yaml
    mlprun train configs/moons.yaml optimizer.lr=0.1 --seed 3
    mlprun train configs/moons.yaml --dry-run

    mlprun train configs/moons.yaml --seeds 20

    Ends with the figures of the best and of the last epoch on train, dev and
    test, with baselines beside them. Ctrl-C saves the last completed epoch;
    `mlprun resume RUN` goes on from there.

    --seeds N makes a sweep of the seeds from training.seed on, and ends with
    the mean of each figure and its 95% interval; the same command goes on with
    a sweep that was stopped.

    --json prints {"run", "status", "engine", "device", "epochs", "seconds",
      "best": {"epoch", "metric", "value"} or null, "positive": CLASS or null (the
      one of two that precision and the like are of), "of": "best" | "last",
      "splits": {SPLIT: {"loss", METRIC, ...}}, "last": {"epoch", "splits"},
      "baselines": {NAME: {SPLIT: {...}}}}, also of a run that diverged or was
      interrupted
      and under --dry-run {"config": {...}, "engine": {"name", "why"}, "device",
      "rows": {SPLIT: N}, "layers": [{"name", "kind", "shape", "parameters"}],
      "parameters"}
      and with --seeds {"sweep": FOLDER, "status", "seeds", "counts": {STATUS: N},
      "seconds", "of": "best" | "last", "figures": {SPLIT_FIGURE: {"n", "mean",
      "deviation", "interval": [LOW, HIGH]}}}, under --dry-run as `sweep run`

    Exit codes: 0 done, 2 config or usage, 3 data, 6 device, 7 files, 8 diverged,
    9 memory, 130 Ctrl-C, 143 SIGTERM; with --seeds 8 or 10 where no seed came to its
    end and some diverged or all failed.
    """
    words = [*(overrides or ()), *_quoted(name=name, device=device, engine=engine)]
    if seed is not None:
        words.append(f"training.seed={seed}")
    if seeds is not None:
        from mlprun.cli.sweep.seeds import train_seeds

        return train_seeds(config, words, seeds, output, out=out, allow_code=allow_code, dry_run=dry_run)
    if dry_run:
        return _show_plan(api.load_config(config, *words, allow_code=allow_code), output)
    return follow(partial(api.train, config, *words, out=out, allow_code=allow_code), output)


def resume_command(
    run: Annotated[str, typer.Argument(help="the run folder")],
    *,
    epochs: Annotated[
        int | None, typer.Option("--epochs", max=2**63 - 1, help="Extend a run to so many epochs in all.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Go on on another device than before.")
    ] = None,
    allow_code: RunCode = False,
    output: Output,
) -> None:
    """Go on exactly where a run stopped.

    mlprun resume runs/moons-001
    mlprun resume runs/moons-001 --epochs 2000

    The result equals that of an undisturbed run, to the byte. A finished run
    stays as it is unless --epochs extends it.

    --json prints the document of `mlprun train`.

    Exit codes: 0 done, 2 usage, 3 data, 4 checkpoint or run folder, 5 in use,
    6 device, 7 files, 8 diverged, 9 memory, 130 Ctrl-C, 143 SIGTERM.
    """
    follow(partial(api.resume, run, epochs=epochs, device=device, allow_code=allow_code), output)


def reproduce_command(
    run: Annotated[str, typer.Argument(help="the run folder")],
    *,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", min=0.0, help="How far figures and weights may be apart; 0 means equal bytes."
        ),
    ] = 0.0,
    out: Annotated[
        str | None, typer.Option("--out", help="Keep the new run in this folder; by default it is removed.")
    ] = None,
    allow_code: RunCode = False,
    output: Output,
) -> None:
    """Train a run again elsewhere and compare history and weights.

    mlprun reproduce runs/moons-001
    mlprun reproduce runs/moons-001 --tolerance 1e-6 --out again

    Without a tolerance every row of the history and every tensor must be the
    same, to the byte. With one, figures and weights may be apart by
    |a - b| / max(1, |a|, |b|). When they differ, everything recorded that is
    not so now is named: versions, CPU, threads, data, user code.

    --json prints {"run", "again": folder or null, "equal", "tolerance", "largest",
      "first_epoch": epoch or null, "rows": [recorded, now], "history": {COLUMN: d},
      "weights": {"best" | "last": {TENSOR: d}}, "differences": [...]};
      a difference d that is infinite is null.

    Exit codes: 0 the same, 2 usage, 3 data, 4 run folder, 6 device, 7 files,
    9 memory, 10 different, 130 Ctrl-C, 143 SIGTERM.
    """
    with closing(RunProgress(output)) as progress:
        made = api.reproduce(run, out=out, allow_code=allow_code, callbacks=[progress])
    kept = made.path if out is not None else None
    names = ("largest", "first_epoch", "rows", "history", "weights", "differences")
    found = {name: getattr(made, name) for name in names}
    output.document({"run": run, "again": kept, "equal": made.equal, "tolerance": tolerance, **found})
    _show_differences(made, output)
    if not made.equal and not (tolerance > 0 and made.largest <= tolerance):
        raise CheckFailedError(run, _what(made), _remedy(made))


def _quoted(**texts: str | None) -> list[str]:
    """Overrides of what was given; quoted, since values are read as YAML: a run may be called 2024."""
    return [
        f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in texts.items() if text is not None
    ]


def follow(training: "partial[Run]", output: Output) -> None:
    """Train before the user's eyes, and say how the run ended, well or not."""
    try:
        with closing(RunProgress(output)) as progress:
            run = training(callbacks=[progress])
    except (DivergedError, InterruptedRunError) as error:
        _print_document(api.load(error.where, allow_code=training.keywords["allow_code"]), output)
        raise
    _show_end(run, output)


def _print_document(run: "Run", output: Output) -> None:
    """The document of a run that has ended, well or not."""
    status, record = run.status, run.record
    ended = status.figures
    of, splits = metrics.selected(ended)
    best = {key: ended["best"][key] for key in ("epoch", "metric", "value")} if ended["best"] else None
    output.document(
        {
            "run": run.path,
            "status": status.state,
            "engine": record["engine"],
            "device": record["device"],
            "epochs": status.epochs,
            "seconds": status.seconds,
            "best": best,
            "positive": ended.get("positive"),
            "of": of,
            "splits": splits,
            "last": ended["last"],
            "baselines": ended["baselines"],
        }
    )


def _show_end(run: "Run", output: Output) -> None:
    """The closing table, the run folder and what to type next."""
    _print_document(run, output)
    status, record, ended = run.status, run.record, run.figures
    output.result(metrics.final_table(ended))
    early = ", stopped early" if status.reason == "early_stopping" else ""
    where = f"engine {record['engine']} on {record['device']}"
    output.result(f"\n{status.epochs} epochs{early} in {status.seconds:.2f} s, {where}")
    output.result(f"run folder: {run.path}\nnext: {command_line('plot', run.path)}")


def _show_plan(config: Any, output: Output) -> None:
    from mlprun.cli.plan import plan

    document, tables = plan(config)
    output.result(*tables)
    output.document(document)


def _show_differences(made: "Reproduction", output: Output) -> None:
    if made.equal:
        output.result("history and weights are the recorded ones, byte for byte")
        return
    found = [("history", name, value) for name, value in made.history.items()]
    found += [
        (kind, name, value) for kind, tensors in made.weights.items() for name, value in tensors.items()
    ]
    most = sorted((row for row in found if row[2] > 0), key=lambda row: -row[2])[:SHOWN]
    if most:
        output.result(Table(("of", "name", "largest difference"), most, "what differs most"))
    for difference in made.differences:
        output.result(f"different now: {difference}")


def _what(made: "Reproduction") -> str:
    where = "" if made.first_epoch is None else f", first in the history at epoch {made.first_epoch}"
    return f"was not reproduced: the largest difference is {made.largest:.3g}{where}"


def _remedy(made: "Reproduction") -> str:
    if made.differences:
        return f"different now: {'; '.join(made.differences)}"
    return "nothing that is recorded is different now; a larger --tolerance forgives it"


class RunProgress(ProgressReporter):
    """A callback that shows how far a run is."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._start = self._said_at = time.monotonic()

    def on_message(self, message: str) -> None:
        """Show a message."""
        self.say(message)

    def on_train_start(self, run: "TrainingRun") -> None:
        """Show where the run is written, and the bar."""
        for warning in run.experiment.warnings:
            self.say(f"warning: {warning}")
        self.say(f"{layers_table(run.experiment.layers())[1].plain()}\n\ntraining in {run.path}")
        self._start = time.monotonic()
        self._start_bar("epoch", run.config.training.epochs, run.epoch)

    def on_chunk_end(self, run: "TrainingRun", chunk: "ChunkResult") -> None:
        """Move the bar; without one, print a line every few seconds."""
        metrics = f"train loss {chunk.rows[-1][2]:.4g}" if chunk.rows else ""
        if self._bar is not None:
            self._bar.update(0, completed=run.epoch, figures=metrics, refresh=True)
        elif time.monotonic() - self._said_at >= LINE_SECONDS:
            self._said_at = time.monotonic()
            seconds = self._said_at - self._start
            done = f"epoch {run.epoch} of {run.config.training.epochs}, {seconds:.0f} s"
            self.say(", ".join(filter(None, (done, metrics))))
