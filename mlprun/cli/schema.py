"""`mlprun schema`: the JSON Schema of configs and sweep files, for editors and other programs."""

from typing import Annotated

import typer

from mlprun.cli.saving import Force, save
from mlprun.cli.terminal import Output

SCHEMA_FILE = "mlprun.schema.json"
"""what `mlprun init` calls the schema that it puts beside a config"""


def command(
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write to a file, not to the screen.")
    ] = None,
    *,
    sweep: Annotated[bool, typer.Option("--sweep", help="Of sweep files, not of configs.")] = False,
    force: Force = False,
    output: Output,
) -> None:
    """Print the JSON Schema of configs, or with --sweep of sweep files.

    It has a description, default and bounds for every option.

    mlprun schema --out mlprun.schema.json

    An editor with a YAML language server completes and checks a config that
    begins with the line
    # yaml-language-server: $schema=mlprun.schema.json

    --json prints the schema too; with --out, {"schema": FILE}.
    Exit codes: 0 done, 2 the file exists, 7 it cannot be written.
    """
    printed = text(sweep=sweep)
    if out is None:
        output.data(printed)
        return
    save(out, printed.encode(), force=force)
    output.note(f"wrote {out}")
    output.document({"schema": out})


def text(*, sweep: bool = False) -> str:
    """The schema as JSON."""
    import json

    from mlprun import schema
    from mlprun.sweeps.definition import Sweep

    return json.dumps(schema.json_schema_of(Sweep) if sweep else schema.json_schema(), indent=2) + "\n"
