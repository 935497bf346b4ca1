"""The one quasi-Newton method: it asks for the loss several times per step."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from mlprun.parts.optimizers.optimizer import LearningRate, TorchOptimizer, optimizers
from mlprun.parts.part import NonNegativeFloat, PositiveInt


@optimizers.register
class LBFGS(TorchOptimizer):
    """Quasi-Newton steps from the last changes of parameters and gradients; meant for full batches.

    One step is up to `max_iter` iterations. Source: Liu & Nocedal (1989), doi.org/10.1007/BF01589116
    """

    torch_name: ClassVar[str] = "LBFGS"
    needs_closure: ClassVar[bool] = True

    name: Literal["lbfgs"] = "lbfgs"
    lr: LearningRate = 1.0
    max_iter: PositiveInt = Field(20, description="iterations per step")
    max_eval: PositiveInt | None = Field(
        None, description="evaluations of the loss per step; by default 1.25 times max_iter"
    )
    tolerance_grad: NonNegativeFloat = Field(1e-7, description="a step ends at gradients this small")
    tolerance_change: NonNegativeFloat = Field(
        1e-9, description="a step ends at changes of loss or parameters this small"
    )
    history_size: PositiveInt = Field(100, description="changes that are remembered")
    line_search_fn: Literal["strong_wolfe"] | None = Field(
        None, description="search along the direction; by default its length is lr"
    )

    def state_size(self, parameters: int, numbers: int, steps: int) -> tuple[int, int]:
        kept = min(self.history_size, steps * self.max_iter)
        return 4 * kept + 6, (2 * kept + 4) * numbers  # all parameters are one vector
