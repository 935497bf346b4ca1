"""Opening a result in the desktop's program for it; apart from `options`, since most commands never do so."""

import os
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path

from mlprun.cli.terminal import Output
from mlprun.errors import shell_path

_SECONDS = 2.0
"""to wait for an opener that fails; one that becomes the viewer itself runs on"""


def open_result(path: str, output: Output) -> None:
    """Open a file or folder, or tell where it is if this machine has no display or no program for it."""
    if not (_has_display() and _opened(os.path.abspath(path))):
        output.message(f"no program here can show it; open it elsewhere: {shell_path(os.path.relpath(path))}")


def _has_display() -> bool:
    names = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform == "darwin" or any(os.environ.get(name) for name in names)


def _opened(path: str) -> bool:
    """Try the user's browser if BROWSER names one, then the desktop's opener, then any browser."""
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if opener is None or os.environ.get("BROWSER"):
        return webbrowser.open(Path(path).as_uri())
    silent = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            [opener, path], stdin=silent, stdout=silent, stderr=silent, start_new_session=True
        )
        return process.wait(_SECONDS) == 0
    except subprocess.TimeoutExpired:
        return True
    except OSError:
        return False
