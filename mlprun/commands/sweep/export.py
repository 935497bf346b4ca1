"""`mlprun sweep export`: a sweep's trials as a table for other programs."""

from typing import Annotated

import typer

from mlprun.commands.saving import Force, save
from mlprun.commands.terminal import Output
from mlprun.errors import UsageError
from mlprun.sweeps import reading

FORMATS = ("csv", "parquet")


def command(
    folder: Annotated[str, typer.Argument(help="the sweep's folder")],
    *,
    to: Annotated[
        str | None, typer.Option("--to", help="csv or parquet; by default as the file's name ends, or csv.")
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
    is a figure that is not a number or was not computed.

    --json prints {"sweep", "to", "out", "trials": N, "columns": [NAME, ...]} and,
      where no file is named, "rows": [[...], ...].

    Exit codes: 0 done, 2 usage or the file exists, 4 not a sweep, 7 files.
    """
    from mlprun.sweeps import export

    to = to or ("parquet" if out.endswith(".parquet") else "csv")
    if to not in FORMATS:
        raise UsageError("--to", f"{to!r} is none", f"use {' or '.join(FORMATS)}")
    if to == "parquet" and out == "-":
        raise UsageError("--to parquet", "is no text for standard output", "name a file with -o FILE")
    with reading.open_folder(folder) as results:
        names, count = export.columns(results.description), sum(results.counts().values())
        told = {"sweep": folder, "to": to, "out": out, "trials": count, "columns": names}
        if out == "-":
            if output.as_json:
                output.document({**told, "rows": list(export.rows(results))})
            else:
                output.data(export.as_csv(results))
            return
        data = export.as_parquet(results) if to == "parquet" else export.as_csv(results).encode()
    save(out, data, force=force)
    output.document(told)
    output.note(f"{count:,} trials written to {out}")
