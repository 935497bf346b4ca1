"""The multilayer perceptron as a module; imports torch, so it is imported inside `build` only."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from mlprun.parts.activations import build_activation
from mlprun.parts.architectures.network import Dropout, Network, initialize, redrawn
from mlprun.parts.initializers import LayerInit

if TYPE_CHECKING:
    from mlprun.parts.architectures.architecture import Dtype, Layer
    from mlprun.parts.architectures.mlp import Mlp
    from mlprun.parts.initializers import ModuleInitializer

_NORMS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class MlpNetwork(Network):
    """Linear layers with norm, activation and dropout between; `norms` and `dropout` go by layer number."""

    starts: list[tuple[nn.Module, LayerInit]]
    dtype: Dtype
    named: ModuleInitializer | None
    resets: list[nn.Module] | None

    def __init__(self, architecture: Mlp, inputs: int, *, sparse: bool) -> None:
        super().__init__()
        assert architecture.outputs is not None
        assert architecture.output_activation is not None
        hidden, table = architecture.hidden_layers, architecture.embedding
        if table is not None:
            self.embedding = nn.Embedding(table.vocabulary, table.dim, sparse=sparse)
            self.embedding_activation = build_activation(table.activation)
            inputs *= table.dim
        widths = [inputs, *(layer.units for layer in hidden), architecture.outputs]
        biases = [*(bool(layer.bias) for layer in hidden), bool(architecture.output_layer.bias)]
        # layers are made in order, as a plain script makes them: so both draw the same numbers
        self.layers = nn.ModuleList(
            nn.Linear(before, after, bias=bias)
            for before, after, bias in zip(widths, widths[1:], biases, strict=False)
        )
        self.norms = nn.ModuleDict(
            {
                str(i): _NORMS[layer.norm](layer.units)
                for i, layer in enumerate(hidden)
                if layer.norm in _NORMS
            }
        )
        self.activations = nn.ModuleList(_activation(layer) for layer in hidden)
        self.dropout = nn.ModuleDict(
            {str(i): Dropout(layer.dropout, layer.units) for i, layer in enumerate(hidden) if layer.dropout}
        )
        self.output_activation = architecture.output_activation.build()
        # plain lists: the modules are registered above, and walking a list costs less than a ModuleList
        self.steps = self._steps()
        self.every_step = [s for s in (*self.steps, self.output_activation) if not isinstance(s, nn.Identity)]

    def _steps(self) -> list[nn.Module]:
        steps: list[nn.Module] = []
        if hasattr(self, "embedding"):
            steps += [self.embedding, nn.Flatten(), self.embedding_activation]
        for number, activation in enumerate(self.activations):
            steps += [self.layers[number]]
            steps += [self.norms[str(number)]] if str(number) in self.norms else []
            steps += [activation]
            steps += [self.dropout[str(number)]] if str(number) in self.dropout else []
        steps += [self.layers[-1]]
        return [step for step in steps if not isinstance(step, nn.Identity)]

    def redraw(self) -> bool:
        """Start anew in place."""
        if self.resets is None:
            return False
        if self.dtype != "float32":
            self.to(torch.float32)
        for module in self.resets:
            cast("nn.Linear", module).reset_parameters()
        initialize(self, self.starts, dtype=self.dtype, named=self.named)
        return True

    @property
    def stages(self) -> list[nn.Module]:
        """The steps themselves."""
        return self.steps

    def preactivation(self, rows: Tensor) -> Tensor:
        """[B, D] numbers or [B, T] symbols to [B, K]."""
        for step in self.steps:
            rows = step(rows)
        return rows

    def forward(self, rows: Tensor) -> Tensor:
        """[B, D] numbers or [B, T] symbols to [B, K], after the output activation."""
        for step in self.every_step:
            rows = step(rows)
        return rows


def _activation(layer: Layer) -> nn.Module:
    assert layer.activation is not None
    return build_activation(layer.activation)


def build(architecture: Mlp, inputs: int, *, dtype: Dtype, sparse: bool) -> MlpNetwork:
    """The network, initialised as the architecture says and cast to `dtype`."""
    network = MlpNetwork(architecture, inputs, sparse=sparse)
    inits = [*(layer.init for layer in architecture.hidden_layers), architecture.output_layer.init]
    starts: list[tuple[nn.Module, LayerInit]] = []
    if architecture.embedding is not None:
        starts.append((network.embedding, LayerInit(weight=architecture.embedding.init)))
    starts += [(layer, init) for layer, init in zip(network.layers, inits, strict=True) if init is not None]
    network.starts, network.dtype, network.resets = starts, dtype, redrawn(network)
    network.named = None if isinstance(architecture.init, LayerInit) else architecture.init
    initialize(network, starts, dtype=dtype, named=network.named)
    return network
