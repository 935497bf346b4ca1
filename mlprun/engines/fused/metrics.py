"""Metrics in kernels: from sums over the rows of an epoch or a split to the values in the history.

For classes `sums` holds, for each class, the rows rightly predicted as it, the rows of it, and the rows
predicted as it; for numbers, for each output, the sums of squared and of absolute errors, and the largest
error. The definitions are those of mlprun/parts/metrics.py.
"""

from __future__ import annotations

import math
from typing import Any

from mlprun.engines.fused.compat import device_function
from mlprun.engines.fused.support import (
    BINARY,
    F1,
    MAE,
    MICRO,
    MSE,
    PRECISION,
    PRESENT,
    R2,
    RECALL,
    RMSE,
    WEIGHTED,
)


@device_function
def class_metric(kind: Any, average: Any, sums: Any, classes: Any) -> Any:
    """Return precision, recall or F1, averaged over classes."""
    total, weights, numerators, denominators = 0.0, 0.0, 0.0, 0.0
    for c in range(classes):
        correct, actual, predicted = sums[c], sums[classes + c], sums[2 * classes + c]
        numerator, denominator = correct, actual
        if kind == PRECISION:
            denominator = predicted
        elif kind == F1:
            numerator, denominator = 2.0 * correct, actual + predicted
        numerators += numerator
        denominators += denominator
        value = numerator / denominator if denominator > 0 else 0.0
        if average == BINARY and c == 1:
            return value
        weight = actual
        if average != WEIGHTED:
            weight = 1.0 if actual > 0 or (predicted > 0 and average != PRESENT) else 0.0
        total += weight * value
        weights += weight
    return numerators / denominators if average == MICRO else total / weights


@device_function
def mean_r2(run: Any, sums: Any, r2: Any) -> Any:
    """Return the mean of R2 over outputs."""
    total = 0.0
    for k in range(run.outputs):
        total += 1.0 - sums[k] * r2[k]
    return total / run.outputs


@device_function
def mean_error(kind: Any, sums: Any, rows: Any, units: Any) -> Any:
    """Return the mean of an error over outputs, in the user's units."""
    total, outputs = 0.0, units.shape[0]
    for k in range(outputs):
        if kind == MSE:
            total += sums[k] / rows * (units[k] * units[k])
        elif kind == RMSE:
            total += math.sqrt(sums[k] / rows) * units[k]
        elif kind == MAE:
            total += sums[outputs + k] / rows * units[k]
        else:
            total += sums[2 * outputs + k] * units[k]
    return total / outputs


@device_function
def compute_metrics(run: Any, data: Any, sums: Any, rows_and_r2: Any, values: Any) -> None:
    """Write the value of each metric, from `sums` over rows."""
    rows, r2 = rows_and_r2
    for index in range(values.shape[0]):
        kind, average = data.metrics[2 * index], data.metrics[2 * index + 1]
        if kind <= RECALL:
            values[index] = class_metric(kind, average, sums, run.classes)
        elif kind == R2:
            values[index] = mean_r2(run, sums, r2)
        else:
            values[index] = mean_error(kind, sums, rows, data.units)
