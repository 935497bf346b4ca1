"""What an architecture is: options, and how the nn.Module is built and initialised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mlprun.parts.activations import OneActivation
from mlprun.parts.part import Part, PositiveInt, Registry

if TYPE_CHECKING:
    from torch import nn

    from mlprun.parts.datasets.dataset import Facts


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

    def refuses(self, facts: Facts) -> str | None:
        """Why this architecture cannot take these inputs, ending in what would work; None if it can."""
        return None

    def build(self, inputs: int) -> nn.Module:
        """The module for `inputs` columns ([B, inputs] numbers or symbols), with `outputs` and `output_activation` set.

        It is built in float32 with PyTorch's own initialisers and then overwritten by the named ones in module order,
        all from torch's default generator, which the caller has seeded. It is a Network (see network.py).
        """
        raise NotImplementedError


architectures: Registry[Architecture] = Registry("architecture", "architectures")
