"""CSV and TSV: polars reads well-formed text fast; whatever looks odd is checked record by record first.

polars fills short rows with nulls and reads blank lines as rows, so neither may reach it unseen. Plain text
is read in pieces: its bytes take more memory than the numbers in them.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mlprun.errors import DataError
from mlprun.parts.datasets.table.source import Source, check_width, shown

if TYPE_CHECKING:
    import polars as pl
    from _typeshed import WriteableBuffer


SEPARATORS = (",", "\t", ";")


@dataclass(frozen=True)
class Survey:
    """What was seen of a table's text."""

    separator: str
    """what separates the cells of the first line: a comma, or else a tab or a semicolon"""
    plain: bool
    """every line is a record: no quote stands below the first line, and no line is blank"""


def survey(source: Source) -> Survey:
    """Look at all of a table. Raises DataError when it is empty or no UTF-8 text."""
    first, before, plain, blank = b"", b"", True, True
    carriages, ends, lines = 0, 0, 0
    decoder = codecs.getincrementaldecoder("utf-8")()
    for piece in source.pieces():
        _check_encoding(source, piece, decoder, lines)
        lines += piece.count(b"\n")
        blank = blank and piece.isspace()
        seam = before + piece[:1]
        carriages += piece.count(b"\r")
        ends += piece.count(b"\r\n") + (seam == b"\r\n")
        if not first:
            first = piece[: 2**20].lstrip(b"\r\n").split(b"\n", 1)[0]
            plain = piece[:1] not in (b"\n", b"\r") and first.count(b'"') % 2 == 0
            quotes = piece.count(b'"') > first.count(b'"')
        else:
            quotes = b'"' in piece
        double = any(two in text for two in (b"\n\n", b"\n\r") for text in (piece, seam))
        plain = plain and not (quotes or double)
        before = piece[-1:]
    if blank:
        raise source.empty()
    _check_encoding(source, b"", decoder, lines, final=True)
    separator = next((sign for sign in SEPARATORS if sign.encode() in first), ",")
    return Survey(separator, plain and carriages in (0, ends))


def _check_encoding(
    source: Source, piece: bytes, decoder: codecs.IncrementalDecoder, lines: int, *, final: bool = False
) -> None:
    """Raise DataError unless a piece, `lines` line ends into the file, goes on as UTF-8 text."""
    if not lines and piece[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise source.error("", "is UTF-16 text", "save it as UTF-8")
    at = piece.find(b"\0")
    if at >= 0:
        line = lines + piece.count(b"\n", 0, at) + 1
        raise source.error(str(line), "holds a NUL byte, so it is not text", "save it as UTF-8 text")
    if piece.isascii() and not decoder.getstate()[0]:
        return
    try:
        decoder.decode(piece, final)
    except UnicodeDecodeError as error:
        line = lines + error.object.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
        raise source.error(str(line), what, "save the file as UTF-8") from None


def whole_lines(source: Source) -> Iterator[bytes]:
    """The pieces of a table again, each cut behind the last line end in it."""
    held: list[bytes] = []
    for piece in source.pieces():
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield b"".join([*held, piece[:cut]])
            held.clear()
        held.append(piece[cut:])
    rest = b"".join(held)
    if rest:
        yield rest


class Stream(io.RawIOBase):
    """The pieces of a table as a file to be read line by line."""

    def __init__(self, source: Source) -> None:
        self._pieces, self._rest = source.pieces(), b""

    def readable(self) -> bool:
        """Bytes can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer as far as the current piece goes; 0 at the end."""
        self._rest = self._rest or next(self._pieces, b"")
        view = memoryview(buffer).cast("B")
        part, self._rest = self._rest[: len(view)], self._rest[len(view) :]
        view[: len(part)] = part
        return len(part)


MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "?")
"""cells that hold nothing, exactly as written"""

HeaderCheck = Callable[[Source, tuple[str, ...]], tuple[str, ...] | None]
"""Given the first line: None when it holds column names, otherwise the names of a file without any."""

# polars looks at so many rows before it settles the types; a later surprise costs a second reading
INFERRED = 1000


@dataclass(frozen=True)
class _Form:
    """How a text table is written."""

    separator: str
    names: tuple[str, ...]
    skipped: int
    """lines that hold no row: 1 for a header"""
    text: Collection[str]
    """columns whose cells are not converted"""


def read(
    source: Source, *, header: HeaderCheck | None, text: Collection[str]
) -> tuple[pl.DataFrame, Callable[[int], str]]:
    """The columns of a text table, and how to find the line of a row."""
    looks = survey(source)
    separator = "\t" if source.tabs else looks.separator
    first = next(_records(source, separator), None)
    if first is None:  # a byte order mark and nothing else
        raise source.empty()
    names = tuple(cell.strip() for cell in first[1])
    replaced = header(source, names) if header is not None else None
    form = _Form(separator, replaced or names, 0 if replaced is not None else 1, text)
    _check_names(source, form.names)
    frame = _plain(source, form) if looks.plain else _odd(source, form)
    if frame is None or frame.width != len(form.names):
        raise source.error("", "cannot be read as a table", "save it as plain CSV in UTF-8")
    frame.columns = list(form.names)
    return frame, partial(_line, source, form)


def _records(source: Source, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is no blank line, with the line it starts in. Raises DataError for broken quotes."""
    lines = io.TextIOWrapper(io.BufferedReader(Stream(source)), encoding="utf-8-sig", newline="")
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


def _check_names(source: Source, names: tuple[str, ...]) -> None:
    check_width(source, len(names))
    twice = repeated(names)
    if twice == "":
        raise source.error("1", "several columns have no name", "name them in the header")
    if twice is not None:
        raise source.error("1", f"the header names {shown(twice)} twice", "give every column its own name")


def repeated(names: Sequence[str]) -> str | None:
    """The first name that an earlier one equals."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def is_number(cell: str) -> bool:
    """Whether a cell reads as a finite number."""
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def _plain(source: Source, form: _Form) -> pl.DataFrame | None:
    """The columns of a table whose lines are its records."""
    frame = _parse(partial(whole_lines, source), form)
    if frame is None or frame.width != len(form.names) or frame.to_series(-1).null_count():
        _check_widths(source, form)
    return frame


def _odd(source: Source, form: _Form) -> pl.DataFrame | None:
    """The columns of a table with quotes or blank lines, whose records are counted first."""
    rows = _check_widths(source, form) - form.skipped
    frame = _parse(lambda: [source.read()], form)
    if frame is None or frame.height != rows or frame.width != len(form.names):
        frame = _parse(lambda: [_rewritten(source, form)], form)
    return frame


def _check_widths(source: Source, form: _Form) -> int:
    """The number of records; raises DataError for the first with too few or too many cells."""
    count, width = 0, len(form.names)
    for line, cells in _records(source, form.separator):
        if len(cells) != width:
            what = f"has {len(cells)} cells, but the header has {width}"
            raise source.error(str(line), what, "give every row as many cells as the header")
        count += 1
    return count


def _rewritten(source: Source, form: _Form) -> bytes:
    """The same records in the plainest form: no blank lines, quotes where they must be."""
    plain = io.StringIO()
    writer = csv.writer(plain, delimiter=form.separator, lineterminator="\n")
    writer.writerows(cells for _, cells in _records(source, form.separator))
    return plain.getvalue().encode()


def _parse(pieces: Callable[[], Iterable[bytes]], form: _Form) -> pl.DataFrame | None:
    """The columns as polars reads them; None if it cannot.

    Types are those of the first rows, then of all rows. Digits that polars takes for an integer and cannot
    read as one (more than 128 bits, other scripts) remain: then every column is text.
    """
    import polars as pl

    options: dict[str, Any] = {"separator": form.separator, "null_values": list(MISSING)}
    for inferred in (INFERRED, None, 0):
        try:
            schema = _schema(pieces(), form, inferred, options)
            frames = [
                pl.read_csv(piece, has_header=form.skipped > at, schema=schema, **options)
                for at, piece in enumerate(pieces())
            ]
            return pl.concat(frames, rechunk=False)  # in one block they would stand in memory twice
        except pl.exceptions.PolarsError:
            continue
    return None


def _schema(pieces: Iterable[bytes], form: _Form, inferred: int | None, options: dict[str, Any]) -> pl.Schema:
    """The type of each column, as the first `inferred` rows or all of them have it; with 0 all are text."""
    import polars as pl

    sample = io.BytesIO(b"".join(pieces) if inferred is None else next(iter(pieces)))
    lazy = pl.scan_csv(sample, has_header=form.skipped > 0, infer_schema_length=inferred, **options)
    schema = lazy.collect_schema()
    for name, known in zip(form.names, schema, strict=False):
        if inferred == 0 or name in form.text:
            schema[known] = pl.String()
    return schema


def _line(source: Source, form: _Form, row: int) -> str:
    """The line in which a row starts; the file is read again for it."""
    for at, (line, _) in enumerate(_records(source, form.separator)):
        if at == row + form.skipped:
            return str(line)
    return f"row {row + 1}"  # the file has changed since
