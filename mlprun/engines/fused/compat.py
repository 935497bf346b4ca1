"""The private interfaces of Numba and llvmlite that this package uses, all in one place.

`tests/engines/fused/test_compat.py` checks each of them, so that a new version of Numba fails there first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
from numba import types
from numba.core import codegen, config
from numba.core.caching import NullCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, CompileResult, DefaultPassBuilder
from numba.core.serialize import dumps
from numba.extending import intrinsic as numba_intrinsic
from numba.np.numpy_support import from_dtype

if TYPE_CHECKING:
    import numpy as np

njit: Any = numba.njit  # not all of its options are declared
intrinsic: Any = numba_intrinsic  # Numba supplies the first argument, which a type checker would require


def record_array(dtype: np.dtype[Any]) -> Any:
    """Return the Numba type of a one-dimensional contiguous array of records."""
    return types.Array(from_dtype(dtype), 1, "C")


def named_tuple(class_: type[tuple[Any, ...]], *fields: Any) -> Any:
    """Return the Numba type of a named tuple with fields of these types."""
    return types.NamedTuple(fields, class_)  # type: ignore[no-untyped-call]


def host_cpu_features() -> str:
    """Return the features of the CPU that Numba compiles for, as LLVM spells them.

    `NUMBA_CPU_FEATURES` and `NUMBA_CPU_NAME=generic` restrict them.
    """
    features: str | None = vars(config)["CPU_FEATURES"]
    return codegen.get_host_cpu_features() if features is None else features  # type: ignore[no-untyped-call]


class _InlinedCode(JITCodeLibrary):
    """Code that is only linked into kernels, and gets no machine code of its own.

    Numba would optimise and translate every function once more in each function that calls it, which takes
    two thirds of the compile time. Only functions that call no others are optimised before they are linked.
    """

    def _optimize_functions(self, module: Any) -> None:
        """Do nothing: kernels are optimised as a whole."""

    def _optimize_final_module(self) -> None:
        if not self._linking_libraries:
            super()._optimize_final_module()  # type: ignore[no-untyped-call]

    def _finalize_final_module(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Return 0: Python cannot call the function."""
        self._ensure_finalized()  # type: ignore[no-untyped-call]
        return 0

    @property
    def codegen(self) -> _NoEnvironments:
        """Return what would set the environment of a function that Python calls."""
        return _NoEnvironments()


class _NoEnvironments:
    def set_env(self, name: str, environment: Any) -> None:
        """Do nothing."""


class _InliningCompiler(CompilerBase):
    def define_pipelines(self) -> list[Any]:
        """Return Numba's own passes, with `_InlinedCode` as their target."""
        state = self.state
        state.library = _InlinedCode(state.targetctx.codegen(), state.func_id.func_qualname)  # type: ignore[no-untyped-call]
        return [DefaultPassBuilder.define_nopython_pipeline(state)]  # type: ignore[no-untyped-call]


# Arrays belong to the callers of kernels: counting references took three quarters of a small step.
INLINED: dict[str, Any] = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,
    "pipeline_class": _InliningCompiler,
}


class OverloadCache(NullCache):
    """The cache of a dispatcher, with `load` and `save` of pickled machine code left to subclasses."""

    def load(self, signature: Any, target: tuple[Any, ...]) -> Any:
        """Return what `unpickle` makes of saved content, or None."""
        raise NotImplementedError

    def save(self, signature: Any, target: tuple[Any, ...], content: bytes) -> None:
        """Keep the pickle of a compiled kernel."""
        raise NotImplementedError

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the kernel for a signature, or None if it must be compiled."""
        target_context.refresh()
        self._context = target_context
        return self.load(sig, target_context.codegen().magic_tuple())

    def unpickle(self, parts: Any) -> Any:
        """Rebuild a kernel from the unpickled content of `save`."""
        return CompileResult._rebuild(self._context, *parts)  # type: ignore[no-untyped-call]  # noqa: SLF001 -- what Numba's own caches call

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a kernel that was compiled."""
        self.save(sig, data.codegen.magic_tuple(), dumps(data._reduce()))  # type: ignore[no-untyped-call]  # noqa: SLF001 -- what Numba's own caches call


def set_cache(dispatcher: Any, cache: OverloadCache) -> None:
    """Give a dispatcher a cache, as Numba's `cache=True` does."""
    dispatcher._cache = cache  # noqa: SLF001


def load_overload(dispatcher: Any, signature: Any) -> bool:
    """Return True if a dispatcher's kernel for a signature is compiled, in memory or in its cache."""
    if signature in dispatcher.overloads:
        return True
    return dispatcher._cache.load_overload(signature, dispatcher.targetctx) is not None  # noqa: SLF001


def entry_point(dispatcher: Any, signature: Any) -> Any:
    """Compile a dispatcher for a signature and return its machine code as a Python callable.

    Calling it skips the search for the types of the arguments, which takes long for named tuples: the
    arguments must be of the signature's types.
    """
    dispatcher.compile(signature)
    return dispatcher.overloads[signature].entry_point
