"""The gradient that the kernels step along, read off a step so long that the start is lost in it.

It is what training does and no second way of computing it: one epoch of gradient descent on the rows of the
batch, at a rate that is a power of two.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines.contract import State, never
from mlprun.engines.fused.cohort import Cohort
from mlprun.parts.optimizers import SGD
from mlprun.parts.schedules import schedules
from mlprun.randomness import Purpose, order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.experiment import Experiment, SplitArrays

RATE = 2.0**40
"""what a step of 1 would lose of a gradient to the digits of its parameter, this one loses 1e12 times less"""


def of(experiment: Experiment, state: State) -> dict[str, NDArray[Any]]:
    """The gradient of the objective on the first batch after `state`, by parameter name."""
    cohort = Cohort([_one_step(experiment, state.epoch)], [State(0, state.model)])
    cohort.advance([1], never)
    after = cohort.members[0].state().model
    return {name: (array - after[name]) / array.dtype.type(RATE) for name, array in state.model.items()}


def _one_step(experiment: Experiment, epoch: int) -> Experiment:
    """The batch as all the rows there are, and one plain step on it."""
    config, training = experiment.config, experiment.config.training
    rows, size = experiment.fixed["train"], training.batch_size
    chosen = np.arange(len(rows))
    if size != "full" and size < len(rows):
        if training.shuffle:
            chosen = order(training.seed, Purpose.ORDER, len(rows), epoch=epoch)
        chosen = chosen[:size]
    once = {"epochs": 1, "batch_size": "full", "shuffle": False, "clip_norm": None, "clip_value": None}
    changed = {
        "training": training.model_copy(update=once),
        "optimizer": SGD(name="sgd", lr=RATE),
        "schedule": schedules["constant"](name="constant"),
        "metrics": (),
        "best": config.best.model_copy(update={"metric": "dev_loss", "mode": "min"}),
        "early_stopping": None,
    }
    fixed = {"train": _taken(rows, chosen), "dev": _taken(rows, chosen[:0])}
    return replace(experiment, config=config.model_copy(update=changed), fixed=fixed)


def _taken(rows: SplitArrays, chosen: NDArray[np.int64]) -> SplitArrays:
    extra = tuple(targets[chosen] for targets in rows.extra)
    return replace(
        rows,
        inputs=np.ascontiguousarray(rows.inputs[chosen]),
        targets=np.ascontiguousarray(rows.targets[chosen]),
        extra=extra,
        truth=rows.truth[chosen],
    )
