"""Inference of options from a table: formats, types, scales, missing cells, groups, splits, rare classes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun.analysis.diagnosis import class_counts, is_ambiguous, is_identity, rare_class, table_warnings
from mlprun.errors import DataError, plural
from mlprun.parts import SPLITS
from mlprun.parts.datasets.dataset import shortened
from mlprun.parts.datasets.table import Table, columns, formats
from mlprun.parts.datasets.table.column_options import MOST_CATEGORIES, ColumnOptions, ReadOptions
from mlprun.parts.datasets.table.reading import read
from mlprun.parts.datasets.table.source import OtherFormError, Sheet, Source, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from mlprun.parts.data import Floats
    from mlprun.parts.datasets import Data

GROUPING = re.compile(
    r"(?i:(patient|subject|participant|person|user|customer|client|household|family|student|donor|animal|"
    r"individual|speaker|session|device|kunden?|proband(en)?)s?([\W_]?(id|nr|no|num|number|code|name))?|.+[\W_]id)|.*[a-z]I[dD]"
)
"""matches names of columns whose rows with equal values belong together"""
GROUPS = 10
"""different values that such a column has at least"""
STRAY = 3
"""different cells without a digit, such as - or n.a., that are taken for missing in a column of numbers"""
MANY_GAPS = 0.05
"""share of missing cells from which on they get an input of their own"""
KEPT, COVERED = 50, 0.8
"""categories that are kept of many, where the most frequent have at least this share of the rows"""
OUTLIER = 10.0
"""interquartile ranges from the median beyond which a cell is extreme"""
SKEW = 2.0
"""skewness from which on a logarithm is proposed for numbers that are not negative"""


class Inference(NamedTuple):
    """What a table suggests."""

    options: dict[str, Any]
    """of dataset `table`, without its path"""
    about: list[str]
    """the table in a few lines, with what needs attention"""
    columns: list[str]
    """a line for each column: what was seen, and what is proposed"""
    sections: dict[str, Any]
    """other sections of the config"""
    suggested: dict[str, Any]
    """options of the dataset that only the user can decide on"""


@dataclass
class _Proposal:
    """The options of a column, and why."""

    options: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    missing: Sequence[str] = ()
    """cells that are missing beside the usual ones"""
    seen: str = ""

    @property
    def is_skipped(self) -> bool:
        """Whether the column is not used."""
        return self.options.get("as") == "skip"

    def check(self, series: pl.Series, sheet: Sheet) -> None:
        """Skip a column that cannot be read as a feature, such as one without any value."""
        limit = ColumnOptions.model_validate(self.options).most_categories or columns.CATEGORIES
        try:
            if not self.is_skipped:
                columns.feature(series, sheet, limit=limit)
        except DataError as error:
            self.skip(str(error))

    def skip(self, why: str) -> None:
        """Propose to leave the column out."""
        self.options, self.reasons, self.missing = {"as": "skip"}, [why], ()


def infer_table(path: str, target: Sequence[str]) -> Inference:
    """Return what a table suggests for a config.

    Raises DataError for a table without usable features, UsageError for a target that is not a column.
    """
    sheet, options = _read(path)
    table = dict(sheet.columns)
    targets = [one for name in target for one in ([name] if name in table else name.split(","))]
    options["target"] = targets[0] if len(targets) == 1 else tuple(targets)
    split = _split_column(table, targets)
    decimal, thousands = marks = _marks(table)
    options |= {"decimal": decimal} if decimal != "." else {}
    options |= {"thousands": thousands} if thousands is not None else {}
    proposals = {name: _proposal(series, marks) for name, series in table.items() if name != split}
    if "" in proposals:
        proposals[""].skip("it has no name, as if it counted the rows")
    missing = tuple(sorted({cell for one in proposals.values() for cell in one.missing}))
    options["missing"] = {"values": missing, "fill": "impute"} if missing else "impute"
    reading = {name: value for name, value in options.items() if name in ReadOptions.model_fields}
    read_as = ReadOptions.model_validate({**reading, "columns": _columns(proposals)})
    sheet = replace(sheet, source=replace(sheet.source, options=read_as))
    features = [name for name in proposals if name not in targets]
    for name in proposals.keys() & set(targets):
        cells = table[name].drop_nulls()
        example = f", such as {shown(cells[0])}" if len(cells) else ""
        proposals[
            name
        ].seen = f"target, {cells.n_unique()} distinct{example}; {table[name].null_count()} missing"
    for name in features:
        cells = table[name]
        proposals[name].check(cells.set(cells.is_in(missing), None) if missing else cells, sheet)
    if split is not None:
        options["split"] = {"column": split}
    elif (group := _group(table, features)) is not None:
        options["group"] = group
        seen = f"group, {table[group].n_unique()} distinct, which no two splits share"
        proposals[group] = _Proposal(seen=seen)
    if all(proposals[name].is_skipped for name in features):
        proposals |= {name: _Proposal() for name in features if name}  # reading the table says why
    return _prepared(path, options, proposals, rows=sheet.rows)


def _columns(proposals: Mapping[str, _Proposal]) -> dict[str, dict[str, Any]]:
    """The options of columns that have any."""
    return {name: one.options for name, one in proposals.items() if one.options}


# --- how the cells are read


def _read(path: str) -> tuple[Sheet, dict[str, Any]]:
    """The table as text, with the encoding and separator that read it unless these are the usual ones."""
    options: dict[str, Any] = {}
    while True:
        try:
            return read(Source.of(path, ReadOptions.model_validate(options)), text=True), options
        except OtherFormError as error:
            if set(error.options) <= set(options):
                raise
            options |= error.options


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


def _group(table: Mapping[str, pl.Series], features: Sequence[str]) -> str | None:
    """The first column that is named like a group and has enough of them, if there is one."""
    for name in features if len(features) > 1 else ():
        series = table[name]
        is_repeated = GROUPS <= series.n_unique() < columns.MANY * len(series) and not series.null_count()
        if is_repeated and GROUPING.fullmatch(name) and not series.dtype.is_float():
            return name
    return None


def _numbers_of(series: pl.Series) -> pl.Series | None:
    """The different cells of a column of text if most of them are numbers, in whatever format."""
    import polars as pl

    if series.dtype != pl.String:
        return None
    some = series.head(formats.LOOKED_AT)
    cells, row = formats.different(some), formats.misread(some.to_list())
    if row is not None:
        return cells if formats.kind(some[row]) == "number" else None
    return cells if 2 * sum(formats.kind(cell) == "plain" for cell in cells) > len(cells) else None


def _holds_digits(cells: pl.Series) -> bool:
    return any(any(map(str.isdigit, cell)) for cell in cells)


def _marks(table: Mapping[str, pl.Series]) -> tuple[str, str | None]:
    """The separators of decimals and thousands that fit most columns; of equal ones the most common."""
    numbers = [cells for series in table.values() if (cells := _numbers_of(series)) is not None]

    def faults(marks: tuple[str, str | None]) -> int:
        return sum(_holds_digits(formats.number_options(cells, *marks)[1]) for cells in numbers)

    return min(formats.NUMBER_FORMATS, key=faults)


def _proposal(series: pl.Series, marks: tuple[str, str | None]) -> _Proposal:
    """How a column is read, and how a category is encoded."""
    import polars as pl

    if series.dtype in (pl.Date, pl.Datetime):
        return _Proposal({"as": "date"})
    if series.dtype != pl.String or series.null_count() == len(series):
        return _Proposal()
    cells = _numbers_of(series)
    if cells is not None:
        if all(map(str.isdigit, cells)) and cells.str.contains("^0.").any():
            return _category(series, "codes with leading zeros")
        options, unread = formats.number_options(cells, *marks)
        if len(unread) <= STRAY and not _holds_digits(unread):
            return _Proposal(options, missing=unread.to_list())
    row = formats.misread(series.head(formats.LOOKED_AT).to_list())
    if row is None:
        return _category(series)
    ways = formats.date_options(series, series[row]) if formats.kind(series[row]) == "date" else []
    if ways:
        return _Proposal(ways[0])
    return _category(series, f"{shown(series[row])} is in a format that is not read as a number or date")


def _category(series: pl.Series, *why: str) -> _Proposal:
    """How text is encoded; `why` it is text though it looks like numbers or dates."""
    own: dict[str, Any] = {"as": "category"} if why else {}
    counts = series.drop_nulls().value_counts(sort=True, name="rows")["rows"]
    distinct, rows = len(counts), int(counts.sum())
    if distinct <= columns.CATEGORIES:
        return _Proposal(own, [*why])
    if distinct > MOST_CATEGORIES or distinct >= columns.MANY * rows:
        return _Proposal({"as": "skip"}, [*why, f"{distinct} different texts in {rows} rows"])
    share = int(counts.head(KEPT - 1).sum()) / rows
    if share >= COVERED:
        own, reason = own | {"max_categories": KEPT}, f"{KEPT - 1} of them have {share:.0%} of the rows"
    else:
        own, reason = own | {"encode": "target"}, "encode: target, as an input for each would be many"
    return _Proposal(own, [*why, reason])


# --- what the values suggest, once they are read


def _prepared(path: str, options: dict[str, Any], proposals: dict[str, _Proposal], *, rows: int) -> Inference:
    every = {**options, "path": path, "columns": _columns(proposals), "missing_target": "drop"}
    dataset = Table.model_validate(every)
    data = dataset.load()
    for k, name in enumerate(data.input_names):
        _describe(data, k, proposals[name])
    data, targets = _without_skipped(data, proposals), dataset.targets
    gaps = np.isnan(np.asarray(data.inputs, np.float64))
    if not (isinstance(options["missing"], dict) or gaps.any()):
        options["missing"] = "refuse"
    if len(data.inputs) < rows:
        options["missing_target"] = "drop"
    if len(targets) > 1 and np.isin(data.targets, (0, 1)).all():
        options["task"] = "labels"
    notes = [
        f"Numbers are read with {name}: {options[name]!r}."
        for name in ("decimal", "thousands")
        if name in options
    ]
    skew = _skewed_targets(data)
    if skew:
        options["target_transform"] = "log1p"
    rarest, sections = _imbalance(data)
    if rarest is not None and len(data.classes or ()) == 2:
        options["positive"] = rarest
    if _columns(proposals):
        options["columns"] = _columns(proposals)
    time = None if {"group", "split"} & set(options) else _order(data)
    if time is not None:
        notes.append(f"Rows are in the order of {shown(time)}: set dataset.time to test on later ones.")
    lines = [
        f"{name}: " + "; ".join([one.seen or "skipped", *one.reasons]) for name, one in proposals.items()
    ]
    skipped = [
        f"Skipped column {shown(name)}: {one.reasons[0]}."
        for name, one in proposals.items()
        if one.is_skipped
    ]
    about = [*_about(data, options, gaps), *notes, *skew, *table_warnings(dataset, data), *shortened(skipped)]
    return Inference(options, about, lines, sections, {} if time is None else {"time": time})


def _without_skipped(data: Data, proposals: Mapping[str, _Proposal]) -> Data:
    """The features that are used; all where it would be none."""
    kept = [k for k, name in enumerate(data.input_names) if not proposals[name].is_skipped]
    if not kept:
        for name in data.input_names:
            proposals[name].options.clear()
        return data
    return replace(
        data,
        inputs=data.inputs[:, kept],
        input_names=tuple(data.input_names[k] for k in kept),
        categories=None if data.categories is None else tuple(data.categories[k] for k in kept),
    )


def _describe(data: Data, column: int, proposal: _Proposal) -> None:
    """Say what is seen in a feature, and add to its proposal what its values suggest."""
    name, values = data.input_names[column], np.asarray(data.inputs[:, column], np.float64)
    present = values[~np.isnan(values)]
    known = None if data.categories is None else data.categories[column]
    scale, text = None, f"{len(np.unique(present))} distinct"
    if known is not None:
        text = f"category, {text}, such as {shown(known[int(present[0])])}"
    elif name in data.dates:
        low, high = np.array([present.min(), present.max()]).astype("datetime64[D]")
        text = f"date, {text}, {low} to {high}"
        if is_ambiguous(proposal.options.get("format", ""), values):
            proposal.reasons.append("no day is above 12: day or month first?")
    else:
        text = f"number, {text}, {present.min():g} to {present.max():g}, such as {present[0]:g}"
        scale, why = _scale(present)
    gaps = len(values) - len(present)
    proposal.seen = text + (f"; {gaps} missing" if gaps else "")
    if is_identity(name, values, known):
        return proposal.skip("looks like a row identifier")
    if scale is not None:
        proposal.options["scale"] = scale
        proposal.reasons.append(f"scale: {scale}, as {why}")
    if gaps >= MANY_GAPS * len(values):
        how = "median" if known is None else "most_frequent"
        proposal.options |= {"missing": how, "indicator": True}
        proposal.reasons.append(f"indicator, as {gaps / len(values):.0%} of the cells are missing")
    return None


def _scale(values: Floats) -> tuple[str | None, str]:
    """The scale of numbers where it is not the usual one, and why."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    if high > low and np.abs(values - middle).max() > OUTLIER * (high - low):
        return "quantile", "some are extreme"
    return ("log", "they are skewed") if _is_skewed(values) and len(np.unique(values)) > 2 else (None, "")


def _is_skewed(values: Floats) -> bool:
    """Whether numbers are not negative, and so skewed that a logarithm may help."""
    deviations = values - values.mean()
    spread = float(np.sqrt(np.mean(deviations**2)))
    return bool(values.min() >= 0 and spread > 0 and np.mean((deviations / spread) ** 3) > SKEW)


def _skewed_targets(data: Data) -> list[str]:
    """Why a logarithm is proposed for numeric targets; empty where it is not."""
    if data.classes is not None:
        return []
    if not all(map(_is_skewed, data.targets.T)):
        return []
    return [f"Skewed and not negative: target {', '.join(data.target_names)}; target_transform is log1p."]


def _order(data: Data) -> str | None:
    """The first date by which the rows are in order, most with a date of their own."""
    for name, days in zip(data.input_names, data.inputs.T, strict=True):
        if name in data.dates and (np.diff(days) >= 0).all() and 2 * len(np.unique(days)) > len(days):
            return name
    return None


def _imbalance(data: Data) -> tuple[str | None, dict[str, Any]]:
    """For imbalanced classes the rarest, and sections of the config for them."""
    rarest = None if data.classes is None else rare_class(class_counts(data))
    if data.classes is None or rarest is None:
        return None, {}
    is_binary = len(data.classes) == 2
    metrics = ("f1", "balanced_accuracy", "roc_auc") if is_binary else ("balanced_accuracy", "accuracy")
    loss = {"name": "bce" if is_binary else "cross_entropy", "class_weights": "balanced"}
    return data.classes[rarest], {"loss": loss, "metrics": metrics}


def _about(data: Data, options: Mapping[str, Any], gaps: NDArray[np.bool_]) -> list[str]:
    """Describe the table, one sentence per line."""
    kind = "numbers" if data.classes is None else f"{len(data.classes)} classes"
    target = f"target: {', '.join(data.target_names)} ({kind})"
    lines = [f"{len(data.inputs)} rows, {len(data.input_names)} features, {target}."]
    own = options.get("columns", {})
    pairs = zip(data.input_names, data.categories or (), strict=False)
    texts = [name for name, known in pairs if known is not None and "encode" not in own.get(name, {})]
    if texts:
        lines.append(f"One-hot encoded: {', '.join(texts)}.")
    if "split" in options:
        lines.append(f"Splits are taken from column {options['split']['column']}.")
    if "group" in options:
        lines.append(f"Rows with equal {options['group']} stay in one split.")
    if gaps.any():
        cells, verb = plural(int(gaps.sum()), "cell"), "is" if gaps.sum() == 1 else "are"
        lines.append(f"{cells} {verb} missing, in {plural(int(gaps.any(axis=1).sum()), 'row')}.")
    return lines
