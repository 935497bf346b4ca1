"""Isolation of libraries and processes from files of the working directory and from environment variables.

A received folder may contain a `.numba_config.yaml`, a `matplotlibrc` or a `socket.py`: none of them may
change what mlprun computes or draws, and none may run.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import warnings
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

NUMBA_VARIABLES = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
"""variables that choose the processor to compile for, recorded in run.json; Numba's others are ignored"""

_KEPT = (*NUMBA_VARIABLES, "NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER")
"""variables that a user's own kernels may need and that cannot change those of mlprun"""

_DROPPED = ("JOBLIB_", "NUMBA_NUM_THREADS", "POLARS_", "SKLEARN_", "TORCH_LOGS")
"""prefixes of variables that no command needs: they print, choose other code, or make an import fail"""

_FEATURES = re.compile(r"([+-][a-zA-Z0-9_.-]+(,(?=.)|$))*")
"""the values of NUMBA_CPU_FEATURES for which LLVM does not abort the process"""

_NUMBA, _MATPLOTLIB = "numba.core.config", "matplotlib"


class _Loader(SourceFileLoader):
    """Executes a module that reads settings from files; those outside its own package appear empty."""

    def exec_module(self, module: ModuleType) -> None:
        if self.name == _MATPLOTLIB:
            import logging  # which no light command needs

            # it warns about a home folder that is read-only, although a temporary folder serves as well
            logging.getLogger(_MATPLOTLIB).setLevel(logging.ERROR)
        own = (os.path.dirname(self.path) + os.sep, "/proc/")

        def open_own(path: Any, *rest: Any, **options: Any) -> Any:
            return open(path, *rest, **options) if os.fspath(path).startswith(own) else io.StringIO()

        module.open = open_own  # type: ignore[attr-defined]  # a module's names hide the built-in ones
        with warnings.catch_warnings(action="ignore"):  # about values in settings that are ignored
            super().exec_module(module)
        del module.open
        if self.name == _NUMBA:
            _apply_settings(module)


class _Finder:
    """Finds the given modules as Python does, and has them executed by `_Loader`."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.names:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


_finder = _Finder()


def isolate_numba() -> None:
    """Reset Numba's settings to their defaults in this process, apart from `_KEPT`.

    This applies to a user's own kernels too, since all kernels share one compiler, and where Numba is loaded
    already, to what is compiled from now on.
    """
    if _NUMBA in sys.modules:
        _apply_settings(sys.modules[_NUMBA])
    _isolate(_NUMBA)


def _apply_settings(config: Any) -> None:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    with warnings.catch_warnings(action="ignore"):
        config._env_reloader.process_environ(kept)  # noqa: SLF001 -- there is no public way
    config.reload_config = lambda: None  # the compiler would read the file and the environment again


def isolate_command() -> None:
    """Isolate this process, which runs a command, from its working directory and environment."""
    _isolate(_MATPLOTLIB)
    os.environ["MPLBACKEND"] = "agg"  # figures are written to files
    for name in list(os.environ):
        if name.startswith(_DROPPED) and name != "POLARS_MAX_THREADS":
            del os.environ[name]
    if not _FEATURES.fullmatch(os.environ.get("NUMBA_CPU_FEATURES", "")):
        del os.environ["NUMBA_CPU_FEATURES"]
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(filter(os.path.isabs, path)) or os.defpath  # others are relative


def _isolate(name: str) -> None:
    _finder.names.add(name)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


@contextlib.contextmanager
def safe_path() -> Iterator[None]:
    """Make Python processes started within the block import nothing from the working directory.

    multiprocessing starts them with `python -c`, which looks there first.
    """
    former = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if former is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = former
