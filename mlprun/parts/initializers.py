"""How parameters start: per tensor (normal, xavier, ...) or for a whole module by parameter name (values, file)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mlprun.parts.part import Named, NonNegativeFloat, Options, Part, Registry

if TYPE_CHECKING:
    import torch
    from torch import nn


class Initializer(Part):
    """Base of the initialisers of one tensor. Draws come from torch's default generator, which the caller has seeded."""

    def fill(self, tensor: torch.Tensor) -> None:
        """Overwrite `tensor` ([outputs, inputs], or [outputs] for a bias) in place, under no_grad."""
        raise NotImplementedError


class ModuleInitializer(Part):
    """Base of the initialisers that set a whole module's parameters by their names."""

    def assign(self, module: nn.Module) -> None:
        """Overwrite the named parameters in place; a missing name or a wrong shape raises DataError or UsageError."""
        raise NotImplementedError


initializers: Registry[Initializer] = Registry("initializer", "initializers")
module_initializers: Registry[ModuleInitializer] = Registry("initializer", "initializers")


@initializers.register
class Default(Initializer):
    """PyTorch's own initialisation of the layer, left as it is."""

    name: Literal["default"] = "default"

    def fill(self, tensor: torch.Tensor) -> None:
        pass


@initializers.register
class Normal(Initializer):
    """N(mean, std^2)."""

    name: Literal["normal"] = "normal"
    mean: float = Field(0.0, description="mean")
    std: NonNegativeFloat = Field(1.0, description="standard deviation")

    def fill(self, tensor: torch.Tensor) -> None:
        tensor.normal_(self.mean, self.std)


InitializerField = Annotated[Initializer, Named(initializers)]


class LayerInit(Options):
    """How a layer's weight and bias start."""

    weight: InitializerField = Field(Default(), description="initialiser of the weight matrix")
    bias: InitializerField = Field(Default(), description="initialiser of the bias")


def _expand(value: Any) -> Any:
    """`init: xavier` and `init: {name: normal, std: 1}` speak of the weights."""
    if isinstance(value, str) and value not in module_initializers:
        return {"weight": value}
    if isinstance(value, dict) and "name" in value and value["name"] not in module_initializers:
        return {"weight": value}
    return value


InitField = Annotated[LayerInit, BeforeValidator(_expand)]
