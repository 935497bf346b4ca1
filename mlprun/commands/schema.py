"""`mlprun schema`: the JSON Schema of configs, for editors and other programs."""

from typing import Annotated

import typer

from mlprun.commands.saving import Force, save
from mlprun.commands.terminal import Output

SCHEMA_FILE = "mlprun.schema.json"
"""what `mlprun init` calls the schema that it puts beside a config"""


def command(
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write to a file, not to the screen.")
    ] = None,
    *,
    force: Force = False,
    output: Output,
) -> None:
    """Print the JSON Schema of configs.

    It has a description, default and bounds for every option.

    mlprun schema --out mlprun.schema.json

    An editor with a YAML language server completes and checks a config that
    begins with the line
    # yaml-language-server: $schema=mlprun.schema.json

    --json prints the schema too; with --out, {"schema": FILE}.
    Exit codes: 0 done, 2 the file exists, 7 it cannot be written.
    """
    if out is None:
        output.data(text())
        return
    save(out, text().encode(), force=force)
    output.note(f"wrote {out}")
    output.document({"schema": out})


def text() -> str:
    """The schema as JSON."""
    import json

    from mlprun.schema import json_schema

    return json.dumps(json_schema(), indent=2) + "\n"
