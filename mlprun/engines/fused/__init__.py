"""The fused engine: whole epochs of dense networks in compiled kernels on the CPU, many runs in parallel.

Nothing here loads Numba unless kernels must be compiled: it takes the better part of a second.
"""

from mlprun import isolation

isolation.isolate_numba()  # before anything here imports it

from mlprun.engines.fused.cohort import FusedEngine  # noqa: E402

__all__ = ["FusedEngine"]
