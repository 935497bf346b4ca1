"""Loops over lanes as Numba intrinsics: products of matrices and sums over rows.

Arrays are one-dimensional and contiguous; every operand is an array and the offset of its first number.
Counts of `vectors` are in lanes. Nothing here knows what is computed with it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as numba_intrinsic

from mlprun.engines.fused.lanes import Kind, Lanes, kind_of, load, splat, store, total

INT = types.int64
intrinsic: Any = numba_intrinsic  # Numba fills in the first argument, which a type checker would ask for


class Place:
    """Where an operand begins: a pointer to its first number."""

    def __init__(self, context: Any, builder: Any, typ: Any, array: Any, offset: Any) -> None:
        self.builder, self.kind = builder, kind_of(str(typ.dtype))
        data = context.make_array(typ)(context, builder, value=array).data
        self.pointer = builder.gep(data, [offset])

    def at(self, *steps: Any) -> Any:
        """A pointer to the number that the sum of the steps leads to."""
        pointer = self.pointer
        for step in steps:
            pointer = self.builder.gep(pointer, [step])
        return pointer

    def lanes(self, *steps: Any) -> Lanes:
        """The lanes there."""
        return load(self.builder, self.kind, self.at(*steps))

    def repeated(self, *steps: Any) -> Lanes:
        """The number there in every lane."""
        return splat(self.builder, self.kind, self.builder.load(self.at(*steps)))


def number(value: int) -> Any:
    """An IR integer."""
    return ir.Constant(ir.IntType(64), value)


def times(builder: Any, value: Any, factor: int) -> Any:
    """An IR integer times a known one."""
    return builder.mul(value, number(factor))


def zero(kind: Kind) -> Any:
    """0 in every lane."""
    return ir.Constant(kind.vector, [ir.Constant(kind.scalar, 0.0)] * kind.count)


def register(builder: Any, kind: Kind) -> Any:
    """A place for lanes that are written again and again; LLVM keeps it in a register."""
    return cgutils.alloca_once(builder, kind.vector)  # type: ignore[no-untyped-call]


def places(
    context: Any, builder: Any, signature: Any, arguments: Any, firsts: tuple[int, ...]
) -> list[Place]:
    """The operands whose arrays are the arguments at `firsts`, each followed by its offset."""
    return [Place(context, builder, signature.args[i], arguments[i], arguments[i + 1]) for i in firsts]


def _tile(units: int, vectors: int, *, adds: bool) -> Any:
    """An intrinsic for units x vectors of a product, kept in registers while it is summed."""

    def tile(
        typing: Any, c: Any, c0: Any, ldc: Any, a: Any, a0: Any, su: Any, sk: Any,
        b: Any, b0: Any, ldb: Any, count: Any, start: Any, start0: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(c, INT, INT, a, INT, INT, INT, b, INT, INT, INT, start, INT)
        return signature, emit

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        c, a, b, start = places(context, builder, signature, arguments, (0, 3, 7, 11))
        ldc, su, sk, ldb, count = (arguments[i] for i in (2, 5, 6, 9, 10))
        kind = c.kind
        cells = [(u, v) for u in range(units) for v in range(vectors)]

        def target(u: int, v: int) -> tuple[Any, Any]:
            return times(builder, ldc, u), number(v * kind.count)

        totals = {}
        for cell in cells:
            totals[cell] = register(builder, kind)
            first = c.lanes(*target(*cell)) if adds else start.repeated(number(cell[0]))
            builder.store(first.value, totals[cell])
        with cgutils.for_range(builder, count) as loop:
            row, column = builder.mul(loop.index, ldb), builder.mul(loop.index, sk)
            right = [b.lanes(row, number(v * kind.count)) for v in range(vectors)]
            for u in range(units):
                left = a.repeated(column, times(builder, su, u))
                for v in range(vectors):
                    sum_ = Lanes(builder, kind, builder.load(totals[u, v]))
                    builder.store(left.fma(right[v], sum_).value, totals[u, v])
        for cell in cells:
            store(Lanes(builder, kind, builder.load(totals[cell])), c.at(*target(*cell)))
        return context.get_dummy_value()

    return intrinsic(tile)


def _dots(units: int, columns: int) -> Any:
    """An intrinsic that adds to units x columns numbers the inner products of rows of two matrices."""

    def dots(
        typing: Any, g: Any, g0: Any, ldg: Any, x: Any, x0: Any, ldx: Any, vectors: Any,
        c: Any, c0: Any, ldc: Any,
    ) -> Any:  # fmt: skip
        return types.void(g, INT, INT, x, INT, INT, INT, c, INT, INT), emit

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        g, x, c = places(context, builder, signature, arguments, (0, 3, 7))
        ldg, ldx, vectors, ldc = (arguments[i] for i in (2, 5, 6, 9))
        kind = c.kind
        cells = [(u, k) for u in range(units) for k in range(columns)]
        totals = {cell: register(builder, kind) for cell in cells}
        for cell in cells:
            builder.store(zero(kind), totals[cell])
        with cgutils.for_range(builder, vectors) as loop:
            i = times(builder, loop.index, kind.count)
            right = [x.lanes(i, times(builder, ldx, k)) for k in range(columns)]
            for u in range(units):
                left = g.lanes(i, times(builder, ldg, u))
                for k in range(columns):
                    sum_ = Lanes(builder, kind, builder.load(totals[u, k]))
                    builder.store(left.fma(right[k], sum_).value, totals[u, k])
        for u, k in cells:
            place = c.at(times(builder, ldc, u), number(k))
            sum_ = total(Lanes(builder, kind, builder.load(totals[u, k])))
            builder.store(builder.fadd(builder.load(place), sum_), place)
        return context.get_dummy_value()

    return intrinsic(dots)


tile_4_2, tile_4_1 = _tile(4, 2, adds=False), _tile(4, 1, adds=False)
tile_1_2, tile_1_1 = _tile(1, 2, adds=False), _tile(1, 1, adds=False)
adding_4_2, adding_4_1 = _tile(4, 2, adds=True), _tile(4, 1, adds=True)
adding_1_2, adding_1_1 = _tile(1, 2, adds=True), _tile(1, 1, adds=True)
dots_4_4, dots_4_2, dots_4_1 = _dots(4, 4), _dots(4, 2), _dots(4, 1)
dots_1_4, dots_1_2, dots_1_1 = _dots(1, 4), _dots(1, 2), _dots(1, 1)


@intrinsic
def turn(typing: Any, source: Any, s0: Any, lds: Any, target: Any, t0: Any, ldt: Any) -> Any:
    """Transpose one square of lanes x lanes numbers."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        s, t = places(context, builder, signature, arguments, (0, 3))
        n = s.kind.count
        rows = [s.lanes(times(builder, arguments[2], i)).value for i in range(n)]
        step = n // 2
        while step:  # exchange the off-diagonal quarters of all squares of twice the size
            for i in range(n):
                if i & step:
                    continue
                low, high = rows[i], rows[i + step]
                masks = (
                    [lane if not lane & step else n + lane - step for lane in range(n)],
                    [lane + step if not lane & step else n + lane for lane in range(n)],
                )
                rows[i], rows[i + step] = (
                    builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(ir.IntType(32), n), mask))
                    for mask in masks
                )
            step //= 2
        for i, row in enumerate(rows):
            store(Lanes(builder, s.kind, row), t.at(times(builder, arguments[5], i)))
        return context.get_dummy_value()

    return types.void(source, INT, INT, target, INT, INT), emit
