"""The version of mlprun, and that of its bits: the one place that says them."""

__version__ = "0.1.0"
NUMERICS = 2
"""rises where a change alters bits of a run: 2 since metrics of fused runs are computed without PyTorch"""
