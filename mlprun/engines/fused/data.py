"""Rows as kernels read them: each with its inputs, targets, class, mask, weight and constant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines.fused import encoding
from mlprun.engines.fused import tables as t

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.engines.fused.layout import Layout
    from mlprun.experiment import Experiment, Rows


def table(experiment: Experiment, rows: Rows) -> NDArray[Any]:
    """Row-major [N, fields] in the run's dtype."""
    outputs = experiment.config.architecture.outputs
    assert outputs is not None
    columns, weights, constants = encoding.distributions(experiment.config.loss, rows.targets, outputs)
    classes = rows.truth if experiment.classes is not None else np.zeros(len(rows))
    parts = [
        rows.inputs,
        columns,
        classes[:, None],
        np.ones((len(rows), 1)),
        weights[:, None],
        constants[:, None],
    ]
    return np.ascontiguousarray(np.concatenate(parts, axis=1, dtype=experiment.dtype, casting="unsafe"))


def blocks(layout: Layout, rows: NDArray[Any]) -> NDArray[Any]:
    """Feature-major blocks [blocks, fields, stride] as one flat array, and some room behind for turning."""
    count, fields = rows.shape
    stride = layout.stride
    number = -(-count // stride)
    made = np.zeros(number * fields * stride + layout.lanes * stride, layout.dtype)
    shaped = made[: number * fields * stride].reshape(number, fields, stride)
    for block in range(number):
        part = rows[block * stride : (block + 1) * stride]
        shaped[block, :, : len(part)] = part.T
    return made


def shares(experiment: Experiment, rows: Rows | None, outputs: int) -> NDArray[np.float64]:
    """What squared errors of each output are multiplied by, to be the unexplained share of the variance."""
    if rows is None or experiment.classes is not None or not len(rows):
        return np.zeros(outputs)
    truth = np.asarray(rows.truth, np.float64).reshape(len(rows), -1)
    spread = np.sum((truth - truth.mean(axis=0)) ** 2, axis=0)
    spread[np.ptp(truth, axis=0) == 0] = np.nan
    units = experiment.preprocessing.restore(np.array([np.zeros(outputs), np.ones(outputs)]))
    return np.ascontiguousarray((units[1] - units[0]) ** 2 / spread)


def fields_of(inputs: int, outputs: int) -> int:
    """How many numbers a row has."""
    return inputs + outputs + t.EXTRA_FIELDS
