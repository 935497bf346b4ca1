"""Initial weights of many experiments that differ in little but their seeds."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from mlprun.experiment.experiment import drawing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.experiment.experiment import Experiment
    from mlprun.parts.architectures import Architecture
    from mlprun.parts.architectures.network import Network


class Starts:
    """Draws what `Experiment.network` starts with, in a module that is built once for each architecture."""

    def __init__(self) -> None:
        self._networks: dict[tuple[Any, ...], tuple[Architecture, Network]] = {}
        self._lock = threading.Lock()

    def model(self, experiment: Experiment) -> dict[str, NDArray[Any]]:
        """The initial parameters and buffers by name."""
        with self._lock:
            network = self._drawn(experiment)
            return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}

    def _drawn(self, experiment: Experiment) -> Network:
        config = experiment.config
        key = (id(config.architecture), experiment.width, experiment.dtype, config.optimizer.sparse)
        known = self._networks.get(key)
        if known is not None:
            with drawing(config.training.seed):
                if known[1].redraw():
                    return known[1]
        network = experiment.network()
        self._networks[key] = (config.architecture, network)  # kept, so that no other takes its id
        return network
