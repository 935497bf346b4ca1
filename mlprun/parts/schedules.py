"""Learning-rate schedules: the factor on `optimizer.lr` as a function of completed epochs."""

from __future__ import annotations

from typing import ClassVar, Literal

from mlprun.parts.part import Part, Registry


class Schedule(Part):
    """Base of all schedules."""

    depends_on_total: ClassVar[bool] = False
    """whether the factor depends on training.epochs, so that a finished run cannot be extended"""

    def factor(self, epoch: int, epochs: int) -> float:
        """The factor on the learning rate after `epoch` completed epochs of `epochs` (the first epoch uses epoch=0)."""
        raise NotImplementedError


schedules: Registry[Schedule] = Registry("schedule", "schedules")


@schedules.register
class Constant(Schedule):
    """The learning rate stays as it is."""

    name: Literal["constant"] = "constant"

    def factor(self, epoch: int, epochs: int) -> float:
        return 1.0
