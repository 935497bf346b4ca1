"""What `device:` means on this machine."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from threadpoolctl import threadpool_limits

from mlprun.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator


def resolve(name: str) -> str:
    """The device to run on: `auto` takes CUDA when it is there. Raises DeviceError when it is absent."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        found = f"this machine has {count} CUDA device{'' if count == 1 else 's'}"
        raise DeviceError("device", f"{name} is not available: {found}", "use device: cpu or device: auto")
    return name


@contextmanager
def computing(threads: int, device: str) -> Iterator[None]:
    """One operation on so many threads, and the same bits every time, for as long as the block runs."""
    former = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        # NumPy's products have other bits with another number of threads as well
        with threadpool_limits(threads, user_api="blas"), deterministic(device):
            yield
    finally:
        torch.set_num_threads(former)


@contextmanager
def deterministic(device: str) -> Iterator[None]:
    """Ask CUDA for the same bits every time; the CPU gives them anyway."""
    if device == "cpu":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    former = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=former)
