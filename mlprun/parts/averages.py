"""Averages of the parameters over training, which are evaluated and saved in place of the newest ones."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlprun.parts.part import Part, PositiveInt, Registry


class Average(Part):
    """Base of all averages: training goes on from the newest parameters, everything else reads the average.

    An average becomes w + keep * (average - w), where w are the parameters.
    """

    def after_step(self, step: int) -> float | None:
        """Return `keep` after a step, counted from 1 over the whole training; None to leave the average."""
        return None

    def after_epoch(self, epoch: int) -> float | None:
        """Return `keep` after an epoch, counted from 1; None to leave the average."""
        return None


averages: Registry[Average] = Registry("average", "averages")


@averages.register
class Ema(Average):
    """Exponential moving average over steps, corrected for its start as Adam's means are.

    Batch norm keeps the running statistics of the newest parameters.
    Source: Polyak & Juditsky (1992), doi.org/10.1137/0330046; correction: Kingma & Ba (2015),
    arxiv.org/abs/1412.6980
    """

    name: Literal["ema"] = "ema"
    decay: Annotated[float, Field(gt=0, lt=1)] = Field(0.999, description="share that stays in each step")

    def after_step(self, step: int) -> float | None:
        power = self.decay**step
        return (self.decay - power) / (1.0 - power)


@averages.register
class Swa(Average):
    """Stochastic weight averaging: the mean of the parameters after each epoch, from an epoch on.

    Before that, the newest are evaluated. Not for batch norm, whose statistics depend on the weights.
    Source: Izmailov et al. (2018), arxiv.org/abs/1803.05407
    """

    name: Literal["swa"] = "swa"
    start: PositiveInt = Field(description="the first epoch in the mean")

    def after_epoch(self, epoch: int) -> float | None:
        count = max(1, epoch - self.start + 1)
        return (count - 1) / count
