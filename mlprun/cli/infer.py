"""Inference of dataset options from a table: usable features, target type, missing values, split column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlprun.errors import DataError
from mlprun.parts import SPLITS
from mlprun.parts.datasets.dataset import shortened
from mlprun.parts.datasets.table import Table, columns
from mlprun.parts.datasets.table.reading import read
from mlprun.parts.datasets.table.source import Source, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from mlprun.parts.datasets import Data
    from mlprun.parts.datasets.table.source import Sheet

FEW_ROWS = 5
"""number of rows below which distinct values in a column are no evidence of an identifier"""
IDENTITY = re.compile(r"(?i:^|[\W_])(?i:id|uid|uuid|guid|idx|index|rowid|row)(?:$|[\W_])|[a-z](?:Id|ID)$")
"""matches names such as id, customer_id, row-index, userId"""


def infer_table(path: str, target: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the options of dataset `table` for a file, without its path, and a description in a few lines.

    Raises DataError for a table without usable features, UsageError for a target that is not a column.
    """
    sheet = read(Source.of(path))
    table = sheet.columns
    column = _split_column(table, target)
    candidates = [name for name in table if name and name not in (*target, column)]
    faults = {name: fault for name in candidates if (fault := _fault(table[name], sheet))}
    usable = [name for name in candidates if name not in faults] or candidates
    ids = [name for name in usable if _is_identity(table[name], sheet)]
    ids = ids if len(ids) < len(usable) else []
    options: dict[str, Any] = {"target": target[0] if len(target) == 1 else tuple(target)}
    if column is not None:
        options["split"] = {"column": column}
    options["features"] = tuple(name for name in usable if name not in ids)
    data, options["missing"] = _load({**options, "path": path})
    skipped = [f"Skipped: {fault}." for fault in faults.values()]
    skipped += [f"Skipped column {shown(name)}: looks like a row identifier." for name in ids]
    return options, [*_about(data, column), *shortened(skipped)]


def _split_column(table: Mapping[str, pl.Series], target: Sequence[str]) -> str | None:
    """The column that assigns each row to a split, if there is one."""
    for name, series in table.items():
        if (
            name not in target
            and series.n_unique() <= len(SPLITS)
            and {"train"} <= set(series) <= set(SPLITS)
        ):
            return name
    return None


def _is_identity(series: pl.Series, sheet: Sheet) -> bool:
    """Return True if a column is a row identifier.

    That is the case if its texts are all different, or if its integers are all different and either count the
    rows or the column is named like an id. Other integers, such as years, may be distinct by chance.
    """
    import polars as pl

    series = columns.resolve_column_type(series, sheet)
    if series.null_count() or series.n_unique() < len(series) or len(series) < FEW_ROWS:
        return False
    if series.dtype == pl.String:
        return True
    values = series.cast(pl.Float64)
    if not (values == values.round()).all():
        return False
    counting = values.is_sorted() and values[0] in (0, 1) and values[-1] == values[0] + len(values) - 1
    return counting or IDENTITY.search(series.name) is not None


def _load(table: dict[str, Any]) -> tuple[Data, str]:
    """The rows, and the value of `missing` with which they can be read."""
    try:
        return Table.model_validate({**table, "missing": "refuse"}).load(), "refuse"
    except DataError:
        return Table.model_validate({**table, "missing": "impute"}).load(), "impute"


def _fault(series: pl.Series, sheet: Sheet) -> str | None:
    """Why a column is unusable as a feature, for example a text that differs in every row."""
    try:
        columns.feature(series, sheet)
    except DataError as error:
        return str(error)
    return None


def _about(data: Data, column: str | None) -> list[str]:
    """Describe the table, one sentence per line."""
    kind = "numbers" if data.classes is None else f"{len(data.classes)} classes"
    target = f"target: {', '.join(data.target_names)} ({kind})"
    lines = [f"{len(data.inputs)} rows, {len(data.input_names)} features, {target}."]
    categories = zip(data.input_names, data.categories or (), strict=False)
    texts = [name for name, values in categories if values is not None]
    if texts:
        lines.append(f"One-hot encoded: {', '.join(texts)}.")
    if column is not None:
        lines.append(f"Splits are taken from column {column}.")
    return lines
