"""Raw rows of a dataset, what the checks of a config need to know of them, and operations on columns."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from mlprun.parts.part import Options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Names = tuple[str, ...]


class _ShortRepr(reprlib.Repr):
    """Shows arrays by their types and shapes, and cuts other long values."""

    def repr_ndarray(self, array: Array, level: int) -> str:
        return f"{array.dtype}{list(array.shape)}"


_SHORT = _ShortRepr()
_SHORT.maxstring = _SHORT.maxother = 60


def short_repr(value: Any) -> str:
    """Return a dataclass as text, with the types and shapes of arrays, and with long values cut."""
    held = (f"{one.name}={_SHORT.repr(getattr(value, one.name))}" for one in fields(value))
    return f"{type(value).__name__}({', '.join(held)})"


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

    @property
    def target_kind(self) -> Literal["classes", "labels", "numbers"]:
        """What the targets are."""
        if self.classes is not None:
            return "classes"
        return "labels" if self.multilabel else "numbers"


@dataclass(frozen=True)
class Data:
    """Raw rows: N of them, in the units of their source.

    `inputs` is [N, D] float (NaN where a table has a missing cell; a categorical column holds indices into
    its `categories`, as floats) or [N, T] int64: whole numbers from 0, which are symbols where the
    architecture has a vocabulary and numbers otherwise. `targets` is [N] int64 class ids or [N, K] float
    numbers.
    """

    __repr__ = short_repr

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
    kept: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """[N] cells, as text, of columns that are to stand beside predictions"""
    imputed: bool = False
    """missing cells are allowed, here and in new rows; preprocessing fills them in"""
    multilabel: bool = False
    """whether targets are labels, 0 or 1 in each of several columns"""
    warnings: tuple[str, ...] = ()
    """what the user should know about these rows, each a printable line"""

    def take(self, rows: Ints) -> Data:
        """Return the rows at these indices."""
        names = ("inputs", "targets", "parts", "weights", "groups", "times")
        chosen = {name: array[rows] for name in names if (array := getattr(self, name)) is not None}
        return replace(self, **chosen)

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


CellType = Literal["number", "text", "symbol", "label", "date"]


class Cells(NamedTuple):
    """The cells of a column in N rows as float64: [N], or [N, K] where an operation made K columns of it.

    Missing cells are NaN. With `categories` a value is the index of the cell's text in them.
    """

    values: Floats
    categories: Names | None = None

    def positions(self, texts: Sequence[str]) -> Ints:
        """[N] the position of each cell's text in `texts`, -1 for any other text and for missing cells."""
        positions, own = {text: position for position, text in enumerate(texts)}, self.categories or ()
        lookup = np.array([*(positions.get(text, -1) for text in own), -1])
        return lookup[np.where(np.isnan(self.values), len(own), self.values).astype(np.int64)]


class Trace(NamedTuple):
    """What has become of a column: its source, the type of its cells, and the names of its numbers."""

    source: str
    type: CellType
    names: Names
    mean: float = 0.0
    scale: float = 1.0
    """a number times scale plus mean is in the units that its name tells"""


Traces = dict[str, Trace]


class Operation(Options):
    """Base of all operations. Every field is a list with an entry for each of the columns."""

    takes: ClassVar[tuple[CellType, ...]] = ("number",)
    """the types of cells that it can be applied to"""
    gives: ClassVar[CellType | None] = None
    """the type that cells get; None where it stays"""
    suffix: ClassVar[str] = ""
    """what the number that a cell becomes is called, behind the column's name; empty where that stays"""

    operation: str
    columns: tuple[str, ...]

    def per_column(self) -> Iterator[tuple[Any, ...]]:
        """Each column with its entries of the other fields. Raises ValueError for lists of unequal length."""
        return zip(*(value for name, value in self if name != "operation"), strict=True)

    @classmethod
    def of(cls, fitted: Mapping[str, tuple[Any, ...]]) -> list[Self]:
        """The operation with these entries for each column, if there is any: the reverse of `per_column`."""
        if not fitted:
            return []
        lists = zip(*((name, *entries) for name, entries in fitted.items()), strict=True)
        names = (name for name in cls.model_fields if name != "operation")
        return [cls.model_validate(dict(zip(names, lists, strict=True)))]

    def apply(self, table: Mapping[str, Cells]) -> dict[str, Cells]:
        """The table with the cells of `columns` replaced; the order of its columns stays."""
        entries: dict[str, Any] = {name: fitted for name, *fitted in self.per_column()}
        result: dict[str, Cells] = {}
        for name, cells in table.items():
            result |= self.replaced(name, cells, *entries[name]) if name in entries else {name: cells}
        return result

    def trace(self, traces: Traces) -> Traces:
        """What becomes of columns as in `apply`. Raises ValueError for other columns than it takes."""
        entries: dict[str, Any] = {name: fitted for name, *fitted in self.per_column()}
        if any(name not in traces or traces[name].type not in self.takes for name in entries):
            raise ValueError(f"{self.operation} does not take these columns")
        found = [
            pair
            for name, trace in traces.items()
            for pair in (
                self.traced(name, trace, *entries[name]) if name in entries else {name: trace}
            ).items()
        ]
        if len(result := dict(found)) < len(found):
            raise ValueError("two columns have one name")
        return result

    @classmethod
    def replaced(cls, name: str, cells: Cells, *fitted: Any) -> dict[str, Cells]:
        """The columns that stand in the place of one."""
        return {name: cls.cells(cells, *fitted)}

    @classmethod
    def cells(cls, cells: Cells, *fitted: Any) -> Cells:
        """What the cells of one column become."""
        raise NotImplementedError

    @classmethod
    def traced(cls, name: str, trace: Trace, *fitted: Any) -> Traces:
        """What becomes of one column."""
        names = cls.names(name, *fitted) or trace.names
        return {name: trace._replace(type=cls.gives or trace.type, names=names)}

    @classmethod
    def names(cls, name: str, *fitted: Any) -> Names:
        """The names of the numbers that the cells of one column become; none where they keep theirs."""
        return (f"{name} {cls.suffix}",) if cls.suffix else ()

    @classmethod
    def summary(cls, *fitted: Any) -> str:
        """The operation on a column with its fitted numbers, in a few words; x is the cell before it."""
        raise NotImplementedError
