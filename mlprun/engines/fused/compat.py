"""The private interfaces of Numba and llvmlite that this package uses, all in one place.

`tests/engines/fused/test_compat.py` checks each of them, so that a new version of Numba fails there first.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.extending import intrinsic as numba_intrinsic
from numba.np import arrayobj
from numba.np.numpy_support import from_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

# `fastmath=True` would let the compiler assume that no number is NaN, and divergence would go unseen
FLAGS = {"reassoc", "contract", "arcp", "nsz"}
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": FLAGS, "error_model": "numpy", "boundscheck": False}

njit: Any = numba.njit  # not all of its options are declared
populate_array: Any = arrayobj.populate_array
intrinsic: Any = numba_intrinsic  # Numba supplies the first argument, which a type checker would require


def record_array(dtype: np.dtype[Any]) -> Any:
    """Return the Numba type of a one-dimensional contiguous array of records."""
    return types.Array(from_dtype(dtype), 1, "C")


def named_tuple(class_: type[tuple[Any, ...]], *fields: Any) -> Any:
    """Return the Numba type of a named tuple with fields of these types."""
    return types.NamedTuple(fields, class_)  # type: ignore[no-untyped-call]


class _Code(JITCodeLibrary):
    """Code that is optimised as Numba does it, except that LLVM unrolls no loops.

    That takes half of the compile time and makes no kernel faster: vectorised loops have several
    accumulators already.
    """

    def _optimize_final_module(self) -> None:
        codegen: Any = self._codegen
        options = {"opt": codegen._opt_level, "cost": "cheap"}  # noqa: SLF001 -- all as Numba does it
        rotated = codegen._module_pass_manager(loop_vectorize=True, slp_vectorize=False, **options)  # noqa: SLF001
        tuning = binding.create_pipeline_tuning_options(3)
        tuning.loop_vectorization = tuning.loop_interleaving = True
        tuning.slp_vectorization = tuning.loop_unrolling = False
        builder = binding.create_pass_builder(codegen._tm, tuning)  # noqa: SLF001
        for manager, passes in (rotated, (builder.getModulePassManager(), builder)):
            manager.run(self._final_module, passes)


class _InlinedCode(_Code):
    """Code that is only linked into kernels, and gets no machine code of its own.

    Numba would optimise and translate every function once more in each function that calls it, which takes
    two thirds of the compile time. Only functions that call no others are optimised before they are linked.
    """

    def _optimize_functions(self, module: Any) -> None:
        """Do nothing: kernels are optimised as a whole."""

    def _optimize_final_module(self) -> None:
        if not self._linking_libraries:
            super()._optimize_final_module()

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


def _compiler(code: type[_Code]) -> type[CompilerBase]:
    """Return a compiler with Numba's own passes and with such code as their target."""

    class Compiler(CompilerBase):
        def define_pipelines(self) -> list[Any]:
            state = self.state
            state.library = code(state.targetctx.codegen(), state.func_id.func_qualname)
            state.library.enable_object_caching()
            return [DefaultPassBuilder.define_nopython_pipeline(state)]  # type: ignore[no-untyped-call]

    return Compiler


_KERNEL: dict[str, Any] = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,
    "pipeline_class": _compiler(_Code),
}
# Arrays belong to the callers of kernels: counting references took three quarters of a small step.
INLINED: dict[str, Any] = {**_KERNEL, "pipeline_class": _compiler(_InlinedCode)}


def device_function(function: Callable[..., Any]) -> Any:
    """Compile a function that only kernels call."""
    return njit(**OPTIONS, **INLINED)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a device function that is always inlined, where a call would cost small networks much."""
    return njit(**OPTIONS, **INLINED, forceinline=True)(function)


def records_reader(signature: tuple[Any, ...]) -> Any:
    """Return an intrinsic that makes records of these types from the table at an address.

    The table has, in the order of the types, the address and the shape of each array, and each number.
    """
    make_tuple: Any = types.Tuple
    result, integer = make_tuple(signature), ir.IntType(64)

    def read(context: Any, builder: Any, type_: Any, numbers: Iterator[Any]) -> Any:
        if hasattr(type_, "types"):  # a tuple
            values = [read(context, builder, field, numbers) for field in type_.types]
            return context.make_tuple(builder, type_, values)
        if not isinstance(type_, types.Array):
            return next(numbers)
        item = context.get_data_type(type_.dtype)
        data = builder.inttoptr(next(numbers), item.as_pointer())
        shape = [next(numbers) for _ in range(type_.ndim)]
        size = ir.Constant(integer, context.get_abi_sizeof(item))
        strides = [size]
        for extent in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], extent))
        array = context.make_array(type_)(context, builder)
        populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
        return array._getvalue()  # noqa: SLF001 -- as Numba's own functions on arrays do

    def emit(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        table = builder.inttoptr(arguments[0], integer.as_pointer())
        places = (builder.gep(table, [ir.Constant(integer, index)]) for index in itertools.count())
        return read(context, builder, result, map(builder.load, places))

    def records_at(typing: Any, address: Any) -> Any:
        return result(types.int64), emit

    return intrinsic(records_at)


def compile_function(function: Callable[..., Any]) -> tuple[str, bytes, Callable[[], int]]:
    """Compile a function of one int64.

    Returns the symbol of its entry point, its object file, and what links it in this process and returns
    its address.
    """
    dispatcher = njit(**OPTIONS, **_KERNEL)(function)
    dispatcher.compile((types.int64,))
    result = next(iter(dispatcher.overloads.values()))
    library, symbol = result.library, result.fndesc.llvm_func_name
    code: bytes = library._get_compiled_object()  # noqa: SLF001 -- what Numba's own caches keep
    return symbol, code, partial(library.get_pointer_to_function, symbol)
