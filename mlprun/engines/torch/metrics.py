"""The loss and metrics of a module on some rows, and the rows as tensors."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlprun.experiment import compute_metrics, plain
from mlprun.experiment.experiment import load_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from mlprun.experiment import Experiment, SplitArrays
    from mlprun.parts.data import Array, Floats
    from mlprun.parts.losses import Loss
    from mlprun.parts.network import Network

CHUNK = 65_536
"""rows evaluated at once, so that memory stays bounded on large tables"""
_THREAD = threading.local()


@dataclass(frozen=True)
class SplitTensors:
    """A split on its device; fields as in Rows, `truth` and `weights` stay in NumPy."""

    inputs: Tensor
    targets: Tensor
    extra: tuple[Tensor, ...]
    truth: Array
    weights: Floats | None = None

    @classmethod
    def of(cls, rows: SplitArrays, device: torch.device | str = "cpu") -> SplitTensors:
        """The rows as tensors; on the CPU they share the rows' memory."""
        extra = tuple(torch.from_numpy(targets).to(device) for targets in rows.extra)
        inputs, targets = torch.from_numpy(rows.inputs), torch.from_numpy(rows.targets)
        return cls(inputs.to(device), targets.to(device), extra, rows.truth, rows.weights)

    def weights_of(self, loss: Loss) -> tuple[Tensor, ...]:
        """What the losses of rows are multiplied by, [N] float64; empty where that is 1."""
        weights = loss.row_weights(self.truth, self.weights)
        return () if weights is None else (torch.from_numpy(weights).to(self.inputs.device),)

    def reordered(self, order: Array) -> SplitTensors:
        """The same rows in another order."""
        index = torch.from_numpy(order).to(self.inputs.device)
        extra = tuple(targets[index] for targets in self.extra)
        weights = None if self.weights is None else self.weights[order]
        return SplitTensors(self.inputs[index], self.targets[index], extra, self.truth[order], weights)

    def __len__(self) -> int:
        return len(self.inputs)


class MetricComputer:
    """Computes the loss and metrics of one experiment's networks. It holds no state of a run."""

    def __init__(self, experiment: Experiment) -> None:
        config = experiment.computed
        self._experiment = experiment
        self._loss, self._plain = config.loss, plain(config.loss).build()
        self._means = {loss.name: plain(loss).build() for loss in config.losses[1:]}

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
                values, weights = before if loss.activation else outputs, rows.weights_of(loss)
                return self._means[loss.name](values, targets, *weights).item()

        array = outputs.cpu().numpy()
        options: dict[str, Any] = {"weights": rows.weights, "tables": tables}
        return compute_metrics(self._experiment, array, rows.truth, rows.extra, mean, **options)

    def evaluate(self, network: Network, rows: SplitTensors, *, tables: bool = False) -> dict[str, Any]:
        """`loss`, then the metrics, of a network on some rows; the network is left in evaluation mode."""
        if network.training:
            network.eval()
        before = compute_logits(network, rows.inputs)
        with torch.no_grad():
            values = before if self._loss.activation else network.output_activation(before)
            loss = self._plain(values, rows.targets, *rows.weights_of(self._loss)).item()
        return {"loss": loss, **self.compute(network, before, rows, tables=tables)}


def compute_logits(network: Network, inputs: Tensor) -> Tensor:
    """Values before the output activation, [N, K], computed in chunks without gradients."""
    with torch.no_grad():
        if len(inputs) <= CHUNK:
            return network.preactivation(inputs)
        return torch.cat([network.preactivation(part) for part in torch.split(inputs, CHUNK)])


def evaluate(
    experiment: Experiment, model: Mapping[str, Array], rows: Mapping[str, SplitArrays], *, device: str
) -> dict[str, dict[str, Any]]:
    """Return `loss`, then the metrics, of a model on some rows by name, confusion matrices included."""
    network, meter = _network(experiment, model, device), MetricComputer(experiment)
    tensors = {name: SplitTensors.of(arrays, device) for name, arrays in rows.items()}
    return {name: meter.evaluate(network, one, tables=True) for name, one in tensors.items()}


def outputs(experiment: Experiment, model: Mapping[str, Array], inputs: Array, *, device: str) -> Array:
    """Return [N, K] outputs after the output activation of preprocessed inputs."""
    network = _network(experiment, model, device)
    with torch.no_grad():
        logits = compute_logits(network, torch.from_numpy(inputs).to(device))
        return np.asarray(network.output_activation(logits).cpu().numpy())


def _network(experiment: Experiment, model: Mapping[str, Array], device: str) -> Network:
    """The module with these parameters; this thread's last one is used again for equal architectures."""
    key = (experiment.config.architecture.model_dump_json(), experiment.width, experiment.dtype, device)
    if getattr(_THREAD, "key", None) != key:
        _THREAD.key, _THREAD.network = key, experiment.blank_network().to(device).eval()
    network: Network = _THREAD.network
    load_model(network, model)
    return network
