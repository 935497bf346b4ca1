"""A table file as named polars columns: Parquet and JSON lines here, CSV and TSV in `delimited`."""

from __future__ import annotations

import io
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from mlprun.parts.datasets.table import delimited
from mlprun.parts.datasets.table.columns import stripped
from mlprun.parts.datasets.table.source import Sheet, Source, check_size, line_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

    Columns = tuple[pl.DataFrame, Callable[[int], str]]


NAMED_CELLS = 2**20
"""cells of JSON lines that are searched for the names of columns before polars reads the file"""


def read_parquet(source: Source) -> Columns:
    """The columns of a Parquet file; what it would unpack to is known before it is unpacked."""
    import polars as pl

    content = _content(source)
    damaged = source.error("", "is damaged or not a Parquet file", "write it again")
    try:
        lazy = pl.scan_parquet(io.BytesIO(content))
        rows = int(lazy.select(pl.len()).collect().item())
        check_size(source, len(lazy.collect_schema()), rows)
        frame = lazy.collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise damaged from error
    if frame.height != rows:
        raise damaged
    return frame, lambda row: f"row {row + 1}"


def _content(source: Source) -> bytes:
    content = source.read()
    if not content or content.isspace():
        raise source.empty()
    return content


def read_json(source: Source) -> Columns:
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
    # polars gives keys in no particular order
    ordered = sorted(frame.columns, key=lambda name: (names.get(name, len(names)), name))
    return frame[ordered], partial(line_of, lambda: _lines(source.read()))


def _names(source: Source, content: bytes) -> dict[str, int]:
    """The columns of the first lines and their positions, in the order in which they are named.

    Raises DataError where these are too many: polars takes time that grows with their square.
    """
    names: dict[str, int] = {}
    cells = 0
    for _, item in _objects(source, content):
        for name in item:
            names.setdefault(name, len(names))
        check_size(source, len(names))
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
                what = f"column {shown(name)} is {shown(json.dumps(value))}"
                raise source.error(str(line), what, "expected a number, a string or null")
        yield line, item


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not allowed; write null")


def read(
    source: Source,
    *,
    header: delimited.HeaderCheck | None = None,
    text: bool = False,
    numbers: bool = False,
) -> Sheet:
    """The table of a source; `header` may refuse or replace the names of a text file's first line.

    With `text` the cells of a text file are not converted. With `numbers` columns may be arrays. Raises
    DataError for anything that is not a table.
    """
    arrays = delimited.read_numbers(source, header=header) if numbers and source.format == "text" else None
    if arrays is not None:
        rows = len(next(iter(arrays.values())))
        return Sheet(source, rows, arrays, lambda row: str(row + 2))
    if source.format == "text":
        frame, find = delimited.read(source, header=header, text=text)
    else:
        frame, find = (read_parquet if source.format == "parquet" else read_json)(source)
    if not frame.height:
        raise source.error("", "has a header but no rows", "expected at least one row")
    check_size(source, frame.width, frame.height)
    return Sheet(source, frame.height, {one.name: one for one in stripped(frame)}, find)
