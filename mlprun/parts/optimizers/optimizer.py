"""What an optimizer is: options, and how the torch.optim object is built from named parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from mlprun.parts.part import Part, Probability, Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn

LearningRate = Annotated[float, Field(gt=0, description="learning rate")]
WeightDecay = Annotated[
    float, Field(ge=0, description="adds weight_decay times the parameter to its gradient; biases included")
]
DecoupledWeightDecay = Annotated[
    float, Field(ge=0, description="shrinks every parameter by lr times weight_decay at each step")
]
Decoupled = Annotated[
    bool, Field(description="weight decay shrinks parameters instead of entering gradients")
]
Eps = Annotated[float, Field(ge=0, description="added to the denominator for numerical stability")]
Betas = Annotated[
    tuple[Probability, Probability],
    Field(description="decay of the running means of the gradient and of its square"),
]


class Optimizer(Part):
    """Base of all optimizers: torch's classes, named in lower case, with torch's options and defaults."""

    needs_closure: ClassVar[bool] = False
    """L-BFGS evaluates the loss several times per step"""
    host_slots: ClassVar[frozenset[str]] = frozenset({"step"})
    """slots that torch keeps on the CPU whatever the device, since reading them there would synchronise it"""
    sparse: ClassVar[bool] = False
    """takes sparse gradients of embeddings"""

    lr: LearningRate = 0.001

    def state_size(self, parameters: int, numbers: int, steps: int) -> tuple[int, int]:
        """Tensors and numbers of the state after `steps` steps, at most, for so many parameter tensors."""
        return 4 * parameters, 4 * numbers

    def build(
        self, parameters: Mapping[str, nn.Parameter], *, embeddings: frozenset[str] = frozenset()
    ) -> list[torch.optim.Optimizer]:
        """The torch.optim objects that together update `parameters`; `embeddings` names the embedding tables.

        Each object's one group has `param_names` beside `params`, and `lr`, which a schedule may set.
        """
        raise NotImplementedError


class TorchOptimizer(Optimizer):
    """Base of the optimizers that are one class of torch.optim over all parameters."""

    torch_name: ClassVar[str]
    """the class's name in torch.optim"""

    def build(
        self, parameters: Mapping[str, nn.Parameter], *, embeddings: frozenset[str] = frozenset()
    ) -> list[torch.optim.Optimizer]:
        return [construct(self.torch_name, parameters, **self.options())]

    def options(self) -> dict[str, Any]:
        """The options under the names torch gives them."""
        return {name: value for name, value in self if name != "name"}


def construct(
    torch_name: str, parameters: Mapping[str, nn.Parameter], **options: object
) -> torch.optim.Optimizer:
    """torch.optim's class of that name over named parameters."""
    import torch

    from mlprun.parts.optimizers.light import without_dynamo

    without_dynamo()
    optimizer: torch.optim.Optimizer = getattr(torch.optim, torch_name)(list(parameters.items()), **options)
    return optimizer


optimizers: Registry[Optimizer] = Registry("optimizer", "optimizers")
