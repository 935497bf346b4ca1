"""Flushing denormal numbers to 0 while a kernel runs.

Gradients that vanish, and the running means of them that Adam keeps, would otherwise end among the denormal
numbers and stay there, where every operation takes a hundred times as long. Processors other than x86 and ARM
keep them.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types

from mlprun.engines.fused.compat import intrinsic

_IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
_IS_ARM = platform.machine().lower() in ("arm64", "aarch64")
# bits of the register that controls floating-point arithmetic: flush results and, on x86, operands
_FLUSH_BITS = 0x8040 if _IS_X86 else 1 << 24


def _x86_control(builder: Any, name: str, register: Any) -> None:
    module, byte = builder.module, ir.IntType(8).as_pointer()
    full_name = f"llvm.x86.sse.{name}"
    signature = ir.FunctionType(ir.VoidType(), [byte])
    function = module.globals.get(full_name) or ir.Function(module, signature, full_name)
    builder.call(function, [builder.bitcast(register, byte)])


def _read_control(builder: Any) -> Any:
    if _IS_X86:
        register = builder.alloca(ir.IntType(32))
        _x86_control(builder, "stmxcsr", register)
        return builder.zext(builder.load(register), ir.IntType(64))
    if _IS_ARM:
        return builder.asm(ir.FunctionType(ir.IntType(64), []), "mrs $0, fpcr", "=r", [], side_effect=True)
    return ir.Constant(ir.IntType(64), 0)


def _write_control(builder: Any, value: Any) -> None:
    if _IS_X86:
        register = builder.alloca(ir.IntType(32))
        builder.store(builder.trunc(value, ir.IntType(32)), register)
        _x86_control(builder, "ldmxcsr", register)
    elif _IS_ARM:
        signature = ir.FunctionType(ir.VoidType(), [ir.IntType(64)])
        builder.asm(signature, "msr fpcr, $0", "r", [value], side_effect=True)


@intrinsic
def flush_denormals(typing: Any) -> Any:
    """Take denormal numbers as 0 from here on, on this thread; return the former control register."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        former = _read_control(builder)
        _write_control(builder, builder.or_(former, ir.Constant(ir.IntType(64), _FLUSH_BITS)))
        return former

    return types.int64(), emit


@intrinsic
def restore_denormals(typing: Any, former: Any) -> Any:
    """Restore the control register that `flush_denormals` returned."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _write_control(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), emit
