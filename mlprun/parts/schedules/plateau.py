"""The one schedule that follows dev figures: its rules; its state is kept with the run's progress."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from mlprun.parts.part import NonNegativeFloat, NonNegativeInt
from mlprun.parts.schedules.schedule import Schedule, schedules


@schedules.register
class ReduceOnPlateau(Schedule):
    """The learning rate is cut by `factor` when best.metric has not improved for over `patience` evaluations.

    After a cut nothing is counted for `cooldown` evaluations. Needs dev rows.
    """

    plateau: ClassVar[bool] = True

    name: Literal["reduce_on_plateau"] = "reduce_on_plateau"
    factor: float = Field(0.1, gt=0, lt=1, description="factor by which the learning rate is cut")
    patience: NonNegativeInt = Field(10, description="evaluations without improvement that are put up with")
    threshold: NonNegativeFloat = Field(1e-4, description="smallest change that counts as an improvement")
    threshold_mode: Literal["rel", "abs"] = Field(
        "rel", description="whether threshold is a fraction of the best value or a difference from it"
    )
    cooldown: NonNegativeInt = Field(0, description="evaluations after a cut in which nothing is counted")
    min_lr: NonNegativeFloat = Field(0.0, description="lowest learning rate")
    eps: NonNegativeFloat = Field(1e-8, description="cuts that change the learning rate by less are not made")

    def improves(self, value: float, best: float | None, mode: str) -> bool:
        """Whether `value` beats `best` by more than the threshold; any number beats none, nan nothing."""
        if best is None:
            return not math.isnan(value)
        sign = 1 if mode == "max" else -1
        if self.threshold_mode == "abs":
            return sign * value > sign * best + self.threshold
        # a negative best times (1 + threshold) would be worse, as it is in torch
        return sign * value > sign * best * (1 + math.copysign(self.threshold, sign * best))

    def cut(self, factor: float, lr: float) -> float:
        """The factor on the config's `lr` that follows `factor` when it is cut."""
        reduced = max(factor * self.factor, self.min_lr / lr)
        return reduced if (factor - reduced) * lr > self.eps else factor
