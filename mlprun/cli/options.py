"""Options and arguments that several commands share, and `save`, which writes a file that the user names."""

import os
from typing import Annotated, Literal

from typer import Argument, Option

from mlprun import files
from mlprun.errors import FileError, UsageError

ConfigPath = Annotated[str, Argument(help="the config, a YAML file")]
Overrides = Annotated[list[str] | None, Argument(metavar="KEY=VALUE", help="values that override the config")]
Configs = Annotated[
    list[str], Argument(metavar="CONFIG|KEY=VALUE", help="configs, and values that override theirs")
]
RunPath = Annotated[str, Argument(help="the run folder")]
SweepPath = Annotated[str, Argument(help="the sweep's folder")]
Checkpoint = Annotated[
    str, Argument(metavar="CHECKPOINT|RUN", help="a checkpoint, or a run folder for its best epoch")
]
Out = Annotated[str, Option(help="Folder for the new run or sweep folder.")]
DryRun = Annotated[bool, Option("--dry-run", help="Check everything and show the plan without training.")]
Device = Annotated[str, Option(help="cpu, cuda, cuda:1 or auto.")]
AllowCode = Annotated[
    bool, Option("--allow-code", help="Execute user code: files that `extend` in the config names.")
]
Plot = Annotated[str | None, Option(metavar="FILE", help="Plot the curves to a file: .png, .svg or .pdf.")]
Open = Annotated[bool, Option("--open", help="Open the result in the desktop's viewer.")]
Force = Annotated[bool, Option("--force", help="Overwrite an existing file.")]
Metric = Annotated[str | None, Option(help="Metric such as test_accuracy (default: that of the objective).")]
Of = Annotated[Literal["best", "last"], Option(help="Use metrics of this epoch of each trial.")]


def check_writable(path: str, *, force: bool) -> None:
    """Raise the errors of `save` before long work instead of after it."""
    if not force and files.kind(path) is not None:
        raise UsageError(path, "exists", "choose another name or add --force")
    folder = os.path.dirname(path) or os.curdir
    if not files.is_folder(folder):
        raise FileError(folder, "is not a folder", "create it, or choose another path")


def save(path: str, data: bytes, *, force: bool) -> None:
    """Write a file. Raises UsageError if it exists, unless `force` is given."""
    try:
        (files.write_atomic if force else files.write_new)(path, data)
    except FileExistsError as error:
        raise UsageError(path, "exists", "choose another name or add --force") from error
