"""User code that a config names in `extend:`, run only with `--allow-code`."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from typing import Final

from mlprun import files
from mlprun.config.document import Document, Problem
from mlprun.config.tree import ConfigStr
from mlprun.errors import FileError, UsageError
from mlprun.parts.part import path_from_here

MAX_CODE: Final = 10_000_000
_FORMER_MODULES: Final = {
    "mlprun.parts.losses": "losses.loss losses.classification losses.distributions losses.regression",
    "mlprun.parts.metrics": "metrics.metric metrics.classification metrics.numbers metrics.ranking",
    "mlprun.parts.initializers": "initializers.initializer initializers.draws initializers.named",
    "mlprun.parts.splits": "datasets.split datasets.shares",
    "mlprun.parts.datasets.dataset": "datasets.draws",
    "mlprun.parts.network": "architectures.network",
}
"""modules of mlprun 0.1 by today's: code in older run folders imports from them"""
executed: set[tuple[str, str]] = set()
"""paths and digests of the files that have run"""


def run_extensions(document: Document, *, allow_code: bool) -> list[Problem]:
    """Run the files that `extend` names, once each, so that they register their parts.

    Returns why files were not run: without `allow_code`, or because they are missing or fail.
    """
    named = document.data.get("extend")
    if not isinstance(named, tuple) or not all(isinstance(path, ConfigStr) for path in named):
        return []  # nothing to run; what is wrong with it is reported with everything else
    if not allow_code:
        message = "would run code from {}; add --allow-code if you trust it"
        return [Problem(("extend", i), message.format(path)) for i, path in enumerate(named)]
    failures = ((index, _extend(path_from_here(path))) for index, path in enumerate(named))
    return [Problem(("extend", index), failure) for index, failure in failures if failure]


def _extend(path: str) -> str | None:
    """Run a file unless the same content has run before; return what went wrong, if anything."""
    try:
        source = files.read_bytes(path, cap=MAX_CODE)
    except (FileNotFoundError, IsADirectoryError):
        return f"{path}: there is no such file of Python code; correct extend in the config"
    except FileError as error:
        return str(error)
    import hashlib  # loads OpenSSL

    digest = hashlib.sha256(source).hexdigest()
    if (path, digest) in executed:
        return None
    module = module_from_spec(ModuleSpec(f"mlprun_extension_{digest[:16]}", None, origin=path))
    module.__file__ = path
    sys.modules[module.__name__] = module  # pydantic looks annotations up there
    for today, former in _FORMER_MODULES.items():
        for name in (f"mlprun.parts.{one}" for one in former.split()):
            if name.encode() in source:
                sys.modules[name] = import_module(today)
    try:
        exec(compile(source, path, "exec"), vars(module))  # noqa: S102 -- --allow-code was given
    except Exception as error:  # noqa: BLE001 -- the user's code may raise anything
        del sys.modules[module.__name__]
        return f"{path}{_line(error, path)}: {type(error).__name__}: {error}"
    executed.add((path, digest))
    return None


def user_code_error(error: BaseException) -> UsageError | None:
    """Return an error that was raised in user code as a UsageError at its line; None for other errors."""
    for path, _ in executed:
        if line := _line(error, path):
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return UsageError(f"{path}{line}", what, "correct this code")
    return None


def _line(error: BaseException, path: str) -> str:
    """Return `:12` for the line of the user's file that failed."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return f":{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f":{lines[-1]}" if lines else ""
