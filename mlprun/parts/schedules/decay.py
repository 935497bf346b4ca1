"""Schedules that leave the learning rate alone or only ever lower it, in steps or by a power."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from mlprun.parts.part import NonNegativeFloat, PositiveFloat, PositiveInt
from mlprun.parts.schedules.schedule import EpochSchedule, schedules

Gamma = Annotated[float, Field(gt=0, description="factor by which the learning rate changes each time")]


def power(gamma: float, times: int) -> float:
    """`gamma` to the power of `times`; infinite where that overflows, so that training diverges properly."""
    try:
        return math.pow(gamma, times)
    except OverflowError:
        return math.inf


@schedules.register
class Constant(EpochSchedule):
    """The learning rate stays as it is."""

    name: Literal["constant"] = "constant"

    def factor(self, epoch: int, epochs: int) -> float:
        return 1.0


@schedules.register
class Step(EpochSchedule):
    """The learning rate is multiplied by `gamma` every `step_size` epochs."""

    name: Literal["step"] = "step"
    step_size: PositiveInt = Field(description="epochs between two changes")
    gamma: Gamma = 0.1

    def factor(self, epoch: int, epochs: int) -> float:
        return power(self.gamma, epoch // self.step_size)


@schedules.register
class MultiStep(EpochSchedule):
    """The learning rate is multiplied by `gamma` after each of the epochs in `milestones`."""

    name: Literal["multi_step"] = "multi_step"
    milestones: tuple[PositiveInt, ...] = Field(
        min_length=1, description="numbers of completed epochs at which it changes"
    )
    gamma: Gamma = 0.1

    def factor(self, epoch: int, epochs: int) -> float:
        return power(self.gamma, sum(milestone <= epoch for milestone in self.milestones))


@schedules.register
class Exponential(EpochSchedule):
    """The learning rate is multiplied by `gamma` after every epoch."""

    name: Literal["exponential"] = "exponential"
    gamma: PositiveFloat = Field(description="factor by which the learning rate changes each time")

    def factor(self, epoch: int, epochs: int) -> float:
        return power(self.gamma, epoch)


@schedules.register
class Polynomial(EpochSchedule):
    """The learning rate falls to 0 as (1 - epoch / total) to a power: a straight line for power 1."""

    name: Literal["polynomial"] = "polynomial"
    power: NonNegativeFloat = Field(1.0, description="1 falls linearly, more falls early")
    total_iters: PositiveInt | None = Field(
        None, description="epochs until 0 is reached; by default training.epochs"
    )

    @property
    def depends_on_total(self) -> bool:
        return self.total_iters is None

    def factor(self, epoch: int, epochs: int) -> float:
        total = self.total_iters or epochs
        return math.pow(1 - min(epoch, total) / total, self.power)
