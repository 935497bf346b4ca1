"""Activation functions, and parallel activations whose results are summed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from mlprun.parts.part import Named, Part, Registry

if TYPE_CHECKING:
    from torch import nn


class Activation(Part):
    """Base of all activations: elementwise unless the docstring says otherwise."""

    def build(self) -> nn.Module:
        """The activation as a module, [B, H] to [B, H]."""
        raise NotImplementedError


activations: Registry[Activation] = Registry("activation", "activations")
OneActivation = Annotated[Activation, Named(activations)]
ActivationField = OneActivation | tuple[OneActivation, ...]
"""One activation, or several applied to the same values and summed."""


@activations.register
class Identity(Activation):
    """f(z) = z."""

    name: Literal["identity"] = "identity"

    def build(self) -> nn.Module:
        from torch import nn

        return nn.Identity()


@activations.register
class Logistic(Activation):
    """f(z) = 1 / (1 + exp(-z)), between 0 and 1."""

    name: Literal["logistic", "sigmoid"] = "logistic"

    def build(self) -> nn.Module:
        from torch import nn

        return nn.Sigmoid()
