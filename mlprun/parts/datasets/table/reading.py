"""A table's bytes made into named polars columns, whatever its format; what cells mean is left to columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlprun.parts.datasets.table import delimited, records
from mlprun.parts.datasets.table.columns import stripped
from mlprun.parts.datasets.table.source import Place, Source, check_size

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    import polars as pl

BLOCK = 2**20
"""cells that are unpacked together: one polars query per column would dominate the time for wide tables"""


@dataclass
class Sheet:
    """A table as it was read. Columns are taken out block by block, so that none outlives its use."""

    place: Place
    names: tuple[str, ...]
    rows: int
    unpack: Callable[[Sequence[str]], list[pl.Series]]

    def take(self, names: Sequence[str]) -> Iterator[pl.Series]:
        """The columns in this order, text without the spaces around it; each can be taken once."""
        size = max(1, BLOCK // self.rows)
        for start in range(0, len(names), size):
            yield from stripped(self.unpack(names[start : start + size]))

    @property
    def source(self) -> Source:
        """Where the table came from."""
        return self.place.source


def read(source: Source, *, header: delimited.HeaderCheck | None = None, text: Collection[str] = ()) -> Sheet:
    """The table of a source; `header` may refuse or replace the names of a text file's first line.

    The cells of the columns `text` of a text file are not converted. Raises DataError for anything that is
    not a table.
    """
    if source.format == "parquet":
        names, rows, unpack = records.read_parquet(source)
        place = Place(source, lambda row: f"row {row + 1}")
    else:
        if source.format == "text":
            frame, find = delimited.read(source, header=header, text=text)
        else:
            frame, find = records.read_json(source)
        columns = {column.name: column for column in frame.get_columns()}
        names, rows, place = tuple(columns), frame.height, Place(source, find)

        def unpack(names: Sequence[str]) -> list[pl.Series]:
            return [columns.pop(name) for name in names]

    if not rows:
        raise source.error("", "has a header but no rows", "expected at least one row")
    check_size(source, rows, len(names))
    return Sheet(place, names, rows, unpack)
