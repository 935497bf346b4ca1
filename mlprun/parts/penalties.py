"""Penalties on weights, added to the objective: coefficient times a sum over weight matrices and embeddings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mlprun.parts.part import NonNegativeFloat, Part, Registry

if TYPE_CHECKING:
    import torch


class Penalty(Part):
    """Base of all penalties; biases and norm gains are never penalised."""

    coefficient: NonNegativeFloat = Field(0.0, description="factor on the sum")

    def value(self, weights: Iterable[torch.Tensor]) -> torch.Tensor:
        """The scalar that is added to the objective."""
        raise NotImplementedError


penalties: Registry[Penalty] = Registry("penalty", "penalties")


@penalties.register
class L2(Penalty):
    """Sum of squared weights, not halved."""

    name: Literal["l2"] = "l2"

    def value(self, weights: Iterable[torch.Tensor]) -> torch.Tensor:
        total = sum(weight.square().sum() for weight in weights)
        return self.coefficient * total  # type: ignore[return-value]


@penalties.register
class L1(Penalty):
    """Sum of absolute weights."""

    name: Literal["l1"] = "l1"

    def value(self, weights: Iterable[torch.Tensor]) -> torch.Tensor:
        total = sum(weight.abs().sum() for weight in weights)
        return self.coefficient * total  # type: ignore[return-value]
