"""Writing a file that the user names: never over another one unless `--force` says so."""

from typing import Annotated

import typer

from mlprun import files
from mlprun.errors import UsageError

Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that exists.")]


def save(path: str, data: bytes, *, force: bool) -> None:
    """Write a file; one that exists is only replaced with `force`."""
    if force:
        files.write_atomic(path, data)
        return
    try:
        files.write_new(path, data)
    except FileExistsError as error:
        raise UsageError(path, "exists", "choose another name or add --force") from error
