"""What an activation is, and how a config names one or several of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Discriminator, Tag
from pydantic_core import PydanticCustomError

from mlprun.parts.part import Named, Part, Registry

if TYPE_CHECKING:
    from torch import nn


class Activation(Part):
    """Base of all activations: elementwise unless the docstring says otherwise."""

    elementwise: ClassVar[bool] = True
    """False where an output depends on the whole row: such an activation stands on the output layer only"""
    gives: ClassVar[Literal["numbers", "probabilities", "log_probabilities"]] = "numbers"
    """what metrics may take the outputs for"""
    link: ClassVar[Literal["identity", "logit", "multinomial"] | None] = None
    """which regression a single layer with these outputs is: linear, logistic, softmax; None for any other"""

    def build(self) -> nn.Module:
        """The activation as a module, [B, H] to [B, H]."""
        raise NotImplementedError


activations: Registry[Activation] = Registry("activation", "activations")
OneActivation = Annotated[Activation, Named(activations)]


def _how_many(value: Any) -> str:
    # a plain union would report every mistake twice, once per alternative
    return "several" if isinstance(value, tuple | list) else "one"


ActivationField = Annotated[
    Annotated[OneActivation, Tag("one")] | Annotated[tuple[OneActivation, ...], Tag("several")],
    Discriminator(_how_many),
]
"""One activation, or several applied to the same values and summed."""


def each(activation: Activation | tuple[Activation, ...]) -> tuple[Activation, ...]:
    """The activations whose results are summed; one for a single activation."""
    return activation if isinstance(activation, tuple) else (activation,)


def _elementwise(activation: Activation | tuple[Activation, ...]) -> Activation | tuple[Activation, ...]:
    if not each(activation):
        raise PydanticCustomError("activation_none", "no activation is named; name one, or identity for none")
    for one in each(activation):
        if not one.elementwise:
            message = "{name} looks at a whole row, so it can only be architecture.output_activation"
            raise PydanticCustomError("activation_output_only", message, {"name": one.name})
    return activation


HiddenActivation = Annotated[ActivationField, AfterValidator(_elementwise)]
"""What may stand between layers: one elementwise activation, or several summed."""


def build_activation(activation: Activation | tuple[Activation, ...]) -> nn.Module:
    """The activation as a module; several become one module that sums their results."""
    modules = [one.build() for one in each(activation)]
    if len(modules) == 1:
        return modules[0]
    from mlprun.parts.activations.modules import Parallel

    return Parallel(modules)
