"""The activations meant for outputs: what they give is a distribution over classes, or a rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mlprun.parts.activations.activation import Activation, activations

if TYPE_CHECKING:
    from torch import nn


@activations.register
class Softmax(Activation):
    """exp(z) divided by its sum over the row: probabilities of the classes. For outputs only."""

    elementwise: ClassVar[bool] = False
    gives: ClassVar[Literal["probabilities"]] = "probabilities"
    link: ClassVar[Literal["multinomial"]] = "multinomial"

    name: Literal["softmax"] = "softmax"

    def build(self) -> nn.Module:
        from torch import nn

        return nn.Softmax(dim=-1)


@activations.register
class LogSoftmax(Activation):
    """Logarithm of the softmax of a row: log-probabilities of the classes. For outputs only."""

    elementwise: ClassVar[bool] = False
    gives: ClassVar[Literal["log_probabilities"]] = "log_probabilities"
    link: ClassVar[Literal["multinomial"]] = "multinomial"

    name: Literal["log_softmax"] = "log_softmax"

    def build(self) -> nn.Module:
        from torch import nn

        return nn.LogSoftmax(dim=-1)


@activations.register
class Exp(Activation):
    """f(z) = exp(z), a positive rate such as the mean of a Poisson variable."""

    name: Literal["exp"] = "exp"

    def build(self) -> nn.Module:
        from mlprun.parts.activations import modules

        return modules.Exp()
