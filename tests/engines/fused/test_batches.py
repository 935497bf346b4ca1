"""Row orders from kernels: NumPy's own Philox words to the bit, and the stable argsort."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from mlprun import randomness
from mlprun.engines.fused.batches import draw_words, stable_order


@numba.njit
def drawn(seed: Any, purpose: Any, position: Any, words: Any) -> None:
    draw_words(seed, purpose, position, len(words) // 4, words)


@numba.njit
def sorted_order(words: Any, rows: Any, counts: Any, order: Any) -> None:
    stable_order(words, rows, counts, order)


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**32 - 1])
@pytest.mark.parametrize(("epoch", "step", "first"), [(0, 0, 0), (1, 7, 3), (10**9, 10**6, 250)])
def test_the_words_are_those_of_numpy(seed: int, epoch: int, step: int, first: int) -> None:
    words = np.zeros(64, np.uint64)
    drawn(seed, 1, (epoch, step, first), words)
    expected = randomness.words(seed, 1, 64, epoch=epoch, step=step, skip=4 * first)
    np.testing.assert_array_equal(words, expected)


def ours(words: np.ndarray) -> np.ndarray:
    rows = len(words)
    counts = np.zeros((1 << max(0, rows - 1).bit_length()) + 1, np.int64)
    order = np.zeros(rows, np.int64)
    sorted_order(words, rows, counts, order)
    return order


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 64, 1000])
def test_the_order_is_the_stable_argsort(rows: int) -> None:
    rng = np.random.default_rng(rows)
    for words in (
        rng.integers(0, 2**64, rows, np.uint64),
        rng.integers(0, 3, rows, np.uint64),
        rng.integers(0, 3, rows, np.uint64) << np.uint64(62),
    ):
        np.testing.assert_array_equal(ours(words), np.argsort(words, kind="stable"))


def test_an_epochs_order_is_that_of_the_torch_engine() -> None:
    words = np.zeros(100, np.uint64)
    drawn(7, int(randomness.Purpose.ORDER), (3, 0, 0), words)
    np.testing.assert_array_equal(
        ours(words[:99]), randomness.order(7, randomness.Purpose.ORDER, 99, epoch=3)
    )
