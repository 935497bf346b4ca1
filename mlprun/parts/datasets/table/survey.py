"""A first look at a text table, piece by piece: is it text, and are its lines and its records the same?"""

from __future__ import annotations

import codecs
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlprun.parts.datasets.table.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

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
