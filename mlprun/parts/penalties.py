"""Penalties on weights, added to the objective: coefficient times a sum over weights and embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mlprun.parts.part import NonNegativeFloat, Part, Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Penalty(Part):
    """Base of all penalties; biases and norm gains are never penalised."""

    coefficient: NonNegativeFloat = Field(0.0, description="factor on the sum")

    def value(self, weights: Sequence[Tensor]) -> Tensor:
        """The scalar that is added to the objective; `weights` are one or more tensors of any shapes."""
        raise NotImplementedError


penalties: Registry[Penalty] = Registry("penalty", "penalties")


@penalties.register
class L2(Penalty):
    """Sum of squared weights, not halved.

    Source: Hoerl & Kennard (1970), doi.org/10.1080/00401706.1970.10488634
    """

    name: Literal["l2"] = "l2"

    def value(self, weights: Sequence[Tensor]) -> Tensor:
        flat = flattened(weights)
        return self.coefficient * flat.dot(flat)


@penalties.register
class L1(Penalty):
    """Sum of absolute weights.

    Source: Tibshirani (1996), doi.org/10.1111/j.2517-6161.1996.tb02080.x
    """

    name: Literal["l1"] = "l1"

    def value(self, weights: Sequence[Tensor]) -> Tensor:
        from torch.linalg import vector_norm

        total: Tensor = vector_norm(flattened(weights), 1)  # its gradient at 0 is 0, like that of abs
        return self.coefficient * total


def flattened(weights: Sequence[Tensor]) -> Tensor:
    """All weights in one row: one reduction over it costs less than one for each matrix and their sum."""
    import torch

    return torch.cat([weight.flatten() for weight in weights])
