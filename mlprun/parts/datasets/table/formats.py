"""Formats of numbers and dates in text columns: recognising them, reading them, options that read them."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from mlprun.parts.part import inline

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl


Way = TypeVar("Way")

Kind = Literal["plain", "number", "date", "text"]

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "?")
"""cells that hold nothing, exactly as written"""

FEW_BANDS = 20
"""different values among which ranges such as 10-20 show that all of them are categories"""

LONGEST = 40
"""characters of a number or date at most"""

SPACES = " \u00a0\u2007\u2009\u202f"
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
    rf"\d{{1,3}}(?P<mark>[.,'’٬_{SPACES}])\d{{3}}(?:(?P=mark)\d{{3}})*"
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


def is_number(cell: str) -> bool:
    """Whether a cell reads as a finite number."""
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


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


LOOKED_AT = 10_000
"""rows of a text column that are searched for number and date formats"""

ISO_8601 = (
    *("%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"),
    *("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z"),
)
"""formats of dates that need not be named"""

_DATE_FORMATS = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
    *(
        "%d.%m.%y",
        "%d/%m/%y",
        "%m/%d/%y",
        "%d %B %Y",
        "%B %d, %Y",
        "%B %d %Y",
        "%d-%B-%Y",
        "%d-%B-%y",
        "%Y-%m",
        "%m/%Y",
    ),
)
_FIRST_DAY = -354_285
"""1000-01-01: before that, the year of a date was written with fewer than four digits"""
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S")
NUMBER_FORMATS: tuple[tuple[str, str | None], ...] = (
    *((".", None), (",", None), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'")),
)
"""decimal and thousands, the most common first"""
PERCENT = ("%", "٪", "％")
AFFIXES = 4
"""different texts beside the numbers of a column at most"""


def parse_numbers(
    series: pl.Series, decimal: str, thousands: str | None = None, strip: Sequence[str] = ()
) -> pl.Series:
    """Text as float64, null where it is no number in this format.

    `strip` are texts that may stand before the number, behind its sign too, and after it. A thousands
    separator counts only where groups of digits are complete: 1.234,5 rather than 1.23,4.
    """
    import polars as pl

    cells = pl.col(series.name)
    if decimal == "." and thousands is None and strip:  # most columns have one text on one side of the number
        plain = series
        for text in strip:
            plain = plain.str.strip_prefix(text).str.strip_suffix(text)
        values = plain.str.strip_chars().cast(pl.Float64, strict=False)
        if values.null_count() == series.null_count():
            return values
    if strip:
        texts = "|".join(map(re.escape, sorted(strip, key=len, reverse=True)))
        around = rf"^([+-]?)\s*(?:{texts})?\s*|\s*(?:{texts})$"
        cells = cells.str.replace_all(around, "${1}").str.strip_chars()
    if thousands is not None:
        mark = {" ": f"[{SPACES}]", "'": "['’]"}.get(thousands, re.escape(thousands))
        point = re.escape(decimal)
        grouped = rf"^[+-]?[1-9]\d{{0,2}}(?:{mark}\d{{2,3}})*{mark}\d{{3}}(?:{point}\d*)?(?:[eE][+-]?\d+)?$"
        ungrouped = cells.str.replace_all(mark, "")
        cells = pl.when(cells.str.contains(grouped)).then(ungrouped).otherwise(cells)
    if decimal != ".":  # exchanged, so that a point left over is no decimal point
        cells = cells.str.replace_many([decimal, "."], [".", decimal])
    return series.to_frame().select(cells.cast(pl.Float64, strict=False)).to_series()


def parse_dates(series: pl.Series, formats: Sequence[str] = ISO_8601) -> pl.Series:
    """Text as days since 1970-01-01, float64, null where it is no date in any of these formats.

    Times are fractions of a day, in UTC where they name their zone. Raises ValueError for a format that is
    none.
    """
    import polars as pl

    days = pl.Series(series.name, [None], dtype=pl.Float64).new_from_index(0, len(series))
    for one in formats:
        has_time = re.search("%[-_0]?[HIkl]|%[cRTrsX+]", one) is not None
        dtype = pl.Datetime("us") if has_time else pl.Date
        cells, full = series, one
        if re.search("%[-_0]?[mbBh]", one) and not re.search("%[-_0]?[dejcDFvxs+]", one):
            cells, full = "1 " + series, "%d " + one  # a month begins with its first day
        try:
            found = days_of(cells.str.strptime(dtype, full, strict=False))
            days = days.fill_null(found.set(found < _FIRST_DAY, None))
        except pl.exceptions.PolarsError as error:
            raise ValueError(str(error).partition("\n")[0]) from error
        if days.null_count() == series.null_count():
            break
    return days


def days_of(series: pl.Series) -> pl.Series:
    """Dates and times as days since 1970-01-01, float64."""
    import polars as pl

    if series.dtype == pl.Date:
        return series.to_physical().cast(pl.Float64)
    return series.cast(pl.Datetime("us")).to_physical().cast(pl.Float64) / 86_400e6


def number_options(cells: pl.Series, decimal: str, thousands: str | None) -> tuple[dict[str, Any], pl.Series]:
    """The options of a column with which its different cells are numbers, and those that are none."""
    affixes = Counter(affix for cell in cells if (affix := _affix(cell)))
    strip = tuple(affix for affix, _ in affixes.most_common(AFFIXES))
    unread = cells.filter(parse_numbers(cells, decimal, thousands, strip).is_null())
    if not strip:
        return {}, unread
    if set(strip) <= set(PERCENT):
        return {"as": "percent"}, unread
    return {"as": "number", "strip": strip[0] if len(strip) == 1 else strip}, unread


def number_remedy(series: pl.Series, cell: str, decimal: str, thousands: str | None) -> str:
    """What to set so that a cell, and most of its column, is a number; empty where nothing is known.

    `decimal` and `thousands` are set already. Names up to two alternatives, which make different numbers of
    the cell.
    """
    cells, affix = different(series, cell), _affix(cell)
    if affix is None:
        return ""
    column, strip = f"dataset.columns.{series.name}", [affix] * bool(affix)
    own = f"{column}.as to percent" if affix in PERCENT else f"{column}.strip to {affix!r}"
    read = {marks: parse_numbers(cells, *marks, strip) for marks in NUMBER_FORMATS}
    return _alternatives(
        [own] * bool(affix)
        + [f"dataset.decimal to {point!r}"] * (point != decimal)
        + [f"dataset.thousands to {mark!r}"] * (mark not in (None, thousands))
        for point, mark in _best(read)
        if 2 * read[point, mark].null_count() < len(cells)
    )


def date_options(series: pl.Series, cell: str) -> list[dict[str, Any]]:
    """The options of a column with which a cell, and most of its column, is a date; none if unknown.

    Up to two alternatives, which make different dates of the cell.
    """
    cells = different(series, cell)
    ways = [ISO_8601, *((date + time,) for date in _DATE_FORMATS for time in _TIMES)]
    found: list[dict[str, Any]] = []
    for way in _best({way: parse_dates(cells, way) for way in ways}):
        rest = cells.filter(parse_dates(cells, way).is_null())
        others = _best({other: parse_dates(rest, other) for other in ways}) if len(rest) else []
        both = tuple(one[0] for one in (way, *others[:1]))
        form = {} if way == ISO_8601 and not others else {"format": both[0] if len(both) == 1 else both}
        found.append({"as": "date", **form})
    return found


def date_remedy(series: pl.Series, cell: str) -> str:
    """What to set so that a cell, and most of its column, is a date; as `number_remedy`."""
    column = f"dataset.columns.{series.name}"
    return _alternatives([f"{column} to {inline(options)}"] for options in date_options(series, cell))


def _alternatives(settings: Iterable[Sequence[str]]) -> str:
    return " or ".join("set " + " and ".join(one) for one in settings if one)


def different(series: pl.Series, *first: str) -> pl.Series:
    """The different texts in the first rows of a column, some of them before the others."""
    import polars as pl

    known = dict.fromkeys([*first, *series.drop_nulls().head(LOOKED_AT).to_list()])
    return pl.Series(series.name, list(known), dtype=pl.String)


def _best(read: Mapping[Way, pl.Series]) -> list[Way]:
    """Up to two ways that read the first cell, but differently, and leave the fewest cells unread."""
    able = {way: values for way, values in read.items() if values[0] is not None}
    fewest = min((values.null_count() for values in able.values()), default=0)
    by_value: dict[float, Way] = {}
    for way, values in able.items():
        if values.null_count() == fewest:
            by_value.setdefault(values[0], way)
    return list(by_value.values())[:2]


def _affix(cell: str) -> str | None:
    """The text on one side of the number in a cell; None if it changes the number, as in 5k and (5)."""
    around = re.fullmatch(
        rf"([^\d.,]*?)[{SPACES}]*[+-]?[{SPACES}]*[\d.,][\d.,'’eE+{SPACES}-]*?[{SPACES}]*([^\d{SPACES}]*)",
        cell,
        re.ASCII,
    )
    if around is None or all(around.groups()):
        return None
    affix = "".join(around.groups()).lstrip("+-")
    return None if re.fullmatch(rf"{_SCALE}|.*[()].*", affix) else affix
