"""Rows are made into what kernels read once, for as long as anybody has them."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlprun.engines.fused import FusedEngine
from mlprun.engines.fused.run import CACHE_LINE, aligned_zeros

ENGINE = FusedEngine()


def config(**changes: Any) -> dict[str, Any]:
    """Some rows of iris."""
    return {"dataset": "iris", "architecture": {"hidden": [4]}, "training": {"epochs": 2}, **changes}


def members(*experiments: Any) -> list[Any]:
    """The runs of these experiments, opened one by one."""
    return [ENGINE.open([one], [ENGINE.initial_state(one)], device="cpu").runs[0] for one in experiments]


def test_runs_with_the_same_rows_share_them(lab: Any) -> None:
    first = lab.make(config())
    other = lab.make(config(optimizer={"name": "adam"}, training={"epochs": 3, "seed": 1})).config
    one, same_rows = members(first, replace(first, config=other))
    assert one.data.train is same_rows.data.train
    assert one.data.dev is same_rows.data.dev


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": {"name": "iris", "seed": 1}},
        {"loss": {"name": "cross_entropy", "label_smoothing": 0.1}},
        {"training": {"epochs": 2, "batch_size": 7}},
        {"training": {"epochs": 2, "dtype": "float64"}},
    ],
    ids=["other rows", "other targets", "other order", "other dtype"],
)
def test_what_differs_is_not_shared(lab: Any, changes: dict[str, Any]) -> None:
    first = lab.make(config())
    config_of_other = lab.make(config(**changes)).config
    same_rows = replace(first, config=config_of_other) if "loss" in changes else lab.make(config(**changes))
    one, other = members(first, same_rows)
    assert one.data.train is not other.data.train
    assert one.data.train.tobytes() != other.data.train.tobytes()


def test_arrays_are_removed_with_their_rows(lab: Any) -> None:
    (run,) = members(lab.make(config()))
    train = weakref.ref(run.data.train)
    assert train() is not None
    del run
    gc.collect()
    assert train() is None


def test_what_a_thread_writes_shares_no_line_of_cache_with_other_arrays() -> None:
    arrays = aligned_zeros(*((count, np.float32) for count in (1, 21, 33, 64)))
    lines: list[int] = []
    for array, count in zip(arrays, (1, 21, 33, 64), strict=True):
        assert array.shape == (count,)
        assert array.flags.c_contiguous
        assert not array.any()
        first = array.ctypes.data // CACHE_LINE
        lines += range(first, (array.ctypes.data + array.nbytes - 1) // CACHE_LINE + 1)
        assert array.ctypes.data % CACHE_LINE == 0
    assert len(set(lines)) == len(lines)
