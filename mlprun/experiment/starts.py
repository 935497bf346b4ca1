"""Initial weights of many experiments that differ in little but their seeds."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from mlprun.experiment.experiment import drawing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from mlprun.experiment.experiment import Experiment
    from mlprun.parts.architectures.network import Network

    State = dict[str, Tensor]


class InitialWeightCache:
    """Draws what `Experiment.network` starts with, in a module that is built once for each architecture."""

    def __init__(self) -> None:
        self._networks: dict[tuple[Any, ...], tuple[Network, State]] = {}
        self._lock = threading.Lock()

    def model(self, experiment: Experiment) -> dict[str, NDArray[Any]]:
        """The initial parameters and buffers by name."""
        with self._lock:
            state = self._drawn(experiment)
            return {name: tensor.numpy().copy() for name, tensor in state.items()}

    def _drawn(self, experiment: Experiment) -> State:
        config = experiment.config
        told = config.architecture.model_dump_json()  # settings that differ elsewhere have equal ones
        key = (told, experiment.width, experiment.dtype, config.optimizer.sparse)
        known = self._networks.get(key)
        if known is not None:
            with drawing(config.training.seed):
                if known[0].redraw():
                    # a cast has put other tensors in the place of those that are kept
                    return known[1] if config.training.dtype == "float32" else known[0].state_dict()
        network = experiment.network()
        state: State = network.state_dict()
        self._networks[key] = (network, state)
        return state
