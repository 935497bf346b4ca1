"""The version of mlprun, that of its bits, and what was tested with it: the one place that says them."""

__version__ = "0.1.0"
NUMERICS = 3
"""rises where a change alters bits of a run: 2 since metrics of fused runs are computed without PyTorch,
3 since LLVM unrolls no loops of kernels, which changed those of float64 for layers of 33 units and more"""
CUDA_TESTED = False
"""set when `pytest -m cuda` has passed on a CUDA device with this version"""
