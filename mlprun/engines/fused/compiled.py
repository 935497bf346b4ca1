"""How kernels are compiled: once per floating-point type and machine, kept on disk."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import llvmlite
import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from mlprun import files
from mlprun.engines.fused.linking import PartCompiler
from mlprun.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Callable

# `fastmath=True` would let the compiler assume that no number is NaN, and divergence would go unseen
FLAGS = {"reassoc", "contract", "arcp", "nsz"}
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": FLAGS, "error_model": "numpy", "boundscheck": False}

_DIGEST = hashlib.sha256().digest_size
_SUFFIX = ".kernel"
_LARGEST, _MOST = 100_000_000, 50
"""bytes of a kernel, and number of kernels that are kept"""

_njit: Any = numba.njit  # not all of its options are declared
# arrays belong to those who call kernels: counting who refers to them took three quarters of a small step
_PART: dict[str, Any] = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,
    "pipeline_class": PartCompiler,
}


def inner(function: Callable[..., Any]) -> Any:
    """A function that becomes part of the kernels that call it."""
    return _njit(**OPTIONS, **_PART)(function)


def merged(function: Callable[..., Any]) -> Any:
    """An inner function without the call, whose many arguments would cost small networks much."""
    return _njit(**OPTIONS, **_PART, forceinline=True)(function)


def kernel(function: Callable[..., Any]) -> Any:
    """A function that Python calls; its machine code is kept on disk."""
    dispatcher = _njit(**OPTIONS, no_cfunc_wrapper=True)(function)
    dispatcher._cache = KernelCache(function)  # noqa: SLF001 -- what Numba's own `cache=True` sets
    return dispatcher


def is_ready(dispatcher: Any, signature: Any) -> bool:
    """Whether a kernel is compiled for a signature, here or on disk."""
    if signature in dispatcher.overloads:
        return True
    return dispatcher._cache.load_overload(signature, dispatcher.targetctx) is not None  # noqa: SLF001


def damaged(dispatcher: Any) -> str | None:
    """The file that a kernel could not be loaded from when that was last tried, if there is one."""
    path: str | None = dispatcher._cache.damaged  # noqa: SLF001
    return path


class KernelCache(NullCache):
    """The machine code of a kernel in `cache_folder`, one file for each signature and processor.

    A file holds a SHA-256 and what it is of: a pickle. The digest finds damage. Forgery is prevented by the
    folder, which nobody else can write to.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.damaged: str | None = None

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kernel for a signature; None where it must be compiled."""
        target_context.refresh()
        self.damaged = None
        path = self._path(sig, target_context.codegen())
        if path is None:
            return None
        try:
            data = _read_own(path)
            if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
                raise ValueError("the digest is another's")  # noqa: TRY301
            # what is loaded was pickled by `save_overload`, of this version
            return CompileResult._rebuild(target_context, *pickle.loads(data[_DIGEST:]))  # type: ignore[no-untyped-call]  # noqa: S301, SLF001
        except FileNotFoundError:
            return None
        except Exception:  # noqa: BLE001 -- whatever is wrong with the file, compiling replaces it
            self.damaged = path
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a kernel that was compiled, where there is room for it."""
        path = self._path(sig, data.codegen)
        if path is None:
            return
        content = dumps(data._reduce())  # type: ignore[no-untyped-call]  # noqa: SLF001
        with suppress(OSError, FileError):
            files.write_atomic(path, hashlib.sha256(content).digest() + content)
            _remove_oldest(os.path.dirname(path))

    def _path(self, sig: Any, codegen: Any) -> str | None:
        """The file for a signature, by all that decides about the machine code."""
        folder = cache_folder()
        if folder is None:
            return None
        name, code = self._function.__qualname__, self._function.__code__.co_code
        versions = (sys.version, numba.__version__, llvmlite.__version__, _stamp())
        key = hashlib.sha256(repr((name, code, sig, codegen.magic_tuple(), versions)).encode()).hexdigest()
        return os.path.join(folder, f"{self._function.__name__}-{key[:32]}{_SUFFIX}")


@cache
def cache_folder() -> str | None:
    """The folder of machine code that only this user can write to; None where there is no such folder."""
    home = os.path.expanduser("~")
    user = os.path.join(home, "Library/Caches" if sys.platform == "darwin" else ".cache")
    temporary = os.path.join(os.environ.get("TMPDIR") or "/tmp", f"mlprun-{os.geteuid()}")  # noqa: S108
    for folder in (os.path.join(os.environ.get("XDG_CACHE_HOME") or user, "mlprun"), temporary):
        path = os.path.join(folder, "kernels")
        if os.path.isabs(path) and files.make_private(folder) and files.make_private(path):
            return path
    return None


def _read_own(path: str) -> bytes:
    """The content of a file of this user; raises ValueError for another's."""
    data = files.read_bytes(path, cap=_LARGEST, follow=False)
    if files.lstat(path).st_uid != os.geteuid():
        raise ValueError("the file is another user's")
    return data


def _remove_oldest(folder: str) -> None:
    """Remove all but the newest kernels: those of former versions stay unused."""
    paths = [os.path.join(folder, name) for name in files.names(folder) if name.endswith(_SUFFIX)]
    for path in sorted(paths, key=lambda path: files.lstat(path).st_mtime_ns)[:-_MOST]:
        files.remove(path)


@cache
def _stamp() -> str:
    """A digest of every source file that kernels are made of."""
    folder, digest = os.path.dirname(os.path.abspath(__file__)), hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            digest.update(files.read_bytes(os.path.join(folder, name), cap=1_000_000))
    return digest.hexdigest()
