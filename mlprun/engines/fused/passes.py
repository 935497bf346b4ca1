"""One block of rows through the network and back, inside kernels.

Blocks are feature-major: a row of memory holds one feature of up to `stride` rows of data, so that lanes run
over rows. Where a layer is wide its inputs are turned, and lanes run over them for the weights' gradient.
"""

from __future__ import annotations

from typing import Any

from mlprun.engines.fused import elementwise, loops
from mlprun.engines.fused import tables as t
from mlprun.engines.fused.compiled import inner, merged
from mlprun.engines.fused.elementwise import STORED
from mlprun.engines.fused.lanes import VECTOR_BYTES

activate, activate_and_derive = elementwise.activate, elementwise.activate_and_derive
differentiate = elementwise.differentiate
turn = loops.turn


def _rows_of(four: Any, one: Any) -> Any:
    """Rows of a product as wide as its tiles: four at a time, then one by one."""

    @merged
    def rows_of(
        c: Any, c0: Any, ldc: Any, a: Any, a0: Any, su: Any, sk: Any, b: Any, b0: Any, ldb: Any, count: Any,
        units: Any, start: Any, start0: Any, per_unit: Any,
    ) -> None:  # fmt: skip
        u = 0
        while u + 4 <= units:
            first = start0 + u * per_unit
            four(c, c0 + u * ldc, ldc, a, a0 + u * su, su, sk, b, b0, ldb, count, start, first)
            u += 4
        while u < units:
            first = start0 + u * per_unit
            one(c, c0 + u * ldc, ldc, a, a0 + u * su, su, sk, b, b0, ldb, count, start, first)
            u += 1

    return rows_of


rows_2, rows_1 = _rows_of(loops.tile_4_2, loops.tile_1_2), _rows_of(loops.tile_4_1, loops.tile_1_1)
more_2 = _rows_of(loops.adding_4_2, loops.adding_1_2)
more_1 = _rows_of(loops.adding_4_1, loops.adding_1_1)


@inner
def multiply(
    c: Any, c0: Any, ldc: Any, a: Any, a0: Any, su: Any, sk: Any, b: Any, b0: Any, ldb: Any, count: Any,
    units: Any, vectors: Any, start: Any, start0: Any, per_unit: Any,
) -> None:  # fmt: skip
    """Rows u of c become start[u] plus the sum over k of a[u, k] times row k of b."""
    lanes = VECTOR_BYTES // c.itemsize
    v = 0
    while v + 2 <= vectors:
        i = v * lanes
        rows_2(c, c0 + i, ldc, a, a0, su, sk, b, b0 + i, ldb, count, units, start, start0, per_unit)
        v += 2
    if v < vectors:
        i = v * lanes
        rows_1(c, c0 + i, ldc, a, a0, su, sk, b, b0 + i, ldb, count, units, start, start0, per_unit)


@inner
def add_product(
    c: Any, c0: Any, ldc: Any, a: Any, a0: Any, su: Any, b: Any, b0: Any, ldb: Any, count: Any, units: Any,
    vectors: Any,
) -> None:  # fmt: skip
    """Rows u of c grow by the sum over k of a[u, k] times row k of b; a's rows are contiguous."""
    lanes = VECTOR_BYTES // c.itemsize
    v = 0
    while v + 2 <= vectors:
        i = v * lanes
        more_2(c, c0 + i, ldc, a, a0, su, 1, b, b0 + i, ldb, count, units, c, c0, 0)
        v += 2
    if v < vectors:
        i = v * lanes
        more_1(c, c0 + i, ldc, a, a0, su, 1, b, b0 + i, ldb, count, units, c, c0, 0)


def _row_of_dots(four: Any, two: Any, one: Any) -> Any:
    """Inner products of a few rows of g with all of x: four columns at a time, then two, then one."""

    @merged
    def row_of_dots(
        g: Any, g0: Any, x: Any, x0: Any, stride: Any, vectors: Any, c: Any, c0: Any, columns: Any
    ) -> None:  # fmt: skip
        k = 0
        while k + 4 <= columns:
            four(g, g0, stride, x, x0 + k * stride, stride, vectors, c, c0 + k, columns)
            k += 4
        if k + 2 <= columns:
            two(g, g0, stride, x, x0 + k * stride, stride, vectors, c, c0 + k, columns)
            k += 2
        if k < columns:
            one(g, g0, stride, x, x0 + k * stride, stride, vectors, c, c0 + k, columns)

    return row_of_dots


dots_of_four = _row_of_dots(loops.dots_4_4, loops.dots_4_2, loops.dots_4_1)
dots_of_one = _row_of_dots(loops.dots_1_4, loops.dots_1_2, loops.dots_1_1)


@inner
def add_dots(
    g: Any, g0: Any, x: Any, x0: Any, stride: Any, vectors: Any, c: Any, c0: Any, units: Any, columns: Any
) -> None:  # fmt: skip
    """c[u, k] grows by the inner product of row u of g and row k of x."""
    u = 0
    while u + 4 <= units:
        dots_of_four(g, g0 + u * stride, x, x0, stride, vectors, c, c0 + u * columns, columns)
        u += 4
    while u < units:
        dots_of_one(g, g0 + u * stride, x, x0, stride, vectors, c, c0 + u * columns, columns)
        u += 1


@inner
def forward(
    layers: Any, codes: Any, options: Any, theta: Any, zeros: Any, work: Any, rows: Any, rows0: Any,
    stride: Any, vectors: Any, kept: Any, kept0: Any, count: Any,
) -> None:  # fmt: skip
    """Values of all layers into `work`, from the inputs at rows0 of `rows`.

    With kept0 >= 0 the values before the output activation are copied there, row by row.
    """
    depth = layers.shape[0]
    source, source0 = rows, rows0
    for layer in range(depth):
        table = layers[layer]
        din, dout, before = table[t.DIN], table[t.DOUT], table[t.BEFORE]
        bias, bias0, per_unit = (zeros, 0, 0) if table[t.BIAS] < 0 else (theta, table[t.BIAS], 1)
        multiply(
            work, before, stride, theta, table[t.WEIGHT], din, 1, source, source0, stride, din, dout, vectors,
            bias, bias0, per_unit,
        )  # fmt: skip
        if layer == depth - 1 and kept0 >= 0:
            for i in range(count):
                for k in range(dout):
                    kept[kept0 + i * dout + k] = work[before + k * stride + i]
        first = table[t.FIRST_ACTIVATION]
        if table[t.DERIVATIVE] != STORED:
            activate(codes[first], work, before, dout, stride, vectors, options, 2 * first)
        else:
            for number in range(table[t.ACTIVATIONS]):
                activate_and_derive(
                    codes[first + number], work, before, work, table[t.VALUES], work, table[t.SLOPES],
                    1 if number == 0 else 0, dout, stride, vectors, options, 2 * (first + number),
                )  # fmt: skip
        source, source0 = work, table[t.VALUES]


@merged
def backward(
    layers: Any, options: Any, theta: Any, zeros: Any, work: Any, rows: Any, rows0: Any, stride: Any,
    vectors: Any, count: Any, gradient: Any, turned: Any,
) -> None:  # fmt: skip
    """Add to `gradient` that of one block, from the loss's derivative by the outputs in `work`."""
    lanes = VECTOR_BYTES // work.itemsize
    for layer in range(layers.shape[0] - 1, -1, -1):
        table = layers[layer]
        din, dout, delta = table[t.DIN], table[t.DOUT], table[t.DELTA]
        differentiate(
            table[t.DERIVATIVE], work, table[t.VALUES], work, table[t.SLOPES], work, delta, dout, stride,
            vectors, options, 2 * table[t.FIRST_ACTIVATION], gradient, table[t.BIAS],
        )  # fmt: skip
        source, source0 = (rows, rows0) if layer == 0 else (work, layers[layer - 1, t.VALUES])
        if table[t.TURNS] == 1:
            length = table[t.GRADIENT_STRIDE]
            for i in range(0, vectors * lanes, lanes):
                for k in range(0, length, lanes):
                    turn(source, source0 + k * stride + i, stride, work, turned + i * length + k, length)
            add_product(
                gradient, table[t.GRADIENT], length, work, delta, stride, work, turned, length, count, dout,
                length // lanes,
            )  # fmt: skip
        else:
            add_dots(
                work, delta, source, source0, stride, vectors, gradient, table[t.GRADIENT], dout, din
            )  # fmt: skip
        if layer > 0:
            multiply(
                work, layers[layer - 1, t.DELTA], stride, theta, table[t.WEIGHT], 1, din, work, delta, stride,
                dout, din, vectors, zeros, 0, 0,
            )  # fmt: skip
