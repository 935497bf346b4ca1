"""Tables in memory: data frames, arrays and lists of mappings as the Parquet file that they would be."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.errors import DataError, plural
from mlprun.parts.datasets.dataset import numbered
from mlprun.parts.datasets.table.delimited import repeated
from mlprun.parts.datasets.table.source import CAP, IN_MEMORY, MemoryTable, shown

if TYPE_CHECKING:
    import polars as pl

    from mlprun.parts.data import Names

    Columns = dict[str, Any]

_MISSING = ("NoneType", "NAType", "NaTType")
"""types of missing cells, those of pandas too"""
_TYPES = {bool, int, float, str, date, datetime, time, timedelta, Decimal}
_NESTED = (list, tuple, set, dict, bytes, np.ndarray)


def table_of(
    data: Any, targets: Any = None, *, names: Names | None = None, target_names: Names = ()
) -> tuple[MemoryTable, Names]:
    """Return rows, and the targets beside them if given, as a table; and the names of these targets.

    `data` is a data frame that narwhals knows (pandas, polars, PyArrow, ...), an array [N, D] or a list of
    mappings; `targets` is a series, an array [N] or [N, K], or a frame. An array's columns are `names`, by
    default x1, x2, ..., and targets `target_names`, by default as they are, or y, or y1, y2, ... Values mean
    what they do in a file: a column of mixed types is text, as in a CSV file.

    Raises DataError for other types and shapes, no rows, unequal lengths and names that occur twice.
    """
    columns, found = _columns(data, IN_MEMORY, names), {}
    if targets is not None:
        found = _columns(targets, "targets", target_names or None, stem="y")
        rows, others = (len(next(iter(one.values()))) for one in (columns, found))
        if rows != others:
            what = f"has {plural(rows, 'row')}, and there are {plural(others, 'target')}"
            raise DataError(IN_MEMORY, what, "give one target for each row")
    _refuse_repeated((*columns, *found))
    return _written(columns | found), tuple(found)


def _refuse_repeated(names: Names) -> None:
    if (twice := repeated(names)) is not None:
        raise DataError(IN_MEMORY, f"two columns have the name {shown(twice)}", "rename one of them")


def _written(columns: Columns) -> MemoryTable:
    import polars as pl

    content = io.BytesIO()
    pl.DataFrame([_series(name, cells) for name, cells in columns.items()]).write_parquet(content)
    if len(content.getbuffer()) > CAP:
        raise DataError(IN_MEMORY, f"is larger than {CAP / 1e9:g} GB", "give fewer rows or columns")
    return MemoryTable(content.getvalue())


def _columns(data: Any, where: str, names: Names | None, *, stem: str = "x") -> Columns:
    """Return columns by name, as series of narwhals, arrays or lists, of one length above 0."""
    import narwhals.stable.v2 as nw

    columns: Columns
    try:
        native = nw.from_native(data, eager_only=True, allow_series=True, pass_through=True)
    except nw.exceptions.DuplicateError:
        _refuse_repeated(tuple(map(str, data.columns)))
        raise
    if isinstance(native, nw.Series) and stem == "y":
        own = "y" if native.name in (None, "") else str(native.name)
        columns = {names[0] if names and len(names) == 1 else own: native}
    elif isinstance(native, nw.DataFrame):
        _refuse_repeated(tuple(map(str, native.columns)))
        columns = {str(name): native.get_column(name) for name in native.columns}
    elif isinstance(data, list) and data and all(isinstance(row, Mapping) for row in data):
        known = dict.fromkeys(name for row in data for name in row)
        columns = {str(name): [row.get(name) for row in data] for name in known}
    else:
        columns = _of_array(data, where, names, stem)
    if not columns or not len(next(iter(columns.values()))):
        raise DataError(where, f"has no {'rows' if columns else 'columns'}", "give at least one")
    return columns


def _of_array(data: Any, where: str, names: Names | None, stem: str) -> Columns:
    """Return the columns of an array [N, D], or of [N] targets. Raises DataError for anything else."""
    try:
        array = np.asarray(data)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            where, "is no array: its rows differ in length", "give rows of equal length"
        ) from error
    if array.ndim == 1 and stem == "y":
        return {(names or ("y",))[0]: array}
    if array.ndim != 2:
        is_other = array.ndim == 0 or not isinstance(data, list | np.ndarray)
        what = f"is of type {type(data).__name__}" if is_other else f"is an array {list(array.shape)}"
        remedy = "expected a data frame of pandas or polars, an array [N, D] or a list of mappings"
        raise DataError(
            where, what, remedy if stem == "x" else "expected a series, or an array [N] or [N, K]"
        )
    usual = ("y",) if stem == "y" and array.shape[1] == 1 else numbered(stem, array.shape[1])
    names = usual if names is None else names
    if len(names) != array.shape[1]:
        order = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise DataError(where, f"has {plural(array.shape[1], 'column')}", f"expected {len(names)}: {order}")
    return dict(zip(names, array.T, strict=True))


def _series(name: str, cells: Any) -> pl.Series:
    """Return a column as polars has it, null for missing cells. Raises DataError for nested values."""
    import narwhals.stable.v2 as nw
    import polars as pl

    if isinstance(cells, nw.Series):
        if isinstance(native := cells.to_native(), pl.Series):
            return native.alias(name)
        dtype = cells.dtype
        is_array = dtype.is_float() or isinstance(dtype, nw.Datetime | nw.Duration)
        if is_array or ((dtype == nw.Boolean or dtype.is_integer()) and not cells.is_null().any()):
            cells = cells.to_numpy()
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "mM":
        return pl.Series(name, cells.astype(f"{cells.dtype.kind}8[us]"))
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "biuf":
        is_other = cells.dtype.kind == "f" and cells.dtype.itemsize not in (4, 8)
        return pl.Series(name, np.ascontiguousarray(cells, np.float64 if is_other else None))
    return _inferred(name, list(map(_cell, cells.tolist() if isinstance(cells, np.ndarray) else cells)))


def _cell(value: Any) -> Any:
    """Return a cell as a value of Python, None if it is missing."""
    value = value.item() if isinstance(value, np.generic) else value
    is_missing = type(value).__name__ in _MISSING or (isinstance(value, float) and value != value)
    return None if is_missing else value


def _inferred(name: str, cells: list[Any]) -> pl.Series:
    """Return values of one type as such, and of several as text."""
    import polars as pl

    types = {type(cell) for cell in cells if cell is not None}
    if nested := next((one for one in types if issubclass(one, _NESTED)), None):
        what = f"column {shown(name)} holds {nested.__name__} values"
        raise DataError(IN_MEMORY, what, "expected numbers, text, booleans or dates")
    if types == {int, float}:
        cells = [None if cell is None else float(cell) for cell in cells]
    elif len(types) > 1 or not types <= _TYPES or (types == {int} and _are_huge(cells)):
        cells = [None if cell is None else str(cell) for cell in cells]
    return pl.Series(name, cells, dtype=None if types else pl.String)


def _are_huge(cells: list[int | None]) -> bool:
    """Return True if some whole number is larger than those of polars."""
    return any(cell is not None and abs(cell) >= 2**127 for cell in cells)
