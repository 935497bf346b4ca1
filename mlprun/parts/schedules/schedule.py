"""What a schedule is: the factor on `optimizer.lr`, by completed epochs or, on a plateau, by dev figures."""

from __future__ import annotations

from typing import ClassVar

from mlprun.parts.part import Part, Registry


class Schedule(Part):
    """Base of all schedules."""

    plateau: ClassVar[bool] = False
    """whether the factor follows the dev figures that were met, so that it needs a state and dev rows"""

    @property
    def depends_on_total(self) -> bool:
        """Whether the factor depends on training.epochs, so that a finished run cannot be extended."""
        return False


class EpochSchedule(Schedule):
    """Base of the schedules that are a function of completed epochs alone."""

    def factor(self, epoch: int, epochs: int) -> float:
        """The factor on the learning rate after `epoch` completed epochs of `epochs`; 0 is the first."""
        raise NotImplementedError


schedules: Registry[Schedule] = Registry("schedule", "schedules")
