"""Modules of the activations that torch lacks; imports torch, so it is imported inside `build` only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence


class Parallel(nn.ModuleList):
    """Several activations of the same values, summed in their order."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)

    def forward(self, values: Tensor) -> Tensor:
        """[B, H] to [B, H]."""
        first, *others = self
        total: Tensor = first(values)
        for activation in others:
            total = total + activation(values)
        return total


class Swish(nn.Module):
    """z times logistic(beta z)."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, values: Tensor) -> Tensor:
        """[B, H] to [B, H]."""
        return values * torch.sigmoid(self.beta * values)

    def extra_repr(self) -> str:
        """The options, for printing."""
        return f"beta={self.beta}"


class HardLogistic(nn.Module):
    """`slope` times z plus `offset`, cut off at 0 and 1."""

    def __init__(self, slope: float, offset: float) -> None:
        super().__init__()
        self.slope, self.offset = slope, offset

    def forward(self, values: Tensor) -> Tensor:
        """[B, H] to [B, H]."""
        # not clamp, whose slope at 0 and 1 themselves is that of the line: hard_tanh has 0 there
        return nn.functional.hardtanh(self.slope * values + self.offset, 0.0, 1.0)

    def extra_repr(self) -> str:
        """The options, for printing."""
        return f"slope={self.slope}, offset={self.offset}"


class Exp(nn.Module):
    """e to the power of z."""

    def forward(self, values: Tensor) -> Tensor:
        """[B, K] to [B, K]."""
        return torch.exp(values)
