"""mlprun: the experiment runner for small neural networks."""

__version__ = "0.1.0"
