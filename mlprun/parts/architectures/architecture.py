"""What an architecture is: options, and how the nn.Module is built and initialised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mlprun.parts.activations import OneActivation
from mlprun.parts.part import Part, PositiveInt, Registry

if TYPE_CHECKING:
    from mlprun.parts.architectures.network import Network
    from mlprun.parts.datasets.dataset import DatasetInfo

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
