"""Options that several commands share, and `save`, which writes a file that the user names."""

import os
from typing import Annotated

import typer

from mlprun import files
from mlprun.errors import FileError, UsageError

Force = Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")]

AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Execute user code: files that `extend` in the config names.")
]
Metric = Annotated[
    str | None,
    typer.Option("--metric", help="Metric such as test_accuracy (default: that of the objective)."),
]
Of = Annotated[str, typer.Option("--of", help="Use metrics of the best or the last epoch of each trial.")]


def check_of(of: str) -> None:
    """Raise UsageError unless `of` is best or last."""
    if of not in ("best", "last"):
        raise UsageError("--of", f"unknown value {of!r}", "use best or last")


def check_writable(path: str, *, force: bool) -> None:
    """Raise the errors of `save` before long work instead of after it."""
    if not force and files.kind(path) is not None:
        raise _exists(path)
    folder = os.path.dirname(path) or os.curdir
    if not files.is_folder(folder):
        raise FileError(folder, "is not a folder", "create it, or choose another path")


def save(path: str, data: bytes, *, force: bool) -> None:
    """Write a file. Raises UsageError if it exists, unless `force` is given."""
    if force:
        files.write_atomic(path, data)
        return
    try:
        files.write_new(path, data)
    except FileExistsError as error:
        raise _exists(path) from error


def _exists(path: str) -> UsageError:
    return UsageError(path, "exists", "choose another name or add --force")
