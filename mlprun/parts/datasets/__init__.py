"""What training learns from: the registry of datasets and their base classes."""

from __future__ import annotations

from mlprun.parts.data import Data, DatasetInfo
from mlprun.parts.datasets import bundled, generated, inline, table
from mlprun.parts.datasets.dataset import Dataset, Generated, datasets
