"""New rows for a trained model, from a table file or standard input, with the names that training fixed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlprun.errors import DataError
from mlprun.parts.data import Data
from mlprun.parts.datasets.dataset import domain_of, outside_domain, shortened
from mlprun.parts.datasets.table import columns
from mlprun.parts.datasets.table.column_options import ReadOptions
from mlprun.parts.datasets.table.formats import is_number
from mlprun.parts.datasets.table.reading import read
from mlprun.parts.datasets.table.source import CAP, MemoryTable, Sheet, Source, shown

if TYPE_CHECKING:
    import polars as pl

    from mlprun.experiment.preprocessing import Preprocessing
    from mlprun.parts.data import Floats, Ints, Names

STANDARD_INPUT = "-"


def read_rows(
    path: str | MemoryTable,
    preprocessing: Preprocessing,
    *,
    targets: bool,
    vocabulary: int | None = None,
    weight: str | None = None,
    keep: Names = (),
    options: ReadOptions | None = None,
) -> Data:
    """The rows of a table for the model that `preprocessing` belongs to; `-` is CSV or TSV on standard input.

    Columns may stand in any order and others are ignored. A text file of nothing but numbers may lack a
    header where the number of columns leaves no doubt; `Data.warnings` says so then, and of categories that
    training did not meet. Without `targets` the targets are [N, 0]; with them the column `weight` has the
    weights of rows, each 1 in a table without it. The columns `keep` are kept as text. Symbols are below
    `vocabulary`. The file is read with `options`, those of the training. Raises DataError for missing
    columns, unknown labels and cells that cannot be read.
    """
    source = _standard_input(options) if path == STANDARD_INPUT else Source.of(path, options)
    target_names = preprocessing.target_names if targets else ()
    header = _Header(preprocessing, preprocessing.input_names + target_names)
    # labels and categories that look like numbers must stay the text that training met
    text = bool(keep) or any(preprocessing.categories) or (targets and preprocessing.classes is not None)
    numbers = not targets and not keep and all(seen is None for seen in preprocessing.categories)
    sheet = read(source, header=header, text=text, numbers=numbers)
    sheet.for_model = True
    _check_columns(sheet, header.names, "the model was trained on", header.names)
    _check_columns(sheet, keep, "its columns are", tuple(sheet.columns))
    weights, warnings = None, list(header.warnings)
    if targets:
        sheet, left_out = columns.with_targets(sheet, target_names)
        warnings += (f"{source.name}: {one}" for one in left_out)
        if weight is not None and weight in sheet.columns:
            weights = columns.weights(next(sheet.take([weight])), sheet)
        elif weight is not None:
            what = f"has no column {shown(weight)} of weights; each row counts once"
            warnings.append(f"{source.name}: {what}")
    kept = {name: _labels(sheet.columns[name], sheet).to_list() for name in keep}  # which may be inputs too
    inputs = np.empty((sheet.rows, len(preprocessing.inputs)))
    categories: list[Names | None] = []
    for k, series in enumerate(sheet.take(preprocessing.input_names)):
        inputs[:, k], known = _input(sheet, series, preprocessing, k)
        categories.append(known)
    data = Data(
        inputs=_symbols(sheet, inputs, preprocessing, vocabulary) if preprocessing.symbols else inputs,
        targets=_targets(sheet, preprocessing) if targets else np.empty((sheet.rows, 0)),
        input_names=preprocessing.input_names,
        target_names=target_names,
        classes=preprocessing.classes,
        multilabel=preprocessing.multilabel,
        categories=tuple(categories) if any(categories) else None,
        weights=weights,
        dates=tuple(name for name in preprocessing.input_names if sheet.options.of(name).reading == "date"),
        kept=kept,
        imputed=bool(preprocessing.imputed),
    )
    unseen = preprocessing.unseen(data, np.arange(sheet.rows), "rows")
    warnings += shortened(f"{source.name}: {warning}" for warning in unseen)
    return replace(data, warnings=tuple(warnings))


def _standard_input(options: ReadOptions | None) -> Source:
    content = sys.stdin.buffer.read(CAP + 1)
    if len(content) > CAP:
        raise DataError("standard input", f"is larger than {CAP / 1e9:g} GB", "give fewer rows")
    return Source("standard input", "text", kept=content, options=options or ReadOptions.model_construct())


@dataclass
class _Header:
    """Decides whether a first line holds names; keeps the warning when it does not."""

    preprocessing: Preprocessing
    names: Names
    warnings: Names = ()

    def __call__(self, source: Source, cells: Names) -> Names | None:
        if set(self.names) & set(cells) or not self._is_row(cells):
            return None
        order = ", ".join(self.names[:20]) + (", ..." if len(self.names) > 20 else "")
        if len(cells) != len(self.names):
            what = f"has {len(cells)} columns and no header; the model's columns are {order}"
            raise source.error("1", what, "put the names of the columns into the first line")
        self.warnings = (f"{source.name}: has no header; its columns are taken as {order}",)
        return self.names

    def _is_row(self, cells: Names) -> bool:
        """Whether these are numbers throughout, but for the class labels at the end."""
        known = self.preprocessing
        if any(column.type == "text" for column in known.inputs):
            return False
        inputs, rest = cells[: len(known.inputs)], cells[len(known.inputs) :]
        if not all(map(is_number, inputs)):
            return False
        classes = known.classes or ()
        return all(is_number(cell) or _class_id(cell, classes) is not None for cell in rest)


def _check_columns(sheet: Sheet, needed: Names, about: str, names: Names) -> None:
    known = frozenset(sheet.columns)
    lacking = [name for name in needed if name not in known]
    if lacking:
        what = f"has no column {', '.join(shown(name) for name in lacking[:10])}"
        raise sheet.source.error("", what, f"{about} {', '.join(names[:20])}")


def _input(
    sheet: Sheet, series: pl.Series | Floats, preprocessing: Preprocessing, index: int
) -> tuple[Floats, Names | None]:
    """One input column: numbers, or indices into the categories of this table."""
    seen = preprocessing.categories[index]
    if isinstance(series, np.ndarray):
        return series, None
    if seen is None:
        resolved = columns.resolve_column_type(series, sheet, may_be_empty=True)
        values, known = columns.numbers(resolved, sheet), None
    else:
        resolved = _labels(series, sheet)
        forms = {name: _known(name, seen) or name for name in columns.distinct(resolved)}
        labels = resolved.replace(forms)
        known = columns.distinct(labels)
        values = columns.codes(labels, known)
    name = preprocessing.input_names[index]
    if name not in preprocessing.imputed:
        remedy = "the model was trained on complete rows; fill the cell"
        sheet.refuse(np.isnan(values), resolved, remedy)
    _check_domain(sheet, resolved, values, preprocessing.functions.get(name))
    return values, known


def _check_domain(sheet: Sheet, series: pl.Series, values: Floats, function: str | None) -> None:
    """Raise DataError for the first number that the function of a column is not defined for."""
    if function is not None:
        sheet.refuse(
            outside_domain(function, values), series, f"{function} takes numbers {domain_of(function)}"
        )


def _labels(series: pl.Series, sheet: Sheet) -> pl.Series:
    """A stripped column as text, as it stands in a text file; null for missing cells."""
    import polars as pl

    if isinstance(series.dtype, pl.String):
        return series
    return columns.texts(columns.resolve_column_type(series, sheet, may_be_empty=True))


def _symbols(sheet: Sheet, inputs: Floats, preprocessing: Preprocessing, vocabulary: int | None) -> Ints:
    wrong = (inputs < 0) | (inputs != np.floor(inputs)) | (inputs >= (vocabulary or 2**53))
    if wrong.any():
        row, column = (int(at) for at in np.argwhere(wrong)[0])
        what = f"column {shown(preprocessing.input_names[column])} is {inputs[row, column]:.15g}"
        known = "expected a symbol: a whole number from 0"
        if vocabulary is not None:
            known = f"the model knows symbols 0 to {vocabulary - 1}"
        raise sheet.error(row, what, known)
    return inputs.astype(np.int64)


def _targets(sheet: Sheet, preprocessing: Preprocessing) -> Ints | Floats:
    series = list(sheet.take(preprocessing.target_names))
    if preprocessing.classes is not None:
        return _class_ids(sheet, _labels(series[0], sheet), preprocessing.classes)
    resolved = [columns.resolve_column_type(column, sheet) for column in series]
    read = columns.labels if preprocessing.multilabel else columns.numbers
    values = [read(column, sheet) for column in resolved]
    for column, own in zip(resolved, values, strict=True):
        _check_domain(sheet, column, own, preprocessing.target_functions.get(column.name))
    return np.stack(values, axis=1)


def _class_ids(sheet: Sheet, labels: pl.Series, classes: Names) -> Ints:
    """Ids in the order of training; raises DataError for the first label that training did not know."""
    import polars as pl

    known = {label: _class_id(label, classes) for label in columns.distinct(labels)}
    ids = labels.replace_strict(list(known), list(known.values()), return_dtype=pl.Int64)
    more = ", ..." if len(classes) > 10 else ""
    sheet.refuse(ids.is_null(), labels, f"the model knows {', '.join(classes[:10])}{more}")
    return ids.to_numpy().astype(np.int64, copy=False)


def _class_id(label: str, classes: Names) -> int | None:
    known = _known(label, classes)
    return None if known is None else classes.index(known)


def _known(label: str, names: Names) -> str | None:
    """The name of training that a label is: as it is written, as a number (1.0 is 1), or true in any case."""
    number = columns.number_name(float(label)) if is_number(label) else label
    forms = [label, number, label.lower()]
    if label in ("true", "false"):  # as Parquet and JSON lines have them
        forms += [label.capitalize(), label.upper()]
    return next((form for form in forms if form in names), None)
