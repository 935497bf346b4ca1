"""Options and arguments that several commands share, and what they do: save a file, and open a result."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from mlprun import files
from mlprun.cli.terminal import Output
from mlprun.errors import FileError, UsageError, shell_path

ConfigPath = Annotated[str, Argument(help="the config, a YAML file")]
Overrides = Annotated[list[str] | None, Argument(metavar="KEY=VALUE", help="values that override the config")]
Configs = Annotated[
    list[str], Argument(metavar="CONFIG|KEY=VALUE", help="configs, and values that override theirs")
]
RunPath = Annotated[str, Argument(help="the run folder")]
SweepPath = Annotated[str, Argument(help="the sweep's folder")]
CheckpointOrSweep = Annotated[
    str,
    Argument(metavar="CHECKPOINT|RUN|SWEEP", help="a checkpoint, a run folder (its best epoch) or a sweep's"),
]
Out = Annotated[str, Option(help="Folder for the new run or sweep folder.")]
DryRun = Annotated[bool, Option("--dry-run", help="Check everything and show the plan without training.")]
Baselines = Annotated[
    Literal["boosting"] | None, Option(help="Add scikit-learn's gradient boosting to the baselines.")
]
Device = Annotated[str, Option(help="cpu, cuda, cuda:1 or auto.")]
AllowCode = Annotated[
    bool, Option("--allow-code", help="Execute user code: files that `extend` in the config names.")
]
Plot = Annotated[str | None, Option(metavar="FILE", help="Plot the curves to a file: .png, .svg or .pdf.")]
Open = Annotated[bool, Option("--open", help="Open the result in the desktop's viewer.")]
Force = Annotated[bool, Option("--force", help="Overwrite an existing file.")]
Metric = Annotated[str | None, Option(help="Metric such as test_accuracy (default: that of the objective).")]
Of = Annotated[Literal["best", "last"], Option(help="Use metrics of this epoch of each trial.")]
_OPENER_SECONDS = 2.0
"""to wait for an opener that fails; one that becomes the viewer itself runs on"""


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


def open_result(path: str, output: Output) -> None:
    """Open a file or folder, or tell where it is if this machine has no display or no program for it."""
    if not (_has_display() and _opened(os.path.abspath(path))):
        output.message(f"no program here can show it; open it elsewhere: {shell_path(os.path.relpath(path))}")


def _has_display() -> bool:
    names = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform == "darwin" or any(os.environ.get(name) for name in names)


def _opened(path: str) -> bool:
    """Try the user's browser if BROWSER names one, then the desktop's opener, then any browser."""
    import webbrowser

    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if opener is None or os.environ.get("BROWSER"):
        return webbrowser.open(Path(path).as_uri())
    silent = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            [opener, path], stdin=silent, stdout=silent, stderr=silent, start_new_session=True
        )
        return process.wait(_OPENER_SECONDS) == 0
    except subprocess.TimeoutExpired:
        return True
    except OSError:
        return False
