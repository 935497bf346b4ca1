"""Inference of options from a table: features, types, scales, missing cells, splits, rare classes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun.cli.terminal import plural
from mlprun.errors import DataError, UsageError
from mlprun.parts import SPLITS
from mlprun.parts.datasets.dataset import shortened
from mlprun.parts.datasets.table import Table, columns
from mlprun.parts.datasets.table.column_options import ReadOptions
from mlprun.parts.datasets.table.reading import read
from mlprun.parts.datasets.table.source import Source, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from mlprun.parts.data import Floats
    from mlprun.parts.datasets import Data
    from mlprun.parts.datasets.table.source import Sheet

FEW_ROWS = 5
"""number of rows below which distinct values in a column are no evidence of an identifier"""
IDENTITY = re.compile(r"(?i:^|[\W_])(?i:id|uid|uuid|guid|idx|index|rowid|row)(?:$|[\W_])|[a-z](?:Id|ID)$")
"""matches names such as id, customer_id, row-index, userId"""

DATES = (None, "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d")
"""formats of dates that are tried; None is ISO 8601"""
MARKS: tuple[dict[str, str], ...] = (
    {},
    {"thousands": ","},
    {"decimal": ","},
    {"decimal": ",", "thousands": "."},
)
"""separators of decimals and thousands that are tried"""
OUTLIER = 10.0
"""interquartile ranges from the median beyond which a cell is extreme"""
SKEW = 2.0
"""skewness from which on a logarithm is proposed for numbers that are not negative"""
RARE = 0.4
"""share of a class, times the number of classes, below which classes are imbalanced"""
SAME = 0.9999
"""absolute correlation from which on a feature is the target in another unit"""


class Inference(NamedTuple):
    """What a table suggests."""

    options: dict[str, Any]
    """of dataset `table`, without its path"""
    about: list[str]
    """the table in a few lines, with what needs attention"""
    columns: list[str]
    """a line for each feature: what was seen, and what is proposed"""
    sections: dict[str, Any]
    """other sections of the config"""


def infer_table(path: str, target: Sequence[str]) -> Inference:
    """Return what a table suggests for a config.

    Raises DataError for a table without usable features, UsageError for a target that is not a column.
    """
    options: dict[str, Any] = {"target": target[0] if len(target) == 1 else tuple(target), **_marks(path)}
    sheet = _sheet(path, options)
    table = sheet.columns
    column = _split_column(table, target)
    candidates = [name for name in table if name and name not in (*target, column)]
    faults = {name: fault for name in candidates if (fault := _fault(table[name], sheet))}
    dates = {name: how for name in faults if (how := _date({**options, "path": path}, name))}
    faults = {name: fault for name, fault in faults.items() if name not in dates}
    usable = [name for name in candidates if name not in faults] or candidates
    ids = [name for name in usable if name not in dates and _is_identity(table[name], sheet)]
    ids = ids if len(ids) < len(usable) else []
    if column is not None:
        options["split"] = {"column": column}
    options["features"] = tuple(name for name in usable if name not in ids)
    if dates:
        options["columns"] = dates
    data, missing = _load({**options, "path": path})
    options |= missing
    if len(target) > 1 and np.isin(data.targets, (0, 1)).all():
        options["task"] = "labels"
    described = {name: _describe(data, k) for k, name in enumerate(data.input_names)}
    scales = {name: {"scale": scale} for name, (_, scale) in described.items() if scale}
    if scales:
        options["columns"] = {**dates, **scales}
    skipped = [f"Skipped: {fault}." for fault in faults.values()]
    skipped += [f"Skipped column {shown(name)}: looks like a row identifier." for name in ids]
    imbalance, sections = _imbalance(data)
    if imbalance and data.classes is not None and len(data.classes) == 2:
        options["positive"] = imbalance[0]
    marks = [f"Numbers are read with {name}: {options[name]!r}." for name in MARKS[-1] if name in options]
    about = [*_about(data, column), *marks, *imbalance[1:], *data_warnings(data), *shortened(skipped)]
    return Inference(options, about, [f"{name}: {line}" for name, (line, _) in described.items()], sections)


def _sheet(path: str, options: Mapping[str, Any]) -> Sheet:
    marks = {name: options[name] for name in ("decimal", "thousands") if name in options}
    return read(Source.of(path, ReadOptions.model_validate(marks)))


def _marks(path: str) -> dict[str, str]:
    """The separators of decimals and thousands that fit most columns; of equal ones the first."""

    def faults(marks: dict[str, str]) -> int:
        sheet = _sheet(path, marks)
        return sum(_fault(series, sheet) is not None for series in sheet.columns.values())

    return min(MARKS, key=faults) if faults(MARKS[0]) else MARKS[0]


def _date(table: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The options with which a column can be read as dates."""
    for form in DATES:
        options = {"as": "date"} if form is None else {"as": "date", "format": form}
        try:
            _load({**table, "features": (name,), "columns": {name: options}})
        except (DataError, UsageError):
            continue
        return options
    return None


def _describe(data: Data, column: int) -> tuple[str, str | None]:
    """What is seen in a feature, with what is proposed and why; and its scale unless it is the usual one."""
    name, values = data.input_names[column], np.asarray(data.inputs[:, column], np.float64)
    present = values[~np.isnan(values)]
    known = None if data.categories is None else data.categories[column]
    distinct, scale = len(np.unique(present)), None
    if known is not None:
        text = f"category, {distinct} distinct, such as {shown(known[int(present[0])])}"
    elif name in data.dates:
        low, high = np.array([present.min(), present.max()]).astype("datetime64[D]")
        text = f"date, {distinct} distinct, {low} to {high}"
    else:
        text = f"number, {distinct} distinct, {present.min():g} to {present.max():g}, such as {present[0]:g}"
        scale, why = _scale(present)
        text += f"; scale: {scale}, as {why}" if scale else ""
    gaps = len(values) - len(present)
    return text + (f"; {gaps} missing" if gaps else ""), scale


def _scale(values: Floats) -> tuple[str | None, str]:
    """The scale of numbers where it is not the usual one, and why."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    if high > low and np.abs(values - middle).max() > OUTLIER * (high - low):
        return "quantile", "some are extreme"
    deviations = values - values.mean()
    spread = float(np.sqrt(np.mean(deviations**2)))
    if values.min() >= 0 and spread > 0 and np.mean((deviations / spread) ** 3) > SKEW:
        return "log", "they are skewed"
    return None, ""


def _imbalance(data: Data) -> tuple[tuple[str, ...], dict[str, Any]]:
    """For imbalanced classes the rarest with a line that says so, and sections of the config for them."""
    if data.classes is None:
        return (), {}
    shares = np.bincount(data.targets, minlength=len(data.classes)) / len(data.targets)
    rarest, count = data.classes[int(shares.argmin())], len(data.classes)
    if shares.min() >= RARE / count:
        return (), {}
    line = f"Imbalanced: class {shown(rarest)} has {shares.min():.1%} of the rows; classes are weighted."
    metrics = ("f1", "balanced_accuracy", "roc_auc") if count == 2 else ("balanced_accuracy", "accuracy")
    loss = {"name": "bce" if count == 2 else "cross_entropy", "class_weights": "balanced"}
    return (rarest, line), {"loss": loss, "metrics": metrics}


def data_warnings(data: Data) -> list[str]:
    """What needs attention: copies, features that determine the target, and constants, a line each."""
    inputs = np.asarray(data.inputs, np.float64)
    targets = np.asarray(data.targets, np.float64).reshape(len(inputs), -1)
    lines = []
    rows = np.column_stack([np.where(np.isnan(inputs), np.inf, inputs), targets])
    copies = len(rows) - len(np.unique(rows, axis=0))
    if copies:
        what = "row is a copy of another" if copies == 1 else "rows are copies of others"
        lines.append(f"{copies} {what}, which may be in another split.")
    for values, name in zip(inputs.T, data.input_names, strict=True):
        if len(values) >= FEW_ROWS and _determines(values, targets[:, 0], is_class=data.classes is not None):
            lines.append(f"Column {shown(name)} determines the target: is it known when predicting?")
    return [*lines, *data.warnings]


def _determines(values: Floats, target: Floats, *, is_class: bool) -> bool:
    """Whether the target follows from a feature: one class for each value, or a straight line."""
    present = ~np.isnan(values)
    values, target = values[present], target[present]
    if np.ptp(values) == 0 or np.ptp(target) == 0:
        return False
    distinct = len(np.unique(values))
    if is_class:
        pairs = len(np.unique(np.column_stack([values, target]), axis=0))
        return pairs == distinct and 4 * distinct <= len(values)
    return abs(float(np.corrcoef(values, target)[0, 1])) > SAME


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


def _load(table: dict[str, Any]) -> tuple[Data, dict[str, str]]:
    """The rows, and the options for missing cells and targets with which they can be read."""
    refuse, impute = {"missing": "refuse"}, {"missing": "impute"}
    for options in (refuse, impute, {**refuse, "missing_target": "drop"}):
        try:
            return Table.model_validate({**table, **options}).load(), options
        except DataError:
            continue
    options = {**impute, "missing_target": "drop"}
    return Table.model_validate({**table, **options}).load(), options


def _fault(series: pl.Series, sheet: Sheet) -> str | None:
    """Why a column is unusable as a feature, for example a text that differs in every row."""
    try:
        columns.feature(series, sheet)
    except DataError as error:
        return str(error)
    return None


def _about(data: Data, column: str | None) -> list[str]:
    """Describe the table, one sentence per line."""
    gaps = np.isnan(np.asarray(data.inputs, np.float64))
    kind = "numbers" if data.classes is None else f"{len(data.classes)} classes"
    target = f"target: {', '.join(data.target_names)} ({kind})"
    lines = [f"{len(data.inputs)} rows, {len(data.input_names)} features, {target}."]
    categories = zip(data.input_names, data.categories or (), strict=False)
    texts = [name for name, values in categories if values is not None]
    if texts:
        lines.append(f"One-hot encoded: {', '.join(texts)}.")
    if column is not None:
        lines.append(f"Splits are taken from column {column}.")
    if gaps.any():
        cells, verb = plural(int(gaps.sum()), "cell"), "is" if gaps.sum() == 1 else "are"
        lines.append(f"{cells} {verb} missing, in {plural(int(gaps.any(axis=1).sum()), 'row')}.")
    return lines
