"""Columns of a table: numbers, categories or class labels; a stray cell is named with its row."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from mlprun.errors import UsageError, plural
from mlprun.parts.datasets.table import formats
from mlprun.parts.datasets.table.formats import kind
from mlprun.parts.datasets.table.source import Sheet, shown
from mlprun.parts.part import listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

    from mlprun.parts.data import Floats, Ints, Names
    from mlprun.parts.datasets.table.column_options import ReadOptions


CATEGORIES = 100
"""categories that a feature may have"""

CLASSES = 1000
"""classes that a target may have"""

FEW = 20
"""distinct whole numbers that are still taken for class labels"""

FIRST = 1000
"""rows of a text column that are looked at before all are"""

MANY = 0.8
"""categories or classes per row from which on there is a warning"""


def stripped(frame: pl.LazyFrame, options: ReadOptions) -> pl.LazyFrame:
    """The columns with text stripped of spaces, and null where it says that the cell is missing."""
    import polars as pl

    texts = pl.selectors.by_dtype(pl.Categorical, pl.Enum, pl.String)
    cells = texts.cast(pl.String).str.strip_chars()
    return frame.with_columns(pl.when(~cells.is_in(list(options.missing_texts))).then(cells))


def resolve_column_type(
    series: pl.Series, sheet: Sheet, *, may_be_empty: bool = False, other: str = ""
) -> pl.Series:
    """A stripped column as booleans, numbers or text, with null for every missing cell.

    Text becomes booleans where all of it is true or false in any case, numbers where all of it is numbers,
    and what the column's options say. Raises DataError for cells that are not what they say, dates without
    any (`other` is what would also work), nested values and, unless it may be empty, a column without any
    value.
    """
    import polars as pl

    name, declared = series.name, sheet.options.of(series.name)
    if declared.reading == "category":
        series = texts(series)
    elif declared.reading == "date":
        series = _days(series, sheet)
    elif declared.is_number and series.dtype == pl.String:
        series = _numbers_of_text(series, sheet.options.numbers(series), sheet, "a number")
    else:
        series = _as_inferred(series, sheet, other)
        series = series / 100 if declared.reading == "percent" else series
    if sheet.options.missing_numbers and series.dtype.is_numeric():
        is_missing = series.cast(pl.Float64).is_in(sheet.options.missing_numbers)
        series = series.set(is_missing.fill_null(value=False), None)
    if series.dtype.is_float():
        series = series.cast(pl.Float64)
        if int(np.isnan(series.to_numpy()).sum()) > series.null_count():
            series = series.fill_nan(None)
    if series.null_count() == len(series) and not may_be_empty:
        raise sheet.source.error("", f"column {shown(name)} has no value in any row", _skip(name))
    return series


def _as_inferred(series: pl.Series, sheet: Sheet, other: str) -> pl.Series:
    """A column without options as its values suggest."""
    import polars as pl

    dtype = series.dtype
    if dtype.is_temporal() and series.null_count() < len(series):
        _refuse_format(series, int(series.is_not_null().arg_max() or 0), sheet, other)
    if dtype.is_temporal():
        return series.cast(pl.Float64)
    if dtype == pl.String:
        return _of_text(series, sheet.options)
    if dtype.is_decimal():
        whole = isinstance(dtype, pl.Decimal) and dtype.scale == 0
        return series.cast(pl.Int128 if whole else pl.Float64)
    if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
        what = f"column {shown(series.name)} holds {str(dtype).partition('(')[0].lower()} values"
        raise sheet.source.error("", what, "expected numbers or text")
    return series


def numbers(series: pl.Series, sheet: Sheet, *, unit: str = "a number") -> Floats:
    """A resolved column as numbers, NaN for missing cells, booleans as 0 and 1.

    Raises DataError for the first cell that is no number or infinite.
    """
    import polars as pl

    if series.dtype == pl.String:
        values = _numbers_of_text(series, sheet.options.numbers(series), sheet, unit)
    else:
        values = series.cast(pl.Float64, strict=False)
    cells = values.to_numpy().astype(np.float64, copy=False)
    sheet.refuse(np.isinf(cells), series, "expected a finite number")
    return cells


WEIGHTS = 1e-30, 1e30
"""weights of rows other than 0: products with a loss stay numbers of float32"""


def weights(series: pl.Series, sheet: Sheet) -> Floats:
    """The weights of rows. Raises DataError for the first that is none, and where all are 0."""
    series = resolve_column_type(series, sheet, may_be_empty=True)
    values = numbers(series, sheet, unit="a weight")
    low, high = WEIGHTS
    valid = (values == 0) | ((values >= low) & (values <= high))
    sheet.refuse(~valid, series, f"expected a weight: 0, or from {low:g} to {high:g}")
    if not values.any():
        what = f"column {shown(series.name)} is 0 in every row"
        raise sheet.source.error("", what, "expected some positive weights")
    return values


def labels(series: pl.Series, sheet: Sheet) -> Floats:
    """A resolved column of 0 and 1, or of true and false, as numbers; raises DataError for any other cell."""
    values = numbers(series, sheet, unit="0 or 1")
    sheet.refuse(~np.isin(values, (0, 1)), series, "expected a label: 0 or 1, true or false")
    return values


def feature(
    series: pl.Series, sheet: Sheet, *, other_formats: bool = False, limit: int = CATEGORIES
) -> tuple[Floats, Names | None]:
    """A feature's cells as numbers, or as indices into its sorted categories; NaN for missing cells.

    Unless `other_formats` are categories, raises DataError for text that is numbers or dates.
    """
    import polars as pl

    is_category = sheet.options.of(series.name).reading == "category"
    series = resolve_column_type(series, sheet, other=f", or {_skip(series.name)}")
    if series.dtype != pl.String or (not is_category and _mostly_numbers(series, sheet)):
        return numbers(series, sheet), None
    if not other_formats and not is_category:
        _refuse_misread(series, sheet, f", {_skip(series.name)}, or set dataset.other_formats to categories")
    categories = distinct(series)
    if len(categories) > limit:
        what = f"column {shown(series.name)} has {len(categories)} categories, such as {shown(categories[0])}"
        remedy = f"expected at most {limit} categories; "
        remedy += f"set dataset.columns.{series.name}.max_categories, or " if limit == CATEGORIES else ""
        raise sheet.source.error("", what, remedy + _skip(series.name))
    return codes(series, categories), categories


def _skip(name: str) -> str:
    return f"set dataset.columns.{name}.as to skip"


def has_many_categories(series: pl.Series, unit: str, count: int) -> Names:
    """A warning where most rows have a category or class of their own."""
    rows = len(series) - series.null_count()
    if count < 3 or count < MANY * rows:
        return ()
    return (f"column {shown(series.name)} has {count} {unit} in {rows} rows, almost one for each row",)


def distinct(series: pl.Series) -> Names:
    """The different texts of a column, sorted by code point."""
    # one of the few methods of a series that do not start a query, which takes half a millisecond
    cells = series.alias("").value_counts().to_series().to_list()
    return tuple(sorted(cell for cell in cells if cell is not None))


def codes(series: pl.Series, names: Names) -> Floats:
    """Each text's index in `names`, NaN for a missing cell or a text that is not among them."""
    import polars as pl

    known = series.cast(pl.Enum(names), strict=False).to_physical().cast(pl.Float64)
    return known.to_numpy().astype(np.float64, copy=False)


def texts(series: pl.Series) -> pl.Series:
    """A resolved column as text: whole numbers without a decimal point, booleans as true and false."""
    import polars as pl

    if series.dtype.is_float():
        values = series.unique().drop_nulls()
        return series.replace_strict(values, [number_name(v) for v in values], return_dtype=pl.String)
    return series.cast(pl.String)


def is_few_integers(series: pl.Series) -> bool:
    """Whether a resolved column looks like class labels.

    It does when its numbers are whole, at most 20 different ones, and each stands in two rows on average.
    """
    present = series.drop_nulls()
    if not present.dtype.is_integer() and not (present.dtype.is_float() and (present % 1 == 0).all()):
        return False
    count = present.n_unique()
    return count <= FEW and 2 * count <= len(present)


def classes(series: pl.Series, sheet: Sheet) -> tuple[Ints, Names]:
    """Class ids and names of a resolved column; names are sorted, as numbers where they are numbers."""
    import polars as pl

    if series.dtype in (pl.String, pl.Boolean):
        names = distinct(texts(series))
    else:
        names = tuple(number_name(value) for value in series.drop_nulls().unique().sort())
    if len(names) > CLASSES:
        what = f"column {shown(series.name)} has {len(names)} different values"
        raise sheet.source.error(
            "", what, f"expected at most {CLASSES} classes, or set dataset.task to numbers"
        )
    return codes(texts(series), names).astype(np.int64), names


def ids(series: pl.Series, count: int, sheet: Sheet) -> tuple[Ints, Names]:
    """Class ids that a resolved column holds itself, and the names of all: those of absent ones, too."""
    unit = f"a class id from 0 to {count - 1}"
    values = numbers(series, sheet, unit=unit)
    wrong = (values < 0) | (values >= count) | (values != np.floor(values))
    sheet.refuse(wrong, series, f"expected {unit}, as dataset.classes is {count}")
    return values.astype(np.int64), tuple(str(number) for number in range(count))


def refuse_non_numbers(series: pl.Series, sheet: Sheet, *, other_formats: bool = False) -> None:
    """Raise DataError for the first text in a resolved target that is numbers but for a few cells.

    So it does, unless `other_formats` are classes, for text that is numbers or dates in another format.
    """
    import polars as pl

    if series.dtype != pl.String or sheet.options.of(series.name).reading == "category":
        return
    if _mostly_numbers(series, sheet):
        numbers(series, sheet)
    elif not other_formats:
        _refuse_misread(series, sheet, ", or set dataset.task to classes")


def _of_text(series: pl.Series, options: ReadOptions) -> pl.Series:
    import polars as pl

    for some in (series.head(FIRST), series):  # the first show that most columns of text are such
        values = options.numbers(some)
        if values.null_count() > some.null_count():
            break
    else:
        if options.has_plain_numbers and (np.abs(values.to_numpy()) >= 2**53).any():
            exact = series.cast(pl.Int128, strict=False)  # labels that float64 would not tell apart
            return values if exact.null_count() > series.null_count() else exact
        return values
    if _is_flag(series.drop_nulls()[0]) and all(map(_is_flag, distinct(series))):
        return _flags(series).cast(pl.Boolean)
    return series


def _is_flag(cell: str) -> bool:
    return cell.lower() in ("true", "false")


def _flags(series: pl.Series) -> pl.Series:
    """Text as 1 for true and 0 for false in any case, null for anything else."""
    import polars as pl

    lower = series.str.to_lowercase()
    return lower.replace_strict(["true", "false"], [1.0, 0.0], default=None, return_dtype=pl.Float64)


def number_name(value: float) -> str:
    """The class name of a number."""
    if isinstance(value, int):  # of any size
        return str(value)
    return str(int(value)) if np.isfinite(value) and value == int(value) else repr(float(value))


def _days(series: pl.Series, sheet: Sheet) -> pl.Series:
    """A column of dates as days since 1970-01-01. Raises DataError for the first cell that is none."""
    import polars as pl

    if series.dtype in (pl.Date, pl.Datetime):
        return formats.days_of(series)
    cells, name = texts(series), series.name
    named = listed(sheet.options.of(name).format)
    try:
        days = formats.parse_dates(cells, named or formats.ISO_8601)
    except ValueError as error:
        where, what = f"dataset.columns.{name}.format", "is no format of dates"
        raise UsageError(where, f"{what}: {error}", 'expected one such as "%d.%m.%Y"') from error
    bad = days.is_null() & cells.is_not_null()
    if bad.any():
        cell = cells[int(bad.arg_max() or 0)]
        known = "" if sheet.for_model else formats.date_remedy(cells, cell)
        expected = f"a date in the format {' or '.join(named)}" if named else "a date such as 2024-03-31"
        sheet.refuse(bad, cells, known or f"expected {expected}")
    return days


def times(series: pl.Series, sheet: Sheet) -> Floats:
    """A column of numbers or dates as numbers. Raises DataError for a missing cell and for a single time."""
    import polars as pl

    is_date = series.dtype in (pl.Date, pl.Datetime)
    resolved = _days(series, sheet) if is_date else resolve_column_type(series, sheet)
    if resolved.dtype == pl.String:
        resolved = _days(resolved, sheet)
    sheet.refuse(resolved.is_null(), resolved, "a row without a time has no place; fill the cell")
    refuse_constant(series, sheet, "expected times that differ")
    return numbers(resolved, sheet, unit="a time")


def groups(series: pl.Series, sheet: Sheet) -> Ints:
    """The group of each row as a number. Raises DataError for a missing cell and for a single group."""
    resolved = texts(resolve_column_type(series, sheet))
    sheet.refuse(resolved.is_null(), resolved, "a row without a group has no place; fill the cell")
    refuse_constant(resolved, sheet, "expected several groups")
    return codes(resolved, distinct(resolved)).astype(np.int64)


def refuse_constant(series: pl.Series, sheet: Sheet, remedy: str, *, noun: str = "column") -> None:
    """Raise DataError for a column with one value in every row."""
    if series.n_unique() == 1:
        what = f"{noun} {shown(series.name)} is {shown(series[0])} in every row"
        raise sheet.source.error("", what, remedy)


def with_targets(sheet: Sheet, names: Iterable[str]) -> tuple[Sheet, Names]:
    """The table as `missing_target` says: without rows that lack a target, with a warning that counts them.

    Raises DataError, naming rows, where these are refused.
    """
    import polars as pl

    gaps = np.zeros(sheet.rows, bool)
    for name in names:
        resolved = resolve_column_type(sheet.columns[name], sheet, may_be_empty=True)
        missing = np.flatnonzero(resolved.is_null().to_numpy())
        if len(missing) and (sheet.options.missing_target == "refuse" or len(missing) == sheet.rows):
            others = [sheet.find(int(row)) for row in missing[1:4]]
            others += [f"{len(missing) - 4} more rows"] if len(missing) > 4 else []
            what = f"column {shown(name)} is missing" + (f", and in {', '.join(others)}" if others else "")
            remedy = "fill the cells, or set dataset.missing_target to drop"
            raise sheet.error(int(missing[0]), what, remedy)
        gaps[missing] = True
    kept = np.flatnonzero(~gaps)
    if len(kept) == sheet.rows:
        return sheet, ()
    if not len(kept):
        raise sheet.source.error("", "has no row with every target", "fill some of them")
    found = {name: series.filter(pl.Series(~gaps)) for name, series in sheet.columns.items()}
    count = sheet.rows - len(kept)
    warning = f"{plural(count, 'row')} without a target {'were' if count > 1 else 'was'} left out"
    find = sheet.find
    return replace(sheet, rows=len(kept), columns=found, find=lambda row: find(int(kept[row]))), (warning,)


def _mostly_numbers(series: pl.Series, sheet: Sheet) -> bool:
    """Whether text is numbers with stray cells among them, rather than codes some of which are digits."""
    values = sheet.options.numbers(series)
    most = 2 * (len(values) - values.null_count()) > len(series) - series.null_count()
    return most and not is_few_integers(values)


def _refuse_misread(series: pl.Series, sheet: Sheet, other: str) -> None:
    """Raise DataError for a text column that is numbers or dates; `other` is what would also work."""
    row = formats.misread(series.head(formats.LOOKED_AT).to_list())
    if row is not None:
        _refuse_format(series, row, sheet, other)


def _refuse_format(series: pl.Series, row: int, sheet: Sheet, other: str = "") -> NoReturn:
    import polars as pl

    cell, options = str(series[row]), sheet.options
    cells = series if series.dtype == pl.String else pl.Series(series.name, [cell])
    what = f"column {shown(series.name)} is {shown(cell)}"
    if kind(cell) == "number":
        known = formats.number_remedy(cells, cell, options.decimal, options.thousands)
        remedy = "write numbers with a decimal point (no thousands separators, units or signs)"
    else:
        known = formats.date_remedy(cells, cell)
        what, remedy = f"{what}, a date or time", "give it as numbers, such as days or minutes since a start"
    raise sheet.error(row, what, (known if known and not sheet.for_model else remedy) + other)


def _numbers_of_text(series: pl.Series, values: pl.Series, sheet: Sheet, unit: str) -> pl.Series:
    """`values`, the numbers among text, with true and false where most cells are such.

    Raises DataError for the first cell that is neither.
    """
    if values.null_count() == series.null_count():
        return values
    flags = _flags(series)
    if flags.null_count() < values.null_count():
        unit = "true or false"
        values = flags.fill_null(values.set((values != 0) & (values != 1), None))
    bad = values.is_null() & series.is_not_null()
    row = bad.arg_max() if bad.any() else None
    if row is not None and unit == "a number" and kind(series[row]) in ("number", "date"):
        _refuse_format(series, row, sheet)
    if not sheet.options.has_plain_numbers:
        unit += f" with decimal {sheet.options.decimal!r}"
    known = "(missing values: list the cell in dataset.missing.values, or leave it empty)"
    sheet.refuse(bad, series, f"expected {unit}" if sheet.for_model else f"expected {unit} {known}")
    return values
