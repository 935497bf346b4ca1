"""The recurrent network: what a config may say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mlprun.parts.activations import HiddenActivation, Tanh
from mlprun.parts.architectures.architecture import (
    Architecture,
    Dtype,
    Embedding,
    architectures,
    refused_inputs,
    refused_values,
)
from mlprun.parts.initializers import InitField, LayerInit
from mlprun.parts.part import PositiveInt

if TYPE_CHECKING:
    from mlprun.parts.architectures.network import Network
    from mlprun.parts.datasets.dataset import DatasetInfo


@architectures.register
class Rnn(Architecture):
    """Recurrent cell unrolled over a row, its output read after the last step.

    A step is h = activation(input(x) + hidden(h)) from h = 0; with tanh this is torch.nn.RNNCell. Rows are
    [B, T] symbols that an `embedding` turns into T steps of dim numbers, or without one [B, T] numbers: T
    steps of one number.
    Source: Elman (1990), doi.org/10.1207/s15516709cog1402_1
    """

    name: Literal["rnn"] = "rnn"
    hidden: PositiveInt = Field(8, description="numbers that the cell hands from step to step")
    activation: HiddenActivation = Field(
        default_factory=Tanh, description="of the cell; several in a list are summed"
    )
    bias: bool = Field(True, description="whether input, hidden and output add a bias each")  # noqa: FBT003
    init: InitField = Field(
        default_factory=LayerInit,
        description="how input, hidden and output start, or the network by parameter name (values, file)",
    )
    embedding: Embedding | None = Field(None, description="a table in front of integer inputs")

    @property
    def vocabulary(self) -> int | None:
        return None if self.embedding is None else self.embedding.vocabulary

    def unsupported_reason(self, info: DatasetInfo) -> str | None:
        return refused_inputs(info, self.embedding) or refused_values(self, self.init, info)

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

    def activations(self, inputs: int, *, fused: bool) -> int:
        return inputs * self.hidden

    def build(self, inputs: int, *, dtype: Dtype = "float32", sparse: bool = False) -> Network:
        from mlprun.parts.architectures.recurrent import build

        return build(self, dtype=dtype, sparse=sparse)
