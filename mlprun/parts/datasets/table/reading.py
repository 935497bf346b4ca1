"""A table's bytes made into named polars columns, whatever its format; what cells mean is left to columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mlprun.parts.datasets.table import delimited, records
from mlprun.parts.datasets.table.source import Place, Source, check_size

if TYPE_CHECKING:
    import polars as pl

    from mlprun.parts.datasets.table.records import Unpack


@dataclass
class Sheet:
    """A table as it was read. Columns are taken out one by one, so that none outlives its use."""

    place: Place
    columns: dict[str, Unpack]
    rows: int

    def take(self, name: str) -> pl.Series:
        """A column, which is in the sheet no longer."""
        return self.columns.pop(name)()

    @property
    def source(self) -> Source:
        """Where the table came from."""
        return self.place.source

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are left."""
        return tuple(self.columns)


def read(source: Source, *, header: delimited.HeaderCheck | None = None, text: bool = False) -> Sheet:
    """The table of a source; `header` may refuse or replace the names of a text file's first line.

    With `text` a text file's cells are not converted. Raises DataError for anything that is not a table.
    """
    if source.format == "parquet":
        columns, rows = records.read_parquet(source)
        return _sheet(Place(source, lambda row: f"row {row + 1}"), columns, rows)
    if source.format == "text":
        frame, find = delimited.read(source, header=header, text=text)
    else:
        frame, find = records.read_json(source)
    columns = {column.name: partial(_itself, column) for column in frame.get_columns()}
    return _sheet(Place(source, find), columns, frame.height)


def _itself(column: pl.Series) -> pl.Series:
    return column


def _sheet(place: Place, columns: dict[str, Unpack], rows: int) -> Sheet:
    if not rows:
        raise place.source.error("", "has a header but no rows", "expected at least one row")
    check_size(place.source, rows, len(columns))
    return Sheet(place, columns, rows)
