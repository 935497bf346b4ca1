"""Columns of a table: numbers, categories or class labels; a stray cell is named with its row."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Literal, NoReturn

import numpy as np

from mlprun.parts.datasets.table.delimited import MISSING
from mlprun.parts.datasets.table.source import Sheet, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from mlprun.parts.data import Floats, Ints, Names


Kind = Literal["plain", "number", "date", "text"]

FEW_BANDS = 20
"""different values among which ranges such as 10-20 show that all of them are categories"""

LONGEST = 40
"""characters of a number or date at most"""

_SPACE = " \u00a0\u2007\u2009\u202f"
_DASH = r"\-\u2010-\u2015\u2212\ufe63\uff0d"
_DECADE = re.compile(r"(?:1[5-9]|20)\d0s", re.ASCII)
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CODE = re.compile(r"\d+[A-Za-z]{1,2}", re.ASCII)
_BAND = re.compile(rf"[<>≤≥]|\d\s*[{_DASH}]\s*\d|\d\s*\+|\d to \d")

_CURRENCY = (
    r"(?:US|HK|NZ|[ACRS])?[$¢-¥฿\u20a0-\u20cf﷼＄￠￡￥]"
    r"|(?i:usd|eur|gbp|chf|jpy|cny|rmb|inr|sek|nok|dkk|pln|czk|huf|aud|cad|nzd|sgd|hkd|brl|zar|mxn|krw|try|rub)"
    r"|(?i:kr|rs|fr|sfr)\.?|zł|Kč|Ft|(?i:dollars?|euros?|pounds?|cents?)"
)
_UNIT = (
    r"[kcdmnµμ]?m|[kmnµμ]?g|[mcdµμ]?[lL]|[mnµμ]?s|[km]?[WV]|[mk]A|[kMG]?Hz|[kMG]?Wh|[kMGT]W|[kKMGT]i?B|[kMG]bps"
    r"|[kM]J|k?cal|[hkM]?Pa|[mnµμ]?mol|[°º] ?[CFK]?|[℃℉Ω%‰‱٪％]|h|t|ha|px|IU|in|ft|yd|mi|lbs?|oz|gal"
    r"|(?i:secs?|mins?|hrs?|wks?|mths?|yrs?|seconds?|minutes?|hours?|days?|weeks?|months?|years?"
    r"|pct|per ?cent|inch(?:es)?|foot|feet|yards?|miles?|(?:kilo|centi|milli)?met(?:er|re)s?"
    r"|(?:kilo|milli)?grams?|tons?|tonnes?|lit(?:er|re)s?|acres?|sq\.? ?(?:ft|m|km|mi)|deg(?:rees?)?|rpm"
    r"|mpg|kmpl|hp|bhp|cc|ccm|bpm|mph|kmh|kph|bar|psi|mmhg|ppm|ppb|bps?|pp|pts?|pcs|bytes?|bits?)"
)
_SCALE = r"[kKM]|(?i:bn|mn|mio|mrd|tsd|thousand|million|billion|trillion|lakh|crore)\.?"
_MONTH = (
    r"(?i:jan(?:uary?|v(?:ier)?)?|feb(?:ruary?)?|f[ée]v(?:r(?:ier)?)?|mar(?:ch|s|zo)?|märz?|mrz|apr(?:il)?"
    r"|avr(?:il)?|ma[iy]|mayo|june?|juni|juin|jul[iy]?|juil(?:let)?|aug(?:ust)?|août|sept?(?:ember)?"
    r"|o[ck]t(?:ober|obre)?|nov(?:ember|embre)?|de[cz](?:ember)?|déc(?:embre)?)\.?"
)


_POWER = r"[eE][+\-−]?\d+|\s*[x×*·]\s*10(?:\^?[+\-−]\d+|\^\d+|[⁺⁻⁰¹²³⁴-⁹]+)"
_GROUPED = (
    rf"\d{{1,3}}(?P<mark>[.,'’٬_{_SPACE}])\d{{3}}(?:(?P=mark)\d{{3}})*"
    r"|\d{1,2}(?:,\d{2})+,\d{3}"  # in India
)
_DIGITS = rf"(?:(?:{_GROUPED}|\d+)(?:[.,٫]\d*)?|[.,٫]\d+)(?:{_POWER})?"
_ONE_UNIT = rf"(?:{_UNIT}|{_CURRENCY}|[\"″”])(?:\^?[23²³])?"
_UNITS = rf"(?:{_SCALE})?\s*(?:{_ONE_UNIT}(?:\s*(?:/|per)\s*\d*\s*{_ONE_UNIT})?\.?)?"
_SIGN = rf"(?:[+±~≈{_DASH}]\s*)?"
_NUMBER = (
    rf"{_SIGN}\(?{_SIGN}(?:(?:{_CURRENCY})\s*)?{_SIGN}{_DIGITS}(?:\s*{_UNITS}|[.,][{_DASH}]+)\s*[{_DASH}]?\)?"
    rf"|(?:\d+(?:[.,]\d+)?\s*(?:{_UNIT})[\s,]*){{2,4}}"  # 1h 30m
    r"|\d+\s*['′’]\s*(?:\d+\s*(?:[\"″”]|''|’’)?)?"  # feet and inches
    rf"|0[xX][0-9a-fA-F]+|[+{_DASH}]?∞"
)

_CLOCK = r"\d{1,3}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s*[AaPp]\.?[Mm]\.?)?(?:\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
_TIME = rf"(?:{_CLOCK}|\d{{1,2}}\s*[AaPp]\.?[Mm]\.?|\d{{1,2}}h\d{{2}})"
_DAY, _MONTH_NUMBER, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:\d{4}|['’]?\d{2})"
_NTH, _MARK, _GAP = rf"{_DAY}(?:st|nd|rd|th|\.)?", r"\s*[-/.\s]\s*", r"[\s./'’,\-]"
_WEEKDAY = r"(?:(?i:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?i:day)?,?\s+)?"
_DAY_OF_YEAR = (
    rf"{_WEEKDAY}{_NTH}{_GAP}*(?:of )?{_MONTH}(?:{_GAP}*{_YEAR})?"
    rf"|{_WEEKDAY}{_MONTH}{_GAP}+(?:{_NTH}(?:{_GAP}+{_YEAR})?|{_YEAR})|{_MONTH}{_GAP}*\d{{4}}"
    rf"|\d{{4}}{_GAP}*{_MONTH}(?:{_GAP}*{_NTH})?"
    rf"|\d{{4}}{_MARK}{_MONTH_NUMBER}(?:{_MARK}{_DAY})?|{_DAY}{_MARK}{_DAY}{_MARK}{_YEAR}|{_MONTH_NUMBER}[-/.]\d{{4}}"
    r"|Q[1-4][\s/'-]*\d{2,4}|\d{4}[\s/-]*Q[1-4]|\d{4}-?W\d{2}(?:-?\d)?|\d{4}年(?:\d{1,2}月)?(?:\d{1,2}日)?"
)
_DATE = rf"(?:{_DAY_OF_YEAR})(?:(?:\s*,\s*|[T\s]+){_TIME})?|(?:\d+ days?,?\s*)?{_TIME}"


def kind(cell: str) -> Kind:
    """What a cell is: a plain number, a number in another format, a date or time, or any other text."""
    if _PLAIN.fullmatch(cell):
        return "plain"
    cell = " ".join(cell.split())
    if re.fullmatch(_MONTH, cell):
        return "date"
    if len(cell) > LONGEST or _DECADE.fullmatch(cell) or not ("∞" in cell or any(map(str.isdigit, cell))):
        return "text"
    if re.fullmatch(_DATE, cell):
        return "date"
    return "number" if re.fullmatch(_NUMBER, cell) else "text"


def misread(cells: Sequence[str | None]) -> int | None:
    """The position of the first number or date where most cells of a text column are such, else None.

    Most means more than half of all cells, or of the different ones.
    """
    counts = Counter(cell for cell in cells if cell is not None)
    kinds = {cell: kind(cell) for cell in counts}
    texts = [cell for cell in counts if kinds[cell] == "text"]
    if len(counts) <= FEW_BANDS and any(map(_BAND.search, texts)):
        return None
    if any(map(_CODE.fullmatch, texts)):  # beside 1B, 2M is a code as well
        kinds |= {cell: "text" for cell in counts if _CODE.fullmatch(cell)}
    for wanted in ("number", "date"):
        among = [cell for cell in counts if kinds[cell] in (wanted, "plain")]
        most = 2 * len(among) > len(counts) or 2 * sum(map(counts.__getitem__, among)) > counts.total()
        if most and wanted in kinds.values():
            return next(k for k, cell in enumerate(cells) if cell is not None and kinds[cell] == wanted)
    return None


CATEGORIES = 100
"""categories that a feature may have"""

CLASSES = 1000
"""classes that a target may have"""

FEW = 20
"""distinct whole numbers that are still taken for class labels"""

LEAVE_OUT = "leave the column out by dataset.features"

MANY = 0.8
"""categories or classes per row from which on there is a warning"""

LOOKED_AT = 10_000
"""rows of a text column that are searched for number and date formats"""


def stripped(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns with text stripped of spaces, and null where it says that the cell is missing."""
    import polars as pl

    texts = pl.selectors.by_dtype(pl.Categorical, pl.Enum, pl.String)
    cells = texts.cast(pl.String).str.strip_chars()
    return frame.with_columns(pl.when(~cells.is_in(list(MISSING))).then(cells))


def resolve_column_type(
    series: pl.Series, sheet: Sheet, *, may_be_empty: bool = False, other: str = ""
) -> pl.Series:
    """A stripped column as booleans, numbers or text, with null for every missing cell.

    Text becomes booleans where all of it is true or false in any case, numbers where all of it is numbers.
    Raises DataError for dates (`other` is what would also work), nested values and, unless it may be empty, a
    column without any value.
    """
    import polars as pl

    dtype, name = series.dtype, series.name
    if dtype.is_temporal() and series.null_count() < len(series):
        _refuse_format(series, int(series.is_not_null().arg_max() or 0), sheet, other)
    if dtype.is_temporal():
        series = series.cast(pl.Float64)
    elif dtype == pl.String:
        series = _of_text(series)
    elif dtype.is_decimal():
        whole = isinstance(dtype, pl.Decimal) and dtype.scale == 0
        series = series.cast(pl.Int128 if whole else pl.Float64)
    elif not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
        what = f"column {shown(name)} holds {str(dtype).partition('(')[0].lower()} values"
        raise sheet.source.error("", what, "expected numbers or text")
    if series.dtype.is_float():
        series = series.cast(pl.Float64)
        if int(np.isnan(series.to_numpy()).sum()) > series.null_count():
            series = series.fill_nan(None)
    if series.null_count() == len(series) and not may_be_empty:
        raise sheet.source.error("", f"column {shown(name)} has no value in any row", LEAVE_OUT)
    return series


def numbers(series: pl.Series, sheet: Sheet, *, unit: str = "a number") -> Floats:
    """A settled column as numbers, NaN for missing cells, booleans as 0 and 1.

    Raises DataError for the first cell that is no number or infinite.
    """
    import polars as pl

    values = series.cast(pl.Float64, strict=False)
    if series.dtype == pl.String:
        values = _numbers_of_text(series, values, sheet, unit)
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


def feature(series: pl.Series, sheet: Sheet, *, other_formats: bool = False) -> tuple[Floats, Names | None]:
    """A feature's cells as numbers, or as indices into its sorted categories; NaN for missing cells.

    Unless `other_formats` are categories, raises DataError for text that is numbers or dates.
    """
    import polars as pl

    series = resolve_column_type(series, sheet, other=f", or {LEAVE_OUT}")
    if series.dtype != pl.String or _mostly_numbers(series):
        return numbers(series, sheet), None
    if not other_formats:
        _refuse_misread(series, sheet, f", {LEAVE_OUT}, or set dataset.other_formats to categories")
    categories = distinct(series)
    if len(categories) > CATEGORIES:
        what = f"column {shown(series.name)} has {len(categories)} categories, such as {shown(categories[0])}"
        raise sheet.source.error("", what, f"expected at most {CATEGORIES} categories; {LEAVE_OUT}")
    return codes(series, categories), categories


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
    """A settled column as text: whole numbers without a decimal point, booleans as true and false."""
    import polars as pl

    if series.dtype.is_float():
        values = series.unique().drop_nulls()
        return series.replace_strict(values, [number_name(v) for v in values], return_dtype=pl.String)
    return series.cast(pl.String)


def is_few_integers(series: pl.Series) -> bool:
    """Whether a settled column looks like class labels.

    It does when its numbers are whole, at most 20 different ones, and each stands in two rows on average.
    """
    present = series.drop_nulls()
    if not present.dtype.is_integer() and not (present.dtype.is_float() and (present % 1 == 0).all()):
        return False
    count = present.n_unique()
    return count <= FEW and 2 * count <= len(present)


def classes(series: pl.Series, sheet: Sheet) -> tuple[Ints, Names]:
    """Class ids and names of a settled column; names are sorted, as numbers where they are numbers."""
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
    """Class ids that a settled column holds itself, and the names of all: those of absent ones, too."""
    unit = f"a class id from 0 to {count - 1}"
    values = numbers(series, sheet, unit=unit)
    wrong = (values < 0) | (values >= count) | (values != np.floor(values))
    sheet.refuse(wrong, series, f"expected {unit}, as dataset.classes is {count}")
    return values.astype(np.int64), tuple(str(number) for number in range(count))


def refuse_non_numbers(series: pl.Series, sheet: Sheet, *, other_formats: bool = False) -> None:
    """Raise DataError for the first text in a settled target that is numbers but for a few cells.

    So it does, unless `other_formats` are classes, for text that is numbers or dates in another format.
    """
    import polars as pl

    if series.dtype != pl.String:
        return
    if _mostly_numbers(series):
        numbers(series, sheet)
    elif not other_formats:
        _refuse_misread(series, sheet, ", or set dataset.task to classes")


def _of_text(series: pl.Series) -> pl.Series:
    import polars as pl

    values = series.cast(pl.Float64, strict=False)
    if values.null_count() == series.null_count():
        if (np.abs(values.to_numpy()) >= 2**53).any():  # labels that float64 would not tell apart
            exact = series.cast(pl.Int128, strict=False)
            return values if exact.null_count() > series.null_count() else exact
        return values
    if all(cell.lower() in ("true", "false") for cell in distinct(series)):
        return _flags(series).cast(pl.Boolean)
    return series


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


def _mostly_numbers(series: pl.Series) -> bool:
    """Whether text is numbers with stray cells among them, rather than codes some of which are digits."""
    import polars as pl

    values = series.cast(pl.Float64, strict=False)
    most = 2 * (len(values) - values.null_count()) > len(series) - series.null_count()
    return most and not is_few_integers(values)


def _refuse_misread(series: pl.Series, sheet: Sheet, other: str) -> None:
    """Raise DataError for a text column that is numbers or dates; `other` is what would also work."""
    row = misread(series.head(LOOKED_AT).to_list())
    if row is not None:
        _refuse_format(series, row, sheet, other)


def _refuse_format(series: pl.Series, row: int, sheet: Sheet, other: str = "") -> NoReturn:
    cell = str(series[row])
    what = f"column {shown(series.name)} is {shown(cell)}"
    if kind(cell) == "number":
        remedy = "write numbers with a decimal point (no thousands separators, units or signs)"
    else:
        what, remedy = f"{what}, a date or time", "give it as numbers, such as days since a start"
    raise sheet.error(row, what, remedy + other)


def _numbers_of_text(series: pl.Series, values: pl.Series, sheet: Sheet, unit: str) -> pl.Series:
    """`values`, the numbers among text, with true and false where most cells are such.

    Raises DataError for the first cell that is neither.
    """
    flags = _flags(series)
    if flags.null_count() < values.null_count():
        unit = "true or false"
        values = flags.fill_null(values.set((values != 0) & (values != 1), None))
    bad = values.is_null() & series.is_not_null()
    row = bad.arg_max() if bad.any() else None
    if row is not None and unit == "a number" and kind(series[row]) in ("number", "date"):
        _refuse_format(series, row, sheet)
    remedy = f"expected {unit} (missing values: leave the cell empty and set dataset.missing)"
    sheet.refuse(bad, series, remedy)
    return values
