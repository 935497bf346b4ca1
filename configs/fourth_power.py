"""A custom loss for regression_fourth_power.yaml; other parts are registered in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mlprun.parts.losses import Loss, losses, require_equal_shapes

if TYPE_CHECKING:
    import torch

    from mlprun.parts.losses import LossFunction


@losses.register
class FourthPower(Loss):
    """Mean of the fourth power of the differences: large errors dominate.

    Outputs and targets are [B, K] in the units of the target; the loss is in their fourth power.
    """

    name: Literal["fourth_power"] = "fourth_power"

    def build(self) -> LossFunction:
        """A function (values [B, K], targets [B, K]) -> scalar."""

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)  # [B, 1] minus [B] would broadcast to [B, B]
            fourth = (values - targets) ** 4
            return self.scale * (fourth.mean() if self.reduction == "mean" else fourth.sum())

        return function
