"""Optimizers that divide by the size of past gradients, without a running mean of the gradient itself."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mlprun.parts.optimizers.optimizer import (
    DecoupledWeightDecay,
    Eps,
    LearningRate,
    TorchOptimizer,
    WeightDecay,
    optimizers,
)
from mlprun.parts.part import NonNegativeFloat


@optimizers.register
class Adadelta(TorchOptimizer):
    """Steps scaled by the running size of past steps over that of past gradients.

    Source: Zeiler (2012), arxiv.org/abs/1212.5701
    """

    torch_name: ClassVar[str] = "Adadelta"

    name: Literal["adadelta"] = "adadelta"
    lr: LearningRate = 1.0
    rho: float = Field(0.9, ge=0, le=1, description="decay of the running means of squares")
    eps: Eps = 1e-6
    weight_decay: WeightDecay = 0.0


@optimizers.register
class Adagrad(TorchOptimizer):
    """Gradients over the root of the sum of all their squares so far.

    Source: Duchi, Hazan & Singer (2011), jmlr.org/papers/v12/duchi11a.html
    """

    torch_name: ClassVar[str] = "Adagrad"

    name: Literal["adagrad"] = "adagrad"
    lr: LearningRate = 0.01
    lr_decay: NonNegativeFloat = Field(
        0.0, description="lr is divided by 1 + lr_decay times the steps so far"
    )
    weight_decay: WeightDecay = 0.0
    initial_accumulator_value: NonNegativeFloat = Field(0.0, description="start of the sums of squares")
    eps: Eps = 1e-10


@optimizers.register
class RMSprop(TorchOptimizer):
    """Gradients over the root of the running mean of their squares.

    Source: Tieleman & Hinton (2012), www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf;
    centered: Graves (2013), arxiv.org/abs/1308.0850
    """

    torch_name: ClassVar[str] = "RMSprop"

    name: Literal["rmsprop"] = "rmsprop"
    lr: LearningRate = 0.01
    alpha: float = Field(0.99, ge=0, le=1, description="decay of the running mean of squares")
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0
    momentum: NonNegativeFloat = Field(0.0, description="share of the last step that is kept; 0 for none")
    centered: bool = Field(default=False, description="divide by the running standard deviation instead")


@optimizers.register
class Adafactor(TorchOptimizer):
    """Squares of a matrix's gradients kept as one running mean per row and one per column; steps clipped.

    Source: Shazeer & Stern (2018), arxiv.org/abs/1804.04235
    """

    torch_name: ClassVar[str] = "Adafactor"

    name: Literal["adafactor"] = "adafactor"
    lr: LearningRate = 0.01
    beta2_decay: float = Field(
        -0.8, le=0, description="the decay of the running means is 1 - step^beta2_decay"
    )
    eps: tuple[Annotated[float, Field(ge=0)] | None, Annotated[float, Field(ge=0)]] = Field(
        (None, 0.001),
        description="smallest mean square (by default the dtype's epsilon) and smallest parameter size",
    )
    d: float = Field(1.0, ge=1, description="root mean square beyond which a step is clipped")
    weight_decay: DecoupledWeightDecay = 0.0
