"""How a training is followed: a bar on a terminal, a line now and then elsewhere, nothing under -q."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from mlprun.cli.plan import layers
from mlprun.cli.terminal import Output, is_terminal

if TYPE_CHECKING:
    from mlprun.engines import ChunkResult
    from mlprun.experiment import Experiment

LINE_SECONDS = 10.0
"""between two lines of progress where nobody watches a terminal"""


class Reporter:
    """Base of the reporters of runs and sweeps. Close it when the training is over, however it ended."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bar: Any = None

    def say(self, message: str) -> None:
        """A message on standard error."""
        self._output.note(message)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _start_bar(self, unit: str, total: int, done: int) -> None:
        """Show a bar where somebody watches a terminal."""
        if not is_terminal(sys.stderr) or self._output.quiet or self._output.as_json:
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn(unit),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        # drawn when progress is reported, never by a thread of its own: the training loop is all that runs
        self._bar = Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)
        self._bar.start()
        self._bar.add_task(unit, total=total, completed=done, figures="")


class Follower(Reporter):
    """A reporter that says how far a run is."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._epochs, self._said_at = 0, time.monotonic()

    def begin(self, folder: str, experiment: Experiment, epoch: int) -> None:
        """Show where the run is written, and the bar."""
        self._epochs = experiment.config.training.epochs
        for warning in experiment.warnings:
            self.say(f"warning: {warning}")
        self.say(f"{layers(experiment)[1].plain()}\n\ntraining in {folder}")
        self._start_bar("epoch", self._epochs, epoch)

    def report(self, advance: ChunkResult, seconds: float) -> None:
        """Move the bar; without one, say a line every few seconds."""
        figures = f"train loss {advance.rows[-1][2]:.4g}" if advance.rows else ""
        if self._bar is not None:
            self._bar.update(0, completed=advance.epoch, figures=figures, refresh=True)
        elif time.monotonic() - self._said_at >= LINE_SECONDS:
            self._said_at = time.monotonic()
            self.say(
                f"epoch {advance.epoch} of {self._epochs}, {seconds:.0f} s{', ' if figures else ''}{figures}"
            )
