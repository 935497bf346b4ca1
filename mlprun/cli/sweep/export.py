"""`mlprun sweep export` and `trial`: a sweep's trials as a table, and one of them as an ordinary run."""

import os
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from mlprun.analysis import export
from mlprun.analysis.summary import describe_counts
from mlprun.cli.options import Force, save
from mlprun.cli.terminal import Output
from mlprun.cli.train import RunProgress
from mlprun.errors import CheckFailedError, UsageError, command_line
from mlprun.sweeps.folder import open_sweep
from mlprun.sweeps.objective import SOUND, UNSOUND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.sweeps.schema import TrialStatus

FORMATS = ("csv", "parquet")


def export_command(
    folder: Annotated[str, typer.Argument(help="the sweep's folder")],
    *,
    to: Annotated[
        str | None, typer.Option("--to", help="csv or parquet; by default as the file's name ends.")
    ] = None,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FILE", help="The file to write; - is standard output.")
    ] = "-",
    force: Force = False,
    output: Output,
) -> None:
    """Write a sweep's trials as one table, a row for each trial.

    mlprun sweep export runs/xor_width-001 --to csv -o trials.csv
    mlprun sweep export runs/xor_width-001 -o trials.parquet
    mlprun sweep export runs/xor_width-001 | head

    Columns: trial, setting, the parameters by dotted path (lists as JSON), seed,
    fold, status, engine, epochs, best_epoch, seconds, error, then the figures:
    test_loss is of the best epoch, last_test_loss of the last one. An empty cell
    is a figure that is not a number or was not computed. Trials that diverged have
    figures up to their last finite epoch, pruned ones up to where they were given
    up: for a mean as `sweep show` has it keep status finished and early_stopping.

    --json prints {"sweep", "to", "out", "trials": N, "columns": [NAME, ...]} and,
      where no file is named, "rows": [[...], ...].

    Exit codes: 0 done, 2 usage or the file exists, 4 not a sweep, 7 files.
    """
    to = to or _format_of(out)
    if to not in FORMATS:
        raise UsageError("--to", f"{to!r} is none", f"use {' or '.join(FORMATS)}")
    if to == "parquet" and out == "-":
        raise UsageError("--to parquet", "is no text for standard output", "name a file with -o FILE")
    with open_sweep(folder).results() as results:
        names, counts = export.column_names(results.description), results.counts()
        count = sum(counts.values())
        told = {"sweep": folder, "to": to, "out": out, "trials": count, "columns": names}
        if out == "-":
            if output.as_json:
                output.document({**told, "rows": list(export.rows(results))})
            else:
                output.data(export.to_csv(results))
                _note_apart(counts, output)
            return
        data = export.to_parquet(results) if to == "parquet" else export.to_csv(results).encode()
    save(out, data, force=force)
    output.document(told)
    output.note(f"{count:,} trials written to {out}")
    _note_apart(counts, output)


def trial_command(
    folder: Annotated[str, typer.Argument(help="the sweep's folder")],
    number: Annotated[
        int,
        typer.Argument(metavar="TRIAL", max=2**63 - 1, help="the trial's number, as `export` has it"),
    ],
    *,
    out: Annotated[str, typer.Option("--out", help="The folder that the run folder is made in.")] = "runs",
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run the user code that the sweep was made with.")
    ] = False,
    output: Output,
) -> None:
    """Make an ordinary run folder of one trial: train it again and compare.

    mlprun sweep trial runs/xor_width-001 587
    mlprun sweep trial runs/xor_width-001 587 --out best-of-xor

    The trial is trained alone from its own config and seed. Weights of the best and
    of the last epoch, history and figures are then compared with those that the
    sweep kept, bit by bit. The run works with `eval`, `predict`, `plot`, `show` and
    `resume`. A trial that diverged diverges again.

    --json prints {"sweep", "trial", "run", "status", "equal": true | false,
      "differences": [TEXT, ...]}, also where they differ.

    Exit codes: 0 done and equal, 2 no such trial, 4 not a sweep, 6 device, 7 files,
    9 memory, 10 the run differs from the trial, 130 Ctrl-C, 143 SIGTERM.
    """
    from mlprun.sweeps.extract import extract

    with closing(RunProgress(output)) as progress:
        made = extract(open_sweep(folder), number, out=out, callbacks=[progress], allow_code=allow_code)
    path = made.folder.path
    output.document(
        {
            "sweep": folder,
            "trial": number,
            "run": path,
            "status": made.trial.status,
            "equal": not made.differences,
            "differences": made.differences,
        }
    )
    if made.differences:
        what = f"is not trial {number} of {folder} to the last bit: {', '.join(made.differences)} differ"
        raise CheckFailedError(path, what, "the run.json of both names versions and machine")
    status = made.trial.status.replace("_", " ")
    output.result(f"trial {number} ({status}): weights, history and figures equal the sweep's")
    output.result(f"run folder: {path}\nnext: {command_line('plot', path)}")


def _format_of(out: str) -> str:
    """What a file's name asks for; csv where it has no ending."""
    ending = os.path.splitext(out)[1].lower().removeprefix(".")
    if ending and ending not in FORMATS:
        known = " or ".join(f".{name}" for name in FORMATS)
        raise UsageError(out, f"ends in .{ending}, which is none of {known}", "name one of them, or --to csv")
    return ending or "csv"


def _note_apart(counts: "Mapping[TrialStatus, int]", output: Output) -> None:
    """Say of which trials there are figures that have no place in a mean."""
    trials = " and ".join(describe_counts(counts, [one for one in UNSOUND if one != "failed"]))
    if trials:
        statuses = " and ".join(SOUND)
        output.note(f"{trials}: their figures are up to where they ended; a mean is of {statuses}")
