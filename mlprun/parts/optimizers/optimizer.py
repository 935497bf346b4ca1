"""What an optimizer is: options, and how the torch.optim object is built from named parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mlprun.parts.part import Part, PositiveFloat, Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn


class Optimizer(Part):
    """Base of all optimizers: torch's classes, named in lower case, with torch's options and defaults."""

    needs_closure: ClassVar[bool] = False
    """L-BFGS evaluates the loss several times per step"""
    sparse: ClassVar[bool] = False
    """takes sparse gradients of embeddings"""

    lr: PositiveFloat = Field(0.001, description="learning rate")

    def build(
        self, parameters: Mapping[str, nn.Parameter], *, embeddings: frozenset[str] = frozenset()
    ) -> list[torch.optim.Optimizer]:
        """The torch.optim objects that together update `parameters`; `embeddings` are the names of embedding tables."""
        raise NotImplementedError


optimizers: Registry[Optimizer] = Registry("optimizer", "optimizers")
