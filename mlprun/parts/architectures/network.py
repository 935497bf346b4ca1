"""The module interface that engines and evaluation use; needs torch, so it is imported inside `build` only."""

from __future__ import annotations

from torch import Tensor, nn


class Network(nn.Module):
    """A network with its output activation apart, so that losses can be computed stably from the values before it."""

    output_activation: nn.Module

    def preactivation(self, rows: Tensor) -> Tensor:
        """[B, D] numbers or [B, T] int64 symbols to [B, K], before the output activation."""
        raise NotImplementedError

    def forward(self, rows: Tensor) -> Tensor:
        """[B, D] or [B, T] to [B, K], after the output activation."""
        outputs: Tensor = self.output_activation(self.preactivation(rows))
        return outputs


class Dropout(nn.Module):
    """Inverted dropout whose mask is given from outside: `keep` is [B, H] of 0 and 1, or None for no dropout.

    nn.Dropout draws from the device's own generator, so that its masks would differ between devices.
    """

    def __init__(self, probability: float, width: int) -> None:
        super().__init__()
        self.probability, self.width = probability, width
        self.keep: Tensor | None = None

    def forward(self, values: Tensor) -> Tensor:
        """[B, H] to [B, H]; the identity while `keep` is None."""
        return values if self.keep is None else values * self.keep / (1 - self.probability)
