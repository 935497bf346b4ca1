"""The operations of a preprocessing, which are declared with their fitted numbers."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun.parts.data import Cells, Operation, Trace, Traces
from mlprun.parts.part import PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from mlprun.parts.data import Floats, Names


class Indicator(Operation):
    """A column `NAME missing` follows the column: 1 where the cell is missing, 0 elsewhere."""

    takes = ("number", "text", "date")

    operation: Literal["indicator"] = "indicator"

    @classmethod
    def replaced(cls, name: str, cells: Cells, *fitted: Any) -> dict[str, Cells]:
        return {name: cells, f"{name} missing": Cells(np.isnan(cells.values).astype(np.float64))}

    @classmethod
    def traced(cls, name: str, trace: Trace, *fitted: Any) -> Traces:
        flag = f"{name} missing"
        return {name: trace, flag: Trace(trace.source, "number", (flag,))}

    @classmethod
    def summary(cls, *fitted: Any) -> str:
        return "missing indicator"


class Impute(Operation):
    """Missing cells become a number, or a text that need not be among the other cells'."""

    takes = ("number", "text", "date")

    operation: Literal["impute"] = "impute"
    values: tuple[float | str, ...]

    @classmethod
    def cells(cls, cells: Cells, *fitted: Any) -> Cells:
        categories, (value,) = cells.categories, fitted
        if isinstance(value, str):
            categories = tuple(dict.fromkeys([*(categories or ()), value]))
            value = categories.index(value)
        return Cells(np.where(np.isnan(cells.values), value, cells.values), categories)

    @classmethod
    def traced(cls, name: str, trace: Trace, *fitted: Any) -> Traces:
        if isinstance(fitted[0], str) != (trace.type == "text"):
            raise ValueError(f"{fitted[0]!r} cannot be a cell of the column {name!r}")
        return {name: trace}

    @classmethod
    def summary(cls, *fitted: Any) -> str:
        return f"missing = {number_text(fitted[0])}"


class GroupRare(Operation):
    """A text that is not among K categories, such as the `rare` ones of the train rows, becomes another."""

    takes = ("text",)

    operation: Literal["group_rare"] = "group_rare"
    categories: tuple[tuple[str, ...], ...]
    rare: tuple[tuple[str, ...], ...]
    others: tuple[str, ...]

    @classmethod
    def cells(cls, cells: Cells, *fitted: Any) -> Cells:
        kept, _, other = fitted
        positions = cells.positions(kept)
        values = np.where(positions < 0, len(kept), positions)
        return Cells(np.where(np.isnan(cells.values), np.nan, values), (*kept, other))

    @classmethod
    def summary(cls, *fitted: Any) -> str:
        return f"{len(fitted[1])} rare categories = {fitted[2]}"


class Encoder(Operation):
    """Base of what turns a text with K categories into numbers, by default into its position in them."""

    takes, gives = ("text",), "number"
    unseen: ClassVar[str]
    """what any other text becomes"""

    categories: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...]

    @classmethod
    def cells(cls, cells: Cells, *fitted: Any) -> Cells:
        return Cells(cells.positions(fitted[0]).astype(np.float64))


class OneHot(Encoder):
    """A text becomes K numbers, one per category: 1 for its own, 0 for others; all 0 for any other text."""

    unseen = "all zeros"

    operation: Literal["one_hot"] = "one_hot"

    @classmethod
    def cells(cls, cells: Cells, *fitted: Any) -> Cells:
        positions = cells.positions(fitted[0])
        known = np.flatnonzero(positions >= 0)
        own = np.zeros((len(positions), len(fitted[0])))  # a third of the time of a comparison
        own[known, positions[known]] = 1.0
        return Cells(own)

    @classmethod
    def names(cls, name: str, *fitted: Any) -> Names:
        return tuple(f"{name}={category}" for category in fitted[0])

    @classmethod
    def summary(cls, *fitted: Any) -> str:
        return f"one-hot of {len(fitted[0])} categories"


class Ordinal(Encoder):
    """A text becomes its position in the categories, counted from 0; -1 for any other text."""

    unseen = "-1"
    suffix = "ordinal"

    operation: Literal["ordinal"] = "ordinal"

    @classmethod
    def summary(cls, *fitted: Any) -> str:
        return f"position in {len(fitted[0])} categories"


class Embed(Encoder):
    """A text becomes its position in the categories, -1 for any other text, which the network embeds."""

    unseen = "zeros"
    suffix = "code"

    operation: Literal["embed"] = "embed"
    dims: tuple[PositiveInt, ...]
    """numbers that the network makes of each column's code"""

    @classmethod
    def summary(cls, *fitted: Any) -> str:
        return f"embedding of {len(fitted[0])} categories in {fitted[1]}"


class TargetEncode(Encoder):
    """A text becomes C numbers: the smoothed means of the targets in the train rows of its category.

    Targets are numbers as the loss reads them, class 1 of two as 0 and 1, or one-hot classes; `labels` tells
    which. Any other text becomes the means over all train rows. Train rows themselves are encoded by the
    train rows of other folds, see `fitting.cross_fitted`.
    Source: Micci-Barreca (2001), doi.org/10.1145/507533.507538
    """

    unseen = "the mean of the target"

    operation: Literal["target_encode"] = "target_encode"
    means: tuple[tuple[tuple[float, ...], ...], ...]
    """[K, C] for each column"""
    default_means: tuple[tuple[float, ...], ...]
    """[C] for each column"""
    labels: tuple[tuple[str, ...], ...]

    @classmethod
    def cells(cls, cells: Cells, *fitted: Any) -> Cells:
        categories, means, default, _ = fitted
        return Cells(np.array([*means, default])[cells.positions(categories)])  # -1 is the last of them

    @classmethod
    def names(cls, name: str, *fitted: Any) -> Names:
        categories, means, default, labels = fitted
        if len(means) != len(categories) or any(len(row) != len(labels) for row in (*means, default)):
            raise ValueError("means do not fit the categories")
        return tuple(f"{name} mean of {label}" for label in labels)

    @classmethod
    def summary(cls, *fitted: Any) -> str:
        return f"target means of {len(fitted[0])} categories, cross-fitted on train rows"


PERIODS = {"month": 12, "weekday": 7, "day of year": 365.25}
"""of the parts of a date that recur"""
DATE_PARTS = ("year", *(f"{part} {function}" for part in PERIODS for function in ("sin", "cos")), "days")
_EPOCH = date(1970, 1, 1).toordinal()


class DateParts(Operation):
    """A date becomes eight columns: year, sines and cosines of month, weekday and day of the year, and days.

    The angles are 2π times (month - 1) / 12, the weekday from Monday / 7, and (day of the year - 1) / 365.25;
    `NAME days` counts from the first train date.
    """

    takes = ("date",)

    operation: Literal["date_parts"] = "date_parts"
    first: tuple[float, ...]

    @staticmethod
    def years(values: Floats) -> Floats:
        """[N] the years of days since 1970-01-01, none of them missing."""
        days = np.floor(values).astype(np.int64).astype("datetime64[D]")
        return days.astype("datetime64[Y]").astype(np.float64) + 1970

    @classmethod
    def replaced(cls, name: str, cells: Cells, *fitted: Any) -> dict[str, Cells]:
        missing = np.isnan(cells.values)
        days = np.floor(np.where(missing, 0.0, cells.values)).astype(np.int64).astype("datetime64[D]")
        months, years = days.astype("datetime64[M]"), days.astype("datetime64[Y]")
        month = (months.astype(np.int64)) % 12
        day = (days - years.astype("datetime64[D]")).astype(np.int64)
        weekday = (days.astype(np.int64) + 3) % 7
        columns = [years.astype(np.float64) + 1970]
        for numbers, period in zip((month, weekday, day), PERIODS.values(), strict=True):
            angles = 2 * np.pi * (np.arange(math.ceil(period)) / period)  # few, which all rows share
            columns += [np.sin(angles)[numbers], np.cos(angles)[numbers]]
        columns.append(cells.values - fitted[0])
        if missing.any():
            columns = [np.where(missing, np.nan, one) for one in columns]
        return {f"{name} {part}": Cells(one) for part, one in zip(DATE_PARTS, columns, strict=True)}

    @classmethod
    def traced(cls, name: str, trace: Trace, *fitted: Any) -> Traces:
        parts = (f"{name} {part}" for part in DATE_PARTS)
        return {part: Trace(trace.source, "number", (part,)) for part in parts}

    @classmethod
    def summary(cls, *fitted: Any) -> str:
        return f"date parts, first {date_text(fitted[0])}"


INVERSES = {"log": "exp", "log1p": "expm1", "sqrt": "square"}
"""functions of numbers and their inverses, as NumPy calls them"""


class Function(Operation):
    """A number becomes the value of a function of it."""

    operation: Literal["function"] = "function"
    functions: tuple[Literal["log", "log1p", "sqrt"], ...]

    @classmethod
    def cells(cls, cells: Cells, *fitted: Any) -> Cells:
        with np.errstate(divide="ignore", invalid="ignore"):
            return Cells(getattr(np, fitted[0])(cells.values))

    @classmethod
    def inverse(cls, values: Floats, *fitted: Any) -> Floats:
        """The numbers that the function has these values of; a negative root is one of 0."""
        values = np.maximum(values, 0.0) if fitted[0] == "sqrt" else values
        return np.asarray(getattr(np, INVERSES[fitted[0]])(values))

    @classmethod
    def names(cls, name: str, *fitted: Any) -> Names:
        return (f"{name} {fitted[0]}",)

    @classmethod
    def summary(cls, *fitted: Any) -> str:
        return f"{fitted[0]}(x)"


class Quantile(Operation):
    """A number becomes its quantile in the train rows, from 0 to 1, by linear interpolation between some.

    `quantiles` are those at evenly spaced levels. As in scikit-learn's QuantileTransformer, a number that
    several of them equal gets the mean of their levels.
    """

    suffix = "quantile"

    operation: Literal["quantile"] = "quantile"
    quantiles: tuple[Annotated[tuple[float, ...], Field(min_length=2)], ...]

    @classmethod
    def cells(cls, cells: Cells, *fitted: Any) -> Cells:
        known, levels = np.array(fitted[0]), np.linspace(0, 1, len(fitted[0]))
        upper = np.interp(cells.values, known, levels)
        lower = -np.interp(-cells.values, -known[::-1], -levels[::-1])
        found = np.where(cells.values == known[-1], 1.0, (upper + lower) / 2)
        return Cells(np.where(cells.values == known[0], 0.0, found))

    @classmethod
    def inverse(cls, values: Floats, *fitted: Any) -> Floats:
        """The numbers at these quantiles."""
        return np.asarray(np.interp(values, np.linspace(0, 1, len(fitted[0])), fitted[0]))

    @classmethod
    def summary(cls, *fitted: Any) -> str:
        low, high = number_text(fitted[0][0]), number_text(fitted[0][-1])
        return f"quantile of x by {len(fitted[0])} from {low} to {high}"


class Scale(Operation):
    """A number becomes (number - mean) / scale: by default of mean 0 and variance 1 on the train rows."""

    operation: Literal["scale"] = "scale"
    means: tuple[float, ...]
    scales: tuple[PositiveFloat, ...]

    @classmethod
    def cells(cls, cells: Cells, *fitted: Any) -> Cells:
        mean, scale = fitted
        with np.errstate(over="ignore"):
            return Cells((cells.values - mean) / scale)

    @classmethod
    def traced(cls, name: str, trace: Trace, *fitted: Any) -> Traces:
        return {name: trace._replace(mean=fitted[0], scale=fitted[1])}

    @classmethod
    def summary(cls, *fitted: Any) -> str:
        return f"(x - {number_text(fitted[0])}) / {number_text(fitted[1])}"


class ClassIds(Operation):
    """The name of a class becomes its position in the list of classes, counted from 0."""

    takes, gives = ("text",), "number"

    operation: Literal["class_ids"] = "class_ids"
    classes: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...]

    @classmethod
    def cells(cls, cells: Cells, *fitted: Any) -> Cells:
        return Cells(cells.positions(fitted[0]).astype(np.float64))

    @classmethod
    def summary(cls, *fitted: Any) -> str:
        return f"position in {len(fitted[0])} classes"


def number_text(value: float | str) -> str:
    """A fitted number in four significant digits, or a text as it is."""
    return value if isinstance(value, str) else f"{value:.4g}"


def date_text(days: float) -> str:
    """The date at some days since 1970-01-01, such as 2024-01-31."""
    day = _EPOCH + math.floor(days)
    return str(date.fromordinal(day)) if 1 <= day <= date.max.toordinal() else f"day {days:g}"


InputOperation = Annotated[
    Indicator
    | Impute
    | GroupRare
    | Ordinal
    | DateParts
    | Function
    | Quantile
    | Scale
    | OneHot
    | Embed
    | TargetEncode,
    Field(discriminator="operation"),
]
TargetOperation = Annotated[Function | Quantile | Scale | ClassIds, Field(discriminator="operation")]
