"""Matrix products in kernels: register tiles as Numba intrinsics.

Operands are `Matrix` views of contiguous arrays. Counts of `vectors` are in SIMD vectors. Nothing here
knows what the products are used for.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from mlprun.engines.fused.compat import device_function
from mlprun.engines.fused.lanes import (
    Lanes,
    Matrix,
    Variable,
    integer,
    lane_function,
    lane_mask,
    loop,
    tiles,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.engines.fused.lanes import FloatType

CHUNK = 256
"""products that are added up for all tiles of some vectors before the next ones"""
TILE_UNITS = (4, 1)
"""rows of register tiles: as many of the first size as there are, then of the next"""
TILE_VECTORS = (2, 1)
TILE_COLUMNS = (4, 2, 1)


class Tile:
    """Numbers or vectors of a product, by row and column, summed in registers."""

    def __init__(self, builder: Any, type_: FloatType, rows: int, columns: int) -> None:
        cells = product(range(rows), range(columns))
        self.totals = {cell: Variable(builder, type_) for cell in cells}

    def add(self, left: Sequence[Lanes], right: Sequence[Lanes]) -> None:
        """Add the products of the lanes of each row and of each column."""
        for (u, k), total in self.totals.items():
            total.set(left[u].fma(right[k], total.get()))


def _product(builder: Any, operands: Any, shape: Any, bias: Any = None) -> None:
    """Emit a product in tiles, which start at the bias or else at the values of c."""
    (c, a, b), (units, count, vectors), lanes = operands, shape, operands[0].type.count
    for vector, width in tiles(builder, vectors, TILE_VECTORS):
        columns = [integer(v * lanes) for v in range(width)]
        first = times(builder, vector, lanes)
        right = b.shift(first)
        for unit, height in tiles(builder, units, TILE_UNITS):
            sums = Tile(builder, c.type, height, width)
            (target, targets), (left, rows) = c.shift(first).tile(unit, height), a.tile(unit, height)
            start, starts = (target, targets) if bias is None else bias.tile(unit, height)
            for (u, v), total in sums.totals.items():
                total.set(start.load(starts[u], columns[v]) if bias is None else start.broadcast(starts[u]))
            for k in loop(builder, count):
                row, column = builder.mul(k, b.row), builder.mul(k, a.column)
                factors = [right.load(row, v) for v in columns]
                sums.add([left.broadcast(column, u) for u in rows], factors)
            for (u, v), total in sums.totals.items():
                target.store(total.get(), targets[u], columns[v])


@lane_function()
def _multiply(builder: Any, operands: Any, shape: Any, bias: Any) -> None:
    _product(builder, operands, shape, bias)


@lane_function()
def _add_product(builder: Any, operands: Any, shape: Any) -> None:
    _product(builder, operands, shape)


@lane_function()
def _add_dots(builder: Any, operands: Any, shape: Any) -> None:
    (c, g, x), (units, columns, vectors) = operands, shape
    for unit, height in tiles(builder, units, TILE_UNITS):
        (target, targets), (left, rows) = c.tile(unit, height), g.tile(unit, height)
        for column, width in tiles(builder, columns, TILE_COLUMNS):
            sums, (right, others) = Tile(builder, c.type, height, width), x.tile(column, width)
            for total in sums.totals.values():
                total.clear()
            for i in loop(builder, vectors, c.type.count):
                factors = [right.load(i, other) for other in others]
                sums.add([left.load(i, row) for row in rows], factors)
            for (u, k), total in sums.totals.items():
                target.add(total.get().sum(), targets[u], builder.add(column, integer(k)))


@device_function
def add_product(operands: Any, shape: Any) -> None:
    """c[u] += sum over k of a[u, k] * b[k], with operands and shape as in `multiply`."""
    _add_product(operands, shape)


@device_function
def multiply(operands: Any, shape: Any, bias: Any) -> None:
    """c[u] = bias[u] + sum over k of a[u, k] * b[k].

    The operands are c, a and b; the shape is (units u, count k, vectors of c and b). The sum is taken in
    chunks, whose part of b stays in the cache; the order of additions, and so every bit, is that of one loop.
    """
    (c, a, b), (units, count, vectors) = operands, shape
    _multiply(operands, (units, min(count, CHUNK), vectors), bias)
    for k in range(CHUNK, count, CHUNK):
        left = Matrix(a.array, a.start + k * a.column, a.row, a.column)
        right = Matrix(b.array, b.start + k * b.row, b.row, b.column)
        add_product((c, left, right), (units, min(CHUNK, count - k), vectors))


@device_function
def add_dots(operands: Any, shape: Any) -> None:
    """Add to c[u, k] the inner product of row u of g and row k of x.

    The operands are c, g and x; the shape is (units u, columns k, vectors).
    """
    _add_dots(operands, shape)


@lane_function()
def transpose_block(builder: Any, source: Any, target: Any) -> None:
    """Transpose a square of lanes x lanes numbers."""
    n = source.type.count
    rows = [source.load(times(builder, source.row, i)).value for i in range(n)]
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
        target.store(Lanes(builder, source.type, row), times(builder, target.row, i))
