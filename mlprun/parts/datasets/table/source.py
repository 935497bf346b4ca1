"""Where a table comes from: its bytes, read with a cap, and the position of a row in messages."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun import files
from mlprun.errors import DataError, FileError, shell_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import polars as pl

CAP = 2 * 10**9
"""bytes of a file that are read at most"""

PIECE = 2**22
"""bytes of a text file that are looked at together, so that it never stands in memory beside its numbers"""

CELLS = 2**28
"""numbers that a table may hold: 2 GiB as float64"""

COLUMNS = 2**16
"""columns that a table may have"""

FORMATS = "a .csv, .tsv, .parquet, .jsonl or .ndjson file"

Format = Literal["text", "parquet", "json"]

# files that people have instead, which would otherwise fail as unreadable text
_OTHERS = {
    "one JSON document": (".json",),
    "a spreadsheet": (".xls", ".xlsx", ".ods"),
    "compressed": (".gz", ".zip", ".bz2", ".xz", ".zst"),
    "an Arrow file": (".feather", ".arrow"),
    "a NumPy file": (".npy", ".npz"),
    "a pickle": (".pkl",),
}


@dataclass(frozen=True)
class Source:
    """A table's origin. `name` is how messages call it."""

    name: str
    format: Format
    tabs: bool = False
    """cells are separated by tabs, whatever the header looks like"""
    kept: bytes | None = field(default=None, repr=False)
    """content that cannot be read a second time"""

    @classmethod
    def of(cls, path: str) -> Source:
        """The source for a file name. Raises DataError for a kind of file that is not read."""
        if files.is_url(path):
            raise DataError(path, "is a URL", "download it and give the path of the file")
        ending = os.path.splitext(path)[1].lower()
        for other, endings in _OTHERS.items():
            if ending in endings:
                raise DataError(path, f"is {other}", f"expected {FORMATS}")
        if ending in (".parquet", ".pq"):
            return cls(path, "parquet")
        if ending in (".jsonl", ".ndjson"):
            return cls(path, "json")
        return cls(path, "text", tabs=ending in (".tsv", ".tab"))

    def read(self) -> bytes:
        """All bytes. Raises as `pieces` does."""
        return b"".join(self.pieces(CAP))

    def pieces(self, size: int | None = None) -> Iterator[bytes]:
        """The bytes, PIECE of them at a time unless told otherwise; each call starts anew.

        Raises DataError for a missing path, a folder or too much, FileError for the rest.
        """
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
    """the position of a row, counted from 0; the source is read again for it"""

    def take(self, names: Iterable[str]) -> Iterator[Any]:
        """The columns in this order, text without the spaces around it; each can be taken once."""
        return map(self.columns.pop, names)

    def error(self, row: int, what: str, remedy: str = "") -> DataError:
        """A DataError about a row."""
        return self.source.error(self.find(row), what, remedy)

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
