"""Optimizers with one learning rate for all parameters, and Rprop, which looks at signs only."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from mlprun.parts.optimizers.optimizer import LearningRate, TorchOptimizer, WeightDecay, optimizers
from mlprun.parts.part import NonNegativeFloat, PositiveFloat


@optimizers.register
class SGD(TorchOptimizer):
    """Gradient descent: a step of lr against the gradient, with momentum if asked for.

    Source: Robbins & Monro (1951), doi.org/10.1214/aoms/1177729586; momentum: Polyak (1964),
    doi.org/10.1016/0041-5553(64)90137-5; Nesterov's as in Sutskever et al. (2013),
    proceedings.mlr.press/v28/sutskever13.html
    """

    torch_name: ClassVar[str] = "SGD"

    name: Literal["sgd"] = "sgd"
    momentum: NonNegativeFloat = Field(0.0, description="share of the last step that is kept; 0 for none")
    dampening: float = Field(0.0, description="the momentum takes 1 - dampening of each new gradient")
    weight_decay: WeightDecay = 0.0
    nesterov: bool = Field(default=False, description="look ahead along the momentum")

    @field_validator("nesterov")
    @classmethod
    def _needs_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 -- pydantic's form
        if nesterov and info.data.get("momentum") == 0:
            raise PydanticCustomError(
                "combination", "needs momentum; add momentum: 0.9, or leave nesterov out"
            )
        if nesterov and info.data.get("dampening", 0) != 0:
            raise PydanticCustomError("combination", "works without dampening only; set dampening: 0")
        return nesterov


@optimizers.register
class ASGD(TorchOptimizer):
    """Gradient descent with a decaying rate; torch keeps the average of the parameters in its state only.

    Source: Polyak & Juditsky (1992), doi.org/10.1137/0330046
    """

    torch_name: ClassVar[str] = "ASGD"
    host_slots: ClassVar[frozenset[str]] = frozenset()

    name: Literal["asgd"] = "asgd"
    lr: LearningRate = 0.01
    lambd: NonNegativeFloat = Field(0.0001, description="decay term: speed at which the rate falls")
    alpha: NonNegativeFloat = Field(0.75, description="power with which the rate falls")
    t0: NonNegativeFloat = Field(1e6, description="step at which averaging starts")
    weight_decay: WeightDecay = 0.0


@optimizers.register
class Rprop(TorchOptimizer):
    """A step size for each parameter that grows while its gradient keeps its sign; meant for full batches.

    Source: Riedmiller & Braun (1993), doi.org/10.1109/ICNN.1993.298623
    """

    torch_name: ClassVar[str] = "Rprop"

    name: Literal["rprop"] = "rprop"
    lr: LearningRate = 0.01
    etas: tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=1)]] = Field(
        (0.5, 1.2), description="factors that shrink and grow a step size"
    )
    step_sizes: tuple[PositiveFloat, PositiveFloat] = Field(
        (1e-6, 50.0), description="smallest and largest step size"
    )

    @field_validator("step_sizes")
    @classmethod
    def _in_order(cls, sizes: tuple[float, float]) -> tuple[float, float]:
        if sizes[0] > sizes[1]:
            raise PydanticCustomError("combination", "the smallest step size comes first; swap the two")
        return sizes
