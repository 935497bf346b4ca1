"""Losses on the difference between outputs and numbers; classes are 0 and 1, or one-hot if more than two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mlprun.parts.losses.loss import Loss, losses, require_equal_shapes, scaled
from mlprun.parts.part import NonNegativeFloat, PositiveFloat

if TYPE_CHECKING:
    import torch

    from mlprun.parts.losses.loss import LossFunction


@losses.register
class MSE(Loss):
    """Mean of squared differences.

    Outputs and targets are [B, K] in the target's units; the value is in their square.
    """

    name: Literal["mse"] = "mse"

    def build(self) -> LossFunction:
        from torch.nn.functional import mse_loss

        reduction = self.reduction

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)
            return mse_loss(values, targets, reduction=reduction)

        return scaled(function, self.scale)


@losses.register
class MAE(Loss):
    """Mean of absolute differences, which pulls outputs to the median.

    Outputs, targets ([B, K]) and the value are in the target's units.
    """

    name: Literal["mae"] = "mae"

    def build(self) -> LossFunction:
        from torch.nn.functional import l1_loss

        reduction = self.reduction

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)
            return l1_loss(values, targets, reduction=reduction)

        return scaled(function, self.scale)


@losses.register
class SmoothL1(Loss):
    """Quadratic for errors below `beta`, linear beyond with slope 1: the Huber loss divided by its delta.

    Outputs and targets are [B, K] in the target's units, and so is the value.
    Source: Girshick (2015), doi.org/10.1109/ICCV.2015.169
    """

    name: Literal["smooth_l1"] = "smooth_l1"
    beta: NonNegativeFloat = Field(
        1.0, description="error size where the curve straightens, in the target's units; 0 gives mae"
    )

    def build(self) -> LossFunction:
        from torch.nn.functional import smooth_l1_loss

        reduction, beta = self.reduction, self.beta

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)
            return smooth_l1_loss(values, targets, reduction=reduction, beta=beta)

        return scaled(function, self.scale)


@losses.register
class Huber(Loss):
    """Half the squared error below `delta`, linear beyond with slope delta.

    Outputs and targets are [B, K] in the target's units; the value is in their square.
    Source: Huber (1964), doi.org/10.1214/aoms/1177703732
    """

    name: Literal["huber"] = "huber"
    delta: PositiveFloat = Field(
        1.0, description="error size where the curve straightens, in the target's units"
    )

    def build(self) -> LossFunction:
        from torch.nn.functional import huber_loss

        reduction, delta = self.reduction, self.delta

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)
            return huber_loss(values, targets, reduction=reduction, delta=delta)

        return scaled(function, self.scale)
