"""How a sweep is followed: a bar on a terminal, a line now and then elsewhere, nothing under -q."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from mlprun import api
from mlprun.cli.progress import LINE_SECONDS, Reporter
from mlprun.cli.sweep.planned import duration, going_on, told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlprun.cli.terminal import Output
    from mlprun.sweeps.plan import Plan

FIRST_SECONDS = 2.0
"""until the first line of progress"""


class SweepFollower(Reporter):
    """A reporter that says how far a sweep is."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._total, self._due = 0, 0.0

    def begin(self, folder: str, plan: Plan, done: int) -> None:
        """Show what is to be done, where it is written, and the bar."""
        self._total, self._due = plan.total, time.monotonic() + FIRST_SECONDS
        if done == plan.total:
            self.say(going_on(folder, done, plan.total))
            return
        self.say(told(plan, folder if done else None, done))
        if not done:
            self.say(f"running in {folder}")
        self._start_bar("trial", plan.total, done)

    def report(self, done: int, seconds: float, left: Callable[[], float | None]) -> None:
        """Move the bar; without one, say a line after a moment and then every few seconds."""
        if self._bar is not None:
            self._bar.update(0, completed=done, refresh=True)
        elif time.monotonic() >= self._due:
            self._due = time.monotonic() + LINE_SECONDS
            more = left()
            rest = "" if more is None else f", about {duration(more)} left"
            self.say(f"{done} of {self._total} trials, {seconds:.0f} s{rest}")


def follow(sweep: str | Mapping[str, Any], words: Sequence[str], output: Output, **options: Any) -> api.Sweep:
    """Run a sweep before the user's eyes; `options` are those of `api.sweep`."""
    with closing(SweepFollower(output)) as follower:
        return api.sweep(sweep, *words, processes=True, reporter=follower, **options)
