"""The recurrent network: what a config may say of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from mlprun.parts.activations import HiddenActivation, Tanh, build_activation
from mlprun.parts.architectures.architecture import (
    Architecture,
    Embedding,
    activation_summary,
    architectures,
)
from mlprun.parts.initializers import InitField, LayerInit
from mlprun.parts.part import LayerSummary, PositiveInt

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn


@architectures.register
class Rnn(Architecture):
    """Recurrent cell applied to the sequence in a row; the output is computed from the last state.

    A step is h = activation(input(x) + hidden(h)) from h = 0; with tanh this is torch.nn.RNNCell. Rows are
    [B, T] symbols that an `embedding` turns into T steps of dim numbers, or without one [B, T] numbers: T
    steps of one number.
    Source: Elman (1990), doi.org/10.1207/s15516709cog1402_1
    """

    name: Literal["rnn"] = "rnn"
    hidden: PositiveInt = Field(8, description="hidden state size")
    activation: HiddenActivation = Field(
        default_factory=Tanh, description="activation of the cell; a list is summed"
    )
    bias: bool = Field(True, description="add biases to input, hidden and output layer")  # noqa: FBT003
    init: InitField = Field(
        default_factory=LayerInit,
        description="initialisers of all layers, or the parameters by name (values, file)",
    )
    embedding: Embedding | None = Field(None, description="embedding of integer inputs")

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        assert self.outputs is not None
        width = 1 if self.embedding is None else self.embedding.dim
        sizes = {"input": (self.hidden, width), "hidden": (self.hidden, self.hidden)}
        sizes["output"] = (self.outputs, self.hidden)
        shapes: dict[str, tuple[int, ...]] = {}
        if self.embedding is not None:
            shapes["embedding.weight"] = (self.embedding.vocabulary, self.embedding.dim)
        for name, size in sizes.items():
            shapes[f"cell.{name}.weight"] = size
            if self.bias:
                shapes[f"cell.{name}.bias"] = size[:1]
        return shapes

    @property
    def output_layer_name(self) -> str:
        return "cell.output"

    def layer_summaries(self, inputs: int) -> list[LayerSummary]:
        assert self.outputs is not None
        rows: list[LayerSummary] = []
        if self.embedding is not None:
            shape = (inputs, self.embedding.dim)
            rows.append(self._layer("embedding", shape, inputs))
            rows += activation_summary("embedding_activation", self.embedding.activation, shape)
        rows += [self._layer(f"cell.{name}", (self.hidden,), inputs) for name in ("input", "hidden")]
        rows += activation_summary("cell.activation", self.activation, (self.hidden,))
        rows.append(self._layer("cell.output", (self.outputs,), inputs))
        return [*rows, *activation_summary("output_activation", self.output_activation, (self.outputs,))]

    def activations(self, inputs: int, *, fused: bool) -> int:
        return inputs * self.hidden

    def modules(self, inputs: int) -> dict[str, nn.Module]:
        from torch import nn

        assert self.outputs is not None
        width = 1 if self.embedding is None else self.embedding.dim
        layers = {
            "input": nn.Linear(width, self.hidden, bias=self.bias),
            "hidden": nn.Linear(self.hidden, self.hidden, bias=self.bias),
            "output": nn.Linear(self.hidden, self.outputs, bias=self.bias),
        }
        return {"cell": nn.ModuleDict({**layers, "activation": build_activation(self.activation)})}

    def steps(self, network: Any) -> list[Callable[[Tensor], Tensor]]:
        return [*self._front(network), partial(_unroll, network.cell)]  # which a copy of the network copies

    def stages(self, network: Any) -> list[nn.Module]:
        cell = network.cell
        return [*self._front(network), cell.input, cell.hidden, cell.activation, cell.output]

    def _front(self, network: Any) -> list[nn.Module]:
        return [] if self.embedding is None else [network.embedding, network.embedding_activation]

    @property
    def inits(self) -> dict[str, LayerInit]:
        return dict.fromkeys(("cell.input", "cell.hidden", "cell.output"), self.layer_init)


def _unroll(cell: Any, steps: Tensor) -> Tensor:
    """[B, T, D] numbers, or [B, T] of one number each, to [B, K]."""
    steps = steps if steps.ndim == 3 else steps.unsqueeze(-1)
    state = steps.new_zeros(len(steps), cell.hidden.in_features)
    for values in steps.unbind(1):
        state = cell.activation(cell.input(values) + cell.hidden(state))
    outputs: Tensor = cell.output(state)
    return outputs
