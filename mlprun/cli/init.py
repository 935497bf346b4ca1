"""`mlprun init`: a commented config that trains as it is."""

import os
from typing import Annotated

import typer

from mlprun import files
from mlprun.cli import schema, templates
from mlprun.cli.saving import Force, save
from mlprun.cli.terminal import Output
from mlprun.errors import UsageError, command_line
from mlprun.parts.part import suggestion


def command(
    template: Annotated[
        str | None, typer.Argument(help="a dataset of `mlprun list datasets`; by default moons")
    ] = None,
    *,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="A table of your own: CSV, TSV, Parquet, JSON lines.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="The column to predict; may be repeated.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where to write; - is standard output.")
    ] = None,
    force: Force = False,
    output: Output,
) -> None:
    """Write a commented config that trains as it is.

    mlprun init                              moons.yaml
    mlprun init iris --out first.yaml        another dataset
    mlprun init --data my.csv --target y     my.yaml, which suits the table

    For a table it finds out which columns can be learnt from, whether the target
    is a class or a number, whether cells are missing, and whether a column says
    which rows are for train, dev and test.

    Beside the config goes mlprun.schema.json, if it is not there, which lets
    editors complete and check the config.

    --json prints {"config": FILE, "schema": FILE}.
    Exit codes: 0 done, 2 the file exists or the template is unknown, 3 the table
    cannot be used, 7 the files cannot be written.
    """
    _check(template, data, target)
    stem = os.path.splitext(os.path.basename(data))[0] if data else template or "moons"
    place = out or f"{stem}.yaml"
    shown = f"{stem}.yaml" if place == "-" else place
    if data:
        made = templates.for_table(data, list(target or ()), out=shown)
    else:
        made = templates.for_dataset(template or "moons", out=shown)
    if place == "-":
        output.data(made.text)
        return
    save(place, made.text.encode(), force=force)
    beside = os.path.join(os.path.dirname(place), schema.SCHEMA_FILE)
    if files.kind(beside) is None:
        save(beside, schema.text().encode(), force=False)
    output.result(f"wrote {place}")
    output.document({"config": place, "schema": beside})
    output.note("\n".join([*made.about, f"next: {command_line('train', place)}"]))


def _check(template: str | None, data: str | None, target: list[str] | None) -> None:
    """Refuse options that do not go together."""
    if data and template:
        raise UsageError("--data", f"does not go with the template {template}", "leave one of them out")
    if data and not target:
        raise UsageError("--data", "needs the column to predict", "add --target COLUMN")
    if target and not data:
        raise UsageError("--target", "needs a table", "add --data FILE")
    if template and template not in templates.names():
        hint = (
            "add --data FILE --target COLUMN"
            if template == "table"
            else suggestion(template, templates.names())
        )
        raise UsageError(template, "no such template", hint)
