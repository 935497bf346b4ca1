"""Numbers too small for full precision, taken as 0 while a kernel runs.

Gradients that die out, and the running means of them that Adam keeps, would otherwise end among them and stay
there, where every operation takes a hundred times as long. On processors that are not known here they stay.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types

from mlprun.engines.fused.loops import intrinsic

_IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
_IS_ARM = platform.machine().lower() in ("arm64", "aarch64")
_BITS = 0x8040 if _IS_X86 else 1 << 24
"""results and, on x86, operands: the bits of the register that governs floating-point arithmetic"""


def _x86_register(builder: Any, name: str, place: Any) -> None:
    module, byte = builder.module, ir.IntType(8).as_pointer()
    full = f"llvm.x86.sse.{name}"
    function = module.globals.get(full) or ir.Function(module, ir.FunctionType(ir.VoidType(), [byte]), full)
    builder.call(function, [builder.bitcast(place, byte)])


def _read(builder: Any) -> Any:
    if _IS_X86:
        place = builder.alloca(ir.IntType(32))
        _x86_register(builder, "stmxcsr", place)
        return builder.zext(builder.load(place), ir.IntType(64))
    if _IS_ARM:
        return builder.asm(ir.FunctionType(ir.IntType(64), []), "mrs $0, fpcr", "=r", [], side_effect=True)
    return ir.Constant(ir.IntType(64), 0)


def _write(builder: Any, state: Any) -> None:
    if _IS_X86:
        place = builder.alloca(ir.IntType(32))
        builder.store(builder.trunc(state, ir.IntType(32)), place)
        _x86_register(builder, "ldmxcsr", place)
    elif _IS_ARM:
        builder.asm(
            ir.FunctionType(ir.VoidType(), [ir.IntType(64)]), "msr fpcr, $0", "r", [state], side_effect=True
        )


@intrinsic
def flush(typing: Any) -> Any:
    """Take denormal numbers as 0 from here on, on this thread; returns the state to come back to."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        before = _read(builder)
        _write(builder, builder.or_(before, ir.Constant(ir.IntType(64), _BITS)))
        return before

    return types.int64(), emit


@intrinsic
def restore(typing: Any, state: Any) -> Any:
    """Come back to the state that `flush` found."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _write(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), emit
