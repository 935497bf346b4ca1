"""Losses on the difference between outputs and numbers; classes are 0 and 1, or one-hot if more than two.

Where targets are standardised, a loss is computed in standardised units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from mlprun.parts.losses.loss import Loss, losses, require_equal_shapes, scaled
from mlprun.parts.part import NonNegativeFloat, PositiveFloat

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from mlprun.parts.losses.loss import LossFunction


class Regression(Loss):
    """Base of the losses of numbers."""

    target_kind: ClassVar[Literal["any", "classes", "numbers"]] = "numbers"


@losses.register
class MSE(Regression):
    """Mean of squared differences.

    Outputs and targets are [B, K]; the value is in their squared units.
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
class MAE(Regression):
    """Mean of absolute differences, which pulls outputs to the median.

    Outputs, targets ([B, K]) and the value are in the same units.
    """

    name: Literal["mae"] = "mae"

    def build(self) -> LossFunction:
        from torch.nn.functional import l1_loss

        reduction = self.reduction

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)
            return l1_loss(values, targets, reduction=reduction)

        return scaled(function, self.scale)


class HuberLike(Regression):
    """Base of the losses that are quadratic for errors up to a width, an option, and linear beyond."""

    width: ClassVar[str]

    units: Literal["target", "standardized"] = Field(
        "target",
        description="what the width is in: the target's units, or those of the loss, which are standard "
        "deviations where targets are standardised; standardized by default where no width is given",
    )

    def resolved(self) -> Self:
        given = self.model_fields_set & {self.width, "units"}
        return self if given else self.model_copy(update={"units": "standardized"})

    def in_units(self, scales: Sequence[float]) -> Self:
        width = getattr(self, self.width)
        if self.units == "standardized" or all(scale == 1 for scale in scales):
            return self
        widths = tuple(width / scale for scale in scales)
        one = len(set(widths)) == 1
        return self.model_copy(update={self.width: widths[0] if one else widths, "units": "standardized"})

    def build(self) -> LossFunction:
        width = getattr(self, self.width)
        if not isinstance(width, tuple):
            return scaled(self._function(width, self.reduction), self.scale)
        columns = [self._function(each, self.reduction) for each in width]

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)
            parts = [one(values[:, [k]], targets[:, [k]]) for k, one in enumerate(columns)]
            total = sum(parts[1:], parts[0])
            return total if self.reduction == "sum" else total / len(parts)

        return scaled(function, self.scale)

    def _function(self, width: float, reduction: str) -> LossFunction:
        raise NotImplementedError


@losses.register
class SmoothL1(HuberLike):
    """Quadratic for errors below `beta`, linear beyond with slope 1: the Huber loss divided by its delta.

    Outputs, targets ([B, K]) and the value are in the same units.
    Source: Girshick (2015), doi.org/10.1109/ICCV.2015.169
    """

    width: ClassVar[str] = "beta"

    name: Literal["smooth_l1"] = "smooth_l1"
    beta: NonNegativeFloat = Field(
        1.0, description="error size where the curve straightens, in the target's units; 0 gives mae"
    )

    def _function(self, width: float, reduction: str) -> LossFunction:
        from torch.nn.functional import smooth_l1_loss

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)
            return smooth_l1_loss(values, targets, reduction=reduction, beta=width)

        return function


@losses.register
class Huber(HuberLike):
    """Half the squared error below `delta`, linear beyond with slope delta.

    Outputs and targets are [B, K]; the value is in their squared units.
    Source: Huber (1964), doi.org/10.1214/aoms/1177703732
    """

    width: ClassVar[str] = "delta"

    name: Literal["huber"] = "huber"
    delta: PositiveFloat = Field(
        1.0, description="error size where the curve straightens, in the target's units"
    )

    def _function(self, width: float, reduction: str) -> LossFunction:
        from torch.nn.functional import huber_loss

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)
            return huber_loss(values, targets, reduction=reduction, delta=width)

        return function
