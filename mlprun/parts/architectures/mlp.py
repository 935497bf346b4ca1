"""The multilayer perceptron: what a config may say of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mlprun.parts.activations import Activation, HiddenActivation, Relu, build_activation, each
from mlprun.parts.architectures.architecture import (
    Architecture,
    Embedding,
    Layer,
    Norm,
    OutputLayer,
    activation_summary,
    architectures,
)
from mlprun.parts.initializers import InitField, LayerInit
from mlprun.parts.part import LayerSummary, PositiveInt, Probability, cached_by_identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

AnyLayer = TypeVar("AnyLayer", Layer, OutputLayer)

_DEFAULT_HIDDEN = (8,)
_SUM = "plus the input of layers.{}"
MOST_LAYERS = 1000
"""hidden layers: a checkpoint with more of them would hold too many tensors"""


@architectures.register
class Mlp(Architecture):
    """Multilayer perceptron: linear layers with activations between them.

    Rows are [B, D] numbers, or with `embedding` [B, T] symbols that become T * dim numbers. `hidden: []` is
    linear or logistic regression. The output layer follows the hidden ones by itself; parameters are
    layers.0.weight, layers.0.bias, ..., the output layer's being the last. With `residual` a hidden layer
    with as many units as the hidden layer before it computes x + dropout(activation(norm(W x + b))) of x.
    Source: Rumelhart, Hinton and Williams (1986), doi.org/10.1038/323533a0; residual: He et al. (2016),
    doi.org/10.1109/CVPR.2016.90
    """

    stored_if_set = frozenset({"residual"})

    name: Literal["mlp"] = "mlp"
    hidden: tuple[PositiveInt, ...] | None = Field(
        None,
        max_length=MOST_LAYERS,
        description="units of each hidden layer (default: [8], unless layers are given)",
    )
    layers: tuple[Layer, ...] | None = Field(
        None, max_length=MOST_LAYERS, description="hidden layers with individual options, instead of hidden"
    )
    activation: HiddenActivation = Field(
        default_factory=Relu, description="default activation of hidden layers; a list is summed"
    )
    bias: bool = Field(True, description="default for layers that do not set bias")  # noqa: FBT003
    init: InitField = Field(
        default_factory=LayerInit,
        description="default initialisers of layers, or the parameters by name (values, file)",
    )
    dropout: Probability = Field(0.0, description="dropout probability of hidden layers")
    norm: Norm = Field("none", description="normalisation of hidden layers before the activation")
    residual: bool = Field(
        default=False, description="add its input to a hidden layer of the same width as the one before"
    )
    output: OutputLayer = Field(default_factory=OutputLayer, description="bias and init of the output layer")
    embedding: Embedding | None = Field(None, description="embedding of integer inputs")

    @model_validator(mode="before")
    @classmethod
    def _default_hidden(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("hidden") is None and value.get("layers") is None:
            return {**value, "hidden": _DEFAULT_HIDDEN}
        return value

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.hidden is not None and self.layers is not None:
            message = "hidden and layers both name the hidden layers; keep one of them"
            raise PydanticCustomError("mlp_layers", message)
        if self.residual and not any(self.skips):
            message = "residual needs two hidden layers in a row with the same number of units; remove it"
            raise PydanticCustomError("mlp_residual", message)
        return self

    def _width(self, inputs: int) -> int:
        """The numbers that the first layer reads."""
        if self.embedding is not None:
            return inputs * self.embedding.dim
        return inputs + sum(table.dim - 1 for table in self.tables)

    @property
    def skips(self) -> list[bool]:
        """Whether each hidden layer adds its input to its output."""
        units = [layer.units for layer in self.hidden_layers]
        return [self.residual and before == after for before, after in zip([0, *units], units, strict=False)]

    @property
    def smallest_batch(self) -> int:
        return 2 if any(layer.norm == "batch" for layer in self.hidden_layers) else 1

    @property
    def hidden_layers(self) -> tuple[Layer, ...]:
        """The hidden layers with every option filled in."""
        return _filled_layers(self)[0]

    @property
    def output_layer(self) -> OutputLayer:
        """The output layer with every option filled in."""
        return _filled_layers(self)[1]

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        assert self.outputs is not None
        shapes: dict[str, tuple[int, ...]] = {}
        width = self._width(inputs)
        if self.embedding is not None:
            shapes["embedding.weight"] = (self.embedding.vocabulary, self.embedding.dim)
        for number, table in enumerate(self.tables):
            shapes[f"embeddings.{number}.weight"] = (table.categories, table.dim)
        hidden = self.hidden_layers
        sizes = [(layer.units, layer.bias) for layer in hidden] + [(self.outputs, self.output_layer.bias)]
        for number, (units, bias) in enumerate(sizes):
            shapes[f"layers.{number}.weight"] = (units, width)
            if bias:
                shapes[f"layers.{number}.bias"] = (units,)
            width = units
        for number, layer in enumerate(hidden):
            if layer.norm != "none":
                shapes |= {f"norms.{number}.{kind}": (layer.units,) for kind in ("weight", "bias")}
        return shapes

    @property
    def output_layer_name(self) -> str:
        return f"layers.{len(self.hidden_layers)}"

    @property
    def buffers(self) -> dict[str, tuple[int, ...]]:
        return {
            f"norms.{number}.{name}": shape
            for number, layer in enumerate(self.hidden_layers)
            if layer.norm == "batch"
            for name, shape in (
                ("running_mean", (layer.units,)),
                ("running_var", (layer.units,)),
                ("num_batches_tracked", ()),
            )
        }

    @property
    def hidden_activations(self) -> tuple[Activation, ...]:
        own = (one for layer in self.hidden_layers for one in each(layer.activation or ()))
        return (*super().hidden_activations, *own)

    def layer_summaries(self, inputs: int) -> list[LayerSummary]:
        assert self.outputs is not None
        rows: list[LayerSummary] = []
        if self.embedding is not None:
            rows.append(self._layer("embedding", (inputs, self.embedding.dim), inputs))
            flat = (inputs * self.embedding.dim,)
            rows += activation_summary("embedding_activation", self.embedding.activation, flat)
        for number, table in enumerate(self.tables):
            rows.append(self._layer(f"embeddings.{number}", (table.dim,), inputs))
        for number, layer in enumerate(self.hidden_layers):
            shape = (layer.units,)
            rows.append(self._layer(f"layers.{number}", shape, inputs))
            if layer.norm != "none":
                rows.append(self._layer(f"norms.{number}", shape, inputs))
            rows += activation_summary(f"activations.{number}", layer.activation, shape)
            if layer.dropout:
                rows.append(LayerSummary(f"dropout.{number}", f"dropout {layer.dropout:g}", shape, 0))
            if self.skips[number]:
                rows.append(LayerSummary(f"residual.{number}", _SUM.format(number), shape, 0))
        rows.append(self._layer(f"layers.{len(self.hidden_layers)}", (self.outputs,), inputs))
        return [*rows, *activation_summary("output_activation", self.output_activation, (self.outputs,))]

    def activations(self, inputs: int, *, fused: bool) -> int:
        return 0 if fused else sum(layer.units for layer in self.hidden_layers)

    def modules(self, inputs: int) -> dict[str, nn.Module]:
        from torch import nn

        from mlprun.parts.network import Dropout, Sum  # brings torch

        assert self.outputs is not None
        hidden = dict(enumerate(self.hidden_layers))
        widths = [self._width(inputs), *(layer.units for layer in hidden.values()), self.outputs]
        biases = [*(layer.bias for layer in hidden.values()), self.output_layer.bias]
        # layers are made in order, as a plain script makes them: so both draw the same numbers
        layers = [
            nn.Linear(before, after, bias=bool(bias))
            for before, after, bias in zip(widths, widths[1:], biases, strict=False)
        ]
        norms = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
        sums = {str(k): Sum(_SUM.format(k)) for k, skips in enumerate(self.skips) if skips}
        residual: dict[str, nn.Module] = {"residual": nn.ModuleDict(sums)} if sums else {}
        return residual | {
            "layers": nn.ModuleList(layers),
            "norms": nn.ModuleDict(
                {str(k): norms[one.norm](one.units) for k, one in hidden.items() if one.norm in norms}
            ),
            "activations": nn.ModuleList(build_activation(one.activation or ()) for one in hidden.values()),
            "dropout": nn.ModuleDict(
                {str(k): Dropout(one.dropout, one.units) for k, one in hidden.items() if one.dropout}
            ),
        }

    def steps(self, network: Any) -> list[Callable[[Tensor], Tensor]]:
        from torch import nn

        steps: list[Callable[[Tensor], Tensor]] = []
        if self.embedding is not None:
            steps += [network.embedding, nn.Flatten(), network.embedding_activation]
        if self.tables:
            steps.append(network.embeddings)
        for k, skips in enumerate(self.skips):
            block = self._block(network, k)
            steps += [partial(_sum, block[:-1], block[-1])] if skips else block
        return [*steps, network.layers[-1]]

    def stages(self, network: Any) -> list[nn.Module]:
        blocks = [module for k in range(len(self.hidden_layers)) for module in self._block(network, k)]
        front = [] if self.embedding is None else [network.embedding, network.embedding_activation]
        return [*front, *blocks, network.layers[-1]] if self.residual else []

    def _block(self, network: Any, k: int) -> list[nn.Module]:
        """The modules of a hidden layer in their order."""
        norm = [network.norms[str(k)]] if str(k) in network.norms else []
        dropout = [network.dropout[str(k)]] if str(k) in network.dropout else []
        last = [network.residual[str(k)]] if self.skips[k] else []
        return [network.layers[k], *norm, network.activations[k], *dropout, *last]

    @property
    def inits(self) -> dict[str, LayerInit]:
        inits = [*(layer.init for layer in self.hidden_layers), self.output_layer.init]
        return {f"layers.{number}": init for number, init in enumerate(inits) if init is not None}


def _sum(block: list[nn.Module], sum_with: nn.Module, rows: Tensor) -> Tensor:
    """What the modules of a block return, plus the rows."""
    values = rows
    for module in block:
        values = module(values)
    total: Tensor = sum_with(values, rows)
    return total


@cached_by_identity
def _filled_layers(mlp: Mlp) -> tuple[tuple[Layer, ...], OutputLayer]:
    """The hidden layers and the output layer, with the architecture's options where they have none."""
    options = {**dict(mlp), "init": mlp.layer_init}

    def filled(layer: AnyLayer) -> AnyLayer:
        return layer.model_copy(update={name: options[name] for name, value in layer if value is None})

    layers = mlp.layers if mlp.layers is not None else tuple(Layer(units=n) for n in mlp.hidden or ())
    return tuple(map(filled, layers)), filled(mlp.output)
