"""What training learns from: the registry of datasets and their base classes."""

from __future__ import annotations

from mlprun.parts.datasets import (
    bundled,
    clusters,
    inline,
    moons,
    sequences,
    shapes,
    simulated,
    table,
    truth_tables,
)
from mlprun.parts.datasets.dataset import Data, Dataset, DatasetInfo, Generated, datasets

__all__ = [
    "Data",
    "Dataset",
    "DatasetInfo",
    "Generated",
    "bundled",
    "clusters",
    "datasets",
    "inline",
    "moons",
    "sequences",
    "shapes",
    "simulated",
    "table",
    "truth_tables",
]
