"""Every random draw that is not PyTorch's initialisation: raw words of Philox4x64-10.

A stream is keyed by (seed, purpose) and positioned at (epoch, step), so that no draw depends on engine,
device, threads or earlier draws, and nothing needs to be saved. Generator methods are avoided: they change
between NumPy versions. `skip` leaves out that many words at the start of a stream, which an earlier call has
read. Source: Salmon et al. (2011), doi.org/10.1145/2063384.2063405
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Purpose(IntEnum):
    """The purpose of a stream; the numbers are part of the format of a run and never change."""

    ORDER = 1
    DROPOUT = 2
    SPLIT = 3
    FRESH = 4
    DATASET = 5
    FOLDS = 6
    SPACE = 7
    PERMUTATION = 8
    ENCODING = 9
    FRACTION = 10


def words(
    seed: int, purpose: int, count: int, *, epoch: int = 0, step: int = 0, skip: int = 0
) -> NDArray[np.uint64]:
    """Return `count` raw 64-bit words of the stream (seed, purpose) at (epoch, step), shape [count]."""
    # the low counter word counts blocks, so streams at different (epoch, step) never overlap
    generator = np.random.Philox(key=np.array([seed, purpose], np.uint64), counter=[0, 0, step, epoch])
    return np.asarray(generator.random_raw(skip + count), dtype=np.uint64)[skip:]


def uniforms(
    seed: int, purpose: int, count: int, *, epoch: int = 0, step: int = 0, skip: int = 0
) -> NDArray[np.float64]:
    """Return `count` numbers in [0, 1) with 53 random bits each."""
    high = words(seed, purpose, count, epoch=epoch, step=step, skip=skip) >> np.uint64(11)
    return high.astype(np.float64) * 2.0**-53


def normals(
    seed: int, purpose: int, count: int, *, epoch: int = 0, step: int = 0, skip: int = 0
) -> NDArray[np.float64]:
    """Return `count` draws from N(0, 1) by the Box-Muller transform of two uniforms each."""
    pairs = uniforms(seed, purpose, 2 * count, epoch=epoch, step=step, skip=skip)
    radius = np.sqrt(-2.0 * np.log1p(-pairs[:count]))  # log1p(-u) is finite on [0, 1)
    return np.asarray(radius * np.cos(2.0 * np.pi * pairs[count:]), dtype=np.float64)


def order(
    seed: int, purpose: int, rows: int, *, epoch: int = 0, step: int = 0, skip: int = 0
) -> NDArray[np.int64]:
    """Return a permutation of range(rows): the stable argsort of one word per row."""
    return np.argsort(words(seed, purpose, rows, epoch=epoch, step=step, skip=skip), kind="stable")
