"""Row orders and minibatches inside kernels.

An order is the stable argsort of raw words of Philox4x64-10, as randomness.py draws them with NumPy.
Source: Salmon et al. (2011), doi.org/10.1145/2063384.2063405
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types, uint64

from mlprun.engines.fused.compat import device_function, intrinsic
from mlprun.engines.fused.lanes import VECTOR_BYTES

ROUNDS = 10
M0, M1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
W0, W1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
ONE = np.uint64(1)
ZERO = np.uint64(0)
WORD = np.uint64(64)


@intrinsic
def product(typing: Any, a: Any, b: Any) -> Any:
    """Return the upper and the lower 64 bits of a product of two words."""

    def emit(context: Any, builder: Any, signature: Any, words: Any) -> Any:
        word, wide = ir.IntType(64), ir.IntType(128)  # processors have an instruction for it
        both = builder.mul(*(builder.zext(value, wide) for value in words))
        halves = builder.lshr(both, ir.Constant(wide, 64)), both
        return context.make_tuple(
            builder, signature.return_type, [builder.trunc(half, word) for half in halves]
        )

    pair: Any = types.UniTuple
    return pair(types.uint64, 2)(types.uint64, types.uint64), emit


@device_function
def draw_words(seed: Any, purpose: Any, position: Any, blocks: Any, words: Any) -> None:
    """Write blocks of four words of the stream (seed, purpose) at (epoch, step).

    `position` is the epoch, the step and the first block.
    """
    epoch, step, first = position
    for block in range(blocks):
        # NumPy counts before it draws: the first block has the counter 1
        c0, c1, c2, c3 = uint64(first + block) + ONE, ZERO, uint64(step), uint64(epoch)
        k0, k1 = uint64(seed), uint64(purpose)
        for _ in range(ROUNDS):
            h0, l0 = product(M0, c0)
            h1, l1 = product(M1, c2)
            c0, c1, c2, c3 = h1 ^ c1 ^ k0, l1, h0 ^ c3 ^ k1, l0
            k0, k1 = k0 + W0, k1 + W1
        words[4 * block] = c0
        words[4 * block + 1] = c1
        words[4 * block + 2] = c2
        words[4 * block + 3] = c3


@device_function
def stable_order(words: Any, rows: Any, counts: Any, order: Any) -> None:
    """The stable argsort of the first `rows` words into `order`.

    A bucket sort by the highest bits, then an insertion sort: buckets have about one row each. There are
    a power of two of them, one less than `counts` has numbers.
    """
    buckets = counts.shape[0] - 1
    bits = 0
    while (1 << bits) < buckets:
        bits += 1
    shift = WORD - uint64(bits)
    for bucket in range(buckets + 1):
        counts[bucket] = 0
    for row in range(rows):
        counts[(words[row] >> shift if bits else ZERO) + ONE] += 1
    for bucket in range(buckets):
        counts[bucket + 1] += counts[bucket]
    for row in range(rows):
        target = words[row] >> shift if bits else ZERO
        order[counts[target]] = row
        counts[target] += 1
    for i in range(1, rows):
        moved, k = order[i], i - 1
        while k >= 0 and words[order[k]] > words[moved]:
            order[k + 1] = order[k]
            k -= 1
        order[k + 1] = moved


@device_function
def gather(source: Any, order: Any, shuffled: Any, batch: Any, block: Any) -> None:
    """Copy rows of row-major `source` into feature-major blocks, in an order if `shuffled`.

    `batch` is the first row, the number of rows, and the fields and the rows of a block.
    """
    begin, count, fields, stride = batch
    lanes = VECTOR_BYTES // block.itemsize
    padded = (count + lanes - 1) // lanes * lanes
    for i in range(padded):
        base = i // stride * fields * stride + i % stride
        if i < count:
            row = order[begin + i] if shuffled else begin + i
            for field in range(fields):
                block[base + field * stride] = source[row * fields + field]
        else:
            for field in range(fields):
                block[base + field * stride] = 0
