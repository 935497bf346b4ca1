"""Where a table comes from: its bytes, read with a cap, and the position of a row in messages."""

from __future__ import annotations

import codecs
import difflib
import hashlib
import os
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun import files
from mlprun.errors import DataError, FileError, shell_path
from mlprun.parts.datasets.table.column_options import ReadOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import polars as pl

CAP = 2 * 10**9
"""bytes of a file that are read at most"""

PIECE = 2**22
"""bytes of a text file that are looked at together, so that it never stands in memory beside its numbers"""

CELLS = 2**28
"""numbers that a table may hold: 2 GiB as float64"""

COLUMNS = 2**16
"""columns that a table may have"""

IN_MEMORY = "data"
"""what messages call a table in memory"""

FORMATS = "a .csv, .tsv, .jsonl, .ndjson or .json file, one of these with .gz, a .parquet or .xlsx file"

Format = Literal["text", "parquet", "json", "excel"]

_FORMATS: dict[str, Format] = {
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "json"),
    **dict.fromkeys((".xlsx", ".xlsm"), "excel"),
}

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins with that of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

# files that people have instead, which would otherwise fail as unreadable text
_OTHERS = {
    "a spreadsheet of another format": (".xls", ".ods"),
    "compressed": (".zip", ".bz2", ".xz", ".zst"),
    "an Arrow file": (".feather", ".arrow"),
    "a NumPy file": (".npy", ".npz"),
    "a pickle": (".pkl",),
}


class OtherFormError(DataError):
    """Raised for a file that `options` of its dataset would read; none where nothing is known."""

    def __init__(self, where: str, what: str, remedy: str, options: Mapping[str, str]) -> None:
        super().__init__(where, what, remedy)
        self.options = options


@dataclass(frozen=True)
class MemoryTable:
    """A table in memory: the content of a Parquet file that has not been written yet."""

    content: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Source:
    """A table's origin. `name` is how messages call it."""

    name: str
    format: Format
    tabs: bool = False
    """cells are separated by tabs, whatever the header looks like"""
    kept: bytes | None = field(default=None, repr=False)
    """content that cannot be read a second time"""
    options: ReadOptions = field(default_factory=ReadOptions.model_construct, repr=False)
    zipped: bool = False
    """the bytes are compressed by gzip"""

    @classmethod
    def of(cls, path: str | MemoryTable, options: ReadOptions | None = None) -> Source:
        """The source for a file name. Raises DataError for a kind of file that is not read."""
        options = options or ReadOptions.model_construct()
        if isinstance(path, MemoryTable):
            return cls(IN_MEMORY, "parquet", kept=path.content, options=options)
        if files.is_url(path):
            raise DataError(path, "is a URL", "download it and give the path of the file")
        stem, ending = os.path.splitext(path.lower())
        zipped = ending == ".gz"
        ending = os.path.splitext(stem)[1] if zipped else ending
        for other, endings in _OTHERS.items():
            if ending in endings:
                raise DataError(path, f"is {other}", f"expected {FORMATS}")
        known = _FORMATS.get(ending, "text")
        if zipped and known in ("parquet", "excel"):
            raise DataError(path, "is compressed twice", "unpack it with gunzip")
        return cls(path, known, tabs=ending in (".tsv", ".tab"), options=options, zipped=zipped)

    def read(self) -> bytes:
        """All bytes. Raises as `pieces` does."""
        return b"".join(self.pieces(CAP))

    def pieces(self, size: int | None = None) -> Iterator[bytes]:
        """The bytes, PIECE of them at a time unless told otherwise; text is UTF-8. Each call starts anew.

        Raises DataError for a missing path, a folder, too much or another encoding, FileError for the rest.
        """
        pieces = self._stored(size)
        if self.zipped:
            pieces = self._unpacked(pieces)
        return self._as_utf8(pieces, size) if self.format in ("text", "json") else pieces

    def _stored(self, size: int | None) -> Iterator[bytes]:
        """The bytes as they are stored."""
        if self.kept is not None:
            yield self.kept
            return
        try:
            yield from files.read_pieces(self.name, cap=CAP, size=size or PIECE)
        except files.TooLargeError as error:
            what = f"is larger than {CAP / 1e9:g} GB"
            raise DataError(self.name, what, "give fewer rows or columns") from error
        except files.WrongKindError as error:
            raise DataError(self.name, f"is {error.kind}, not a file", f"expected {FORMATS}") from error
        except FileNotFoundError as error:
            raise DataError(self.name, "no such file", _near(self.name)) from error

    def _unpacked(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The content of a gzip file, which may have several members."""
        member, total = None, 0
        try:
            for piece in pieces:
                rest = piece
                while rest:
                    member = member or zlib.decompressobj(wbits=31)
                    content = member.decompress(rest, PIECE)
                    total += len(content)
                    if total > CAP:
                        raise self.error(
                            "", f"holds more than {CAP / 1e9:g} GB", "give fewer rows or columns"
                        )
                    yield content
                    rest = member.unconsumed_tail or member.unused_data
                    member = None if member.eof else member
            if member is not None:
                yield member.flush()
                if not member.eof:
                    raise self.error("", "is damaged: it ends too early", "compress it again")
        except zlib.error as error:
            raise self.error("", "is damaged or not a gzip file", "compress it again") from error

    def _as_utf8(self, pieces: Iterator[bytes], size: int | None) -> Iterator[bytes]:
        """Text as UTF-8, piece by piece. Raises DataError for bytes that are no text, with their line."""
        first = next(pieces, b"")
        codec = codecs.lookup(self.options.encoding or "utf-8").name
        if codec == "utf-8":
            marks = (other for mark, other in _BYTE_ORDER_MARKS.items() if first.startswith(mark))
            codec = next(marks, codec)
        decoder, is_utf8 = codecs.getincrementaldecoder(codec)(), codec == "utf-8"
        pieces = chain(iter([first]), pieces, [b""])
        del first  # a piece that is held takes room beside the numbers
        for number, piece in enumerate(pieces):
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                raise self._wrong_encoding(error, codec, self._lines(number, size)) from error
            at = text.find("\0")
            if at >= 0:
                line = str(self._lines(number, size) + text.count("\n", 0, at))
                remedy = "set dataset.encoding, such as utf-16-le, or save it as UTF-8 text"
                raise self.error(line, "holds a NUL byte", remedy)
            yield piece if is_utf8 else text.encode()

    def _lines(self, pieces: int, size: int | None) -> int:
        """The line in which the piece behind so many pieces begins; they are read again for it."""
        return 1 + sum(piece.count(b"\n") for piece in islice(self.pieces(size), pieces))

    def _wrong_encoding(self, error: UnicodeDecodeError, codec: str, lines: int) -> DataError:
        """The error for a byte that is no text, with an encoding that reads it."""
        content, at = bytes(error.object), error.start
        line = lines + content[:at].count(b"\n")
        start, end = content.rfind(b"\n", 0, at) + 1, content.find(b"\n", at) % (len(content) + 1)
        what = f"byte 0x{content[at]:02x} is not {codec.upper()}"
        around = content[max(start, at - 10) : min(end, at + 10)]
        for other in ("cp1252", "latin-1"):
            try:
                word = around.decode(other)
            except UnicodeDecodeError:
                continue
            if word.isprintable():
                known = f"set dataset.encoding, for example to {other}, which reads {word!r} there"
                where, remedy = f"{self.name}:{line}", f"{known}, or save it as UTF-8"
                return OtherFormError(where, what, remedy, {"encoding": other})
        return self.error(str(line), what, "save it as UTF-8 text")

    def empty(self) -> DataError:
        """The error for a table without any text."""
        return self.error("", "is empty", "expected a table with a header and rows")

    def error(self, position: str, what: str, remedy: str = "") -> DataError:
        """A DataError about a position in this table, such as a line number."""
        return DataError(f"{self.name}:{position}" if position else self.name, what, remedy)


@dataclass
class Sheet:
    """A table as it was read. Columns are taken out one by one, so that none outlives its use."""

    source: Source
    rows: int
    columns: dict[str, Any]
    """as Series of polars, or as arrays of numbers"""
    find: Callable[[int], str]
    """the file and position of a row, counted from 0; the source is read again for it"""
    for_model: bool = False
    """the options are those of a trained model"""

    @property
    def options(self) -> ReadOptions:
        """How the cells are read."""
        return self.source.options

    def is_empty(self, name: str) -> bool:
        """Whether a column has no value in any row."""
        return bool(self.columns[name].null_count() == self.rows)

    def take(self, names: Iterable[str]) -> Iterator[Any]:
        """The columns in this order, text without the spaces around it; each can be taken once."""
        return map(self.columns.pop, names)

    def error(self, row: int, what: str, remedy: str = "") -> DataError:
        """A DataError about a row."""
        return DataError(self.find(row), what, remedy)

    def refuse(self, wrong: Any, series: pl.Series, remedy: str) -> None:
        """Raise DataError about a column's cell in the first row that is wrong, if any is."""
        rows = np.flatnonzero(wrong)
        if len(rows):
            cell = series[int(rows[0])]
            what = "missing" if cell is None else shown(cell)
            raise self.error(int(rows[0]), f"column {shown(series.name)} is {what}", remedy)


def shown(value: object) -> str:
    """A cell as a message shows it: quoted, control characters escaped, not longer than a glance."""
    text = str(value)
    return repr(text if len(text) <= 40 else text[:39] + "…")


def line_of(records: Callable[[], Iterator[tuple[int, object]]], row: int) -> str:
    """The line in which a row starts, of records with their lines; the file is read again for it."""
    found = next(islice(records(), row, None), None)
    return str(found[0]) if found else f"row {row + 1}"  # the file has changed since


def check_size(source: Source, columns: int, rows: int = 0) -> None:
    """Raise DataError for a table that would not fit."""
    if columns > COLUMNS:
        raise source.error("", f"has more than {COLUMNS} columns", "give fewer columns")
    if rows * columns > CELLS:
        what = f"holds {rows} rows of {columns} columns, more than {CELLS} cells"
        raise DataError(source.name, what, "give fewer rows or columns")


def _near(path: str) -> str:
    folder, name = os.path.split(path)
    try:
        near = difflib.get_close_matches(name, files.names(folder or "."), n=1, cutoff=0.6)
    except (OSError, FileError):
        near = []
    return f"did you mean {shell_path(os.path.join(folder, near[0]))}?" if near else "check the path"
