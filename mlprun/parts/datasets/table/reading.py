"""A table file as named polars columns: Parquet and JSON lines here, CSV and TSV in `delimited`."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mlprun.parts.datasets.table import delimited
from mlprun.parts.datasets.table.columns import stripped
from mlprun.parts.datasets.table.source import RowLocator, Source, check_size, check_width, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    import polars as pl


NAMED_CELLS = 2**20
"""cells of JSON lines that are searched for the names of columns before polars reads the file"""


def read_parquet(source: Source) -> tuple[tuple[str, ...], int, Callable[[Sequence[str]], list[pl.Series]]]:
    """The columns of a Parquet file, the number of rows, and a function that unpacks some columns.

    What the file would unpack to is known before it is unpacked, and never stands in memory as a whole.
    """
    import polars as pl

    content = _content(source)
    with _refusing_damage(source):
        lazy = pl.scan_parquet(io.BytesIO(content))
        names = tuple(lazy.collect_schema().names())
        check_width(source, len(names))
        rows = int(lazy.select(pl.len()).collect().item())

    def unpack(some: Sequence[str]) -> list[pl.Series]:
        with _refusing_damage(source):
            # by_name reads no name as a pattern, as pl.col does with * and ^...$
            columns = lazy.select(pl.selectors.by_name(*some)).collect().get_columns()
            for series in columns:
                if len(series) != rows:
                    raise ValueError(f"{len(series)} values in a column of {rows} rows")
        return columns

    return names, rows, unpack


@contextmanager
def _refusing_damage(source: Source) -> Iterator[None]:
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise source.error("", "is damaged or not a Parquet file", "write it again") from error


def _content(source: Source) -> bytes:
    content = source.read()
    if not content or content.isspace():
        raise source.empty()
    return content


def read_json(source: Source) -> tuple[pl.DataFrame, Callable[[int], str]]:
    """The columns of JSON lines in the order of the first object, and how to find the line of a row."""
    import polars as pl

    content = _content(source).removeprefix(b"\xef\xbb\xbf")
    names = _names(source, content)
    try:
        frame = pl.read_ndjson(io.BytesIO(content), infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        _refuse_mixed(source, content)
        why = str(error).partition("\n")[0][:80]
        what = f"cannot be read as JSON lines: {why}"
        raise source.error("", what, "give each column values of one type") from error
    check_width(source, frame.width)
    if any(column.dtype.is_nested() for column in frame):
        for _ in _objects(source, content):
            pass  # raises at the first line that is not a flat object
    # polars gives keys in no particular order
    known = set(frame.columns)
    ordered = [name for name in names if name in known]
    rest = sorted(known - set(ordered))
    return frame.select(pl.selectors.by_name(*ordered, *rest)), partial(_line, source)


def _names(source: Source, content: bytes) -> dict[str, None]:
    """The columns in the order in which the first lines name them.

    Raises DataError where these are too many: polars takes time that grows with their square.
    """
    names: dict[str, None] = {}
    cells = 0
    for _, item in _objects(source, content):
        names |= dict.fromkeys(item)
        check_width(source, len(names))
        cells += len(item)
        if cells > NAMED_CELLS:
            break
    return names


def _refuse_mixed(source: Source, content: bytes) -> None:
    """Raise DataError for the first line that is not a flat object or mixes true and false with numbers."""
    first: dict[str, tuple[bool, int]] = {}
    for line, item in _objects(source, content):
        for name, value in item.items():
            if not isinstance(value, bool | int | float):
                continue
            flag, at = first.setdefault(name, (isinstance(value, bool), line))
            if flag is not isinstance(value, bool):
                what = f"column {shown(name)} is {json.dumps(value)}"
                expected = "true or false" if flag else "a number"
                raise source.error(str(line), what, f"expected {expected}, as in line {at}")


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    for line, text in enumerate(io.BytesIO(content), start=1):
        if text.strip():
            yield line, text


def _line(source: Source, row: int) -> str:
    for at, (line, _) in enumerate(_lines(source.read())):
        if at == row:
            return str(line)
    return f"row {row + 1}"  # the file has changed since


def _objects(source: Source, content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """The object of each line. Raises DataError for a line that is not a flat object."""
    for line, text in _lines(content):
        try:
            item = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            why = str(error).partition(":")[0] if isinstance(error, ValueError) else "too deeply nested"
            raise source.error(str(line), f"is not JSON ({why})", "expected one object per line") from None
        if not isinstance(item, dict):
            raise source.error(str(line), "is not a JSON object", 'expected {"column": value, ...} per line')
        for name, value in item.items():
            if isinstance(value, dict | list):
                what = f"column {shown(name)} holds {'an object' if isinstance(value, dict) else 'a list'}"
                raise source.error(str(line), what, "expected a number, a string or null")
        yield line, item


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not allowed; write null")


BLOCK = 2**20
"""cells that are unpacked together: one polars query per column would dominate the time for wide tables"""


@dataclass
class Sheet:
    """A table as it was read. Columns are taken out block by block, so that none outlives its use."""

    locator: RowLocator
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
        return self.locator.source


def read(source: Source, *, header: delimited.HeaderCheck | None = None, text: Collection[str] = ()) -> Sheet:
    """The table of a source; `header` may refuse or replace the names of a text file's first line.

    The cells of the columns `text` of a text file are not converted. Raises DataError for anything that is
    not a table.
    """
    if source.format == "parquet":
        names, rows, unpack = read_parquet(source)
        locator = RowLocator(source, lambda row: f"row {row + 1}")
    else:
        if source.format == "text":
            frame, find = delimited.read(source, header=header, text=text)
        else:
            frame, find = read_json(source)
        columns = {column.name: column for column in frame.get_columns()}
        names, rows, locator = tuple(columns), frame.height, RowLocator(source, find)

        def unpack(names: Sequence[str]) -> list[pl.Series]:
            return [columns.pop(name) for name in names]

    if not rows:
        raise source.error("", "has a header but no rows", "expected at least one row")
    check_size(source, rows, len(names))
    return Sheet(locator, names, rows, unpack)
