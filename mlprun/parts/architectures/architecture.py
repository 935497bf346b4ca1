"""What an architecture is: options of the network and its layers, and how the nn.Module is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mlprun.parts.activations import HiddenActivation, Identity, OneActivation
from mlprun.parts.initializers import Default, GivenValues, InitializerField, LayerInitField
from mlprun.parts.part import Options, Part, PositiveInt, Probability, Registry

if TYPE_CHECKING:
    from mlprun.parts.architectures.network import Network
    from mlprun.parts.datasets.dataset import DatasetInfo


Norm = Literal["none", "batch", "layer"]


class Layer(Options):
    """A hidden layer: linear, then norm, activation and dropout; what is not given is the architecture's."""

    units: PositiveInt = Field(description="outputs of the layer")
    activation: HiddenActivation | None = Field(
        None, description="by default architecture.activation; several in a list are summed"
    )
    bias: bool | None = Field(None, description="whether a bias is added; by default architecture.bias")
    init: LayerInitField | None = Field(
        None, description="how weight and bias start; by default architecture.init"
    )
    dropout: Probability | None = Field(
        None, description="share of outputs set to 0 in training; by default architecture.dropout"
    )
    norm: Norm | None = Field(
        None, description="normalisation before the activation; by default architecture.norm"
    )


class OutputLayer(Options):
    """The output layer's own bias and start; what is not given is the architecture's."""

    bias: bool | None = Field(None, description="whether a bias is added; by default architecture.bias")
    init: LayerInitField | None = Field(
        None, description="how weight and bias start; by default architecture.init"
    )


class Embedding(Options):
    """A table in front of integer inputs: each symbol becomes `dim` numbers."""

    vocabulary: PositiveInt = Field(description="number of symbols; inputs are 0 to vocabulary - 1")
    dim: PositiveInt = Field(description="numbers per symbol")
    activation: HiddenActivation = Field(
        default_factory=Identity, description="applied to the numbers of the table"
    )
    init: InitializerField = Field(
        default_factory=Default, description="how the table starts; by default N(0, 1)"
    )


def refused_inputs(info: DatasetInfo, embedding: Embedding | None) -> str | None:
    """Why these inputs do not go with this embedding; None if they do. Without one, symbols are numbers."""
    if embedding is None:
        return None
    if info.tokens is None:
        return (
            "an embedding takes whole numbers from 0 and these inputs are not; remove architecture.embedding"
        )
    if info.tokens > embedding.vocabulary:
        what = f"embedding.vocabulary is {embedding.vocabulary} and the inputs have symbols up to"
        return f"{what} {info.tokens - 1}; set it to {info.tokens}"
    return None


def refused_values(architecture: Architecture, init: object, info: DatasetInfo) -> str | None:
    """Why `init: {name: values}` does not fit this network; None if it does, or before `outputs` is known."""
    if not isinstance(init, GivenValues) or architecture.outputs is None:
        return None
    inputs = info.inputs
    if architecture.vocabulary is None:
        # one-hot encoding can only widen a table, by how much is known when it has been read
        inputs = max([inputs, *init.shapes.get("layers.0.weight", ())[1:]])
    shapes = architecture.shapes(inputs)
    problems = init.problems(shapes) if shapes is not None else []
    return "init.parameters: " + "; ".join(problems) if problems else None


Dtype = Literal["float32", "float64"]


class Architecture(Part):
    """Base of all architectures."""

    outputs: PositiveInt | None = Field(
        None, description="network outputs; by default what data and loss call for"
    )
    output_activation: OneActivation | None = Field(
        None, description="by default what the loss implies, otherwise identity"
    )

    @property
    def vocabulary(self) -> int | None:
        """How many symbols integer inputs may take; None when inputs are numbers."""
        return None

    @property
    def smallest_batch(self) -> int:
        """The fewest rows a training batch may have: batch norm has no variance of one row."""
        return 1

    def unsupported_reason(self, info: DatasetInfo) -> str | None:
        """Why this architecture cannot take these inputs, ending in what would work; None if it can."""
        return None

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]] | None:
        """Every parameter's name and shape, without torch, with `outputs` set; None where it is not known."""
        return None

    @property
    def buffers(self) -> int:
        """Tensors beside the parameters, such as the running means of batch norm."""
        return 0

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
        raise NotImplementedError


architectures: Registry[Architecture] = Registry("architecture", "architectures")
