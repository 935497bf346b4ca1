"""A loss of one's own, for regression_fourth_power.yaml; any other part is registered in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mlprun.parts.losses.loss import Loss, losses, require_equal_shapes

if TYPE_CHECKING:
    import torch

    from mlprun.parts.losses.loss import LossFunction


@losses.register
class FourthPower(Loss):
    """Mean of the fourth power of the differences: large errors count for more than anything else.

    Outputs and targets are [B, K] in the target's units; the value is in their fourth power.
    """

    name: Literal["fourth_power"] = "fourth_power"

    def build(self) -> LossFunction:
        """A function (values [B, K], targets [B, K]) -> scalar."""

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)  # [B, 1] minus [B] would silently be [B, B]
            fourth = (values - targets) ** 4
            return self.scale * (fourth.mean() if self.reduction == "mean" else fourth.sum())

        return function
