"""Rows are made into what kernels read once, for as long as anybody has them."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlprun.engines.fused import FusedEngine
from mlprun.engines.fused.member import SHARED, Shared
from mlprun.engines.fused.workspace import LINE, apart

ENGINE = FusedEngine()


def config(**changes: Any) -> dict[str, Any]:
    """Some rows of iris."""
    return {"dataset": "iris", "architecture": {"hidden": [4]}, "training": {"epochs": 2}, **changes}


def members(*experiments: Any) -> list[Any]:
    """The runs of these experiments, opened one by one."""
    return [ENGINE.open([one], [ENGINE.initial_state(one)], device="cpu").members[0] for one in experiments]


def test_runs_with_equal_rows_share_them_though_loaded_twice(lab: Any) -> None:
    one, other = members(
        lab.make(config()),
        lab.make(
            config(optimizer={"name": "adam"}, training={"epochs": 3, "seed": 1})
            | {"dataset": {"name": "iris", "seed": 0}}
        ),
    )
    assert one.rows is other.rows
    assert one.dev is other.dev


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
    assert one.rows is not other.rows
    assert one.rows.tobytes() != other.rows.tobytes()


def test_rows_that_are_gone_are_forgotten(lab: Any) -> None:
    shared, rows = Shared(), lab.make(config()).fixed["train"]
    key = id(rows)
    assert shared.once(rows, "a", rows.inputs.copy).shape == rows.inputs.shape
    assert key in shared._of_rows
    assert len(shared._of_content) == 1
    del rows
    gc.collect()
    assert key not in shared._of_rows
    assert not len(shared._of_content)
    assert key not in SHARED._of_rows


def test_what_a_thread_writes_shares_no_line_of_cache_with_other_arrays() -> None:
    for count in (1, 21, 33, 64):
        array = apart(count, np.float32)
        assert array.ctypes.data % LINE == 0
        assert array.flags.c_contiguous
        assert not array.any()
        room = array.base
        while room.base is not None:
            room = room.base
        end = room.ctypes.data + room.nbytes
        assert (end - array.ctypes.data) // LINE >= -(-array.nbytes // LINE)
