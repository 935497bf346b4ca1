"""What the cells of a column are: numbers, categories or class labels; a stray cell is named with its row."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import numpy as np

from mlprun.parts.datasets.table.delimited import MISSING, decimal_comma
from mlprun.parts.datasets.table.source import Place, shown

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

CATEGORIES = 100
"""categories that a feature may have"""

CLASSES = 1000
"""classes that a target may have"""

FEW = 20
"""distinct whole numbers that are still taken for class labels"""

LEAVE_OUT = "leave the column out by dataset.features"

_DATE = r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([ T].*)?$"


def settle(series: pl.Series, place: Place, *, may_be_empty: bool = False) -> pl.Series:
    """The column as booleans, numbers or stripped text, with null for every missing cell.

    Text becomes booleans where all of it is true or false in any case, numbers where all of it is numbers.
    Raises DataError for dates, nested values and, unless it may be empty, a column without any value.
    """
    import polars as pl

    kind, name = series.dtype, series.name
    if kind.is_temporal():
        _refuse_dates(name, place)
    if isinstance(kind, pl.Categorical | pl.Enum | pl.String):
        series = _of_text(stripped(series))
    elif kind.is_float():
        series = series.cast(pl.Float64).fill_nan(None)
    elif kind.is_decimal():
        series = series.cast(pl.Float64)
    elif not (kind.is_integer() or kind in (pl.Boolean, pl.Null)):
        what = f"column {shown(name)} holds {str(kind).partition('(')[0].lower()} values"
        raise place.source.error("", what, "expected numbers or text")
    if series.null_count() == len(series) and not may_be_empty:
        raise place.source.error("", f"column {shown(name)} has no value in any row", LEAVE_OUT)
    return series


def numbers(series: pl.Series, place: Place, *, unit: str = "a number") -> NDArray[np.float64]:
    """A settled column as numbers, NaN for missing cells, booleans as 0 and 1.

    Raises DataError for the first cell that is no number or infinite.
    """
    import polars as pl

    values = series.cast(pl.Float64, strict=False)
    if series.dtype == pl.String:
        _refuse_cell(series, values.is_null() & series.is_not_null(), place, unit)
    infinite = values.is_infinite()
    if infinite.any():
        row = int(infinite.arg_max() or 0)
        raise place.error(row, f"column {shown(series.name)} is infinite", "expected a finite number")
    return values.to_numpy().astype(np.float64, copy=False)


def feature(series: pl.Series, place: Place) -> tuple[NDArray[np.float64], tuple[str, ...] | None]:
    """A feature's cells as numbers, or as indices into its sorted categories; NaN for missing cells."""
    import polars as pl

    series = settle(series, place)
    if series.dtype != pl.String or _mostly_numbers(series):
        return numbers(series, place), None
    _refuse_unreadable(series, place)
    categories = distinct(series)
    if len(categories) > CATEGORIES:
        what = f"column {shown(series.name)} has {len(categories)} categories, such as {shown(categories[0])}"
        raise place.source.error("", what, f"expected at most {CATEGORIES} categories; {LEAVE_OUT}")
    return codes(series, categories), categories


def distinct(series: pl.Series) -> tuple[str, ...]:
    """The different texts of a column, sorted by code point."""
    return tuple(sorted(series.drop_nulls().unique().to_list()))


def codes(series: pl.Series, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Each text's index in `names`, NaN for a missing cell or a text that is not among them."""
    import polars as pl

    indices = list(range(len(names)))
    found = series.replace_strict(list(names), indices, default=None, return_dtype=pl.Float64)
    return found.to_numpy().astype(np.float64, copy=False)


def texts(series: pl.Series) -> pl.Series:
    """A settled column as text: whole numbers without a decimal point, booleans as true and false."""
    import polars as pl

    if series.dtype == pl.Boolean:
        return series.cast(pl.Int64).replace_strict([0, 1], ["false", "true"], return_dtype=pl.String)
    if series.dtype.is_numeric():
        values = series.unique().drop_nulls()
        return series.replace_strict(values, [number_name(v) for v in values], return_dtype=pl.String)
    return series


def is_few_integers(series: pl.Series) -> bool:
    """Whether a settled column looks like class labels.

    It does when its numbers are whole, at most 20 different ones, and each stands in two rows on average.
    """
    import polars as pl

    if not series.dtype.is_numeric():
        return False
    present = series.drop_nulls()
    if present.dtype.is_float():
        with np.errstate(invalid="ignore"):
            if not bool(((present % 1) == 0).all()):
                return False
        present = present.cast(pl.Float64)
    count = present.n_unique()
    return count <= FEW and 2 * count <= len(present)


def classes(series: pl.Series, place: Place) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class ids and names of a settled column; names are sorted, as numbers where they are numbers."""
    import polars as pl

    if series.dtype == pl.String:
        _refuse_unreadable(series, place)
        names = distinct(series)
    elif series.dtype == pl.Boolean:
        names = distinct(texts(series))
    else:
        names = tuple(number_name(value) for value in series.drop_nulls().unique().sort())
    if len(names) > CLASSES:
        what = f"column {shown(series.name)} has {len(names)} different values"
        raise place.source.error(
            "", what, f"expected at most {CLASSES} classes, or set dataset.task to numbers"
        )
    return codes(texts(series), names).astype(np.int64), names


def ids(series: pl.Series, count: int, place: Place) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class ids that a settled column holds itself, and the names of all: those of absent ones, too."""
    unit = f"a class id from 0 to {count - 1}"
    values = numbers(series, place, unit=unit)
    wrong = np.flatnonzero((values < 0) | (values >= count) | (values != np.floor(values)))
    if len(wrong):
        row = int(wrong[0])
        what = f"column {shown(series.name)} is {number_name(values[row])}"
        raise place.error(row, what, f"expected {unit}, as dataset.classes is {count}")
    return values.astype(np.int64), tuple(str(number) for number in range(count))


def refuse_strays(series: pl.Series, place: Place) -> None:
    """Raise DataError for the first text in a settled column that is numbers but for a few cells."""
    import polars as pl

    if series.dtype == pl.String and _mostly_numbers(series):
        numbers(series, place)


def stripped(series: pl.Series) -> pl.Series:
    """Text without the spaces around it, null where it says that the cell is missing."""
    import polars as pl

    series = series.cast(pl.String).str.strip_chars()
    return series.set(series.is_in(list(MISSING)), None)


def _of_text(series: pl.Series) -> pl.Series:
    import polars as pl

    if bool(series.str.to_lowercase().is_in(["true", "false"]).all()):
        return (series.str.to_lowercase() == "true").alias(series.name)
    values = series.cast(pl.Float64, strict=False)
    return values if values.null_count() == series.null_count() else series


def number_name(value: float) -> str:
    """The class name of a number."""
    return str(int(value)) if np.isfinite(value) and value == int(value) else repr(float(value))


def _mostly_numbers(series: pl.Series) -> bool:
    """Whether text is numbers with stray cells among them, rather than codes some of which are digits."""
    import polars as pl

    values = series.cast(pl.Float64, strict=False).drop_nulls()
    return 2 * len(values) > len(series) - series.null_count() and not is_few_integers(values)


def _refuse_unreadable(series: pl.Series, place: Place) -> None:
    present = series.drop_nulls()
    if bool(present.str.contains(_DATE).all()):
        _refuse_dates(series.name, place)
    if all(decimal_comma(cell) for cell in present.head(CATEGORIES)):
        row = int(series.is_not_null().arg_max() or 0)
        what = f"column {shown(series.name)} is {shown(present[0])}"
        raise place.error(row, what, "write numbers with a decimal point")


def _refuse_dates(name: str, place: Place) -> NoReturn:
    what = f"column {shown(name)} holds dates"
    raise place.source.error("", what, f"give it as numbers, such as days since a start, or {LEAVE_OUT}")


def _refuse_cell(series: pl.Series, bad: pl.Series, place: Place, unit: str) -> None:
    if bad.any():
        row = int(bad.arg_max() or 0)
        remedy = f"expected {unit} (missing values: leave the cell empty and set dataset.missing)"
        raise place.error(row, f"column {shown(series.name)} is {shown(series[row])}", remedy)
