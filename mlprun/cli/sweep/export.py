"""`mlprun sweep export`: a sweep's trials as a table for other programs."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from mlprun.cli.saving import Force, save
from mlprun.cli.terminal import Output
from mlprun.errors import UsageError
from mlprun.sweeps.folder import open_sweep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.sweeps.schema import TrialStatus

FORMATS = ("csv", "parquet")


def command(
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
    from mlprun.analysis import export

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


def _format_of(out: str) -> str:
    """What a file's name asks for; csv where it has no ending."""
    ending = os.path.splitext(out)[1].lower().removeprefix(".")
    if ending and ending not in FORMATS:
        known = " or ".join(f".{name}" for name in FORMATS)
        raise UsageError(out, f"ends in .{ending}, which is none of {known}", "name one of them, or --to csv")
    return ending or "csv"


def _note_apart(counts: "Mapping[TrialStatus, int]", output: Output) -> None:
    """Say of which trials there are figures that have no place in a mean."""
    from mlprun.analysis.summary import describe_counts
    from mlprun.sweeps.objective import SOUND, UNSOUND

    trials = " and ".join(describe_counts(counts, [one for one in UNSOUND if one != "failed"]))
    if trials:
        statuses = " and ".join(SOUND)
        output.note(f"{trials}: their figures are up to where they ended; a mean is of {statuses}")
