"""The loss and metrics of a network on some rows, as the config names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from mlprun.parts.losses import Loss
from mlprun.parts.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from mlprun.experiment.experiment import Experiment, SplitArrays
    from mlprun.parts.data import Array, Names
    from mlprun.parts.network import Network
    from mlprun.schema import Config


T = TypeVar("T")
CHUNK = 65_536
"""rows evaluated at once, so that memory stays bounded on large tables"""


def history_metrics(config: Config) -> Names:
    """The names of the metrics that the history keeps beside the loss."""
    return tuple(part.name for part in config.metrics if not isinstance(part, Metric) or part.scalar)


def history_columns(config: Config) -> Names:
    """The columns of history.csv, in order."""
    names = history_metrics(config)
    train = (f"train_{name}" for name in ("loss", "objective", *names))
    return ("epoch", "lr", *train, *(f"dev_{name}" for name in ("loss", *names)))


@dataclass(frozen=True)
class SplitTensors:
    """A split on its device; fields as in Rows, `truth` stays in NumPy."""

    inputs: Tensor
    targets: Tensor
    extra: tuple[Tensor, ...]
    truth: Array

    @classmethod
    def of(cls, rows: SplitArrays, device: torch.device | str = "cpu") -> SplitTensors:
        """The rows as tensors; on the CPU they share the rows' memory."""
        extra = tuple(torch.from_numpy(targets).to(device) for targets in rows.extra)
        inputs, targets = torch.from_numpy(rows.inputs), torch.from_numpy(rows.targets)
        return cls(inputs.to(device), targets.to(device), extra, rows.truth)

    def reordered(self, order: Array) -> SplitTensors:
        """The same rows in another order."""
        index = torch.from_numpy(order).to(self.inputs.device)
        extra = tuple(targets[index] for targets in self.extra)
        return SplitTensors(self.inputs[index], self.targets[index], extra, self.truth[order])

    def __len__(self) -> int:
        return len(self.inputs)


def compute_metrics(
    experiment: Experiment,
    outputs: Array,
    truth: Array,
    extra: Sequence[T],
    mean: Callable[[Loss, T], float],
    *,
    tables: bool = False,
) -> dict[str, Any]:
    """Metrics of [N, K] outputs and the truth of their rows, and what `mean` says of each loss among them.

    `extra` has the targets of these losses; `tables` includes metrics that are no single number.
    """
    targets = iter(extra)
    # a metric may overflow to infinity, as it does in torch: that is no reason for a warning
    with np.errstate(over="ignore", invalid="ignore"):
        predictions = experiment.predictions(outputs, truth)
        return {
            part.name: mean(part, next(targets)) if isinstance(part, Loss) else part.compute(predictions)
            for part in experiment.computed.metrics
            if isinstance(part, Loss) or part.scalar or tables
        }


class MetricComputer:
    """Computes the loss and metrics of one experiment's networks. It holds no state of a run."""

    def __init__(self, experiment: Experiment) -> None:
        config = experiment.computed
        self._experiment = experiment
        self._loss, self._plain = config.loss, plain(config.loss).build()
        extra = (part for part in config.metrics if isinstance(part, Loss))
        self._means = {part.name: plain(part).build() for part in extra}

    def compute(
        self, network: Network, before: Tensor, rows: SplitTensors, *, tables: bool = False
    ) -> dict[str, Any]:
        """Metrics and extra losses of [N, K] values before the output activation, and of their rows.

        `tables` includes metrics that are no single number.
        """
        with torch.no_grad():
            outputs = network.output_activation(before)

        def mean(loss: Loss, targets: Tensor) -> float:
            with torch.no_grad():
                return self._means[loss.name](before if loss.activation else outputs, targets).item()

        array = outputs.cpu().numpy()
        return compute_metrics(self._experiment, array, rows.truth, rows.extra, mean, tables=tables)

    def evaluate(self, network: Network, rows: SplitTensors, *, tables: bool = False) -> dict[str, Any]:
        """`loss`, then the metrics, of a network on some rows; the network is left in evaluation mode."""
        if network.training:
            network.eval()
        before = compute_logits(network, rows.inputs)
        with torch.no_grad():
            values = before if self._loss.activation else network.output_activation(before)
            loss = self._plain(values, rows.targets).item()
        return {"loss": loss, **self.compute(network, before, rows, tables=tables)}


def plain(loss: Loss) -> Loss:
    """The loss as the history shows it: the mean, unscaled."""
    if loss.reduction == "mean" and loss.scale == 1.0:
        return loss
    return loss.model_copy(update={"reduction": "mean", "scale": 1.0})


def compute_logits(network: Network, inputs: Tensor) -> Tensor:
    """Values before the output activation, [N, K], computed in chunks without gradients."""
    with torch.no_grad():
        if len(inputs) <= CHUNK:
            return network.preactivation(inputs)
        return torch.cat([network.preactivation(part) for part in torch.split(inputs, CHUNK)])
