"""All trials of a sweep as one flat table, a row for each, for other programs."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

    from mlprun.sweeps.database import Results
    from mlprun.sweeps.schema import Description

_STANDING = ("seed", "fold", "status", "engine", "epochs", "best_epoch", "seconds", "error")
_KINDS = {
    **dict.fromkeys(("trial", "setting", "seed", "fold", "epochs", "best_epoch"), int),
    **dict.fromkeys(("status", "engine", "error"), str),
}
"""what the columns hold; the others are numbers"""


def column_names(description: Description) -> list[str]:
    """`trial` and `setting`, the parameters by dotted path, what each trial was, and its figures.

    A parameter keeps its path: where a sweep varies `engine`, the one that ran stands in `trial_engine`.
    """
    taken = description.parameters
    own = [f"trial_{name}" if name in taken else name for name in _STANDING]
    return ["trial", "setting", *taken, *own, *description.figures]


def rows(results: Results) -> Iterator[list[Any]]:
    """A row for each trial, by number; None where there is nothing, lists as they are."""
    description = results.description
    chosen = {setting.id: setting.values for setting in results.settings()}
    for trial in results.each():
        values = chosen.get(trial.setting, {})
        yield [
            trial.id,
            trial.setting,
            *map(values.get, description.parameters),
            *(getattr(trial, name) for name in _STANDING),
            *map(trial.figures.get, description.figures),
        ]


def records(results: Results) -> Iterator[dict[str, Any]]:
    """A dict for each trial by column, lists and mappings as JSON text: values that can be grouped by."""
    names = column_names(results.description)
    for row in rows(results):
        yield dict(zip(names, map(_flat, row), strict=True))


def to_csv(results: Results) -> str:
    """The table as CSV: numbers in the digits that read back exactly, lists as JSON, nothing as nothing."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(column_names(results.description))
    table.writerows([_cell(value) for value in row] for row in rows(results))
    return text.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, bool) else _flat(value)


def _flat(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else json.dumps(value, ensure_ascii=False)


def to_parquet(results: Results) -> bytes:
    """The table as Parquet, a type for each column; a parameter whose values have no common one is JSON."""
    import polars as pl

    description = results.description
    names = column_names(description)
    cells: Sequence[Sequence[Any]] = list(zip(*rows(results), strict=True)) or [()] * len(names)
    series = []
    for name, values in zip(names, cells, strict=True):
        if name in description.parameters:
            series.append(_alike(name, values))
        else:
            kind = _KINDS.get(name.removeprefix("trial_"), float)
            series.append(
                pl.Series(name, values, dtype={str: pl.String, int: pl.Int64}.get(kind, pl.Float64))
            )
    stream = io.BytesIO()
    pl.DataFrame(series).write_parquet(stream)
    return stream.getvalue()


def _alike(name: str, values: Sequence[Any]) -> pl.Series:
    """Values of one parameter as one type."""
    import polars as pl

    given = {type(value) for value in values if value is not None}
    for allowed, kind in (
        ({int}, pl.Int64),
        ({int, float}, pl.Float64),
        ({bool}, pl.Boolean),
        ({str}, pl.String),
    ):
        if given <= allowed:
            return pl.Series(name, values, dtype=kind)
    texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    return pl.Series(name, texts, dtype=pl.String)
