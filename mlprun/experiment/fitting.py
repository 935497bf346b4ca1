"""Fits a preprocessing: which operations the columns of train rows call for, with their numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun import randomness
from mlprun.errors import DataError, UsageError
from mlprun.experiment.preprocessing import Preprocessing, assembled, replay_targets
from mlprun.parts.data import Cells
from mlprun.parts.datasets.dataset import TargetTransform, domain_of, outside_domain
from mlprun.parts.datasets.table.column_options import STATISTICS, ColumnOptions
from mlprun.parts.datasets.table.columns import number_name
from mlprun.parts.datasets.table.delimited import repeated
from mlprun.parts.datasets.table.source import shown
from mlprun.parts.operations import (
    ClassIds,
    DateParts,
    Embed,
    Function,
    GroupRare,
    Impute,
    Indicator,
    OneHot,
    Ordinal,
    Quantile,
    Scale,
    TargetEncode,
)
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.parts.data import CellType, Data, Floats, Ints, Names, Operation

    Step = tuple[type[Operation], str, tuple[Any, ...]]
    """an operation, the column that it is applied to, and what it was fitted to"""

QUANTILES = 200
"""of a column, at most: those at evenly spaced levels"""
FOLDS = 5
"""of train rows, each of which is encoded by the targets of the others"""
ORDER: tuple[type[Operation], ...] = (
    Indicator,
    Impute,
    GroupRare,
    Ordinal,
    DateParts,
    Function,
    Quantile,
    Scale,
    OneHot,
    Embed,
    TargetEncode,
    ClassIds,
)
"""in which operations are applied"""


def fit(
    data: Data,
    train_indices: Ints,
    *,
    standardize: bool,
    standardize_targets: bool | None = None,
    symbols: bool | None = None,
    columns: Mapping[str, ColumnOptions] | None = None,
    target_transform: TargetTransform | None = None,
) -> Preprocessing:
    """Fit the operations that these rows call for; numbers are scaled with `standardize`.

    Numeric targets follow `standardize` unless `standardize_targets` says otherwise. `symbols` says whether
    integer inputs are symbols rather than numbers; they are unless it says no. `columns` has the options of
    single columns. Raises DataError when a column has no value in these rows, or its numbers are too large to
    add up or outside the domain of a function, and UsageError for options that do not fit a column.
    """
    for names in (data.input_names, data.target_names):
        twice = repeated(names)
        if twice is not None:
            raise DataError("dataset", f"two columns are called {shown(twice)}", "give each its own name")
    scale = standardize if standardize_targets is None else standardize_targets
    targets = _operations(_target_steps(data, train_indices, target_transform, scale=scale))
    types: dict[str, CellType] = dict.fromkeys(data.input_names, "symbol")
    steps: list[Step] = []
    if not np.issubdtype(data.inputs.dtype, np.integer) or symbols is False:
        for index, name in enumerate(data.input_names):
            options = (columns or {}).get(name) or ColumnOptions()
            feature = _Feature(data, train_indices, index, options, standardize=standardize)
            feature.fit(targets)
            steps += feature.steps
            types[name] = feature.type
    operations = _operations(steps)
    try:
        return assembled(types, operations, data.target_names, targets, multilabel=data.multilabel)
    except ValueError as error:  # the one thing that cannot be known before
        what = "a column has the name of an input that is made of another, such as 'NAME missing'"
        raise DataError("dataset", what, "rename it") from error


def _operations(steps: Sequence[Step]) -> tuple[Any, ...]:
    """The operations of all columns in their order."""
    return tuple(
        operation
        for kind in ORDER
        for operation in kind.of({name: fitted for own, name, fitted in steps if own is kind})
    )


def _target_steps(data: Data, rows: Ints, transform: TargetTransform | None, *, scale: bool) -> list[Step]:
    """The operations on targets, fitted to these rows."""
    if data.classes is not None:
        return [(ClassIds, name, (data.classes,)) for name in data.target_names]
    steps: list[Step] = []
    values = np.asarray(data.targets[rows], np.float64)
    for k, name in enumerate(() if data.multilabel else data.target_names):
        cells = Cells(values[:, k])
        if transform is not None:
            remedy = "set dataset.target_transform to log1p or quantile"
            kind, fitted = _transform(name, cells.values, transform, remedy)
            steps.append((kind, name, fitted))
            cells = kind.cells(cells, *fitted)
        if scale:
            units = _mean_and_scale(name, cells.values, len(values), standardize=True)
            steps.append((Scale, name, units))
    return steps


def _transform(
    name: str, values: Floats, transform: str, remedy: str
) -> tuple[type[Operation], tuple[Any, ...]]:
    """A function of numbers, or their quantiles; `remedy` is what works outside its domain."""
    if transform == "quantile":
        levels = np.linspace(0, 1, max(2, min(QUANTILES, len(values)))) * 100
        return Quantile, (tuple(np.percentile(values, levels).tolist()),)
    outside = values[outside_domain(transform, values)]
    if len(outside):
        what = f"is {outside[0]:g}, and {transform} takes numbers {domain_of(transform)}"
        raise DataError(f"column {name!r}", what, remedy)
    return Function, (transform,)


class _Feature:
    """A feature in the train rows, and the operations that it calls for."""

    def __init__(
        self, data: Data, rows: Ints, index: int, options: ColumnOptions, *, standardize: bool
    ) -> None:
        self.data, self.rows, self.options, self.standardize = data, rows, options, standardize
        self.name = data.input_names[index]
        known = None if data.categories is None else data.categories[index]
        self.cells = Cells(np.asarray(data.inputs[rows, index], np.float64), known)
        is_date = self.name in data.dates
        self.type: CellType = "text" if known is not None else "date" if is_date else "number"
        self.steps: list[Step] = []

    def fit(self, targets: Sequence[Any]) -> None:
        """Find the steps; `targets` are the operations on targets, for encodings by them."""
        if problem := self.options.unsuitable(self.type, imputed=self.data.imputed):
            raise UsageError(f"dataset.columns.{self.name}.{problem[0]}", problem[1])
        present = self.cells.values[~np.isnan(self.cells.values)]
        fill = self._fill(present)
        if self.options.indicator:
            self.steps.append((Indicator, self.name, ()))
        if fill is not None:
            self._apply(Impute, fill)
        if self.type == "text":
            self._fit_text(targets)
        elif self.type == "date":
            self._fit_date()
        else:
            self._fit_number(present if fill is not None and self._how == "mean" else self.cells.values)

    def _apply(self, kind: type[Operation], *fitted: Any) -> None:
        self.steps.append((kind, self.name, fitted))
        self.cells = kind.cells(self.cells, *fitted)

    @property
    def _how(self) -> float | str:
        """What missing cells become: one of STATISTICS or a constant."""
        default = ("most_frequent" if self.type == "text" else "mean") if self.data.imputed else "refuse"
        return default if self.options.missing is None else self.options.missing

    def _fill(self, present: Floats) -> float | str | None:
        """The number or text that missing cells become; None where they are refused."""
        how, is_text = self._how, self.type == "text"
        if not present.size and (how in STATISTICS or not is_text):
            what = f"column {self.name!r} has no value in any train row"
            remedy = "leave it out by dataset.features, or divide the rows differently"
            raise DataError("dataset", what, remedy)
        match how:
            case "refuse":
                return None
            case "mean":
                return _mean_and_scale(self.name, present, len(present), standardize=False)[0]
            case "median":
                return float(np.median(present))
            case "most_frequent":
                values, counts = np.unique(present, return_counts=True)
                frequent = float(values[counts.argmax()])  # the first among equals, as in scikit-learn
                return frequent if self.cells.categories is None else self.cells.categories[int(frequent)]
        return number_name(how) if is_text and not isinstance(how, str) else how

    def _fit_number(self, values: Floats) -> None:
        """Scale the cells; where missing ones became the mean, `values` are the others."""
        scale, rows = self.options.scale or ("standard" if self.standardize else "none"), len(self.rows)
        if scale in ("log", "quantile"):
            function = "log1p" if scale == "log" else scale
            kind, fitted = _transform(
                self.name, self.cells.values, function, "set its scale to robust or quantile"
            )
            self._apply(kind, *fitted)
            values, scale = self.cells.values, "standard" if self.standardize else "none"
        if scale == "standard":
            self._apply(Scale, *_mean_and_scale(self.name, values, rows, standardize=True))
        elif scale in ("robust", "minmax"):
            levels = (50, 25, 75) if scale == "robust" else (0, 0, 100)
            center, low, high = np.percentile(self.cells.values, levels).tolist()
            self._apply(Scale, center, high - low if high - low >= 10 * np.finfo(np.float64).eps else 1.0)

    def _fit_date(self) -> None:
        """Year and days are scaled as numbers are; the other parts are sines and cosines."""
        first = float(np.floor(self.cells.values.min()))
        self.steps.append((DateParts, self.name, (first,)))
        if self.options.scale == "standard" or (self.options.scale is None and self.standardize):
            parts = {"year": DateParts.years(self.cells.values), "days": self.cells.values - first}
            for name, values in ((f"{self.name} {part}", values) for part, values in parts.items()):
                units = _mean_and_scale(name, values, len(self.rows), standardize=True)
                self.steps.append((Scale, name, units))

    def _fit_text(self, targets: Sequence[Any]) -> None:
        """Group rare categories, and encode."""
        encode, most = self.options.encode or "onehot", self.options.max_categories
        known = self.cells.categories or ()
        present = self.cells.values[~np.isnan(self.cells.values)]
        tally = np.bincount(present.astype(np.int64), minlength=len(known))
        counts = sorted((known[k], int(tally[k])) for k in np.flatnonzero(tally))
        names = tuple(name for name, _ in counts)
        if most is not None and len(names) >= most:
            # scikit-learn's rule: as many have an other one as well; of equal counts, the last are kept
            order = np.argsort([count for _, count in counts], kind="stable")
            kept = tuple(names[k] for k in sorted(order[len(names) - most + 1 :]))
            other = next(text for text in ("other", "other categories") if text not in names)
            self._apply(GroupRare, kept, tuple(name for name in names if name not in kept), other)
            names = (*kept, other)
        if encode == "onehot":
            self.steps.append((OneHot, self.name, (names,)))
        elif encode == "embedding":
            # the rule of fastai, from experiments: docs.fast.ai/tabular.model.html
            dim = self.options.dim or min(600, round(1.6 * len(names) ** 0.56))
            self.steps.append((Embed, self.name, (names, dim)))
        elif encode == "target":
            labels, truth = numeric_targets(self.data, self.rows, targets)
            means, default = smoothed_means(self.cells.positions(names), len(names), truth)
            self.steps.append((TargetEncode, self.name, (names, _tuples(means), tuple(default), labels)))
        else:
            self._apply(Ordinal, names)
            self._fit_number(self.cells.values)


# --- encoding by targets


def cross_fitted(
    preprocessing: Preprocessing, data: Data, train: Ints, *, seed: int
) -> Iterator[tuple[NDArray[np.bool_], Preprocessing]]:
    """For each fold of train rows which of them are in it, and the preprocessing that encodes these.

    Categories are encoded by the targets of the rows in other folds. With the encoding that new rows get, a
    train row's own target would be part of its inputs. Folds are drawn from (seed, ENCODING); each has its
    share of every class, and where rows have groups, whole groups.
    """
    labels, targets = numeric_targets(data, train, preprocessing.target_operations)
    folds = encoding_folds(data, train, seed=seed)
    table = {
        name: Cells(np.asarray(data.inputs[train, k], np.float64), (data.categories or ())[k])
        for k, name in enumerate(data.input_names)
        if any(name in one.columns for one in preprocessing.input_operations if isinstance(one, TargetEncode))
    }
    for operation in preprocessing.input_operations:
        table = operation.apply(table) if isinstance(operation, Impute | GroupRare) else table
    for fold in range(FOLDS):
        inside, operations = folds == fold, list[Any](preprocessing.input_operations)
        for index, operation in enumerate(operations if inside.any() else ()):
            if isinstance(operation, TargetEncode):
                fitted = {}
                for name, categories in zip(operation.columns, operation.categories, strict=True):
                    positions = table[name].positions(categories)
                    means, default = smoothed_means(positions[~inside], len(categories), targets[~inside])
                    fitted[name] = (categories, _tuples(means), tuple(default), labels)
                (operations[index],) = TargetEncode.of(fitted)
        yield inside, preprocessing.model_copy(update={"input_operations": tuple(operations)})


def encoding_folds(data: Data, train: Ints, *, seed: int) -> Ints:
    """[N] the fold of each train row, from 0 to FOLDS - 1."""
    order = randomness.order(seed, Purpose.ENCODING, len(train))
    if data.groups is not None:
        _, first, members = np.unique(data.groups[train], return_index=True, return_inverse=True)
        places = np.empty(len(first), np.int64)
        places[np.argsort(order.argsort()[first])] = np.arange(len(first))
        return np.asarray(places[members] % FOLDS)
    if data.classes is not None and data.targets.ndim == 1:
        order = order[np.argsort(data.targets[train][order], kind="stable")]
    folds = np.empty(len(train), np.int64)
    folds[order] = np.arange(len(train)) % FOLDS
    return folds


def numeric_targets(data: Data, rows: Ints, operations: Sequence[Any]) -> tuple[Names, Floats]:
    """The names of what is encoded, and its values [N, C]: numbers as the loss reads them, or 0 and 1."""
    targets = data.targets[rows]
    if data.classes is None:
        return data.target_names, np.concatenate(
            replay_targets(data.target_names, targets, operations, np.float64), axis=1
        )
    names = data.classes[1:] if len(data.classes) == 2 else data.classes
    own = np.asarray(targets)[:, None] == np.arange(len(data.classes) - len(names), len(data.classes))
    return names, own.astype(np.float64)


def smoothed_means(positions: Ints, count: int, targets: Floats) -> tuple[Floats, Floats]:
    """The means [count, C] of targets [N, C] by category, and those [C] of all rows.

    They are drawn towards those of all rows, the more the fewer rows a category has and the more its targets
    vary (an empirical Bayes estimate), as in scikit-learn's TargetEncoder with smooth="auto".
    """
    rows = np.bincount(positions, minlength=count)[:, None]

    def sums(values: Floats) -> Floats:
        return np.stack([np.bincount(positions, one, minlength=count) for one in values.T], axis=1)

    with np.errstate(invalid="ignore", divide="ignore"):
        mean, variance, means = targets.mean(axis=0), targets.var(axis=0), sums(targets) / rows
        within = sums(np.square(targets - means[positions])) / rows
        share = variance * rows / (variance * rows + within)
        return np.where(np.isnan(share), mean, share * means + (1 - share) * mean), mean


def _tuples(values: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, values.tolist()))


# --- statistics


def _mean_and_scale(name: str, values: Floats, rows: int, *, standardize: bool) -> tuple[float, float]:
    """Mean and standard deviation of a column of `rows` cells, `values` being those that are not missing.

    Missing cells are filled with the mean: they add nothing to the variance but count as rows.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        # rounding may move the mean of equal numbers off them, and a constant feature must become exactly 0
        first = float(values[0])
        mean = first if bool((values == first).all()) else float(values.mean())
        variance = float(np.square(values - mean).sum()) / rows if standardize else 0.0
    if not (np.isfinite(mean) and np.isfinite(variance)):
        raise DataError(f"column {name!r}", "its numbers are too large to add up", "give it in a larger unit")
    # scikit-learn's rule: a deviation that is nothing but rounding is none
    eps, deviation = float(np.finfo(np.float64).eps), math.sqrt(variance)
    is_rounding = deviation * math.sqrt(max(1 - rows * eps, 0)) <= abs(rows * eps * mean)
    return mean, 1.0 if is_rounding else deviation
