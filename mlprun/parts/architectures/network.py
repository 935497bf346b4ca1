"""The nn.Modules of mlprun: the network, modules that torch lacks, and a summary of the layers.

Imports torch, so it is imported inside functions only.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn

from mlprun.parts.activations import activations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


class Row(NamedTuple):
    """A layer: its name in the module, what it is, the shape of one row after it, its trained numbers."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


def summary(network: Network, inputs: int) -> list[Row]:
    """A row per layer in the order of computing, for `inputs` columns; the output activation comes last."""
    names = {module: name for name, module in network.named_modules()}
    rows: list[Row] = []
    shape: tuple[int, ...] = (inputs,)
    for stage in (*network.stages, network.output_activation):
        shape = _shape(stage, shape)
        if not isinstance(stage, nn.Identity | nn.Flatten):
            parameters = sum(parameter.numel() for parameter in stage.parameters())
            rows.append(Row(names.get(stage, ""), kind(stage), shape, parameters))
    return rows


def _shape(stage: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(stage, nn.Linear):
        return (stage.out_features,)
    if isinstance(stage, nn.Embedding):
        return (*shape, stage.embedding_dim)
    if isinstance(stage, nn.Flatten):
        return (shape[0] * shape[1],)
    return shape


def kind(stage: nn.Module) -> str:
    """What a layer is, in words: `linear 2 -> 5`, `relu + tanh`, `dropout 0.5`."""
    if isinstance(stage, nn.Linear):
        bias = "" if stage.bias is not None else ", no bias"
        return f"linear {stage.in_features} -> {stage.out_features}{bias}"
    if isinstance(stage, nn.Embedding):
        return f"embedding of {stage.num_embeddings} in {stage.embedding_dim}"
    if isinstance(stage, Parallel):
        return " + ".join(kind(module) for module in stage)
    if isinstance(stage, Dropout):
        return f"dropout {stage.probability:g}"
    known = {nn.BatchNorm1d: "batch norm", nn.LayerNorm: "layer norm", **_activation_names()}
    return known.get(type(stage), type(stage).__name__.lower())


@cache
def _activation_names() -> dict[type[nn.Module], str]:
    parts = (part for part in activations if not any(f.is_required() for f in part.model_fields.values()))
    return {type(part.model_validate({}).build()): part.names()[0] for part in parts}
