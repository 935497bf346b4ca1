"""Reporters that say nothing: Python callers look at what comes back instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.engines import Advance
    from mlprun.experiment import Experiment
    from mlprun.sweeps.plan import Plan


class Silent:
    """A reporter that says nothing."""

    def begin(self, folder: str, experiment: Experiment, epoch: int) -> None:
        """Nothing."""

    def say(self, message: str) -> None:
        """Nothing."""

    def report(self, advance: Advance, seconds: float) -> None:
        """Nothing."""


class SilentSweep:
    """A reporter of sweeps that says nothing."""

    def begin(self, folder: str, plan: Plan, done: int) -> None:
        """Nothing."""

    def say(self, message: str) -> None:
        """Nothing."""

    def report(self, done: int, seconds: float, left: Callable[[], float | None]) -> None:
        """Nothing."""
