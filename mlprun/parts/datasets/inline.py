"""Rows given in the config itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, PlainValidator, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from mlprun.parts.data import Data, DatasetInfo
from mlprun.parts.datasets.dataset import MOST_CLASSES, Dataset, datasets, digits, numbered
from mlprun.parts.splits import Split

if TYPE_CHECKING:
    from mlprun.parts.data import Floats, Ints

Number = int | float
LARGEST = 2**53  # beyond it a float64 no longer tells whole numbers apart


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= LARGEST if isinstance(value, int) else math.isfinite(value)


def _entry(value: object) -> Number | tuple[Number, ...]:
    """A number, or a row of them; checked by hand, because a union would report every alternative."""
    cells = value if isinstance(value, list | tuple) else [value]
    if not cells:
        raise PydanticCustomError("row", "an empty row; expected at least one number")
    for position, cell in enumerate(cells, 1):
        if not _is_number(cell):
            shown = {"cell": repr(str(cell) if isinstance(cell, str) else cell)[:40], "position": position}
            where = "number {position} of the row" if isinstance(value, list | tuple) else "this"
            raise PydanticCustomError("row", f"{where} is {{cell}}; expected a finite number", shown)
    return tuple(value) if isinstance(value, list | tuple) else value  # type: ignore[return-value]


NUMBER = {"type": "number"}
Entry = Annotated[
    int | float | tuple[int | float, ...],
    PlainValidator(_entry),
    WithJsonSchema({"anyOf": [NUMBER, {"type": "array", "items": NUMBER, "minItems": 1}]}),
]


@datasets.register
class Inline(Dataset):
    """Rows given in the config: `inputs` and `targets`, one entry per row.

    Inputs are [N, D]; a flat list is one column. Integers from 0 are given as int64, which an architecture
    with an embedding reads as symbols and any other as numbers; all else is float64. Targets in a flat list
    of integers from 0 are class ids [N]; numbers in a flat list, or rows of them, are [N, K] float64.
    Good for: small examples with printed results, and for reproducing what others computed by hand.
    """

    shuffles = False
    default_split = Split.model_construct(same=True)

    name: Literal["inline"] = "inline"
    inputs: tuple[Entry, ...] = Field(
        min_length=1, description="rows of numbers, or a flat list for one column"
    )
    targets: tuple[Entry, ...] = Field(
        min_length=1, description="class ids (integers in a flat list), numbers, or rows of numbers"
    )
    classes: Annotated[int, Field(ge=2, le=MOST_CLASSES)] | None = Field(
        None, description="number of classes (default: architecture.outputs, or inferred from the largest id)"
    )
    standardize: bool = Field(
        default=False,
        description="scale features and numeric targets to mean 0 and variance 1, fitted on train",
    )

    @field_validator("inputs", "targets")
    @classmethod
    def _rows_are_of_one_length(cls, rows: tuple[Entry, ...]) -> tuple[Entry, ...]:
        first = rows[0]
        for number, row in enumerate(rows, 1):
            if _shape(row) != _shape(first):
                raise ValueError(
                    f"row {number} is {_shape(row)}, but row 1 is {_shape(first)}; write all rows alike"
                )
        return rows

    @field_validator("targets")
    @classmethod
    def _class_ids_start_at_zero(cls, rows: tuple[Entry, ...]) -> tuple[Entry, ...]:
        ids = np.array(rows) if _are_ids(rows) else np.array([0])
        for outside in ids[(ids < 0) | (ids >= MOST_CLASSES)]:
            raise ValueError(
                f"integers in a flat list are class ids from 0 to {MOST_CLASSES - 1}, but {outside} is "
                f"among them; for numbers, write rows: [[{outside}], ...]"
            )
        return rows

    @model_validator(mode="after")
    def _fit(self) -> Inline:
        if len(self.inputs) != len(self.targets):
            raise ValueError(
                f"inputs has {len(self.inputs)} rows and targets {len(self.targets)}; give one target per row"
            )
        if self.classes is not None and not _are_ids(self.targets):
            raise ValueError("targets are numbers; leave classes out, or write class ids in a flat list")
        if self.classes is not None and self.classes < self.minimum_classes:
            raise ValueError(
                f"classes is {self.classes} and the class ids go up to {self.minimum_classes - 1}; "
                f"set it to {self.minimum_classes}"
            )
        return self

    @property
    def minimum_classes(self) -> int:
        """As many as the largest id says; 0 when targets are numbers."""
        # one class alone would leave nothing to tell apart: ids of zero only still mean two classes
        ids = [row for row in self.targets if isinstance(row, int)]
        return max(2, max(ids) + 1) if len(ids) == len(self.targets) else 0

    def info(self) -> DatasetInfo:
        return self.load().info

    def load(self) -> Data:
        inputs, targets = _column(self.inputs), _column(self.targets)
        if not np.issubdtype(inputs.dtype, np.integer) or inputs.min() < 0:
            inputs = inputs.astype(np.float64)
        names = numbered("x", inputs.shape[1])
        if _are_ids(self.targets):
            classes = digits(self.classes or self.minimum_classes)
            return Data(inputs, targets[:, 0], names, ("class",), classes)
        outputs = ("y",) if targets.shape[1] == 1 else numbered("y", targets.shape[1])
        return Data(inputs, targets.astype(np.float64), names, outputs)


def _shape(row: Entry) -> str:
    return f"a list of {len(row)}" if isinstance(row, tuple) else "a number"


def _are_ids(rows: tuple[Entry, ...]) -> bool:
    """Whether this is a flat list of integers."""
    return all(isinstance(row, int) for row in rows)


def _column(rows: tuple[Entry, ...]) -> Ints | Floats:
    """[N, D], int64 when every number is an integer; a flat list is one column."""
    return np.array(rows).reshape(len(rows), -1)
