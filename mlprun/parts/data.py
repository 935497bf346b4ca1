"""Raw rows of a dataset, and what the checks of a config need to know of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Names = tuple[str, ...]


@dataclass(frozen=True)
class DatasetInfo:
    """What the checks of a config need to know of the data, without loading more than they must."""

    rows: int
    inputs: int
    """numbers (or symbols) per row before one-hot encoding"""
    classes: tuple[str, ...] | None
    """class names in the order of their ids; None when targets are numbers"""
    targets: int = 1
    """numbers per row; 1 if targets are classes"""
    tokens: int | None = None
    """how many symbols integer inputs need (largest id + 1); None when inputs are not ids"""
    groups: int | None = None
    """how many groups there are, whose rows stay together; None when rows have no group"""
    times: int | None = None
    """how many different times the rows have; None when they have none"""
    multilabel: bool = False
    """whether targets are several labels: 0 or 1 in each of the columns"""


@dataclass(frozen=True)
class Data:
    """Raw rows: N of them, in the units of their source.

    `inputs` is [N, D] float (NaN where a table has a missing cell; a categorical column holds indices into
    its `categories`, as floats) or [N, T] int64: whole numbers from 0, which are symbols where the
    architecture has a vocabulary and numbers otherwise. `targets` is [N] int64 class ids or [N, K] float
    numbers.
    """

    inputs: NDArray[np.float32] | NDArray[np.float64] | NDArray[np.int64]
    targets: NDArray[np.float32] | NDArray[np.float64] | NDArray[np.int64]
    input_names: tuple[str, ...]
    target_names: tuple[str, ...]
    classes: tuple[str, ...] | None = None
    categories: tuple[tuple[str, ...] | None, ...] | None = None
    """per input column the category names, None for a numeric one; None when no column is categorical"""
    dates: tuple[str, ...] = ()
    """input columns that are days since 1970-01-01"""
    parts: NDArray[np.str_] | None = None
    """[N] the split named in each row (`split: {column: ...}`)"""
    weights: Floats | None = None
    """[N] the weight of each row in loss and metrics; None for 1 each"""
    groups: Ints | None = None
    """[N] the group of each row, whose rows are in one split"""
    times: Floats | None = None
    """[N] the time of each row, by which splits go forward"""
    imputed: bool = False
    """missing cells are allowed, here and in new rows; preprocessing fills them in"""
    multilabel: bool = False
    """whether targets are labels, 0 or 1 in each of several columns"""
    warnings: tuple[str, ...] = ()
    """what the user should know about these rows, each a printable line"""

    @property
    def info(self) -> DatasetInfo:
        """The info of these rows."""
        integer = np.issubdtype(self.inputs.dtype, np.integer)
        return DatasetInfo(
            rows=len(self.inputs),
            inputs=self.inputs.shape[1],
            classes=self.classes,
            targets=1 if self.targets.ndim == 1 else self.targets.shape[1],
            tokens=int(self.inputs.max()) + 1 if integer and self.inputs.size else None,
            groups=None if self.groups is None else len(np.unique(self.groups)),
            times=None if self.times is None else len(np.unique(self.times)),
            multilabel=self.multilabel,
        )
