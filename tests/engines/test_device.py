"""How many threads one operation may use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

import mlprun.api as mlprun
from mlprun.engines.device import compute_context


def blas() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_torch_and_numpy_use_the_threads_that_are_asked_for_and_no_longer_than_that() -> None:
    with threadpool_limits(2, user_api="blas"):
        before = torch.get_num_threads()
        with compute_context(1, "cpu"):
            assert torch.get_num_threads() == 1
            assert blas() == {1}
        assert torch.get_num_threads() == before
        assert blas() == {2}


@pytest.mark.parametrize("engine", ["torch", "scratch"])
def test_the_machines_threads_change_no_byte(engine: str, tmp_path: Path) -> None:
    config = {
        "dataset": {"name": "digits"},
        "architecture": {"hidden": [96], "activation": "tanh"},
        "training": {"epochs": 2, "dtype": "float64"},
        "engine": engine,
    }
    weights = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            run = mlprun.train(config, out=str(tmp_path))
        weights.append(Path(run.path, "last.safetensors").read_bytes())
    assert weights[0] == weights[1]
