"""The device that computes, its threads and its determinism."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from mlprun.errors import DeviceError, plural
from mlprun.experiment.experiment import torch_threads

if TYPE_CHECKING:
    from collections.abc import Iterator


def resolve(name: str) -> str:
    """Return the device to run on; `auto` is CUDA if available. Raises DeviceError if it is absent."""
    if name == "cpu":
        return name
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        devices = f"this machine has {plural(count, 'CUDA device')}"
        raise DeviceError("device", f"{name} is not available: {devices}", "use device: cpu or device: auto")
    return name


@contextmanager
def compute_context(threads: int, device: str) -> Iterator[None]:
    """Compute with this number of threads, and the same bits every time, within the block."""
    from threadpoolctl import threadpool_limits

    # NumPy's products have other bits with another number of threads as well
    torch = torch_threads(threads) if "torch" in sys.modules else nullcontext()
    with threadpool_limits(threads, user_api="blas"), torch, deterministic(device):
        yield


@contextmanager
def deterministic(device: str) -> Iterator[None]:
    """Make CUDA compute the same bits every time, as the CPU does anyway."""
    if device == "cpu":
        yield
        return
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    former = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=former)
