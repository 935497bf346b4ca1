"""What a table says of itself: which columns can be learnt from, what the target is, how rows are split."""

from collections.abc import Sequence
from typing import Any

from mlprun.errors import DataError
from mlprun.parts.datasets import Data
from mlprun.parts.datasets.table import Table
from mlprun.parts.datasets.table.reading import Sheet, read
from mlprun.parts.datasets.table.source import Source

SPLITS = {"train", "dev", "test"}
SHOWN_CLASSES = 8


def infer(path: str, target: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The options of the dataset `table` for a file, its path left out, and what was found, in a few lines.

    Raises DataError for a table that cannot be learnt from, UsageError for a target that is no column.
    """
    sheet = read(Source.of(path))
    column = _split_column(sheet, target)
    candidates = [name for name in sheet.names if name and name not in (*target, column)]
    given: dict[str, Any] = {"target": target[0] if len(target) == 1 else tuple(target)}
    if column is not None:
        given["split"] = {"column": column}
    try:
        data, missing = _load(path, given, candidates)
    except DataError:
        usable = [name for name in candidates if _is_usable(path, given, name)]
        if not usable:
            raise
        data, missing = _load(path, given, usable)
    options = {**given, "features": data.input_names, "missing": missing}
    return options, _about(data, candidates, column)


def _split_column(sheet: Sheet, target: Sequence[str]) -> str | None:
    """The column that names the split of each row, if there is one."""
    for name, series in sheet.columns.items():
        if name not in target and series.n_unique() <= len(SPLITS) and {"train"} <= set(series) <= SPLITS:
            return name
    return None


def _load(path: str, given: dict[str, Any], features: Sequence[str]) -> tuple[Data, str]:
    """The rows, and what has to be said of missing cells for them to be read."""
    table = {**given, "path": path, "features": tuple(features) or None}
    try:
        return Table.model_validate({**table, "missing": "refuse"}).load(), "refuse"
    except DataError:
        return Table.model_validate({**table, "missing": "impute"}).load(), "impute"


def _is_usable(path: str, given: dict[str, Any], feature: str) -> bool:
    """Whether a column can be learnt from: a text that differs in every row, say, cannot."""
    try:
        _load(path, given, [feature])
    except DataError:
        return False
    return True


def _about(data: Data, candidates: Sequence[str], column: str | None) -> list[str]:
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
    lines = [f"{len(data.inputs)} rows with {len(data.input_names)} features {task}."]
    categories = data.categories or (None,) * len(data.input_names)
    words = [name for name, values in zip(data.input_names, categories, strict=True) if values is not None]
    unused = [name for name in candidates if name not in data.input_names]
    if words:
        lines.append(f"Texts, of which each value becomes a 0/1 input of its own, are {', '.join(words)}.")
    if unused:
        lines.append(f"Left out, since nothing can be learnt from them as they are, {', '.join(unused)}.")
    if column is not None:
        lines.append(f"The column {column} says which rows are for train, dev and test.")
    return lines
