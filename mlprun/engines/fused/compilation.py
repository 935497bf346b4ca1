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

from mlprun import files
from mlprun.engines.fused.compat import (
    INLINED,
    OverloadCache,
    entry_point,
    load_overload,
    njit,
    set_cache,
)
from mlprun.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# `fastmath=True` would let the compiler assume that no number is NaN, and divergence would go unseen
FLAGS = {"reassoc", "contract", "arcp", "nsz"}
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": FLAGS, "error_model": "numpy", "boundscheck": False}

_DIGEST_SIZE = hashlib.sha256().digest_size
_SUFFIX = ".kernel"
_MAX_BYTES, _MAX_KERNELS = 100_000_000, 50


def device_function(function: Callable[..., Any]) -> Any:
    """Compile a function that only kernels call."""
    return njit(**OPTIONS, **INLINED)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a device function that is always inlined, where a call would cost small networks much."""
    return njit(**OPTIONS, **INLINED, forceinline=True)(function)


class Kernel:
    """A function that Python calls, compiled for each floating-point type; its machine code is kept on disk.

    `signature` returns the Numba types of the function's arguments for a NumPy dtype's name.
    """

    def __init__(self, function: Callable[..., Any], signature: Callable[[str], tuple[Any, ...]]) -> None:
        self._dispatcher = njit(**OPTIONS, no_cfunc_wrapper=True)(function)
        self._cache, self._signature = KernelCache(function), signature
        self._compiled: dict[str, Callable[..., Any]] = {}
        set_cache(self._dispatcher, self._cache)

    def compiled(self, dtype: str) -> Callable[..., Any]:
        """Return the machine code for a type, which is compiled first if necessary."""
        if dtype not in self._compiled:
            self._compiled[dtype] = entry_point(self._dispatcher, self._signature(dtype))
        return self._compiled[dtype]

    def is_ready(self, dtype: str) -> bool:
        """Return True if the kernel need not be compiled."""
        return load_overload(self._dispatcher, self._signature(dtype))

    @property
    def damaged_file(self) -> str | None:
        """The file that the kernel could not be loaded from, if any."""
        return self._cache.damaged_file


def compile_kernels(kernels: Sequence[Kernel], dtype: str, message: Callable[[str], None]) -> None:
    """Load or compile kernels for a floating-point type; say so if they must be compiled."""
    if missing := [kernel for kernel in kernels if not kernel.is_ready(dtype)]:
        message(f"compiling the fused engine's {dtype} kernels{_reason(missing)}")
    for kernel in kernels:
        kernel.compiled(dtype)


def _reason(missing: list[Kernel]) -> str:
    """Return why kernels must be compiled, or how often."""
    if damaged := [kernel.damaged_file for kernel in missing if kernel.damaged_file is not None]:
        return f" again: {damaged[0]} could not be loaded"
    if cache_folder() is None:
        return " for this process only: neither the cache folder nor the temporary folder can keep them"
    return ", once for this machine"


class KernelCache(OverloadCache):
    """The machine code of a kernel in `cache_folder`, one file for each signature and processor.

    A file contains a SHA-256 and the pickle that it is the digest of. The digest detects damage. Forgery is
    prevented by the folder, which nobody else can write to.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.damaged_file: str | None = None

    def load(self, signature: Any, target: tuple[Any, ...]) -> Any:
        """Return the kernel for a signature, or None if it must be compiled."""
        self.damaged_file = None
        path = self._path(signature, target)
        if path is None:
            return None
        try:
            data = _read_own(path)
            if hashlib.sha256(data[_DIGEST_SIZE:]).digest() != data[:_DIGEST_SIZE]:
                raise ValueError("the digest does not match")  # noqa: TRY301
            # the content was pickled by `save`, of this version
            return self.unpickle(pickle.loads(data[_DIGEST_SIZE:]))  # noqa: S301
        except FileNotFoundError:
            return None
        except Exception:  # noqa: BLE001 -- whatever is wrong with the file, compiling replaces it
            self.damaged_file = path
            return None

    def save(self, signature: Any, target: tuple[Any, ...], content: bytes) -> None:
        """Keep a kernel that was compiled, if there is room for it."""
        path = self._path(signature, target)
        if path is None:
            return
        with suppress(OSError, FileError):
            files.write_atomic(path, hashlib.sha256(content).digest() + content)
            _remove_oldest(os.path.dirname(path))

    def _path(self, signature: Any, target: tuple[Any, ...]) -> str | None:
        """Return the file for a signature, named after everything that determines the machine code."""
        folder = cache_folder()
        if folder is None:
            return None
        name, code = self._function.__qualname__, self._function.__code__.co_code
        versions = (sys.version, numba.__version__, llvmlite.__version__, _source_digest())
        key = hashlib.sha256(repr((name, code, signature, target, versions)).encode()).hexdigest()
        return os.path.join(folder, f"{self._function.__name__}-{key[:32]}{_SUFFIX}")


@cache
def cache_folder() -> str | None:
    """Return the folder for machine code, which only this user can write to, or None if there is none."""
    return files.private_cache("kernels")


def _read_own(path: str) -> bytes:
    """Return the content of a file of this user. Raises ValueError for another user's."""
    data = files.read_bytes(path, cap=_MAX_BYTES, follow=False)
    if files.lstat(path).st_uid != os.geteuid():
        raise ValueError("the file belongs to another user")
    return data


def _remove_oldest(folder: str) -> None:
    """Remove all but the newest kernels: those of former versions stay unused."""
    paths = [os.path.join(folder, name) for name in files.names(folder) if name.endswith(_SUFFIX)]
    for path in sorted(paths, key=lambda path: files.lstat(path).st_mtime_ns)[:-_MAX_KERNELS]:
        files.remove(path)


@cache
def _source_digest() -> str:
    """Return a digest of every source file that kernels are compiled from."""
    folder, digest = os.path.dirname(os.path.abspath(__file__)), hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            digest.update(files.read_bytes(os.path.join(folder, name), cap=1_000_000))
    return digest.hexdigest()
