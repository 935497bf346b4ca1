"""Options that several commands share, and `save`, which writes a file that the user names."""

import os
from typing import Annotated

import typer

from mlprun import files
from mlprun.errors import FileError, UsageError

Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that exists.")]

RunCode = Annotated[bool, typer.Option("--allow-code", help="Run the user code that the run was made with.")]
RunsCode = Annotated[
    bool, typer.Option("--allow-code", help="Run the user code that the runs were made with.")
]
ConfigCode = Annotated[
    bool, typer.Option("--allow-code", help="Run the user code that the config's `extend` names.")
]
ConfigsCode = Annotated[
    bool, typer.Option("--allow-code", help="Run the user code that a config's `extend` names.")
]

Metric = Annotated[
    str | None,
    typer.Option("--metric", help="The figure, such as test_accuracy; by default the objective's."),
]
Of = Annotated[str, typer.Option("--of", help="Figures of each trial's best or last epoch.")]


def check_of(of: str) -> None:
    """Raise UsageError unless `of` is best or last."""
    if of not in ("best", "last"):
        raise UsageError("--of", f"{of!r} is neither", "use best or last")


def check_writable(path: str, *, force: bool) -> None:
    """Raise before long work what `save` would raise after it."""
    if not force and files.kind(path) is not None:
        raise _exists(path)
    folder = os.path.dirname(path) or os.curdir
    if not files.is_folder(folder):
        raise FileError(folder, "is no folder", "make it, or choose another place")


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
