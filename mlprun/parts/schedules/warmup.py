"""A learning rate that starts small, in front of another schedule."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from mlprun.parts.part import Named, PositiveInt
from mlprun.parts.schedules.decay import Constant
from mlprun.parts.schedules.schedule import EpochSchedule, Schedule, schedules


@schedules.register
class Warmup(EpochSchedule):
    """The learning rate rises linearly to its full size, then follows `then`, whose epochs count from there.

    Source: Goyal et al. (2017), arxiv.org/abs/1706.02677
    """

    name: Literal["warmup"] = "warmup"
    epochs: PositiveInt = Field(5, description="epochs until the full learning rate")
    start_factor: float = Field(
        1 / 3, gt=0, le=1, description="factor on the learning rate of the first epoch"
    )
    then: Annotated[Schedule, Named(schedules)] = Field(
        default_factory=Constant, description="the schedule that follows"
    )

    @field_validator("then")
    @classmethod
    def _is_a_function_of_epochs(cls, then: Schedule) -> Schedule:
        if not isinstance(then, EpochSchedule):
            what = f"{then.name} cannot follow a warm-up; step, cosine and other functions of the epoch can"
            raise PydanticCustomError("combination", "{what}", {"what": what})
        return then

    @property
    def depends_on_total(self) -> bool:
        return self.then.depends_on_total

    def factor(self, epoch: int, epochs: int) -> float:
        if epoch < self.epochs:
            return self.start_factor + (1 - self.start_factor) * epoch / self.epochs
        assert isinstance(self.then, EpochSchedule)
        return self.then.factor(epoch - self.epochs, max(1, epochs - self.epochs))
