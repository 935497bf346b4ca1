"""Loops chosen by a number, and what they share: options in every lane, and sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir

from mlprun.engines.fused.lanes import Kind, Lanes, splat, total
from mlprun.engines.fused.loops import Place, number, register, zero

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def switch(builder: Any, code: Any, cases: Sequence[Callable[[], None]]) -> None:
    """Emit all cases and a jump to the one whose number `code` is; the last one where it is none."""
    blocks = [builder.append_basic_block("case") for _ in cases]
    end = builder.append_basic_block("end")
    chosen = builder.switch(code, blocks[-1])
    for index, (block, case) in enumerate(zip(blocks, cases, strict=True)):
        if index < len(cases) - 1:
            chosen.add_case(ir.Constant(code.type, index), block)
        builder.position_at_end(block)
        case()
        builder.branch(end)
    builder.position_at_end(end)


def rounded(builder: Any, kind: Kind, double: Any) -> Any:
    """A float64 scalar in the kernel's own type."""
    return double if kind.bits == 64 else builder.fptrunc(double, kind.scalar)


def options_of(builder: Any, kind: Kind, place: Place, count: int) -> list[Lanes]:
    """Numbers of a float64 array, each in every lane."""
    values = (builder.load(place.at(number(i))) for i in range(count))
    return [splat(builder, kind, rounded(builder, kind, value)) for value in values]


def summed(builder: Any, kind: Kind, lanes: Any) -> Any:
    """The sum over lanes as float64."""
    sum_ = total(Lanes(builder, kind, builder.load(lanes)))
    return sum_ if kind.bits == 64 else builder.fpext(sum_, ir.DoubleType())


def accumulator(builder: Any, kind: Kind) -> Any:
    """A place for lanes that begins at 0."""
    place = register(builder, kind)
    builder.store(zero(kind), place)
    return place


def accumulate(place: Any, lanes: Lanes) -> None:
    """Add to the lanes at a place."""
    so_far = Lanes(lanes.builder, lanes.kind, lanes.builder.load(place))
    lanes.builder.store((so_far + lanes).value, place)
