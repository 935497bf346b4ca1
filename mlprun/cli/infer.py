"""What a table says of itself: which columns can be learnt from, what the target is, how rows are split."""

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
    from mlprun.parts.datasets.table.source import Place

SHOWN_CLASSES = 8
FEW_ROWS = 5
"""rows of which it says nothing that all values of a column are different"""
IDENTITY = re.compile(r"(?i:^|[\W_])(?i:id|uid|uuid|guid|idx|index|rowid|row)(?:$|[\W_])|[a-z](?:Id|ID)$")
"""finds names such as id, customer_id, row-index, userId"""


def infer_table(path: str, target: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The options of the dataset `table` for a file, its path left out, and what was found, in a few lines.

    Raises DataError for a table that cannot be learnt from, UsageError for a target that is no column.
    """
    sheet = read(Source.of(path))
    table = {series.name: series for series in sheet.take(sheet.names)}
    column = _split_column(table, target)
    candidates = [name for name in sheet.names if name and name not in (*target, column)]
    given: dict[str, Any] = {"target": target[0] if len(target) == 1 else tuple(target)}
    if column is not None:
        given["split"] = {"column": column}
    about: list[str] = []
    try:
        data, missing = _load(path, given, candidates)
    except DataError:
        faults = {name: fault for name in candidates if (fault := _fault(table[name], sheet.place))}
        if len(faults) in (0, len(candidates)):
            raise
        data, missing = _load(path, given, [name for name in candidates if name not in faults])
        about = [f"Left out: {fault}." for fault in faults.values()]
    ids = [name for name in data.input_names if _is_identity(columns.settle(table[name], sheet.place))]
    if ids and len(ids) < len(data.input_names):
        about += [
            f"Left out: column {shown(name)} only names the rows; add it to features if it says more."
            for name in ids
        ]
        left = set(ids)
        data, missing = _load(path, given, [name for name in data.input_names if name not in left])
    options = {**given, "features": data.input_names, "missing": missing}
    return options, [*_about(data, column), *shortened(about)]


def _split_column(table: Mapping[str, pl.Series], target: Sequence[str]) -> str | None:
    """The column that names the split of each row, if there is one."""
    for name, series in table.items():
        if (
            name not in target
            and series.n_unique() <= len(SPLITS)
            and {"train"} <= set(series) <= set(SPLITS)
        ):
            return name
    return None


def _is_identity(series: pl.Series) -> bool:
    """Whether a column says which row it is and nothing of it.

    Texts that are all different do; whole numbers that are, when they count the rows or the column is called
    an id: others, such as years or prices, may well be different by themselves.
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


def _load(path: str, given: dict[str, Any], features: Sequence[str]) -> tuple[Data, str]:
    """The rows, and what has to be said of missing cells for them to be read."""
    table = {**given, "path": path, "features": tuple(features) or None}
    try:
        return Table.model_validate({**table, "missing": "refuse"}).load(), "refuse"
    except DataError:
        return Table.model_validate({**table, "missing": "impute"}).load(), "impute"


def _fault(series: pl.Series, place: Place) -> str | None:
    """Why a column cannot be learnt from: a text that differs in every row, say."""
    try:
        columns.feature(series, place)
    except DataError as error:
        return str(error)
    return None


def _about(data: Data, column: str | None) -> list[str]:
    """What was found in the table, a sentence a line."""
    targets = ", ".join(data.target_names)
    task = (
        f"to predict {targets}, a number"
        if len(data.target_names) == 1
        else f"to predict the numbers {targets}"
    )
    if data.classes is not None:
        more = ", ..." if len(data.classes) > SHOWN_CLASSES else ""
        task = f"to predict {targets}, one of {', '.join(data.classes[:SHOWN_CLASSES])}{more}"
    features = "1 feature" if len(data.input_names) == 1 else f"{len(data.input_names)} features"
    lines = [f"{len(data.inputs)} rows with {features} {task}."]
    categories = data.categories or (None,) * len(data.input_names)
    words = [name for name, values in zip(data.input_names, categories, strict=True) if values is not None]
    if words:
        lines.append(f"Texts, of which each value becomes a 0/1 input of its own, are {', '.join(words)}.")
    if column is not None:
        lines.append(f"The column {column} says which rows are for train, dev and test.")
    return lines
