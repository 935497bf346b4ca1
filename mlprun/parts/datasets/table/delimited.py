"""CSV and TSV: polars reads well-formed text fast; whatever looks odd is checked record by record first.

polars fills short rows with nulls and reads blank lines as rows, so neither may reach it unseen.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from mlprun.errors import DataError
from mlprun.parts.datasets.table.source import Source, shown

if TYPE_CHECKING:
    import polars as pl

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "?")
"""cells that hold nothing, exactly as written"""

HeaderCheck = Callable[[Source, tuple[str, ...]], tuple[str, ...] | None]
"""Given the first line: None when it holds column names, otherwise the names of a file without any."""

# polars looks at so many rows before it settles the types; a later surprise costs a second reading
INFERRED = 1000


def read(
    source: Source, content: bytes, *, header: HeaderCheck | None, text: bool
) -> tuple[pl.DataFrame, Callable[[int], str]]:
    """The columns of a text table, and how to find the line of a row."""
    _check_encoding(source, content)
    separator = "\t" if source.tabs else _separator(content)
    names = _cells(next(iter(_records(source, content, separator)))[1])
    replaced = header(source, names) if header is not None else None
    skipped = 0 if replaced is not None else 1
    names = replaced or names
    _check_names(source, names)
    frame = _frame(source, content, separator, names=names, skipped=skipped, text=text)
    return frame, partial(_line, source, separator, skipped)


def _check_encoding(source: Source, content: bytes) -> None:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise source.error("", "is UTF-16 text", "save it as UTF-8")
    at = content.find(b"\0")
    if at >= 0:
        line = content.count(b"\n", 0, at) + 1
        raise source.error(str(line), "holds a NUL byte, so it is not text", "save it as UTF-8 text")
    if content.isascii():
        return
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{content[error.start]:02x} is not UTF-8"
        raise source.error(str(line), what, "save the file as UTF-8") from None


def _separator(content: bytes) -> str:
    """What separates the cells of the first line: a comma, or else a tab or a semicolon."""
    # the start is enough, and no second copy of the content is made for it
    first = content[: 2**20].lstrip(b"\r\n").split(b"\n", 1)[0]
    return next((sign for sign in (",", "\t", ";") if sign.encode() in first), ",")


def _records(source: Source, content: bytes, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is no blank line, with the line it starts in. Raises DataError for broken quotes."""
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    reader = csv.reader(lines, delimiter=separator, strict=True)
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _broken(source, line, str(error)) from None
        if cells is None:
            return
        if cells:
            yield line, cells
        line = reader.line_num + 1


def _broken(source: Source, line: int, why: str) -> DataError:
    if "end of data" in why or "larger than field limit" in why:
        return source.error(str(line), 'a quote (") opens here and is never closed', "close or remove it")
    return source.error(str(line), f"cannot be split into cells: {why}", 'write a quote inside a cell as ""')


def _cells(cells: list[str]) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in cells)


def _check_names(source: Source, names: tuple[str, ...]) -> None:
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if twice == "":
        raise source.error("1", "several columns have no name", "name them in the header")
    if twice is not None:
        raise source.error("1", f"the header names {shown(twice)} twice", "give every column its own name")


def is_number(cell: str) -> bool:
    """Whether a cell reads as a finite number."""
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def _frame(
    source: Source, content: bytes, separator: str, *, names: tuple[str, ...], skipped: int, text: bool
) -> pl.DataFrame:
    parse = partial(_parse, separator=separator, skipped=skipped, text=text)
    if not _is_plain(content):
        rows = _check_widths(source, content, separator, len(names))
        frame = parse(content)
        if frame is None or frame.height != rows - skipped or frame.width != len(names):
            frame = parse(_rewritten(source, content, separator))
    else:
        frame = parse(content)
        if frame is None or frame.width != len(names) or frame.to_series(-1).null_count():
            _check_widths(source, content, separator, len(names))
    if frame is None or frame.width != len(names):
        raise source.error("", "cannot be read as a table", "save it as plain CSV in UTF-8")
    frame.columns = list(names)
    return frame


def _is_plain(content: bytes) -> bool:
    """Whether lines and records are the same thing, and none is blank."""
    if b'"' in content or content[:1] in (b"\n", b"\r") or b"\n\n" in content or b"\n\r" in content:
        return False
    return b"\r" not in content or content.count(b"\r") == content.count(b"\r\n")


def _check_widths(source: Source, content: bytes, separator: str, width: int) -> int:
    """The number of records; raises DataError for the first with too few or too many cells."""
    count = 0
    for line, cells in _records(source, content, separator):
        if len(cells) != width:
            what = f"has {len(cells)} cells, but the header has {width}"
            raise source.error(str(line), what, "give every row as many cells as the header")
        count += 1
    return count


def _rewritten(source: Source, content: bytes, separator: str) -> bytes:
    """The same records in the plainest form: no blank lines, quotes where they must be."""
    plain = io.StringIO()
    writer = csv.writer(plain, delimiter=separator, lineterminator="\n")
    writer.writerows(cells for _, cells in _records(source, content, separator))
    return plain.getvalue().encode()


def _parse(content: bytes, *, separator: str, skipped: int, text: bool) -> pl.DataFrame | None:
    """The columns as polars reads them, types found in the first rows, then in all; None if it cannot."""
    import polars as pl

    for inferred in (INFERRED, None):
        try:
            return pl.read_csv(
                content,
                separator=separator,
                has_header=bool(skipped),
                infer_schema=not text,
                infer_schema_length=inferred,
                null_values=list(MISSING),
            )
        except pl.exceptions.PolarsError:
            continue
    return None


def _line(source: Source, separator: str, skipped: int, row: int) -> str:
    """The line in which a row starts; the file is read again for it."""
    for at, (line, _) in enumerate(_records(source, source.read(), separator)):
        if at == row + skipped:
            return str(line)
    return f"row {row + 1}"  # the file has changed since


def decimal_comma(cell: str) -> bool:
    """Whether a cell reads as a number with a comma for its decimal point."""
    return re.fullmatch(r"[+-]?\d+,\d+", cell) is not None
