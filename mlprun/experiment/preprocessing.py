"""What is learnt from train rows, so that any rows become inputs, and outputs numbers in the user's units.

Categories become one column each (`colour=red`), missing cells the train mean or the most frequent category,
numbers are brought to mean 0 and variance 1. It is kept in the checkpoint as JSON and is enough to read new
rows.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from mlprun import interrupts
from mlprun.errors import CheckpointError, DataError
from mlprun.parts.datasets.table.source import shown
from mlprun.parts.part import NonNegativeInt, Options, PositiveFloat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

    from mlprun.parts.datasets.dataset import Data

# rows are prepared in blocks, so that no second matrix of all rows stands beside the result
BLOCK = 65536

NAMED = 3
"""categories that a warning names, at most"""


class Column(Options):
    """What is known of one input or target column."""

    name: str
    categories: tuple[str, ...] | None = Field(None, min_length=1)
    """the category names met in train; None for numbers"""
    fill: float | None = None
    """what a missing number becomes; None where none may be missing"""
    frequent: NonNegativeInt = 0
    """which category a missing cell becomes"""
    mean: float = 0.0
    scale: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _frequent_is_a_category(self) -> Self:
        if self.frequent >= len(self.categories or (None,)):
            raise ValueError("frequent is the number of a category")
        return self

    @property
    def width(self) -> int:
        """How many network inputs the column becomes."""
        return 1 if self.categories is None else len(self.categories)


class Preprocessing(Options):
    """Fitted on train rows by `fit`; makes arrays of raw rows, and numbers in user's units of outputs."""

    columns: tuple[Column, ...] = Field(min_length=1)
    """the inputs, in the order of `Data.input_names`"""
    target_columns: tuple[Column, ...]
    classes: tuple[str, ...] | None = None
    """class names in the order of their ids; None when targets are numbers"""
    symbols: bool = False
    """inputs are integer symbols, which are never standardised"""
    imputed: bool = False
    """missing cells are filled in; otherwise new rows may have none"""

    @property
    def input_names(self) -> tuple[str, ...]:
        """The columns that new rows must have."""
        return tuple(column.name for column in self.columns)

    @property
    def target_names(self) -> tuple[str, ...]:
        """The columns that new rows with known targets must have."""
        return tuple(column.name for column in self.target_columns)

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each network input; a category's is `column=category`."""
        return tuple(
            column.name if category is None else f"{column.name}={category}"
            for column in self.columns
            for category in column.categories or (None,)
        )

    @property
    def width(self) -> int:
        """Columns of the network's inputs."""
        return sum(column.width for column in self.columns)

    def inputs(self, data: Data, indices: NDArray[np.int64], dtype: DTypeLike) -> NDArray[Any]:
        """The chosen rows as the network reads them: [N, width] of `dtype`.

        Everything is computed in float64 and then rounded to `dtype`; symbols are only cast. A category
        unknown in train is all zeros. Raises DataError for a number that `dtype` cannot hold and for
        other columns than those of the training.
        """
        self._check_names("inputs", data.input_names, self.input_names)
        if self.symbols:
            return np.asarray(data.inputs[indices], dtype)
        result = np.zeros((len(indices), self.width), dtype)
        for start in range(0, len(indices), BLOCK):
            rows = slice(start, start + BLOCK)
            self._fill(result[rows], np.asarray(data.inputs[indices[rows]], np.float64), data)
        return result

    def targets(self, data: Data, indices: NDArray[np.int64], dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """The chosen rows' targets: [N] int64 class ids, or [N, K] float64, standardised if asked for.

        Raises DataError for a number that `dtype` cannot hold and for other targets than those of the
        training.
        """
        self._check_names("targets", data.target_names, self.target_names)
        self._check_names("classes", data.classes or (), self.classes or ())
        chosen = data.targets[indices]
        if self.classes is not None:
            return np.asarray(chosen, np.int64)
        numbers = np.asarray(chosen, np.float64)
        result: NDArray[np.float64] = (numbers - self._means) / self._scales
        for k, column in enumerate(self.target_columns):
            _rounded(result[:, k], numbers[:, k], column.name, np.dtype(dtype))
        return result

    def restore(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Outputs [N, K] for numeric targets back in the user's units, float64; class outputs as they are."""
        if self.classes is not None:
            return outputs
        return np.asarray(outputs, np.float64) * self._scales + self._means

    def unseen(self, data: Data, indices: NDArray[np.int64], rows: str) -> Iterator[str]:
        """A warning for each column with categories in these rows (such as "dev rows") that train lacks."""
        for index, column in enumerate(self.columns):
            known = data.categories[index] if data.categories is not None else None
            new = [k for k, name in enumerate(known or ()) if name not in (column.categories or ())]
            if known is None or not new:
                continue
            values = data.inputs[indices, index]
            met = sorted({known[int(k)] for k in np.unique(values[np.isin(values, new)])})
            if met:
                count = int(np.isin(values, new).sum())
                named = ", ".join(shown(name) for name in met[:NAMED]) + (", ..." if len(met) > NAMED else "")
                what = f"{count} of {len(values)} {rows} {'holds' if count == 1 else 'hold'} categories"
                what = f"{what} that training did not meet ({named}), encoded as all zeros"
                yield f"column {shown(column.name)}: {what}"

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values; `json.dumps` writes floats so that they read back exactly."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Preprocessing:
        """The preprocessing that `to_json` gave. Raises CheckpointError for anything else."""
        try:
            with interrupts.defer_interrupts():
                return cls.model_validate_json(json.dumps(values))
        except (ValidationError, TypeError, ValueError) as error:
            what = "the stored preprocessing is damaged"
            raise CheckpointError("checkpoint", what, "use another checkpoint of the run") from error

    @staticmethod
    def _check_names(what: str, found: tuple[str, ...], known: tuple[str, ...]) -> None:
        # a table may have changed since the training: its class 0 could be another one now
        if found != known:
            was, now = (", ".join(names[:10]) or "none" for names in (known, found))
            remedy = f"expected those of the training: {was}; bring the rows by --data, or train again"
            raise DataError("dataset", f"its {what} are now {now}", remedy)

    @property
    def _means(self) -> NDArray[np.float64]:
        return np.array([column.mean for column in self.target_columns])

    @property
    def _scales(self) -> NDArray[np.float64]:
        return np.array([column.scale for column in self.target_columns])

    def _fill(self, result: NDArray[Any], raw: NDArray[np.float64], data: Data) -> None:
        """Write one block of network inputs; `raw` is [B, D] and overwritten."""
        at = 0
        for index, column in enumerate(self.columns):
            values = raw[:, index]
            if column.categories is None:
                result[:, at] = _scaled(values, column, result.dtype)
            else:
                known = data.categories[index] if data.categories is not None else None
                _one_hot(result[:, at : at + column.width], values, column, known or ())
            at += column.width


def fit(
    data: Data,
    train_indices: NDArray[np.int64],
    *,
    standardize: bool,
    standardize_targets: bool | None = None,
    symbols: bool | None = None,
) -> Preprocessing:
    """What these rows teach: categories, values for missing cells and, with `standardize`, means and scales.

    Numeric targets follow `standardize` unless `standardize_targets` says otherwise. `symbols` says whether
    integer inputs are symbols rather than numbers; they are unless it says no. Raises DataError when a column
    has no value in these rows, or its numbers are too large to add up.
    """
    symbols = np.issubdtype(data.inputs.dtype, np.integer) and symbols is not False
    known = data.categories or (None,) * len(data.input_names)
    columns = []
    for index, (name, categories) in enumerate(zip(data.input_names, known, strict=True)):
        if symbols:
            columns.append(Column(name=name))
            continue
        values = np.asarray(data.inputs[train_indices, index], np.float64)
        if categories is None:
            columns.append(_of_numbers(name, values, standardize=standardize, imputed=data.imputed))
        else:
            columns.append(_of_categories(name, values, categories))
    return Preprocessing(
        columns=tuple(columns),
        target_columns=_of_targets(
            data,
            train_indices,
            standardize=standardize if standardize_targets is None else standardize_targets,
        ),
        classes=data.classes,
        symbols=symbols,
        imputed=data.imputed,
    )


def _of_targets(data: Data, rows: NDArray[np.int64], *, standardize: bool) -> tuple[Column, ...]:
    if data.classes is not None or not standardize:
        return tuple(Column(name=name) for name in data.target_names)
    values = np.asarray(data.targets[rows], np.float64)
    return tuple(
        _of_numbers(name, values[:, k], standardize=True, imputed=False)
        for k, name in enumerate(data.target_names)
    )


def _of_categories(name: str, values: NDArray[np.float64], categories: tuple[str, ...]) -> Column:
    ids = values[~np.isnan(values)].astype(np.int64)
    if not ids.size:
        raise _no_values(name)
    tally = np.bincount(ids, minlength=len(categories))
    seen = np.flatnonzero(tally)
    return Column(
        name=name,
        categories=tuple(categories[k] for k in seen),
        frequent=int(tally[seen].argmax()),  # the first among equals, as in scikit-learn
    )


def _of_numbers(name: str, values: NDArray[np.float64], *, standardize: bool, imputed: bool) -> Column:
    missing = np.isnan(values)
    present = values[~missing] if missing.any() else values
    if not present.size:
        raise _no_values(name)
    if not (standardize or imputed):
        return Column(name=name)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = _mean(present)
        # missing cells are filled with the mean: they add nothing to the variance but count as rows
        variance = float(np.square(present - mean).sum()) / len(values) if standardize else 0.0
    if not (np.isfinite(mean) and np.isfinite(variance)):
        raise DataError(f"column {name!r}", "its numbers are too large to add up", "give it in a larger unit")
    fill = mean if imputed else None
    if not standardize:
        return Column(name=name, fill=fill)
    return Column(name=name, fill=fill, mean=mean, scale=_scale(mean, variance, len(values)))


def _mean(values: NDArray[np.float64]) -> float:
    # rounding may move the mean of equal numbers off them, and a constant feature must become exactly 0
    first = float(values[0])
    return first if bool((values == first).all()) else float(values.mean())


def _scale(mean: float, variance: float, rows: int) -> float:
    """The standard deviation, or 1 where it is nothing but rounding (scikit-learn's rule)."""
    eps = float(np.finfo(np.float64).eps)
    deviation = math.sqrt(variance)
    return 1.0 if deviation * math.sqrt(max(1 - rows * eps, 0)) <= abs(rows * eps * mean) else deviation


def _no_values(name: str) -> DataError:
    what = f"column {name!r} has no value in any train row"
    return DataError("dataset", what, "leave it out by dataset.features, or divide the rows differently")


def _scaled(values: NDArray[np.float64], column: Column, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers of one column, missing ones filled, standardised and rounded; `values` is overwritten."""
    if column.fill is not None:
        values[np.isnan(values)] = column.fill
    if column.mean == 0 and column.scale == 1:  # as where nothing is standardised
        return _rounded(values, values, column.name, dtype)
    with np.errstate(over="ignore"):
        result = (values - column.mean) / column.scale
    return _rounded(result, values, column.name, dtype)


def _rounded(
    result: NDArray[np.float64], values: NDArray[np.float64], name: str, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """`result` in `dtype`. Raises DataError where it cannot hold what became of one of `values`."""
    with np.errstate(over="ignore"):
        rounded = result.astype(dtype)
    if not np.isfinite(rounded).all():
        worst = values[~np.isfinite(rounded)][0]
        what = f"column {name!r} is {worst:g}, which {dtype} cannot hold"
        raise DataError("dataset", what, "give it in a larger unit, or set training.dtype to float64")
    return rounded


def _one_hot(
    result: NDArray[Any], values: NDArray[np.float64], column: Column, known: tuple[str, ...]
) -> None:
    """Set the 1s of one categorical column; `known` names the ids in `values`."""
    assert column.categories is not None
    places = {category: place for place, category in enumerate(column.categories)}
    # one entry more than there are ids: what a missing cell becomes
    lookup = np.array([places.get(category, -1) for category in known] + [column.frequent])
    ids = np.where(np.isnan(values), len(known), values).astype(np.int64)
    place = lookup[ids]
    rows = np.flatnonzero(place >= 0)
    result[rows, place[rows]] = 1
