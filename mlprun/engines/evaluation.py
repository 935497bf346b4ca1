"""Losses and metrics of logits in NumPy, for engines that have no nn.Module, and for baselines.

They are computed in float64 from the logits; outputs are then rounded to the run's dtype. User code may have
activations and losses of its own, which are PyTorch's functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines.capabilities import entry, first_name
from mlprun.engines.scratch.functions import ACTIVATIONS, LOSSES
from mlprun.engines.scratch.tensor import Tensor
from mlprun.experiment import compute_metrics, plain
from mlprun.parts.activations import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.experiment import Experiment, SplitArrays
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


def loss_of(loss: Loss, logits: Array, outputs: Array, targets: Array) -> float:
    """Return the mean that the history shows, of the logits or the outputs."""
    values = logits if loss.activation else outputs
    if _is_known(loss, LOSSES):
        with np.errstate(all="ignore"):
            total = float(entry(LOSSES, loss)(Tensor(values), targets).sum().data)
            return float(np.float64(total) / loss.weight(targets))
    import torch

    with torch.no_grad():
        return plain(loss).build()(torch.from_numpy(values), torch.from_numpy(targets)).item()


def metrics_of(
    experiment: Experiment, logits: Array, rows: SplitArrays, *, tables: bool = False
) -> dict[str, Any]:
    """Return metrics and extra losses of logits [N, K]; `tables` includes confusion matrices."""
    outputs = outputs_of(experiment, logits)

    def mean(loss: Loss, targets: Array) -> float:
        return loss_of(loss, logits, outputs, targets)

    return compute_metrics(experiment, outputs, rows.truth, rows.extra, mean, tables=tables)


def evaluate_logits(
    experiment: Experiment, logits: Array, rows: SplitArrays, *, tables: bool = False
) -> dict[str, Any]:
    """Return `loss`, then the metrics, of [N, K] logits and their rows."""
    loss = loss_of(experiment.computed.loss, logits, outputs_of(experiment, logits), rows.targets)
    return {"loss": loss, **metrics_of(experiment, logits, rows, tables=tables)}


def _is_known(part: Part, functions: Mapping[str, Any]) -> bool:
    return type(part).__module__.startswith("mlprun.parts.") and first_name(part) in functions
