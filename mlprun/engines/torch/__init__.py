"""The torch engine: the definition of every experiment, on CPU and CUDA, one run after another."""

from __future__ import annotations

from mlprun.engines.torch.trainer import TorchEngine
