"""`mlprun predict`: outputs and classes for new rows."""

from typing import Annotated

import typer

from mlprun.cli.saving import Force, save
from mlprun.cli.terminal import Output
from mlprun.cli.trust import RunCode


def command(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT|RUN", help="a checkpoint, or a run folder for its best")
    ],
    data: Annotated[str, typer.Argument(help="a table of new rows; - is standard input")],
    *,
    out: Annotated[
        str | None, typer.Option("--out", help="Write the CSV to this file instead of standard output.")
    ] = None,
    force: Force = False,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "cpu",
    allow_code: RunCode = False,
    output: Output,
) -> None:
    """Predict for the rows of a table, to CSV: a line for each row, in the same order.

    mlprun predict runs/wine-001 new.csv > predicted.csv
    cat new.csv | mlprun predict runs/wine-001 -

    The table has the columns that the network was trained on, in any order;
    others are ignored. For classes the CSV has `class` and a probability for each
    class; for numbers a column for each target, in its own units.

    --json prints {"checkpoint", "epoch", "columns": [NAME, ...], "rows": [[...], ...]}.

    Exit codes: 0 done, 2 usage, 3 data, 4 checkpoint, 6 device, 7 files.
    """
    from mlprun import api
    from mlprun.engines.device import resolve

    loaded = api.load_checkpoint(checkpoint, device=resolve(device), allow_code=allow_code)
    table = loaded.predict_table(data)
    for warning in (*loaded.warnings, *table.warnings):
        output.note(f"warning: {warning}")
    output.document(
        {"checkpoint": loaded.where, "epoch": loaded.epoch, "columns": table.columns, "rows": table.rows}
    )
    text = table.csv()
    if out is not None:
        save(out, text.encode(), force=force)
        output.note(f"{len(table.rows)} rows written to {out}")
    elif not output.as_json:
        output.data(text)
