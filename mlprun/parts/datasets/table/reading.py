"""A table's bytes made into named polars columns, whatever its format; what cells mean is left to columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlprun.parts.datasets.table import delimited, records
from mlprun.parts.datasets.table.source import Place, Source, check_size

if TYPE_CHECKING:
    import polars as pl


@dataclass
class Sheet:
    """A table as it was read. Columns are taken out one by one, so that none outlives its use."""

    place: Place
    columns: dict[str, pl.Series]
    rows: int

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
    content = source.read()
    if not content or content.isspace():
        raise source.error("", "is empty", "expected a table with a header and rows")
    if source.format == "text":
        frame, find = delimited.read(source, content, header=header, text=text)
    elif source.format == "json":
        frame, find = records.read_json(source, content)
    else:
        frame, find = records.read_parquet(source, content)
    rows = frame.height
    if not rows:
        raise source.error("", "has a header but no rows", "expected at least one row")
    check_size(source, rows, frame.width)
    return Sheet(Place(source, find), {column.name: column for column in frame.get_columns()}, rows)
