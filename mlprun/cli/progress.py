"""How far a training is: one line that is drawn again in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

from mlprun.cli.live import LiveView
from mlprun.cli.metrics import layers_table
from mlprun.cli.terminal import BLUE, Output, block, foreground, paint, terminal_size
from mlprun.config.tree import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.engines import Best, ChunkResult
    from mlprun.training.trainer import TrainingRun

LINE_SECONDS = 10.0
"""between progress lines if standard error is not a terminal"""
DRAW_SECONDS = 0.1
"""between drawings"""
BAR = 4, 20
"""columns of the bar, at least and at most"""
SHORT = {"accuracy": "acc", "balanced_accuracy": "balanced acc"}


class Piece(NamedTuple):
    """A part of a progress line; on a narrow terminal those of the highest `rank` are left out first."""

    text: str
    rank: int


class ProgressReporter:
    """Base of the reporters of runs and sweeps. What they draw is removed before anything else is printed."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.is_drawn = output.is_interactive
        self._due = 0.0

    def say(self, message: str) -> None:
        """A message on standard error."""
        self._output.message(message)

    def restart(self, first: float | None = None) -> None:
        """Show nothing for a moment, which is `first` seconds without a terminal."""
        self._due = time.monotonic() + (DRAW_SECONDS if self.is_drawn else first or LINE_SECONDS)

    def is_due(self) -> bool:
        """Return True if enough time has passed to show the progress again."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + (DRAW_SECONDS if self.is_drawn else LINE_SECONDS)
        return True

    def show(self, pieces: Sequence[Piece], share: float, above: Sequence[str] = ()) -> None:
        """Draw a bar with `share` of it filled and the pieces, or print them as a line."""
        if self.is_drawn:
            block.draw([*above, progress_line(pieces, share, terminal_size().columns - 1)])
        else:
            self.say(line_of(pieces))


def line_of(pieces: Sequence[Piece], bar: str = "") -> str:
    """Return name and position, the bar, and the other pieces between dots."""
    name, position, *others = (piece.text for piece in pieces)
    head = f"{name}  {position}" if name else position
    rest = " · ".join(filter(None, others)).replace(" · (", " (")
    return f"{head} {bar} {rest}".rstrip() if bar else " · ".join(filter(None, (head, rest)))


def fitted(pieces: Sequence[Piece], columns: int) -> list[Piece]:
    """Return the pieces without the least important ones that do not fit into one line."""
    kept = [piece._replace(text=printable(piece.text)) for piece in pieces]
    while len(line_of(kept)) > columns and max(piece.rank for piece in kept if piece.text):
        last = max((piece for piece in kept if piece.text), key=lambda piece: piece.rank)
        kept[kept.index(last)] = Piece("", 0)
    return kept


def progress_line(pieces: Sequence[Piece], share: float, columns: int) -> str:
    """Return the pieces that fit, the most important ones, and a bar that takes what room is left."""
    least, most = BAR
    kept = fitted(pieces, columns - least)
    width = min(most, columns - len(line_of(kept, "━")) + 1)
    if width < least:
        return line_of(kept)[:columns]
    filled = round(width * min(1.0, max(0.0, share)))
    bar = paint("━" * filled, foreground(BLUE)) + paint("─" * (width - filled), "2")
    return line_of(kept, bar)


def number(value: float) -> str:
    """Return a loss or a metric in three significant digits of constant width."""
    return f"{value:.3g}" if not math.isfinite(value) or abs(value) >= 100 else f"{value:#.3g}"


def clock(seconds: float) -> str:
    """Return a time as 0:02 or 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class RunProgress(ProgressReporter):
    """A callback that shows how far a run is; with `live`, its losses and what it predicts too."""

    def __init__(self, output: Output, *, live: bool = False) -> None:
        super().__init__(output)
        self._live = live and self.is_drawn
        self._view: LiveView | None = None
        self._metrics: dict[str, float] = {}
        self._best: Best | None = None

    def on_message(self, message: str) -> None:
        """Show a message."""
        self.say(message)

    def on_train_start(self, run: TrainingRun) -> None:
        """Show the layers and where the run is written."""
        for warning in run.experiment.warnings:
            self.say(f"warning: {warning}")
        self.say(f"{layers_table(run.experiment.layers())[1].plain()}\n\ntraining in {run.path}")
        self._began, self._first = time.monotonic(), run.epoch
        self.restart()
        self._metrics, self._best = {}, None
        if self._live:
            self._view = LiveView(run)

    def on_chunk_end(self, run: TrainingRun, chunk: ChunkResult) -> None:
        """Draw the line again, at most ten times a second, or print one every few seconds."""
        names = run.columns
        for row in chunk.rows[-1:]:
            self._metrics |= {n: value for n, value in zip(names, row, strict=True) if value is not None}
        self._best = chunk.best or self._best
        if self._view is not None:
            self._view.add(chunk.rows, names)
        if self.is_due():
            self._show(run)

    def on_train_end(self, run: TrainingRun) -> None:
        """Leave one line, with `live` below what was drawn last."""
        if not self._metrics:
            return
        if self._view is not None:
            block.draw(self._view.lines(run))
            block.leave()
        name, *pieces = self._pieces(run)[:-1]
        pieces = [name._replace(rank=0), *pieces]
        self.say(line_of(fitted(pieces, terminal_size().columns) if self.is_drawn else pieces))

    def _show(self, run: TrainingRun) -> None:
        above = [] if self._view is None else self._view.lines(run)
        self.show(self._pieces(run), run.epoch / max(1, run.config.training.epochs), above)

    def _pieces(self, run: TrainingRun) -> list[Piece]:
        config, losses, best = run.config, self._metrics, self._best
        total, seconds = config.training.epochs, time.monotonic() - self._began
        done = max(run.epoch - self._first, 0)
        pieces = [Piece(config.name, 8), Piece(f"epoch {run.epoch}/{total}", 0)]
        if "train_loss" in losses:
            pieces.append(Piece(f"train {number(losses['train_loss'])}", 3))
        watched = config.best.metric
        for column, name, rank in self._dev_metrics(run):
            pieces.append(Piece(f"{name} {number(losses[column])}", rank))
            if best is not None and column == watched:
                value = number(best.metrics[watched.removeprefix("dev_")])
                pieces.append(Piece(f"(best {value} @ {best.epoch})", 4))
        if config.early_stopping is not None and best is not None:
            pieces.append(Piece(f"patience {run.epoch - best.epoch}/{config.early_stopping.patience}", 6))
        steps = done * run.experiment.steps_per_epoch / max(seconds, 1e-9)
        pieces.append(Piece(f"{float(f'{steps:.3g}'):,.0f} steps/s" if done else "", 7))
        left = seconds / done * (total - run.epoch) if done else 0.0
        pieces.append(Piece(f"{clock(left)} left" if done else "", 1))
        return pieces

    def _dev_metrics(self, run: TrainingRun) -> list[tuple[str, str, int]]:
        """Return the columns, names and ranks of the dev loss and of the first metric, as far as known."""
        metric = next((part.name for part in run.config.metrics), None)
        columns: list[tuple[str, str, int]] = [("dev_loss", "dev", 2)]
        if metric is not None:
            split = "dev" if f"dev_{metric}" in self._metrics else "train"
            columns.append((f"{split}_{metric}", SHORT.get(metric, metric), 5))
        return [one for one in columns if one[0] in self._metrics]
