"""Adam and its relatives: running means of the gradient and of its size."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mlprun.parts.optimizers.optimizer import (
    Betas,
    Decoupled,
    DecoupledWeightDecay,
    Eps,
    LearningRate,
    TorchOptimizer,
    WeightDecay,
    optimizers,
)
from mlprun.parts.part import NonNegativeFloat

AMSGrad = Annotated[bool, Field(description="divide by the largest running mean so far")]


@optimizers.register
class Adam(TorchOptimizer):
    """Running mean of the gradient over the root of that of its square, both corrected for their start at 0.

    Source: Kingma & Ba (2015), arxiv.org/abs/1412.6980; amsgrad: Reddi et al. (2018),
    openreview.net/forum?id=ryQu7f-RZ
    """

    torch_name: ClassVar[str] = "Adam"

    name: Literal["adam"] = "adam"
    betas: Betas = (0.9, 0.999)
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0
    amsgrad: AMSGrad = False
    decoupled_weight_decay: Decoupled = False


@optimizers.register
class AdamW(TorchOptimizer):
    """Adam with a weight decay that does not enter the gradient.

    Source: Loshchilov & Hutter (2019), arxiv.org/abs/1711.05101
    """

    torch_name: ClassVar[str] = "AdamW"

    name: Literal["adamw"] = "adamw"
    betas: Betas = (0.9, 0.999)
    eps: Eps = 1e-8
    weight_decay: DecoupledWeightDecay = 0.01
    amsgrad: AMSGrad = False


@optimizers.register
class Adamax(TorchOptimizer):
    """Adam with the largest decayed gradient in place of the root mean square.

    Source: Kingma & Ba (2015), section 7.1, arxiv.org/abs/1412.6980
    """

    torch_name: ClassVar[str] = "Adamax"

    name: Literal["adamax"] = "adamax"
    lr: LearningRate = 0.002
    betas: Betas = (0.9, 0.999)
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0


@optimizers.register
class NAdam(TorchOptimizer):
    """Adam with Nesterov's momentum.

    Source: Dozat (2016), openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ
    """

    torch_name: ClassVar[str] = "NAdam"
    host_slots: ClassVar[frozenset[str]] = frozenset({"step", "mu_product"})

    name: Literal["nadam"] = "nadam"
    lr: LearningRate = 0.002
    betas: Betas = (0.9, 0.999)
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0
    momentum_decay: NonNegativeFloat = Field(0.004, description="speed at which the momentum warms up")
    decoupled_weight_decay: Decoupled = False


@optimizers.register
class RAdam(TorchOptimizer):
    """Adam that starts as plain momentum until the variance of its adaptive rate can be told.

    Source: Liu et al. (2020), arxiv.org/abs/1908.03265
    """

    torch_name: ClassVar[str] = "RAdam"

    name: Literal["radam"] = "radam"
    betas: Betas = (0.9, 0.999)
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0
    decoupled_weight_decay: Decoupled = False
