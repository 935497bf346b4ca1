"""How kernels are compiled: once per floating-point type and machine, kept on disk."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

from mlprun import files
from mlprun.engines.fused.linking import PartCompiler

if TYPE_CHECKING:
    from collections.abc import Callable

# `fastmath=True` would let the compiler assume that no number is NaN, and divergence would go unseen
FLAGS = {"reassoc", "contract", "arcp", "nsz"}
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": FLAGS, "error_model": "numpy", "boundscheck": False}


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
    with suppress(RuntimeError):  # no folder can be written to: every process compiles for itself
        dispatcher._cache = _PackageCache(function)  # noqa: SLF001 -- what Numba's own `cache=True` sets
    return dispatcher


def is_ready(dispatcher: Any, signature: Any) -> bool:
    """Whether a kernel is compiled for a signature, here or on disk."""
    if signature in dispatcher.overloads:
        return True
    return dispatcher._cache.load_overload(signature, dispatcher.targetctx) is not None  # noqa: SLF001


class _PackageCache(FunctionCache):
    """Numba's own cache looks at the age of one source file; a kernel is made of all files of its package."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._cache_file = IndexDataCacheFile(  # type: ignore[no-untyped-call]
            cache_path=self._cache_path, filename_base=self._impl.filename_base, source_stamp=_stamp()
        )


@cache
def _stamp() -> str:
    """A digest of every source file that kernels are made of."""
    folder, digest = os.path.dirname(os.path.abspath(__file__)), hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            digest.update(files.read_bytes(os.path.join(folder, name), cap=1_000_000))
    return digest.hexdigest()
