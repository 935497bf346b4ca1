"""Matrix products in kernels: register tiles as Numba intrinsics, and the loops over them.

Operands are `Matrix` views of contiguous arrays. Counts of `vectors` are in SIMD vectors. Nothing here
knows what the products are used for.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils

from mlprun.engines.fused.compat import intrinsic
from mlprun.engines.fused.compilation import device_function, inlined
from mlprun.engines.fused.lanes import (
    VECTOR_BYTES,
    Lanes,
    Matrix,
    Variable,
    integer,
    lane_mask,
    pointers,
    times,
)

TILE_UNITS = 4
"""rows of a register tile, which reads as many numbers of the bias even where they are one array of zeros"""


def _tile(units: int, vectors: int, *, accumulate: bool) -> Any:
    """Return an intrinsic for units x vectors of a product, kept in registers while it is summed."""

    def tile(typing: Any, c: Any, a: Any, b: Any, count: Any, bias: Any) -> Any:
        return types.void(c, a, b, count, bias), emit

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        c, a, b, count, bias = arguments
        views = pointers(context, builder, [signature.args[i] for i in (0, 1, 2, 4)], (c, a, b, bias))
        (c, c_row, _), (a, a_row, a_column), (b, b_row, _), (bias, _, _) = views
        cells = [(u, v) for u in range(units) for v in range(vectors)]

        def target(u: int, v: int) -> tuple[Any, Any]:
            return times(builder, c_row, u), integer(v * c.type.count)

        totals = {}
        for cell in cells:
            totals[cell] = Variable(builder, c.type)
            totals[cell].set(c.load(*target(*cell)) if accumulate else bias.broadcast(integer(cell[0])))
        with cgutils.for_range(builder, count) as loop:
            row, column = builder.mul(loop.index, b_row), builder.mul(loop.index, a_column)
            right = [b.load(row, integer(v * c.type.count)) for v in range(vectors)]
            for u in range(units):
                left = a.broadcast(column, times(builder, a_row, u))
                for v in range(vectors):
                    totals[u, v].set(left.fma(right[v], totals[u, v].get()))
        for cell in cells:
            c.store(totals[cell].get(), *target(*cell))
        return context.get_dummy_value()

    return intrinsic(tile)


def _dots(units: int, columns: int) -> Any:
    """Return an intrinsic that adds to units x columns numbers the inner products of rows of two matrices."""

    def dots(typing: Any, c: Any, g: Any, x: Any, vectors: Any) -> Any:
        return types.void(c, g, x, vectors), emit

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        views = pointers(context, builder, signature.args[:3], arguments[:3])
        (c, c_row, _), (g, g_row, _), (x, x_row, _) = views
        cells = [(u, k) for u in range(units) for k in range(columns)]
        totals = {cell: Variable(builder, c.type) for cell in cells}
        for cell in cells:
            totals[cell].clear()
        with cgutils.for_range(builder, arguments[3]) as loop:
            i = times(builder, loop.index, c.type.count)
            right = [x.load(i, times(builder, x_row, k)) for k in range(columns)]
            for u in range(units):
                left = g.load(i, times(builder, g_row, u))
                for k in range(columns):
                    totals[u, k].set(left.fma(right[k], totals[u, k].get()))
        for u, k in cells:
            c.add(totals[u, k].get().sum(), times(builder, c_row, u), integer(k))
        return context.get_dummy_value()

    return intrinsic(dots)


@intrinsic
def transpose_block(typing: Any, source: Any, target: Any) -> Any:
    """Transpose a square of lanes x lanes numbers."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (s, s_row, _), (t, t_row, _) = pointers(context, builder, signature.args, arguments)
        n = s.type.count
        rows = [s.load(times(builder, s_row, i)).value for i in range(n)]
        step = n // 2
        while step:  # exchange the off-diagonal quarters of all squares of twice the size
            for i in range(n):
                if i & step:
                    continue
                low, high = rows[i], rows[i + step]
                rows[i], rows[i + step] = (
                    builder.shuffle_vector(low, high, lane_mask(mask))
                    for mask in (
                        [lane if not lane & step else n + lane - step for lane in range(n)],
                        [lane + step if not lane & step else n + lane for lane in range(n)],
                    )
                )
            step //= 2
        for i, row in enumerate(rows):
            t.store(Lanes(builder, s.type, row), times(builder, t_row, i))
        return context.get_dummy_value()

    return types.void(source, target), emit


@inlined
def shift(view: Any, offset: Any) -> Any:
    """Return the view that starts `offset` numbers later."""
    return Matrix(view.array, view.start + offset, view.row, view.column)


def _tile_rows(vectors: int, *, accumulate: bool) -> Any:
    """Return a function for all rows of a product that is `vectors` wide: four at a time, then one by one."""
    four, one = (_tile(units, vectors, accumulate=accumulate) for units in (TILE_UNITS, 1))

    @inlined
    def tile_rows(c: Any, a: Any, b: Any, shape: Any, bias: Any) -> None:
        units, count = shape
        u = 0
        while u + TILE_UNITS <= units:
            four(shift(c, u * c.row), shift(a, u * a.row), b, count, shift(bias, u * bias.row))
            u += TILE_UNITS
        while u < units:
            one(shift(c, u * c.row), shift(a, u * a.row), b, count, shift(bias, u * bias.row))
            u += 1

    return tile_rows


def _product(*, accumulate: bool) -> Any:
    two, one = (_tile_rows(vectors, accumulate=accumulate) for vectors in (2, 1))

    @device_function
    def product(c: Any, a: Any, b: Any, shape: Any, bias: Any) -> None:
        units, count, vectors = shape
        lanes = VECTOR_BYTES // c.array.itemsize
        v = 0
        while v + 2 <= vectors:
            two(shift(c, v * lanes), a, shift(b, v * lanes), (units, count), bias)
            v += 2
        if v < vectors:
            one(shift(c, v * lanes), a, shift(b, v * lanes), (units, count), bias)

    return product


multiply = _product(accumulate=False)
"""c[u] = bias[u] + sum over k of a[u, k] * b[k], for a shape of (units u, count k, vectors of c and b)"""
add_product = _product(accumulate=True)
"""c[u] += sum over k of a[u, k] * b[k], for a shape of (units u, count k, vectors); `bias` is not read"""


def _dot_columns(units: int) -> Any:
    """Return inner products of `units` rows of g with all rows of x: four at a time, then two, then one."""
    four, two, one = (_dots(units, columns) for columns in (4, 2, 1))

    @inlined
    def dot_columns(c: Any, g: Any, x: Any, columns: Any, vectors: Any) -> None:
        k = 0
        while k + 4 <= columns:
            four(shift(c, k), g, shift(x, k * x.row), vectors)
            k += 4
        if k + 2 <= columns:
            two(shift(c, k), g, shift(x, k * x.row), vectors)
            k += 2
        if k < columns:
            one(shift(c, k), g, shift(x, k * x.row), vectors)

    return dot_columns


_four_rows, _one_row = _dot_columns(TILE_UNITS), _dot_columns(1)


@device_function
def add_dots(c: Any, g: Any, x: Any, shape: Any) -> None:
    """Add to c[u, k] the inner product of row u of g and row k of x; shape is (units, columns, vectors)."""
    units, columns, vectors = shape
    u = 0
    while u + TILE_UNITS <= units:
        _four_rows(shift(c, u * c.row), shift(g, u * g.row), x, columns, vectors)
        u += TILE_UNITS
    while u < units:
        _one_row(shift(c, u * c.row), shift(g, u * g.row), x, columns, vectors)
        u += 1
