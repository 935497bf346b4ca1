"""Losses and metrics of logits in NumPy, for engines that have no nn.Module, and for baselines.

They are computed in float64 from the logits; outputs are then rounded to the run's dtype. User code may have
activations and losses of its own, which are PyTorch's functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines.capabilities import entry, first_name
from mlprun.engines.scratch.functions import ACTIVATIONS, LOSSES, weighted_sum
from mlprun.engines.scratch.tensor import Tensor
from mlprun.experiment import Experiment, SplitArrays, compute_metrics, plain
from mlprun.parts.activations import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.parts.data import Array
    from mlprun.parts.losses import Loss
    from mlprun.parts.part import Part

SplitMetrics = dict[str, dict[str, Any]]
"""by split: `loss`, then the metrics"""


def outputs_of(experiment: Experiment, logits: Array) -> Array:
    """Return [N, K] outputs after the output activation, in the run's dtype."""
    part = experiment.config.architecture.output_activation or Identity()
    if _is_known(part, ACTIVATIONS):
        with np.errstate(all="ignore"):
            return entry(ACTIVATIONS, part)(Tensor(logits)).data.astype(experiment.dtype)
    import torch

    with torch.no_grad():
        return np.asarray(part.build()(torch.from_numpy(logits)).numpy())


def loss_of(loss: Loss, values: Array, targets: Array, weights: Array | None) -> float:
    """Return the mean that the history shows, of the logits or the outputs, and the rows' weights [N]."""
    if _is_known(loss, LOSSES):
        with np.errstate(all="ignore"):
            total = float(weighted_sum(entry(LOSSES, loss)(Tensor(values), targets), weights).data)
            return float(np.float64(total) / loss.weight(targets, weights))
    import torch

    tensors = (torch.from_numpy(array) for array in (values, targets))
    with torch.no_grad():
        if weights is None:
            return plain(loss).build()(*tensors).item()
        return plain(loss).build()(*tensors, torch.from_numpy(weights)).item()


def metrics_of(
    experiment: Experiment, logits: Array, rows: SplitArrays, *, tables: bool = False
) -> dict[str, Any]:
    """Return metrics and extra losses of logits [N, K]; `tables` includes confusion matrices."""
    outputs = outputs_of(experiment, logits)

    def mean(loss: Loss, targets: Array) -> float:
        return loss_of(loss, logits if loss.activation else outputs, targets, rows.weights_of(loss))

    options: dict[str, Any] = {"weights": rows.weights, "tables": tables}
    return compute_metrics(experiment, outputs, rows.truth, rows.extra, mean, **options)


def evaluate_logits(
    experiment: Experiment, logits: Array, rows: SplitArrays, *, tables: bool = False
) -> dict[str, Any]:
    """Return `loss`, then the metrics, of [N, K] logits and their rows."""
    loss = experiment.computed.loss
    values = logits if loss.activation else outputs_of(experiment, logits)
    mean = loss_of(loss, values, rows.targets, rows.weights_of(loss))
    return {"loss": mean, **metrics_of(experiment, logits, rows, tables=tables)}


def _is_known(part: Part, functions: Mapping[str, Any]) -> bool:
    return type(part).__module__.startswith("mlprun.parts.") and first_name(part) in functions
