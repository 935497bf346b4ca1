"""Writing a file that the user names: never over another one unless `--force` says so."""

import os
from typing import Annotated

import typer

from mlprun import files
from mlprun.errors import FileError, UsageError

Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that exists.")]


def check(path: str, *, force: bool) -> None:
    """Refuse before long work what `save` would refuse after it."""
    if not force and files.kind(path) is not None:
        raise _exists(path)
    folder = os.path.dirname(path) or os.curdir
    if not files.is_folder(folder):
        raise FileError(folder, "is no folder", "make it, or choose another place")


def save(path: str, data: bytes, *, force: bool) -> None:
    """Write a file; one that exists is only replaced with `force`."""
    if force:
        files.write_atomic(path, data)
        return
    try:
        files.write_new(path, data)
    except FileExistsError as error:
        raise _exists(path) from error


def _exists(path: str) -> UsageError:
    return UsageError(path, "exists", "choose another name or add --force")
