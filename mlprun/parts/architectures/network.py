"""The module interface of engines and evaluation; needs torch, so it is imported inside `build` only."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlprun.parts.architectures.architecture import Dtype
    from mlprun.parts.initializers import LayerInit, ModuleInitializer


class Network(nn.Module):
    """A network with its output activation apart: losses are computed stably from the values before it."""

    output_activation: nn.Module

    def redraw(self) -> bool:
        """Start anew in place, as if just built, from torch's default generator as it stands.

        False where that cannot be done and the network must be built again.
        """
        return False

    def preactivation(self, rows: Tensor) -> Tensor:
        """[B, D] numbers or [B, T] int64 symbols to [B, K], before the output activation."""
        raise NotImplementedError

    def forward(self, rows: Tensor) -> Tensor:
        """[B, D] or [B, T] to [B, K], after the output activation."""
        outputs: Tensor = self.output_activation(self.preactivation(rows))
        return outputs

    @property
    def stages(self) -> list[nn.Module]:
        """The modules in the order in which rows pass them, before the output activation; for the summary."""
        leaves = (module for module in self.modules() if not any(module.children()))
        return [module for module in leaves if module is not self.output_activation]

    @property
    def dropouts(self) -> list[Dropout]:
        """The dropout layers in module order; their masks are set from outside."""
        return [module for module in self.modules() if isinstance(module, Dropout)]

    def weights(self) -> tuple[nn.Parameter, ...]:
        """What penalties apply to: weight matrices and embeddings; not biases, not norm gains."""
        matrices = (module for module in self.modules() if isinstance(module, nn.Linear | nn.Embedding))
        return tuple(cast("nn.Parameter", module.weight) for module in matrices)

    def embeddings(self) -> frozenset[str]:
        """The names of the parameters that are embedding tables."""
        tables = (name for name, module in self.named_modules() if isinstance(module, nn.Embedding))
        return frozenset(f"{name}.weight" for name in tables)


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

    def extra_repr(self) -> str:
        """The options, for printing."""
        return f"probability={self.probability}"


_DRAWN = (nn.Linear, nn.Embedding, nn.BatchNorm1d, nn.LayerNorm)
"""modules that make all their parameters in `reset_parameters`, with the draws of their construction"""


def redrawn(network: Network) -> list[nn.Module] | None:
    """The modules to reset for a start anew, in the order of construction; None where one cannot be."""
    own = [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]
    return own if all(type(module) in _DRAWN for module in own) else None


def initialize(
    network: Network,
    starts: Iterable[tuple[nn.Module, LayerInit]],
    *,
    dtype: Dtype,
    named: ModuleInitializer | None,
) -> None:
    """Overwrite weights and biases of `starts` in their order, cast to `dtype`, then set what has a name."""
    pairs = [
        (initializer, module, kind)
        for module, init in starts
        for initializer, kind in ((init.weight, "weight"), (init.bias, "bias"))
        if getattr(module, kind, None) is not None
    ]
    with torch.no_grad():
        for initializer, module, kind in pairs:
            if initializer.is_random:
                initializer.fill(getattr(module, kind))
        if dtype != "float32":  # as which parameters are made
            network.to(getattr(torch, dtype))
        for initializer, module, kind in pairs:
            if not initializer.is_random:  # 0.1 in float64 is not 0.1 that has been through float32
                initializer.fill(getattr(module, kind))
    if named is not None:
        named.assign(network)
