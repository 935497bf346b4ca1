"""Parquet and JSON lines: formats whose values bring their types along."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from mlprun.parts.datasets.table.source import Source, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

    Unpack = Callable[[], pl.Series]


def read_parquet(source: Source) -> tuple[dict[str, Unpack], int]:
    """How to unpack each column of a Parquet file, and the number of rows.

    What the file would unpack to is known before it is unpacked, and never stands in memory as a whole.
    """
    import polars as pl

    content = _content(source)
    with _refusing_damage(source):
        lazy = pl.scan_parquet(io.BytesIO(content))
        rows = int(lazy.select(pl.len()).collect().item())
        names = lazy.collect_schema().names()
    return {name: partial(_unpacked, source, lazy, name, rows) for name in names}, rows


def _unpacked(source: Source, lazy: pl.LazyFrame, name: str, rows: int) -> pl.Series:
    with _refusing_damage(source):
        series = lazy.select(name).collect().to_series()
        if len(series) != rows:
            raise ValueError(f"{len(series)} values in a column of {rows} rows")
        return series


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
    try:
        frame = pl.read_ndjson(io.BytesIO(content), infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        for _ in _objects(source, content):
            pass  # raises at the first line that is not a flat object
        why = str(error).partition("\n")[0][:80]
        what = f"cannot be read as JSON lines: {why}"
        raise source.error("", what, "give each column values of one type") from error
    nested = any(column.dtype.is_nested() for column in frame)
    names = list(
        dict.fromkeys(name for _, item in _objects(source, content, all_of_them=nested) for name in item)
    )
    # polars gives keys in no particular order
    ordered = [name for name in names if name in frame.columns]
    rest = sorted(set(frame.columns) - set(ordered))
    return frame.select(ordered + rest), partial(_line, source)


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    for line, text in enumerate(io.BytesIO(content), start=1):
        if text.strip():
            yield line, text


def _line(source: Source, row: int) -> str:
    for at, (line, _) in enumerate(_lines(source.read())):
        if at == row:
            return str(line)
    return f"row {row + 1}"  # the file has changed since


def _objects(
    source: Source, content: bytes, *, all_of_them: bool = True
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The object of each line, or of the first one. Raises DataError for a line that is not a flat object."""
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
        if not all_of_them:
            return


def _refuse(name: str) -> None:
    raise ValueError(f"{name} has no place in it; write null")
