"""CSV and TSV: polars reads well-formed text fast; whatever looks odd is checked record by record first.

polars fills short rows with nulls and reads blank lines as rows, so neither may reach it unseen. Lines that
are records are read in pieces: their bytes take more memory than the numbers in them.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.parts.datasets.table.columns import stripped
from mlprun.parts.datasets.table.source import OtherFormError, Source, check_size, line_of, shown

if TYPE_CHECKING:
    import polars as pl

    from mlprun.errors import DataError
    from mlprun.parts.data import Floats, Names


SEPARATORS = (",", "\t", ";", "|")


def _first_line(source: Source) -> bytes:
    """The first line that is not blank. Raises DataError where there is none."""
    for piece in whole_lines(source):
        if piece.strip():
            return piece.lstrip().split(b"\n", 1)[0]
    raise source.empty()


def find_separator(source: Source, line: bytes) -> str:
    """What separates the cells of the first line, unless an option or the file's name says so."""
    if source.options.separator != "auto":
        return source.options.separator
    if source.tabs:
        return "\t"
    # the decimal comma of a name such as "price (1,5 l)" rarely separates cells
    signs = SEPARATORS if source.options.decimal == "." else (*SEPARATORS[1:], ",")
    line = re.sub(rb'"[^"]*"', b"", line)
    return next((sign for sign in signs if sign.encode() in line), ",")


def whole_lines(source: Source) -> Iterator[bytes]:
    """The pieces of a table, each cut behind the last line end in it."""
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


HeaderCheck = Callable[[Source, tuple[str, ...]], tuple[str, ...] | None]
"""Given the first line: None when it holds column names, otherwise the names of a file without any."""

# polars looks at so many rows before it settles the types; a later surprise costs a second reading
INFERRED = 1000

SMALL, MOST_NAMES = 2**18, 200
"""bytes and columns of a table of numbers that is read without polars"""
_PLAIN_HEADER = re.compile(rb"[\t\r !#-~]+")
# but `-0`, which polars reads as 0 in a column of whole numbers
_PLAIN_NUMBER = rb"(?!-0+(?:[^0-9.eE]|\Z))-?[0-9]{1,15}(?:\.[0-9]{1,20})?(?:[eE][-+]?[0-9]{1,2})?"


@dataclass(frozen=True)
class _Form:
    """How a text table is written."""

    separator: str
    names: Names
    skipped: int
    """lines that hold no row: 1 for a header"""
    text: bool
    """no cells are converted"""

    def is_regular(self, piece: bytes) -> bool:
        """Whether lines are records of the right width with whole cells in quotes, if any."""
        width, mark = len(self.names), self.separator.encode()
        if width > 1 and b'"' not in piece:  # ten times as fast
            end = b"\r\n" if b"\r" in piece else b"\n"
            others = bytes(set(range(256)) - {*mark, *b"\r\n"})
            marks = piece.translate(None, others) + end * (not piece.endswith(b"\n"))
            line = mark * (width - 1) + end
            if marks == line * (len(marks) // len(line)):
                return True
        return self._pattern.fullmatch(piece) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        """What matches such lines."""
        cell, mark = rb'(?:"[^"\r\n]*+"|[^"\r\n%s]*+)', re.escape(self.separator.encode())
        cell %= mark
        line = rb"(?![\r\n])%s(?:%s%s){%d}+(?:\r?\n|\Z)" % (cell, mark, cell, len(self.names) - 1)
        return re.compile(rb"(?:%s)*+" % line)


def read(
    source: Source, *, header: HeaderCheck | None, text: bool
) -> tuple[pl.DataFrame, Callable[[int], str]]:
    """The columns of a text table, and how to find the line of a row."""
    separator = find_separator(source, _first_line(source))
    first = next(_records(source, separator), None)
    if first is None:  # a byte order mark and nothing else
        raise source.empty()
    form = _form(source, separator, first[1], header=header, text=text)
    try:
        frame = _parse(source, form, partial(_regular_lines, source, form))
    except _IrregularLinesError:
        rewritten = [_rewritten(source, form)]
        frame = _parse(source, form, lambda: rewritten)
    frame.columns = list(form.names)
    return frame, partial(line_of, lambda: islice(_records(source, separator), form.skipped, None))


def read_numbers(source: Source, *, header: HeaderCheck | None) -> dict[str, Floats] | None:
    """The columns of a small text table of nothing but numbers; None for others, which polars reads.

    Importing polars takes longer than all else that predictions for a few rows need.
    """
    content = b"".join(islice(source.pieces(SMALL + 1), 2))
    line, _, rest = content.partition(b"\n")
    if len(content) > SMALL or not _PLAIN_HEADER.fullmatch(line) or not line.strip():
        return None
    separator = find_separator(source, line)
    names, mark = line.decode().split(separator), separator.encode()
    row = _PLAIN_NUMBER + (re.escape(mark) + _PLAIN_NUMBER) * (len(names) - 1)
    if len(names) > MOST_NAMES or not re.fullmatch(rb"(?:%s\r?\n)*%s\r?\n?" % (row, row), rest):
        return None
    form = _form(source, separator, names, header=header, text=False)
    if not form.skipped:
        return None
    cells = np.array([float(cell) for cell in rest.replace(mark, b" ").split()])
    return dict(zip(form.names, cells.reshape(-1, len(names)).T, strict=True))


def _form(
    source: Source, separator: str, first: Sequence[str], *, header: HeaderCheck | None, text: bool
) -> _Form:
    """How a table is written whose first line has these cells."""
    names = tuple(cell.strip() for cell in first)
    replaced = header(source, names) if header is not None else None
    form = _Form(separator, replaced or names, 0 if replaced is not None else 1, text)
    _check_names(source, form.names)
    return form


def _records(source: Source, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is no blank line, with the line it starts in. Raises DataError for broken quotes."""
    texts = codecs.iterdecode(whole_lines(source), "utf-8-sig")
    lines = (line for text in texts for line in io.StringIO(text, newline=""))
    reader = csv.reader(lines, delimiter=separator, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        what, remedy = f"cannot be split into cells: {error}", 'write a quote inside a cell as ""'
        if "end of data" in str(error) or "larger than field limit" in str(error):
            what, remedy = 'a quote (") opens here and is never closed', "close or remove it"
        raise source.error(str(line), what, remedy) from None


def _check_names(source: Source, names: Names) -> None:
    check_size(source, len(names))
    twice = repeated(names)
    if twice is not None:
        raise source.error("1", f"the header names {shown(twice)} twice", "give every column its own name")


def repeated(names: Sequence[str]) -> str | None:
    """The first name that occurs twice."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


class _IrregularLinesError(Exception):
    """Raised for lines that polars must not read as they are."""


def _regular_lines(source: Source, form: _Form) -> Iterator[bytes]:
    for piece in whole_lines(source):
        if not form.is_regular(piece):
            raise _IrregularLinesError
        yield piece


def _may_need_stripping(piece: bytes) -> bool:
    """Whether cells may have spaces around them, or quotes, in which polars finds no missing values."""
    return not piece.isascii() or any(sign in piece for sign in (b" ", b'"', b"\t", b"\v", b"\f"))


def _rewritten(source: Source, form: _Form) -> bytes:
    """The same records in the plainest form: no blank lines, quotes where they must be.

    Raises DataError for the first with too few or too many cells.
    """
    plain, width = io.StringIO(), len(form.names)
    writer = csv.writer(plain, delimiter=form.separator, lineterminator="\n")
    for line, cells in _records(source, form.separator):
        if len(cells) != width:
            what = f"has {len(cells)} cells, but the header has {width}"
            raise _ragged(source, line, what, form, cells)
        writer.writerow(cells)
    return plain.getvalue().encode()


def _ragged(source: Source, line: int, what: str, form: _Form, cells: Sequence[str]) -> DataError:
    """The error for a row, with another separator if it divides the header and the row into as many cells."""
    lines = [form.separator.join(some) for some in (form.names, cells)]
    for other in SEPARATORS:
        count = lines[0].count(other)
        if other != form.separator and count and count == lines[1].count(other):
            remedy = f"set dataset.separator to {other!r}"
            return OtherFormError(f"{source.name}:{line}", what, remedy, {"separator": other})
    remedy = "give every row as many cells as the first line, which must hold the names of the columns"
    return source.error(str(line), what, remedy)


def _scan(source: Source, form: _Form, piece: bytes, **options: Any) -> pl.LazyFrame:
    """The columns of a piece."""
    import polars as pl

    texts = source.options.missing_texts
    # each takes time, and one byte is found at once; an empty cell is missing anyway, but not ""
    missing = [one for one in texts if one[:1].encode() in piece and (one or b'"' in piece)]
    return pl.scan_csv(piece, separator=form.separator, null_values=missing, **options)


def _parse(source: Source, form: _Form, pieces: Callable[[], Iterable[bytes]]) -> pl.DataFrame:
    """The columns as polars reads them.

    Types are those of the first rows. Where a later cell is of another type, or on request, all are text.
    """
    import polars as pl

    plain = source.options.has_plain_numbers
    for inferred in (0,) if form.text else (INFERRED, 0):
        read = partial(_scan, source, form, infer_schema_length=inferred)
        try:
            schema = read(next(iter(pieces())), has_header=form.skipped > 0).collect_schema()
            for name, (key, dtype) in zip(form.names, list(schema.items()), strict=True):
                if source.options.reads_text(name) or (dtype.is_float() and not plain):
                    schema[key] = pl.String()
            frames = []
            for at, piece in enumerate(pieces()):
                cells = read(piece, has_header=form.skipped > at, schema=schema)
                cells = stripped(cells, source.options) if _may_need_stripping(piece) else cells
                frames.append(cells.collect())
            return pl.concat(frames, rechunk=False)  # in one block they would stand in memory twice
        except pl.exceptions.PolarsError:
            continue
    raise source.error("", "cannot be read as a table", "save it as plain CSV in UTF-8")
