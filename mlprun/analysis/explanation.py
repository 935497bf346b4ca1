"""What a trained network's predictions depend on: permutation importance and partial dependence.

Columns are changed as they are in the data, before they are prepared: all inputs that are made of a column,
such as those of its categories, change together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlprun import randomness
from mlprun.analysis.statistics import SampleStats, sample_stats
from mlprun.errors import UsageError
from mlprun.evaluation import TrainedModel, output_columns
from mlprun.parts.metrics import Metric
from mlprun.parts.part import suggestion
from mlprun.randomness import Purpose
from mlprun.schema import metric_direction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlprun.parts.data import Array, Data, Floats, Names

REPEATS = 10
ROWS = 10_000
"""rows whose metric is compared, at most"""
CURVES = 1000
"""rows whose predictions are averaged in a partial dependence, at most"""
GRID = 40
"""values of a feature that predictions are computed for, at most"""
RANGE = 0.05, 0.95
"""quantiles between which these values are"""


class Importance(NamedTuple):
    """By how much a metric gets worse when the values of a feature are exchanged between rows."""

    feature: str
    values: tuple[float, ...]
    """for each repeat"""

    @property
    def stats(self) -> SampleStats:
        """The mean over the repeats with its interval."""
        return sample_stats(self.values)


@dataclass(frozen=True)
class Importances:
    """The importance of every feature, the most important first."""

    split: str
    rows: int
    metric: str
    baseline: float
    """the metric of the rows as they are"""
    features: tuple[Importance, ...]


@dataclass(frozen=True)
class Dependence:
    """Predictions for N rows when a feature is set to each of G values in all of them."""

    feature: str
    values: Floats
    """[G] in the units of the data; positions in `categories` for a categorical feature"""
    categories: Names | None
    is_date: bool
    outputs: Names
    curves: Array
    """[N, G, K] for each row (individual conditional expectation), in the units of the target"""

    @property
    def mean(self) -> Array:
        """[G, K] the partial dependence: the mean over the rows."""
        return np.asarray(self.curves.mean(axis=0))

    @property
    def labels(self) -> list[str | float]:
        """The G values as a reader knows them: numbers, categories or dates."""
        if self.categories is not None:
            return [self.categories[int(value)] for value in self.values]
        return [date(value) if self.is_date else float(value) for value in self.values]


def date(days: float) -> str:
    """Days since 1970-01-01 as an ISO 8601 date."""
    return str(np.datetime64(math.floor(days), "D"))


def permutation_importances(
    model: TrainedModel,
    *,
    split: str = "dev",
    metric: str | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Importances:
    """Return the permutation importance of each feature for a metric on the rows of a split.

    The metric is the loss or one of the config's; by default the first of these. The importance is the
    metric of permuted rows minus that of the rows as they are, or the reverse where larger is better.
    Source: Breiman (2001), doi.org/10.1023/A:1010933404324, as in sklearn.inspection.

    Raises UsageError for a split without rows and for a metric that was not computed or is not a number.
    """
    data = _spread(_rows(model, split), ROWS)
    config = model.config
    scalars = [part.name for part in config.metrics if isinstance(part, Metric) and part.scalar]
    name = metric or next(iter(scalars), "loss")
    direction = -1.0 if metric_direction(name, config.metrics) == "max" else 1.0
    baseline = _metric(model, data, name)
    found = []
    for column, feature in enumerate(data.input_names):
        values = []
        for repeat in range(repeats):
            order = randomness.order(seed, Purpose.PERMUTATION, len(data.inputs), epoch=repeat, step=column)
            permuted = _metric(model, _with_column(data, column, data.inputs[order, column]), name)
            values.append(direction * (permuted - baseline))
        found.append(Importance(feature, tuple(values)))
    ordered = sorted(found, key=lambda one: -float(np.mean(one.values)))
    return Importances(split, len(data.inputs), name, baseline, tuple(ordered))


def partial_dependences(
    model: TrainedModel, features: Sequence[str], *, split: str = "dev"
) -> Iterator[Dependence]:
    """Yield the partial dependence of predictions on each of the features over the rows of a split.

    A numeric feature takes all of its values, or evenly spaced ones between its 5% and 95% quantiles where
    it has many, as in sklearn.inspection; a categorical one its most frequent categories. Predictions are
    the numbers or their quantiles, the probability of the positive class, or of each of several.
    Source: Friedman (2001), doi.org/10.1214/aos/1013203451; Goldstein et al. (2015),
    doi.org/10.1080/10618600.2014.907095

    Raises UsageError for a split without rows, an unknown feature, and inputs that are symbols.
    """
    if model.preprocessing.symbols:
        raise UsageError("--features", "inputs are symbols, which have no order", "leave it out")
    every = _rows(model, split)
    data = _spread(every, CURVES)
    for feature in features:
        if feature not in data.input_names:
            raise UsageError(feature, "is no feature", suggestion(feature, data.input_names))
        column = data.input_names.index(feature)
        categories = None if data.categories is None else data.categories[column]
        values = _grid(every.inputs[:, column].astype(np.float64), is_category=categories is not None)
        curves = []
        for value in values:
            predicted = model.predict(_with_column(data, column, np.full(len(data.inputs), value)))
            outputs, numbers = output_columns(predicted, model.preprocessing.target_names)
            curves.append(numbers)
        if model.preprocessing.classes is not None and len(outputs) == 2:
            outputs, curves = outputs[1:], [numbers[:, 1:] for numbers in curves]
        yield Dependence(
            feature, values, categories, feature in data.dates, outputs, np.stack(curves, axis=1)
        )


def _rows(model: TrainedModel, split: str) -> Data:
    data = model.experiment.raw_rows(split, epoch=model.epoch)
    if not len(data.inputs):
        raise UsageError("--split", f"there are no {split} rows", "name a split with rows")
    return data


def _spread(data: Data, most: int) -> Data:
    """The rows, or evenly spread ones of too many."""
    count = len(data.inputs)
    return data.take(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _with_column(data: Data, column: int, values: Array) -> Data:
    """The rows with other values of one feature."""
    inputs = np.array(data.inputs, np.result_type(data.inputs, values))
    inputs[:, column] = values
    return replace(data, inputs=inputs)


def _metric(model: TrainedModel, data: Data, name: str) -> float:
    metrics = model.evaluate_data(data)
    numbers = {key: value for key, value in metrics.items() if isinstance(value, float)}
    if name not in numbers:
        raise UsageError("--metric", f"{name!r} is not computed", f"use one of {', '.join(numbers)}")
    if not math.isfinite(numbers[name]):
        raise UsageError("--metric", f"{name} is not a number on these rows", "use another, such as loss")
    return numbers[name]


def _grid(values: Floats, *, is_category: bool) -> Floats:
    """The values that a feature is set to."""
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    if is_category:
        return np.sort(distinct[np.argsort(-counts, kind="stable")[:GRID]])
    if len(distinct) <= GRID:
        return distinct
    low, high = np.nanquantile(values, RANGE)
    return np.linspace(low, high, GRID) if low < high else distinct[:: -(-len(distinct) // GRID)]
