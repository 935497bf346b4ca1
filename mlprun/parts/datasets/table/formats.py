"""Text that is a number or a date in a format that cannot be read, such as 1.000,00 or $5 or 31 Jan 2020.

Taken for categories, such a column would be one-hot encoded and its order lost. Text that only contains
digits (A12, 10-20, <5, 1st) is a category.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

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


@cache
def _numbers() -> re.Pattern[str]:
    sign = rf"(?:[+±~≈{_DASH}]\s*)?"
    power = r"[eE][+\-−]?\d+|\s*[x×*·]\s*10(?:\^?[+\-−]\d+|\^\d+|[⁺⁻⁰¹²³⁴-⁹]+)"
    grouped = rf"\d{{1,3}}(?P<mark>[.,'’٬_{_SPACE}])\d{{3}}(?:(?P=mark)\d{{3}})*"
    grouped += r"|\d{1,2}(?:,\d{2})+,\d{3}"  # in India
    number = rf"(?:(?:{grouped}|\d+)(?:[.,٫]\d*)?|[.,٫]\d+)(?:{power})?"
    unit = rf"(?:{_UNIT}|{_CURRENCY}|[\"″”])(?:\^?[23²³])?"
    units = rf"(?:{_SCALE})?\s*(?:{unit}(?:\s*(?:/|per)\s*\d*\s*{unit})?\.?)?"
    amount = rf"(?:(?:{_CURRENCY})\s*)?{sign}{number}(?:\s*{units}|[.,][{_DASH}]+)\s*[{_DASH}]?"
    money = rf"{sign}\(?{sign}{amount}\)?"
    several = rf"(?:\d+(?:[.,]\d+)?\s*(?:{_UNIT})[\s,]*){{2,4}}"  # 1h 30m
    feet = r"\d+\s*['′’]\s*(?:\d+\s*(?:[\"″”]|''|’’)?)?"
    return re.compile(rf"{money}|{several}|{feet}|0[xX][0-9a-fA-F]+|[+{_DASH}]?∞")


@cache
def _dates() -> re.Pattern[str]:
    zone = r"(?:\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
    half = r"\s*[AaPp]\.?[Mm]\.?"
    clock = rf"\d{{1,3}}:\d{{2}}(?::\d{{2}}(?:[.,]\d+)?)?(?:{half})?{zone}"
    time = rf"(?:{clock}|\d{{1,2}}{half}|\d{{1,2}}h\d{{2}})"
    day, month, year = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:\d{4}|['’]?\d{2})"
    nth = rf"{day}(?:st|nd|rd|th|\.)?"
    mark, gap = r"\s*[-/.\s]\s*", r"[\s./'’,\-]"
    weekday = r"(?:(?i:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?i:day)?,?\s+)?"
    named = (
        rf"{weekday}{nth}{gap}*(?:of )?{_MONTH}(?:{gap}*{year})?"
        rf"|{weekday}{_MONTH}{gap}+(?:{nth}(?:{gap}+{year})?|{year})|{_MONTH}{gap}*\d{{4}}"
        rf"|\d{{4}}{gap}*{_MONTH}(?:{gap}*{nth})?"
    )
    date = (
        rf"\d{{4}}{mark}{month}(?:{mark}{day})?|(?:{day}{mark}{day}{mark}{year})|{month}[-/.]\d{{4}}|{named}"
        r"|Q[1-4][\s/'-]*\d{2,4}|\d{4}[\s/-]*Q[1-4]|\d{4}-?W\d{2}(?:-?\d)?|\d{4}年(?:\d{1,2}月)?(?:\d{1,2}日)?"
    )
    return re.compile(rf"(?:{date})(?:(?:\s*,\s*|[T\s]+){time})?|(?:\d+ days?,?\s*)?{time}")


def kind(cell: str) -> Kind:
    """What a cell is: a plain number, a number in another format, a date or time, or any other text."""
    if _PLAIN.fullmatch(cell):
        return "plain"
    cell = " ".join(cell.split())
    if re.fullmatch(_MONTH, cell):
        return "date"
    if len(cell) > LONGEST or _DECADE.fullmatch(cell) or not ("∞" in cell or any(map(str.isdigit, cell))):
        return "text"
    if _dates().fullmatch(cell):
        return "date"
    return "number" if _numbers().fullmatch(cell) else "text"


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
