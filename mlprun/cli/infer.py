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

SHOWN_CLASSES = 8
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
    base: dict[str, Any] = {"target": target[0] if len(target) == 1 else tuple(target)}
    if column is not None:
        base["split"] = {"column": column}
    about: list[str] = []
    try:
        data, missing = _load(path, base, candidates)
    except DataError:
        faults = {name: fault for name in candidates if (fault := _fault(table[name], sheet))}
        if len(faults) in (0, len(candidates)):
            raise
        data, missing = _load(path, base, [name for name in candidates if name not in faults])
        about = [f"Skipped: {fault}." for fault in faults.values()]
    ids = [name for name in data.input_names if _is_identity(columns.settle(table[name], sheet))]
    if ids and len(ids) < len(data.input_names):
        about += [f"Skipped column {shown(name)}: looks like a row identifier." for name in ids]
        left = set(ids)
        data, missing = _load(path, base, [name for name in data.input_names if name not in left])
    options = {**base, "features": data.input_names, "missing": missing}
    return options, [*_about(data, column), *shortened(about)]


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


def _is_identity(series: pl.Series) -> bool:
    """Return True if a column is a row identifier.

    That is the case if its texts are all different, or if its integers are all different and either count the
    rows or the column is named like an id. Other integers, such as years, may be distinct by chance.
    """
    import polars as pl

    if series.null_count() or series.n_unique() < len(series) or len(series) < FEW_ROWS:
        return False
    if series.dtype == pl.String:
        return True
    values = series.cast(pl.Float64)
    if not (values == values.round()).all():
        return False
    counting = values.is_sorted() and values[0] in (0, 1) and values[-1] == values[0] + len(values) - 1
    return counting or IDENTITY.search(series.name) is not None


def _load(path: str, base: dict[str, Any], features: Sequence[str]) -> tuple[Data, str]:
    """The rows, and the value of `missing` with which they can be read."""
    table = {**base, "path": path, "features": tuple(features) or None}
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
    targets = ", ".join(data.target_names)
    task = f"target: {targets} (number{'' if len(data.target_names) == 1 else 's'})"
    if data.classes is not None:
        more = ", ..." if len(data.classes) > SHOWN_CLASSES else ""
        task = f"target: {targets} (classes {', '.join(data.classes[:SHOWN_CLASSES])}{more})"
    features = "1 feature" if len(data.input_names) == 1 else f"{len(data.input_names)} features"
    lines = [f"{len(data.inputs)} rows, {features}, {task}."]
    categories = data.categories or (None,) * len(data.input_names)
    texts = [name for name, values in zip(data.input_names, categories, strict=True) if values is not None]
    if texts:
        lines.append(f"One-hot encoded: {', '.join(texts)}.")
    if column is not None:
        lines.append(f"Splits are taken from column {column}.")
    return lines
