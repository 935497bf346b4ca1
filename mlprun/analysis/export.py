"""All trials of a sweep as one flat table for other programs, a row for each."""

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

_RESULTS = ("seed", "fold", "status", "engine", "epochs", "best_epoch", "seconds", "error")
_INTEGERS = ("trial", "setting", "seed", "fold", "epochs", "best_epoch")
_TEXTS = ("status", "engine", "error")


def column_names(description: Description) -> list[str]:
    """`trial` and `setting`, the parameters by dotted path, the trial's attributes, and its metrics.

    A parameter keeps its path: where a sweep varies `engine`, the one that trained is in `trial_engine`.
    """
    parameters = description.parameters
    attributes = [f"trial_{name}" if name in parameters else name for name in _RESULTS]
    return ["trial", "setting", *parameters, *attributes, *description.figures]


def rows(results: Results) -> Iterator[list[Any]]:
    """A row for each trial, by id; None for what is missing, lists as they are."""
    description = results.description
    configurations = {configuration.id: configuration.values for configuration in results.settings()}
    for trial in results.each():
        values = configurations.get(trial.setting, {})
        yield [
            trial.id,
            trial.setting,
            *map(values.get, description.parameters),
            *(getattr(trial, name) for name in _RESULTS),
            *map(trial.figures.get, description.figures),
        ]


def records(results: Results) -> Iterator[dict[str, Any]]:
    """A dict for each trial by column, with lists and mappings as JSON text, which can be grouped by."""
    names = column_names(results.description)
    return (dict(zip(names, map(_scalar, row), strict=True)) for row in rows(results))


def to_csv(results: Results) -> str:
    """The table as CSV: numbers in the digits that read back exactly, lists as JSON, empty cells for None."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(column_names(results.description))
    for row in rows(results):
        table.writerow([json.dumps(value) if isinstance(value, bool) else _scalar(value) for value in row])
    return text.getvalue()


def _scalar(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else json.dumps(value, ensure_ascii=False)


def to_parquet(results: Results) -> bytes:
    """The table as Parquet, a type for each column; a parameter whose values have no common one is JSON."""
    import polars as pl

    parameters, names = results.description.parameters, column_names(results.description)
    cells: Sequence[Sequence[Any]] = list(zip(*rows(results), strict=True)) or [()] * len(names)
    series = []
    for name, values in zip(names, cells, strict=True):
        plain = name.removeprefix("trial_")
        dtype = pl.Int64 if plain in _INTEGERS else pl.String if plain in _TEXTS else pl.Float64
        series.append(
            _parameter(name, values) if name in parameters else pl.Series(name, values, dtype=dtype)
        )
    stream = io.BytesIO()
    pl.DataFrame(series).write_parquet(stream)
    return stream.getvalue()


def _parameter(name: str, values: Sequence[Any]) -> pl.Series:
    """The values of a parameter as one type."""
    import polars as pl

    types = {type(value) for value in values if value is not None}
    if types == {int, float}:
        return pl.Series(name, values, dtype=pl.Float64)
    if len(types) != 1 or not types <= {int, float, bool, str}:
        values = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    return pl.Series(name, values)
