"""Preprocessing as a list of declared operations, fitted on train rows and kept in the checkpoint as JSON.

The JSON is enough to replay it elsewhere. A column is a list of cells: numbers or texts, some missing. Each
operation replaces the cells of the columns that it names; afterwards all columns, side by side in their
order, are the network's inputs. Everything is computed in float64 and rounded once, to the run's dtype.

    {"inputs": [{"name": "size", "type": "number"}, {"name": "colour", "type": "text"}],
     "input_operations": [
        {"operation": "impute", "columns": ["size", "colour"], "values": [3.5, "red"]},
        {"operation": "scale", "columns": ["size"], "means": [3.5], "scales": [1.25]},
        {"operation": "one_hot", "columns": ["colour"], "categories": [["blue", "red"]]}],
     "targets": [{"name": "price", "type": "number"}],
     "target_operations": [{"operation": "scale", "columns": ["price"], "means": [7.0], "scales": [2.0]}]}

makes the inputs 0, 1, 0 of a row whose size is 3.5 and whose colour is blue. A new operation is one class
and an entry in `InputOperation` or `TargetOperation`.
"""

from __future__ import annotations

import json
import math
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from mlprun.errors import CheckpointError, DataError
from mlprun.interrupts import defer_interrupts
from mlprun.parts.datasets.table.delimited import repeated
from mlprun.parts.datasets.table.source import shown
from mlprun.parts.part import Options, PositiveFloat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import DTypeLike

    from mlprun.parts.data import Array, Data, Floats, Ints, Names

BLOCK_CELLS, BLOCK_ROWS = 2**22, 1024
"""cells prepared together, and the fewest rows: no second matrix of all rows stands beside the result"""
NAMED = 3
"""categories that a warning names, at most"""

CellType = Literal["number", "text", "symbol", "label"]


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


class Operation(Options):
    """Base of all operations. Every field is a list with an entry for each of the columns."""

    takes: ClassVar[CellType | None] = None
    """the type of cells that are replaced by numbers; None where cells keep their type"""

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
        return {**table, **{name: self._cells(table[name], *fitted) for name, *fitted in self.per_column()}}

    @staticmethod
    def _cells(cells: Cells, *fitted: Any) -> Cells:
        """What the cells of one column become."""
        raise NotImplementedError


class Impute(Operation):
    """Missing cells become a number, or a text that need not be among the other cells'."""

    operation: Literal["impute"] = "impute"
    values: tuple[float | str, ...]

    @staticmethod
    def _cells(cells: Cells, value: float | str) -> Cells:
        categories = cells.categories
        if isinstance(value, str):
            categories = tuple(dict.fromkeys([*(categories or ()), value]))
            value = categories.index(value)
        return Cells(np.where(np.isnan(cells.values), value, cells.values), categories)


class Scale(Operation):
    """A number becomes (number - mean) / scale: of mean 0 and variance 1 on the train rows."""

    takes = "number"

    operation: Literal["scale"] = "scale"
    means: tuple[float, ...]
    scales: tuple[PositiveFloat, ...]

    @staticmethod
    def _cells(cells: Cells, mean: float, scale: float) -> Cells:
        with np.errstate(over="ignore"):
            return Cells((cells.values - mean) / scale)


class OneHot(Operation):
    """A text becomes K numbers, one per category: 1 for its own, 0 for others; all 0 for any other text."""

    takes = "text"

    operation: Literal["one_hot"] = "one_hot"
    categories: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...]

    @staticmethod
    def _cells(cells: Cells, categories: Names) -> Cells:
        own = cells.positions(categories)[:, None] == np.arange(len(categories))
        return Cells(own.astype(np.float64))


class ClassIds(Operation):
    """The name of a class becomes its position in the list of classes, counted from 0."""

    takes = "text"

    operation: Literal["class_ids"] = "class_ids"
    classes: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...]

    @staticmethod
    def _cells(cells: Cells, classes: Names) -> Cells:
        return Cells(cells.positions(classes).astype(np.float64))


InputOperation = Annotated[Impute | Scale | OneHot, Field(discriminator="operation")]
TargetOperation = Annotated[Scale | ClassIds, Field(discriminator="operation")]


class Column(Options):
    """A raw column: no operation changes a `symbol`, a whole number, and a `label`, which is 0 or 1."""

    name: str
    type: CellType = "number"


class Preprocessing(Options):
    """Fitted on train rows by `fit`; makes arrays of raw rows, and numbers in the user's units of outputs."""

    inputs: tuple[Column, ...] = Field(min_length=1)
    """in the order of `Data.input_names`"""
    input_operations: tuple[InputOperation, ...] = ()
    targets: tuple[Column, ...]
    target_operations: tuple[TargetOperation, ...] = ()

    @model_validator(mode="after")
    def _operations_fit_their_columns(self) -> Self:
        for columns, operations in (
            (self.inputs, self.input_operations),
            (self.targets, self.target_operations),
        ):
            types: dict[str, str] = {column.name: column.type for column in columns}
            if len(types) < len(columns):
                raise ValueError("two columns have one name")
            for operation in operations:
                for name, *fitted in operation.per_column():
                    takes = operation.takes or ("text" if isinstance(fitted[0], str) else "number")
                    if types.get(name) != takes:
                        raise ValueError(f"{operation.operation} does not take the column {name!r}")
                    types[name] = "number" if operation.takes else takes
            if "text" in types.values():
                raise ValueError("a column of texts is not made into numbers")
        return self

    @cached_property
    def input_names(self) -> Names:
        """The columns that new rows must have."""
        return tuple(column.name for column in self.inputs)

    @cached_property
    def target_names(self) -> Names:
        """The columns that new rows with known targets must have."""
        return tuple(column.name for column in self.targets)

    @cached_property
    def categories(self) -> tuple[Names | None, ...]:
        """The texts seen in train for each input column; None for numbers."""
        one_hot = (one for one in self.input_operations if isinstance(one, OneHot))
        known = {name: categories for one in one_hot for name, categories in one.per_column()}
        return tuple(known.get(name) for name in self.input_names)

    @cached_property
    def classes(self) -> Names | None:
        """Class names in the order of their ids; None when targets are numbers."""
        return next((one.classes[0] for one in self.target_operations if isinstance(one, ClassIds)), None)

    @property
    def multilabel(self) -> bool:
        """Whether targets are several labels."""
        return any(column.type == "label" for column in self.targets)

    @property
    def symbols(self) -> bool:
        """Whether inputs are integer symbols."""
        return self.inputs[0].type == "symbol"

    @property
    def imputed(self) -> bool:
        """Whether missing cells are filled in; otherwise new rows may have none."""
        return any(isinstance(operation, Impute) for operation in self.input_operations)

    @cached_property
    def names(self) -> Names:
        """A name for each network input; a category's is `column=category`."""
        return tuple(
            name if category is None else f"{name}={category}"
            for name, categories in zip(self.input_names, self.categories, strict=True)
            for category in categories or (None,)
        )

    @property
    def width(self) -> int:
        """Columns of the network's inputs."""
        return len(self.names)

    @cached_property
    def input_units(self) -> tuple[Floats, Floats]:
        """`means` and `scales` [width]: a network input times scale plus mean is in the user's units."""
        means, scales = _units(self.inputs, self.input_operations)
        counts = [len(categories or (None,)) for categories in self.categories]
        return np.repeat(means, counts), np.repeat(scales, counts)

    @cached_property
    def target_units(self) -> tuple[Floats, Floats]:
        """`means` and `scales` [K] of the targets, as in `input_units`; 0 and 1 for classes."""
        return _units(self.targets, self.target_operations)

    def transform(self, data: Data, indices: Ints, dtype: DTypeLike) -> Array:
        """The rows at `indices` as the network reads them: [N, width] of `dtype`; symbols are only cast.

        Raises DataError for a number that `dtype` cannot hold, and for other columns than in training.
        """
        _check_names("inputs", data.input_names, self.input_names)
        if self.symbols:
            return np.asarray(data.inputs[indices], dtype)
        result = np.empty((len(indices), self.width), dtype)
        texts = data.categories or (None,) * len(self.inputs)
        size = max(BLOCK_CELLS // len(self.inputs), BLOCK_ROWS)
        for start in range(0, len(indices), size):
            values = np.asarray(data.inputs[indices[start : start + size]], np.float64)
            cells = map(Cells, values.T, texts)
            table = dict(zip(self.input_names, cells, strict=True))
            columns = _replay(table, self.input_operations, result.dtype)
            np.concatenate(columns, axis=1, out=result[start : start + size], casting="same_kind")
        return result

    def transform_targets(self, data: Data, indices: Ints, dtype: DTypeLike = "float64") -> Array:
        """The targets of the rows at `indices`: [N] int64 class ids, or [N, K] float64, scaled if asked for.

        Raises DataError for a number that `dtype` cannot hold, and for other targets than in training.
        """
        _check_names("targets", data.target_names, self.target_names)
        _check_names("classes", data.classes or (), self.classes or ())
        chosen = data.targets[indices]
        if self.classes is not None:
            return np.asarray(chosen, np.int64)
        table = dict(zip(self.target_names, map(Cells, np.asarray(chosen, np.float64).T), strict=True))
        return np.concatenate(_replay(table, self.target_operations, np.dtype(dtype)), axis=1)

    def restore(self, outputs: Array) -> Array:
        """Outputs [N, K] for numeric targets back in the user's units, float64; class outputs as they are."""
        if self.classes is not None:
            return outputs
        means, scales = self.target_units
        return np.asarray(outputs, np.float64) * scales + means

    def unseen(self, data: Data, indices: Ints, rows: str) -> Iterator[str]:
        """A warning for each column with categories in these rows (such as "dev rows") that train lacks."""
        for index, (name, seen) in enumerate(zip(self.input_names, self.categories, strict=True)):
            known = data.categories[index] if data.categories is not None else None
            if known is None:
                continue
            values = data.inputs[indices, index]
            new = (Cells(values, known).positions(seen or ()) < 0) & ~np.isnan(values)
            met = sorted({known[int(k)] for k in np.unique(values[new])})
            if met:
                count = int(new.sum())
                named = ", ".join(shown(text) for text in met[:NAMED]) + (", ..." if len(met) > NAMED else "")
                what = f"{count} of {len(values)} {rows} {'holds' if count == 1 else 'hold'} categories"
                yield f"column {shown(name)}: {what} not seen during training ({named}), encoded as all zeros"

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values; `json.dumps` writes floats so that they read back exactly."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The preprocessing that `to_json` gave, or that a checkpoint of version 1 holds.

        Raises CheckpointError for anything else.
        """
        try:
            with defer_interrupts():
                if "target_columns" in values:
                    return _from_version_1(values)
                return cls.model_validate_json(json.dumps(values))
        except (ValidationError, TypeError, ValueError, LookupError) as error:
            what = "the stored preprocessing is damaged"
            raise CheckpointError("checkpoint", what, "use another checkpoint of the run") from error


def _from_version_1(values: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing in checkpoints of version 1, which have a record for each column."""
    columns, targets, classes = values["columns"], values["target_columns"], values["classes"]
    texts = {one["name"]: tuple(one["categories"]) for one in columns if one["categories"] is not None}
    filled = {
        one["name"]: (texts[one["name"]][one["frequent"]] if one["name"] in texts else one["fill"],)
        for one in columns
        if values["imputed"] and not values["symbols"]
    }
    scaled, scaled_targets = (
        {one["name"]: (one["mean"], one["scale"]) for one in some if (one["mean"], one["scale"]) != (0, 1)}
        for some in (columns, targets)
    )
    number: CellType = "symbol" if values["symbols"] else "number"
    return _assembled(
        {one["name"]: "text" if one["name"] in texts else number for one in columns},
        (*Impute.of(filled), *Scale.of(scaled), *OneHot.of({name: (one,) for name, one in texts.items()})),
        tuple(one["name"] for one in targets),
        None if classes is None else tuple(classes),
        scaled_targets,
    )


def _assembled(
    inputs: Mapping[str, CellType],
    input_operations: tuple[InputOperation, ...],
    targets: Names,
    classes: Names | None,
    scaled: Mapping[str, tuple[float, float]],
    *,
    multilabel: bool = False,
) -> Preprocessing:
    """The preprocessing with the operations on targets: classes to ids, and numbers scaled."""
    target: CellType = "label" if multilabel else "number" if classes is None else "text"
    ids = {} if classes is None else dict.fromkeys(targets, (classes,))
    return Preprocessing(
        inputs=tuple(Column(name=name, type=cell_type) for name, cell_type in inputs.items()),
        input_operations=input_operations,
        targets=tuple(Column(name=name, type=target) for name in targets),
        target_operations=(*ClassIds.of(ids), *Scale.of({} if ids else scaled)),
    )


def _check_names(what: str, names: Names, expected: Names) -> None:
    # a table may have changed since the training: its class 0 could be another one now
    if names != expected:
        was, now = (", ".join(some[:10]) or "none" for some in (expected, names))
        remedy = f"expected those of the training: {was}; bring the rows by --data, or train again"
        raise DataError("dataset", f"its {what} are now {now}", remedy)


def _units(columns: Sequence[Column], operations: Sequence[Operation]) -> tuple[Floats, Floats]:
    scalers = (one for one in operations if isinstance(one, Scale))
    known = {name: units for one in scalers for name, *units in one.per_column()}
    units = np.array([known.get(column.name, (0.0, 1.0)) for column in columns]).reshape(-1, 2)
    return units[:, 0], units[:, 1]


def _replay(table: dict[str, Cells], operations: Sequence[Operation], dtype: np.dtype[Any]) -> list[Floats]:
    """[N, K] numbers of each column. Raises DataError where `dtype` cannot hold one of them."""
    raw = table
    for operation in operations:
        table = operation.apply(table)
        raw = table if isinstance(operation, Impute) else raw
    for name, cells in table.items():
        with np.errstate(over="ignore"):
            finite = np.isfinite(cells.values.astype(dtype, copy=False))
        if not finite.all():
            what = f"column {name!r} is {raw[name].values[~finite][0]:g}, which {dtype} cannot hold"
            raise DataError("dataset", what, "give it in a larger unit, or set training.dtype to float64")
    return [values if values.ndim == 2 else values[:, None] for values, _ in table.values()]


def fit(
    data: Data,
    train_indices: Ints,
    *,
    standardize: bool,
    standardize_targets: bool | None = None,
    symbols: bool | None = None,
) -> Preprocessing:
    """Fit the operations that these rows call for; numbers are scaled with `standardize`.

    Numeric targets follow `standardize` unless `standardize_targets` says otherwise. `symbols` says whether
    integer inputs are symbols rather than numbers; they are unless it says no. Raises DataError when a column
    has no value in these rows, or its numbers are too large to add up.
    """
    for names in (data.input_names, data.target_names):
        twice = repeated(names)
        if twice is not None:
            raise DataError("dataset", f"two columns are called {shown(twice)}", "give each its own name")
    are_symbols = np.issubdtype(data.inputs.dtype, np.integer) and symbols is not False
    number: CellType = "symbol" if are_symbols else "number"
    categories = dict(zip(data.input_names, data.categories or (None,) * len(data.input_names), strict=True))
    scaled: dict[str, tuple[float, float]] = {}
    if not data.multilabel and (standardize if standardize_targets is None else standardize_targets):
        values = np.asarray(data.targets[train_indices], np.float64)
        for k, name in enumerate(data.target_names if data.classes is None else ()):
            scaled[name] = _mean_and_scale(name, values[:, k], len(values), standardize=True)
    return _assembled(
        {name: number if texts is None else "text" for name, texts in categories.items()},
        () if are_symbols else _fit_inputs(data, train_indices, categories, standardize=standardize),
        data.target_names,
        data.classes,
        scaled,
        multilabel=data.multilabel,
    )


def _fit_inputs(
    data: Data, rows: Ints, categories: Mapping[str, Names | None], *, standardize: bool
) -> tuple[InputOperation, ...]:
    """The operations on input columns, fitted to these rows."""
    filled: dict[str, tuple[float | str]] = {}
    scaled: dict[str, tuple[float, float]] = {}
    texts: dict[str, tuple[Names]] = {}
    for index, (name, known) in enumerate(categories.items()):
        values = np.asarray(data.inputs[rows, index], np.float64)
        present = values[~np.isnan(values)]
        if not present.size:
            what = f"column {name!r} has no value in any train row"
            remedy = "leave it out by dataset.features, or divide the rows differently"
            raise DataError("dataset", what, remedy)
        if known is not None:
            tally = np.bincount(present.astype(np.int64), minlength=len(known))
            texts[name] = (tuple(known[k] for k in np.flatnonzero(tally)),)
            filled[name] = (known[int(tally.argmax())],)  # the first among equals, as in scikit-learn
        elif standardize or data.imputed:
            scaled[name] = _mean_and_scale(name, present, len(values), standardize=standardize)
            filled[name] = scaled[name][:1]
    return (
        *Impute.of(filled if data.imputed else {}),
        *Scale.of(scaled if standardize else {}),
        *OneHot.of(texts),
    )


def _mean_and_scale(name: str, values: Floats, rows: int, *, standardize: bool) -> tuple[float, float]:
    """Mean and standard deviation of a column of `rows` cells, `values` being those that are not missing.

    Missing cells are filled with the mean: they add nothing to the variance but count as rows.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        # rounding may move the mean of equal numbers off them, and a constant feature must become exactly 0
        first = float(values[0])
        mean = first if bool((values == first).all()) else float(values.mean())
        variance = float(np.square(values - mean).sum()) / rows if standardize else 0.0
    if not (np.isfinite(mean) and np.isfinite(variance)):
        raise DataError(f"column {name!r}", "its numbers are too large to add up", "give it in a larger unit")
    # scikit-learn's rule: a deviation that is nothing but rounding is none
    eps, deviation = float(np.finfo(np.float64).eps), math.sqrt(variance)
    is_rounding = deviation * math.sqrt(max(1 - rows * eps, 0)) <= abs(rows * eps * mean)
    return mean, 1.0 if is_rounding else deviation
