"""Rows as kernels read them: inputs, targets, a mask, and what the loss or the metric needs besides."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun.parts.metrics import Predictions

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    from mlprun.engines.fused.records import Layout
    from mlprun.experiment import Experiment, SplitArrays
    from mlprun.parts.losses import Loss


class Fields(NamedTuple):
    """The offsets of a row's numbers behind its inputs and targets; 0 for what it lacks."""

    mask: int
    """1 in rows, 0 in the padding of the last block"""
    classes: int
    weight: int
    """what the loss of a row counts in the mean"""
    sample_weight: int
    """what a row counts in metrics"""
    constant: int
    size: int
    """numbers of a row"""


def fields_of(experiment: Experiment) -> Fields:
    """Return the fields of rows: classes if there are several outputs, others if the loss needs them."""
    loss, outputs = experiment.computed.loss, experiment.config.architecture.outputs
    assert outputs is not None
    mask, weighted = experiment.width + outputs, experiment.fixed["train"].weights is not None
    needed = (
        experiment.classes is not None and outputs > 1,
        weighted or loss.class_weights is not None,
        weighted,
        has_constant(loss),
    )
    offsets, size = [], mask + 1
    for present in needed:
        offsets.append(size * present)
        size += present
    classes, weight, sample_weight, constant = offsets
    return Fields(mask, classes, weight, sample_weight, constant, size)


def has_constant(loss: Loss) -> bool:
    """Return True if a constant is added to the loss of each row."""
    return type(loss).names()[0] == "kl_div"


def target_columns(loss: Loss, rows: SplitArrays, outputs: int) -> tuple[NDArray[Any], ...]:
    """Return encoded targets as columns [N, K], and the weight [N] and constant [N] of each row.

    The mean divides by the sum of weights; constants are added to the loss and have no derivative. For cross
    entropy a column is the weight of its class in the row: all weights and smoothing are part of it.
    """
    targets, count = rows.targets, len(rows)
    name, options = type(loss).names()[0], dict(loss)
    own, constants = rows.weights_of(loss), np.zeros(count)
    weights = np.ones(count) if own is None else own
    if name == "kl_div":
        columns = targets.astype(np.float64)
        logs = np.log(columns, out=np.zeros_like(columns), where=columns > 0)
        return columns * weights[:, None], weights, (columns * logs).sum(axis=1) * weights
    if name not in ("cross_entropy", "nll"):
        return targets.reshape(count, outputs), weights, constants
    class_weights = np.array(options.get("class_weights") or [1.0] * outputs)
    smoothing = float(options.get("label_smoothing", 0.0))
    columns = np.eye(outputs)[targets] * class_weights * (1 - smoothing) + class_weights * (
        smoothing / outputs
    )
    return columns * weights[:, None], class_weights[targets] * weights, constants


def row_table(experiment: Experiment, rows: SplitArrays) -> NDArray[Any]:
    """Return rows with all their fields, row-major [N, fields] in the run's dtype."""
    outputs, fields = experiment.config.architecture.outputs, fields_of(experiment)
    assert outputs is not None
    columns, weights, constants = target_columns(experiment.computed.loss, rows, outputs)
    table = np.ones((len(rows), fields.size), experiment.dtype)
    table[:, : experiment.width] = rows.inputs
    table[:, experiment.width : fields.mask] = columns
    optional = (
        (fields.classes, rows.truth),
        (fields.weight, weights),
        (fields.sample_weight, rows.weights),
        (fields.constant, constants),
    )
    for offset, values in optional:
        if offset and values is not None:
            table[:, offset] = values
    return table


def blocks(layout: Layout, table: NDArray[Any], *, padded: bool = False) -> NDArray[Any]:
    """Return feature-major blocks [blocks, fields, block_rows] as one flat array.

    Inputs that are transposed are read in whole squares of lanes: `padded` adds room behind the last block.
    """
    count, fields = table.shape
    stride = layout.block_rows
    number = -(-count // stride)
    flat = np.zeros(number * fields * stride + (layout.lanes * stride if padded else 0), layout.dtype)
    shaped = flat[: number * fields * stride].reshape(number, fields, stride)
    for block in range(number):
        part = table[block * stride : (block + 1) * stride]
        shaped[block, :, : len(part)] = part.T
    return flat


def r2_denominators(experiment: Experiment, rows: SplitArrays | None, outputs: int) -> NDArray[np.float64]:
    """Return what squared errors of each output are multiplied by to be the unexplained variance."""
    if rows is None or experiment.classes is not None or not len(rows):
        return np.zeros(outputs)
    truth = np.asarray(rows.truth, np.float64).reshape(len(rows), -1)
    counted = Predictions(truth, truth, None, probabilistic=False, weights=rows.weights).with_weight()
    truth = np.asarray(counted.outputs, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # R2 of numbers near the end of their range is nan
        variation = counted.sum((truth - counted.mean(truth)) ** 2)
    variation[np.ptp(truth, axis=0) == 0] = np.nan
    return np.ascontiguousarray(output_units(experiment, outputs) ** 2 / variation)


def output_units(experiment: Experiment, outputs: int) -> NDArray[np.float64]:
    """Return the size of 1 of each output in the user's units; a hidden layer's have those of any target."""
    if experiment.classes is not None:
        return np.ones(outputs)
    targets = len(experiment.preprocessing.target_names)
    units = experiment.preprocessing.restore(np.array([np.zeros(targets), np.ones(targets)]))
    return np.resize(np.abs(units[1] - units[0]), outputs)


_ARRAYS: weakref.WeakKeyDictionary[SplitArrays, dict[Hashable, NDArray[Any]]] = weakref.WeakKeyDictionary()


def kernel_rows(
    experiment: Experiment, rows: SplitArrays, layout: Layout, *, in_blocks: bool, padded: bool = False
) -> NDArray[Any]:
    """Return rows for kernels, row-major or `in_blocks`; they are made once for as long as the rows exist."""
    outputs, stride = experiment.config.architecture.outputs, layout.block_rows if in_blocks else 0
    arrays = _ARRAYS.setdefault(rows, {})
    key = (experiment.computed.loss, outputs, layout.lanes, stride, padded)
    if key not in arrays:
        table = row_table(experiment, rows)
        arrays[key] = blocks(layout, table, padded=padded) if in_blocks else table.ravel()
    return arrays[key]
