"""The figures that a trial ends with, exactly those of `mlprun train` but for tables and baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlprun.experiment import SPLITS, Meter, Tensors

if TYPE_CHECKING:
    from mlprun.experiment import Experiment, Rows
    from mlprun.parts.architectures.network import Network
    from mlprun.sweeps.outcome import Weights

Figures = dict[str, float]


class Gauge:
    """Measures trials one after another, with networks that are built once for each architecture.

    On the device that they are trained on, as the figures of a run are.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._networks: dict[tuple[Any, ...], tuple[Network, dict[str, torch.Tensor]]] = {}

    def figures(self, experiment: Experiment, weights: Weights, epoch: int) -> Figures:
        """`train_loss`, `train_accuracy`, ... of a model after `epoch` epochs."""
        network, parameters = self._network(experiment)
        for name, values in weights.items():
            parameters[name].copy_(torch.from_numpy(np.asarray(values)))
        meter, seen = Meter(experiment), dict[int, Figures]()
        measured: Figures = {}
        for split in SPLITS:
            if experiment.has(split):
                rows = experiment.rows(split, epoch=epoch)
                measured |= {f"{split}_{k}": v for k, v in self._of(meter, network, rows, seen).items()}
        return measured

    def _of(self, meter: Meter, network: Network, rows: Rows, seen: dict[int, Figures]) -> Figures:
        """The figures of some rows, computed once where splits are the same rows."""
        if id(rows) not in seen:
            seen[id(rows)] = meter.evaluate(network, Tensors.of(rows, self._device))
        return seen[id(rows)]

    def _network(self, experiment: Experiment) -> tuple[Network, dict[str, torch.Tensor]]:
        told = experiment.config.architecture.model_dump_json()  # settings that differ elsewhere share it
        key = (told, experiment.width, experiment.dtype)
        if key not in self._networks:
            network = experiment.blank_network().to(self._device).eval()
            state = {name: tensor.detach() for name, tensor in network.state_dict().items()}
            self._networks[key] = (network, state)
        return self._networks[key]
