"""What an initialiser is, and the short forms in which a config names one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator
from pydantic_core import PydanticCustomError

from mlprun.parts.part import Named, Options, Part, Registry, suggestion

if TYPE_CHECKING:
    import torch
    from torch import nn


class Initializer(Part):
    """Base of the initialisers of one tensor.

    Draws come from torch's default generator, which the caller has seeded.
    """

    is_random: ClassVar[bool] = True
    """False where nothing is drawn: such values are set in the run's dtype, not rounded to float32 first"""

    @property
    def needs_matrix(self) -> bool:
        """Whether it depends on the numbers of inputs or outputs, which a bias does not know."""
        return False

    def fill(self, tensor: torch.Tensor) -> None:
        """Overwrite `tensor` ([outputs, inputs], or [outputs] for a bias) in place, under no_grad.

        Raises UsageError for a bias when a matrix is needed.
        """
        raise NotImplementedError


class ModuleInitializer(Part):
    """Base of the initialisers that set a whole module's parameters by their names."""

    def assign(self, module: nn.Module) -> None:
        """Overwrite the named parameters in place; those that are not named stay as they are.

        Raises UsageError for unknown names and wrong shapes (all of them at once), CheckpointError for an
        unusable file.
        """
        raise NotImplementedError


initializers: Registry[Initializer] = Registry("initializer", "initializers")
module_initializers: Registry[ModuleInitializer] = Registry("initializer", "initializers")


@initializers.register
class Default(Initializer):
    """PyTorch's own initialisation of the layer, left as it is."""

    is_random: ClassVar[bool] = False

    name: Literal["default"] = "default"

    def fill(self, tensor: torch.Tensor) -> None:
        pass


InitializerField = Annotated[Initializer, Named(initializers)]


class LayerInit(Options):
    """How a layer's weight and bias start."""

    weight: InitializerField = Field(default_factory=Default, description="initialiser of the weight matrix")
    bias: InitializerField = Field(default_factory=Default, description="initialiser of the bias")

    @field_validator("bias")
    @classmethod
    def _needs_no_matrix(cls, bias: Initializer) -> Initializer:
        if bias.needs_matrix:
            message = "{name} depends on the shape of a matrix and a bias is a vector; {hint}"
            hint = "use zeros, constant, normal or uniform with given bounds"
            raise PydanticCustomError("init_bias", message, {"name": bias.name, "hint": hint})
        return bias


def _name(value: Any) -> str | None:
    """The name in the short forms `xavier` and `{name: xavier, ...}`; None for `{weight: ..., bias: ...}`."""
    if isinstance(value, Initializer | ModuleInitializer):
        return value.name
    name = value.get("name") if isinstance(value, dict) else value
    return name if isinstance(name, str) else None


def _expand(value: Any) -> Any:
    """`init: xavier` and `init: {name: normal, std: 1}` speak of the weights."""
    name = _name(value)
    if name is None:
        return value
    if name in module_initializers:
        return {"name": name} if isinstance(value, str) else value
    if name not in initializers:
        hint = suggestion(name, (*initializers.names(), *module_initializers.names()))
        what = {"name": repr(str(name)), "hint": hint}
        raise PydanticCustomError("part_name", "unknown initializer {name}; {hint}", what)
    return {"weight": value}


def _expand_layer(value: Any) -> Any:
    name = _name(value)
    if name in module_initializers:
        message = "{name} sets parameters of the whole network by name; give it as architecture.init"
        raise PydanticCustomError("init_layer", message, {"name": name})
    return _expand(value)


def _scope(value: Any) -> str:
    return "whole" if _name(value) in module_initializers else "per_layer"


_Short = LayerInit | InitializerField
LayerInitField = Annotated[LayerInit, BeforeValidator(_expand_layer, json_schema_input_type=_Short)]
"""How a layer starts: `xavier` or `{name: normal, std: 1}` for its weight, or `{weight: ..., bias: ...}`."""

InitField = Annotated[
    Annotated[LayerInit, Tag("per_layer")]
    | Annotated[ModuleInitializer, Named(module_initializers), Tag("whole")],
    Discriminator(_scope),
    BeforeValidator(
        _expand, json_schema_input_type=_Short | Annotated[ModuleInitializer, Named(module_initializers)]
    ),
]
"""How every layer starts, or the whole network by parameter name (`{name: values, ...}`, `{name: file}`)."""
