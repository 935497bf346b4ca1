"""Rows as kernels read them: inputs, targets, a mask, and what the loss or the figure asks for besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun.engines.fused import encoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.engines.fused.layout import Layout
    from mlprun.experiment import Experiment, SplitArrays


class Fields(NamedTuple):
    """Where the numbers of a row stand behind its inputs and targets; 0 for what it has not."""

    mask: int
    """1 in rows, 0 in what fills up the last block"""
    classes: int
    weight: int
    constant: int
    numbers: int
    """how many a row has"""


def fields_of(experiment: Experiment) -> Fields:
    """What rows have: classes where one of several outputs is chosen, the rest where the loss asks for it."""
    loss, outputs = experiment.config.loss, experiment.config.architecture.outputs
    assert outputs is not None
    mask = experiment.width + outputs
    wanted = (
        experiment.classes is not None and outputs > 1,
        # asked of the class first: pydantic is slow to say that an option is missing
        "class_weights" in type(loss).model_fields and getattr(loss, "class_weights", None) is not None,
        encoding.adds_constant(loss),
    )
    places, numbers = [], mask + 1
    for present in wanted:
        places.append(numbers if present else 0)
        numbers += present
    return Fields(mask, places[0], places[1], places[2], numbers)


def table(experiment: Experiment, rows: SplitArrays) -> NDArray[Any]:
    """Row-major [N, fields] in the run's dtype."""
    outputs, fields = experiment.config.architecture.outputs, fields_of(experiment)
    assert outputs is not None
    columns, weights, constants = encoding.distributions(experiment.config.loss, rows.targets, outputs)
    made = np.ones((len(rows), fields.numbers), experiment.dtype)
    made[:, : experiment.width] = rows.inputs
    made[:, experiment.width : fields.mask] = columns
    kept = ((fields.classes, rows.truth), (fields.weight, weights), (fields.constant, constants))
    for place, values in kept:
        if place:
            made[:, place] = values
    return made


def blocks(layout: Layout, rows: NDArray[Any], *, turns: bool = False) -> NDArray[Any]:
    """Feature-major blocks [blocks, fields, stride] as one flat array.

    Inputs that are turned are read in whole squares of lanes: behind the last block there is room for them.
    """
    count, fields = rows.shape
    stride = layout.stride
    number = -(-count // stride)
    room = layout.lanes * stride if turns else 0
    made = np.zeros(number * fields * stride + room, layout.dtype)
    shaped = made[: number * fields * stride].reshape(number, fields, stride)
    for block in range(number):
        part = rows[block * stride : (block + 1) * stride]
        shaped[block, :, : len(part)] = part.T
    return made


def shares(experiment: Experiment, rows: SplitArrays | None, outputs: int) -> NDArray[np.float64]:
    """What squared errors of each output are multiplied by, to be the unexplained share of the variance."""
    if rows is None or experiment.classes is not None or not len(rows):
        return np.zeros(outputs)
    truth = np.asarray(rows.truth, np.float64).reshape(len(rows), -1)
    spread = np.sum((truth - truth.mean(axis=0)) ** 2, axis=0)
    spread[np.ptp(truth, axis=0) == 0] = np.nan
    units = experiment.preprocessing.restore(np.array([np.zeros(outputs), np.ones(outputs)]))
    return np.ascontiguousarray((units[1] - units[0]) ** 2 / spread)
