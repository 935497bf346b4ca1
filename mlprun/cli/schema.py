"""`mlprun schema`: the JSON Schema of configs and sweep files, kept in the cache folder for the next call."""

import hashlib
import json
import os
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from typer import Option

from mlprun import files
from mlprun.cli.options import Force, save
from mlprun.cli.terminal import Output
from mlprun.errors import FileError

SCHEMA_FILE = "mlprun.schema.json"
"""name of the schema file that `mlprun init` writes next to a config"""
_MAX_BYTES = 10_000_000


def schema_command(
    out: Annotated[str | None, Option(metavar="FILE", help="Write to this file.")] = None,
    *,
    sweep: Annotated[bool, Option("--sweep", help="Print the schema of sweep files instead.")] = False,
    force: Force = False,
    output: Output,
) -> None:
    """Print the JSON Schema of configs or sweep files.

    Includes the description, default and bounds of every option.

    mlprun schema --out mlprun.schema.json

    Editors with a YAML language server complete and check a config that starts
    with the line
    # yaml-language-server: $schema=mlprun.schema.json

    --json prints the schema too; with --out, {"schema": FILE}. It is kept in the cache
    folder, and made again when mlprun changes.
    Exit codes: 0 success, 2 the file exists, 7 it cannot be written.
    """
    text = schema_text(sweep=sweep)
    if out is None:
        output.data(text)
        return
    save(out, text.encode(), force=force)
    output.message(f"wrote {out}")
    output.document({"schema": out})


def schema_text(*, sweep: bool = False) -> str:
    """Return the JSON Schema of configs or sweep files.

    Models of all parts are made for it, which takes longer than all else. It may come from the cache folder
    where no module of parts is loaded, so that user code cannot have registered any.
    """
    folder = files.private_cache("schema") if "mlprun.schema" not in sys.modules else None
    if folder is None:
        return _made(sweep=sweep)
    path = os.path.join(folder, f"{'sweep' if sweep else 'config'}.json")
    with suppress(OSError, ValueError, KeyError, TypeError, FileError):
        kept = json.loads(files.read_bytes(path, cap=_MAX_BYTES, follow=False))
        if kept["of"] == _sources():
            return str(kept["text"])
    text = _made(sweep=sweep)
    with suppress(OSError, FileError):
        files.write_atomic(path, json.dumps({"of": _sources(), "text": text}).encode())
    return text


def _made(*, sweep: bool) -> str:
    from pydantic_core import to_json

    from mlprun.schema import jsonschema

    kind = import_module("mlprun.sweeps.definition").Sweep if sweep else None
    document = jsonschema.json_schema_of(kind) if kind else jsonschema.json_schema()
    return to_json(document, indent=2).decode() + "\n"


def _sources() -> str:
    """Return a digest of the names, sizes and times of the files that determine a schema."""
    paths = [*Path(__file__).parents[1].rglob("*.py"), Path(str(find_spec("pydantic").origin))]  # type: ignore[union-attr]
    found = [(path, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(paths)]
    return hashlib.sha256(repr((sys.version, found)).encode()).hexdigest()
