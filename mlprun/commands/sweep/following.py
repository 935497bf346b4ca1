"""How a sweep is followed: a bar on a terminal, a line now and then elsewhere, nothing under -q."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from mlprun import api
from mlprun.commands.progress import LINE_SECONDS
from mlprun.commands.sweep.planned import duration, going_on, told
from mlprun.commands.terminal import Output, is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlprun.sweeps.plan import Plan

FIRST_SECONDS = 2.0
"""until the first line of progress"""


class SweepFollower:
    """A reporter that says how far a sweep is. Close it when the sweep is over, however it ended."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bar: Any = None
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
        if is_terminal(sys.stderr) and not (self._output.quiet or self._output.as_json):
            self._bar = _bar(plan.total, done)

    def say(self, message: str) -> None:
        """A message on standard error."""
        self._output.note(message)

    def report(self, done: int, seconds: float, left: Callable[[], float | None]) -> None:
        """Move the bar; without one, say a line after a moment and then every few seconds."""
        if self._bar is not None:
            self._bar.update(0, completed=done, refresh=True)
        elif time.monotonic() >= self._due:
            self._due = time.monotonic() + LINE_SECONDS
            more = left()
            rest = "" if more is None else f", about {duration(more)} left"
            self.say(f"{done} of {self._total} trials, {seconds:.0f} s{rest}")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def follow(sweep: str | Mapping[str, Any], words: Sequence[str], output: Output, **options: Any) -> api.Sweep:
    """Run a sweep before the user's eyes; `options` are those of `api.sweep`."""
    follower = SweepFollower(output)
    try:
        return api.sweep(sweep, *words, processes=True, reporter=follower, **options)
    finally:
        follower.close()


def _bar(total: int, done: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("trial"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)
    bar.start()
    bar.add_task("trial", total=total, completed=done)
    return bar
