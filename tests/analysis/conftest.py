"""The sweep with known metrics of tests/sweeps, whose statistics are easily worked out."""

from tests.sweeps.conftest import DEV, FIGURES, describe, folder, write

__all__ = ["DEV", "FIGURES", "describe", "folder", "write"]
