"""The identity and the activations that level off on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mlprun.parts.activations.activation import Activation, activations
from mlprun.parts.part import PositiveFloat

if TYPE_CHECKING:
    from torch import nn


@activations.register
class Identity(Activation):
    """f(z) = z."""

    link: ClassVar[Literal["identity"]] = "identity"

    name: Literal["identity"] = "identity"

    def build(self) -> nn.Module:
        from torch import nn

        return nn.Identity()


@activations.register
class Logistic(Activation):
    """f(z) = 1 / (1 + exp(-z)), between 0 and 1."""

    gives: ClassVar[Literal["probabilities"]] = "probabilities"
    link: ClassVar[Literal["logit"]] = "logit"

    name: Literal["logistic", "sigmoid"] = "logistic"

    def build(self) -> nn.Module:
        from torch import nn

        return nn.Sigmoid()


@activations.register
class Tanh(Activation):
    """f(z) = tanh(z), between -1 and 1."""

    name: Literal["tanh"] = "tanh"

    def build(self) -> nn.Module:
        from torch import nn

        return nn.Tanh()


@activations.register
class HardLogistic(Activation):
    """f(z) = slope z + offset, cut off at 0 and 1: the logistic function in three straight pieces.

    The defaults are PyTorch's z/6 + 1/2; `slope: 0.25` gives z/4 + 1/2, the logistic function's tangent at 0.
    Source: Courbariaux et al. (2015), arxiv.org/abs/1511.00363
    """

    name: Literal["hard_logistic", "hard_sigmoid"] = "hard_logistic"
    slope: PositiveFloat = Field(1 / 6, description="slope of the middle piece")
    offset: float = Field(0.5, description="value at 0, before it is cut off")

    def build(self) -> nn.Module:
        from mlprun.parts.activations import modules

        # not nn.Hardsigmoid: its derivative in float64 is 1/6 as float32 has it
        return modules.HardLogistic(self.slope, self.offset)


@activations.register
class HardTanh(Activation):
    """f(z) = z, cut off at -1 and 1.

    Source: Collobert (2004), infoscience.epfl.ch/record/82802
    """

    name: Literal["hard_tanh"] = "hard_tanh"

    def build(self) -> nn.Module:
        from torch import nn

        return nn.Hardtanh()
