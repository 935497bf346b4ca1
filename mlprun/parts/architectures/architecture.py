"""What an architecture is: options of the network and its layers, and how the nn.Module is built."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from pydantic import Field

from mlprun.parts.activations import (
    Activation,
    HiddenActivation,
    Identity,
    OneActivation,
    build_activation,
    each,
)
from mlprun.parts.initializers import (
    Default,
    GivenValues,
    InitializerField,
    LayerInit,
    LayerInitField,
    ModuleInitializer,
)
from mlprun.parts.part import (
    CategoryTable,
    Dtype,
    LayerSummary,
    Options,
    Part,
    PositiveInt,
    Probability,
    Registry,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from torch import Tensor, nn

    from mlprun.parts.data import DatasetInfo
    from mlprun.parts.network import Network

Norm = Literal["none", "batch", "layer"]


class Layer(Options):
    """A hidden layer: linear, then norm, activation and dropout; what is not given is the architecture's."""

    units: PositiveInt = Field(description="number of units")
    activation: HiddenActivation | None = Field(
        None, description="activation (default: architecture.activation); a list is summed"
    )
    bias: bool | None = Field(None, description="add a bias (default: architecture.bias)")
    init: LayerInitField | None = Field(
        None, description="initialisers of weight and bias (default: architecture.init)"
    )
    dropout: Probability | None = Field(
        None, description="dropout probability (default: architecture.dropout)"
    )
    norm: Norm | None = Field(
        None, description="normalisation before the activation (default: architecture.norm)"
    )


class OutputLayer(Options):
    """The output layer's own bias and start; what is not given is the architecture's."""

    bias: bool | None = Field(None, description="add a bias (default: architecture.bias)")
    init: LayerInitField | None = Field(
        None, description="initialisers of weight and bias (default: architecture.init)"
    )


class Embedding(Options):
    """A table in front of integer inputs: each symbol becomes `dim` numbers."""

    vocabulary: PositiveInt = Field(description="number of symbols; inputs are 0 to vocabulary - 1")
    dim: PositiveInt = Field(description="dimension of the embedding")
    activation: HiddenActivation = Field(
        default_factory=Identity, description="activation applied to the embedding"
    )
    init: InitializerField = Field(
        default_factory=Default, description="initialiser of the embedding (default: N(0, 1))"
    )

    def modules(self, *, sparse: bool) -> dict[str, nn.Module]:
        """The table and its activation."""
        from torch import nn

        table = nn.Embedding(self.vocabulary, self.dim, sparse=sparse)
        return {"embedding": table, "embedding_activation": build_activation(self.activation)}

    def unsupported_reason(self, info: DatasetInfo) -> str | None:
        """Why it cannot take these inputs; None if it can."""
        if info.tokens is None:
            remedy = "remove architecture.embedding"
            return f"an embedding takes whole numbers from 0 and these inputs are not; {remedy}"
        if info.tokens > self.vocabulary:
            what = f"embedding.vocabulary is {self.vocabulary} and the inputs have symbols up to"
            return f"{what} {info.tokens - 1}; set it to {info.tokens}"
        return None


class Architecture(Part):
    """Base of all architectures.

    A subclass declares `modules`, `steps` and `inits`, or overrides `build`. An option `embedding` is a
    table in front of integer inputs; an option `init` says how layers, or parameters by name, start.
    """

    outputs: PositiveInt | None = Field(None, description="number of outputs (default: inferred)")
    output_activation: OneActivation | None = Field(
        None, description="output activation (default: implied by the loss, otherwise identity)"
    )

    _tables: ClassVar[tuple[CategoryTable, ...]] = ()

    @property
    def tables(self) -> tuple[CategoryTable, ...]:
        """The inputs that are codes of categories, which only an mlp takes."""
        return self._tables

    def with_tables(self, tables: tuple[CategoryTable, ...]) -> Self:
        """The architecture with these inputs: they follow from a table's columns and are no option."""
        return self.model_copy(update={"_tables": tables})

    @property
    def _embedding(self) -> Embedding | None:
        return cast("Embedding | None", getattr(self, "embedding", None))

    @property
    def vocabulary(self) -> int | None:
        """How many symbols integer inputs may take; None when inputs are numbers."""
        return None if self._embedding is None else self._embedding.vocabulary

    @property
    def smallest_batch(self) -> int:
        """The fewest rows a training batch may have: batch norm has no variance of one row."""
        return 1

    def unsupported_reason(self, info: DatasetInfo) -> str | None:
        """Why this architecture cannot take these inputs, ending in what would work; None if it can."""
        reason = None if self._embedding is None else self._embedding.unsupported_reason(info)
        init = getattr(self, "init", None)
        if reason is not None or not isinstance(init, GivenValues) or self.outputs is None:
            return reason
        inputs = info.inputs
        if self.vocabulary is None:
            # one-hot encoding can only widen a table, by how much is known when it has been read
            inputs = max([inputs, *init.shapes.get("layers.0.weight", ())[1:]])
        shapes = self.shapes(inputs)
        problems = init.problems(shapes) if shapes is not None else []
        return "init.parameters: " + "; ".join(problems) if problems else None

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]] | None:
        """Every parameter's name and shape, without torch, with `outputs` set; None where it is not known."""
        return None

    @property
    def buffers(self) -> dict[str, tuple[int, ...]]:
        """Tensors beside the parameters, such as the running means of batch norm, with their shapes.

        Those of shape () are int64 counters.
        """
        return {}

    @property
    def hidden_activations(self) -> tuple[Activation, ...]:
        """The activations before the output layer."""
        named = [self._embedding, self]
        return tuple(one for owner in named for one in each(getattr(owner, "activation", None) or ()))

    @property
    def output_layer_name(self) -> str | None:
        """What precedes the names of the parameters of the linear output layer; None where there is none."""
        return None

    @property
    def is_built_in(self) -> bool:
        """Whether neither it nor an activation is of user code: no module has more than is described here."""
        parts: list[Part | None] = [self, self.output_activation, *self.hidden_activations]
        return all(type(part).__module__.startswith("mlprun.parts.") for part in parts if part is not None)

    def layer_summaries(self, inputs: int) -> list[LayerSummary]:
        """The layers in the order of computing, for a built-in architecture with `outputs` set."""
        raise NotImplementedError

    def _layer(self, name: str, shape: tuple[int, ...], inputs: int) -> LayerSummary:
        """A layer of `shapes` by its name, with the shape of a row after it."""
        shapes = self.shapes(inputs) or {}
        weight, bias = shapes[f"{name}.weight"], shapes.get(f"{name}.bias")
        size = math.prod(weight) + math.prod(bias or (0,))
        if name.partition(".")[0] in ("embedding", "embeddings"):
            kind = f"embedding of {weight[0]} in {weight[1]}"
        elif len(weight) == 2:
            kind = f"linear {weight[1]} -> {weight[0]}{'' if bias else ', no bias'}"
        else:
            kind = f"{'batch' if f'{name}.running_mean' in self.buffers else 'layer'} norm"
        return LayerSummary(name, kind, shape, size)

    def activations(self, inputs: int, *, fused: bool) -> int:
        """Numbers per row of a batch that a training step keeps at least; `fused` if that engine may run."""
        return 0

    def build(self, inputs: int, *, dtype: Dtype = "float32", sparse: bool = False) -> Network:
        """The module for `inputs` columns ([B, inputs] numbers or symbols); `outputs` must be set.

        It is built in float32 with PyTorch's own initialisers and then overwritten by the named ones in
        module order, all from torch's default generator, which the caller has seeded; then it is cast to
        `dtype`. What is not drawn (constants, given values, a file) is set after the cast, so that float64
        keeps every digit. `sparse` asks for sparse gradients of embeddings.
        """
        from mlprun.parts.network import CategoryEmbeddings, StepNetwork  # brings torch

        assert self.output_activation is not None
        init, embedding = getattr(self, "init", None), self._embedding
        front = {} if embedding is None else embedding.modules(sparse=sparse)
        if self.tables:
            front["embeddings"] = CategoryEmbeddings(self.tables)
        modules = front | self.modules(inputs)  # made in this order, in which they draw
        activation = {"output_activation": build_activation(self.output_activation)}
        network = StepNetwork(modules | activation, dtype)
        return network.define(
            self.steps(network),
            [(network.get_submodule(name), one) for name, one in self.all_inits.items()],
            init if isinstance(init, ModuleInitializer) else None,
            self.stages(network),
        )

    def modules(self, inputs: int) -> dict[str, nn.Module]:
        """The submodules behind the embedding by name, made in the order in which they draw."""
        raise NotImplementedError

    def steps(self, network: Any) -> list[Callable[[Tensor], Tensor]]:
        """What rows pass in their order, from [B, inputs] to [B, outputs] before the output activation."""
        raise NotImplementedError

    def stages(self, network: Any) -> list[nn.Module]:
        """What a table of the layers lists in place of the steps."""
        return []

    @property
    def inits(self) -> dict[str, LayerInit]:
        """The initialisers of the layers behind the embedding by name, in the order in which they draw."""
        raise NotImplementedError

    @property
    def all_inits(self) -> dict[str, LayerInit]:
        """The initialisers of the embedding and the layers by name, in the order in which they draw."""
        table = {} if self._embedding is None else {"embedding": LayerInit(weight=self._embedding.init)}
        return table | self.inits

    @property
    def layer_init(self) -> LayerInit:
        """How a layer without its own `init` starts."""
        init = getattr(self, "init", None)
        return init if isinstance(init, LayerInit) else LayerInit()


def activation_summary(
    name: str, activation: Activation | tuple[Activation, ...] | None, shape: tuple[int, ...]
) -> list[LayerSummary]:
    """The row of an activation; none for the identity."""
    parts = each(activation or ())
    if not parts or (len(parts) == 1 and isinstance(parts[0], Identity)):
        return []
    return [LayerSummary(name, " + ".join(part.names()[0] for part in parts), shape, 0)]


architectures: Registry[Architecture] = Registry("architecture", "architectures")
