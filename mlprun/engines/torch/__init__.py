"""The torch engine: the definition of every experiment, on CPU and CUDA, one run after another."""

from __future__ import annotations

from mlprun.engines.epoch_protocol import SequentialEngine
from mlprun.engines.torch.optimizer_state import optimizer_spec
from mlprun.engines.torch.trainer import TorchTrainer


def TorchEngine() -> SequentialEngine[TorchTrainer]:  # noqa: N802 -- engines are made like objects of their own classes
    """Return the engine of nn.Module, autograd and torch.optim: it runs everything that a config can say."""
    return SequentialEngine("torch", TorchTrainer, lambda _: None, optimizer_spec)
