"""The torch engine: the definition of every experiment, on CPU and CUDA, one run after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mlprun.engines.stepwise import SequentialEngine
from mlprun.engines.torch.expected import expected
from mlprun.engines.torch.trainer import Member

if TYPE_CHECKING:
    from mlprun.engines.contract import State
    from mlprun.experiment import Experiment


def TorchEngine() -> SequentialEngine[Member]:  # noqa: N802 -- engines are made like objects of their own classes
    """nn.Module, autograd and torch.optim: it runs everything that a config can say."""
    return SequentialEngine("torch", _member, lambda _: None, expected)


def _member(experiment: Experiment, state: State, device: str) -> Member:
    return Member(experiment, state, torch.device(device))
