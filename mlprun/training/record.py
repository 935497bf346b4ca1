"""What a run writes while it trains, in the order that a kill at any moment survives.

History is synced before the checkpoint that refers to its end; `best` is written just before `last`. So
`last` never speaks of anything that the disk does not hold, and what lies behind it is found again by
training on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from mlprun.experiment import history_columns
from mlprun.files import Closeable
from mlprun.storage import checkpoints
from mlprun.training.state import Saved, best_checkpoint, last_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.engines import Best, ChunkResult, State
    from mlprun.engines.contract import Arrays, Row, StopReason
    from mlprun.experiment import Experiment
    from mlprun.storage.runs import RunFolder


class Record(Closeable):
    """The open files of a run that is training; a context that closes them.

    A run that has no checkpoint yet `begins`, and has no history either, whatever a kill left of it.
    """

    def __init__(
        self, folder: RunFolder, experiment: Experiment, constants: Mapping[str, Any], *, begins: bool
    ) -> None:
        config = experiment.config
        self._folder, self._constants, self.checkpoint = folder, constants, config.checkpoint
        self._columns = history_columns(config)
        self._watched, self._report_every = config.best.metric, config.training.report_every
        self._log = folder.open_log()
        self._history = folder.open_history(self._columns, anew=begins)
        self._wanted = frozenset(config.snapshots) | {0}
        self._snapshots: dict[int, Arrays] = {}
        self._rows: list[Row] = []
        self._reports = 0
        self.best: Best | None = None
        self._best_written = True
        self._saved_at, self._saved_epoch = time.monotonic(), 0

    def close(self) -> None:
        """Close the history and the log."""
        self._history.close()
        self._log.close()

    def begin(self, state: State) -> None:
        """Save the state at epoch 0."""
        self.keep_snapshot(state)
        self.save(state, None)

    def go_on(self, saved: Saved, best: Best | None) -> None:
        """Stand where a checkpoint says: cut the history behind it, remember its best and its snapshots."""
        self._history.truncate(saved.history_offset)
        self._snapshots, self.best = dict(saved.snapshots), best
        self._saved_epoch = saved.state.epoch
        self._reports = saved.state.epoch // self._report_every
        self._log.write(f"resumed after epoch {saved.state.epoch}")

    @property
    def path(self) -> str:
        """The newest checkpoint's."""
        return self._folder.last

    @property
    def snapshots_due(self) -> frozenset[int]:
        """The epochs whose model is still to be kept."""
        return self._wanted - self._snapshots.keys()

    def keep_snapshot(self, state: State) -> None:
        """Remember the model of this epoch in every checkpoint from now on."""
        self._snapshots[state.epoch] = state.model

    def take(self, advance: ChunkResult) -> None:
        """Log what a chunk brought; the rows are written with the next checkpoint."""
        self._rows.extend(advance.rows)
        if advance.best is not None:
            self.best, self._best_written = advance.best, False
        lines = [
            (item.epoch, f"epoch {item.epoch}: {self._watched} {_shown(item.before)} -> {_shown(item.value)}")
            for item in advance.improvements
        ]
        lines += [(int(row[0] or 0), self._report(row)) for row in advance.rows if self._is_reported(row)]
        if lines:
            self._log.write(*(line for _, line in sorted(lines, key=lambda pair: pair[0])))

    def _is_reported(self, row: Row) -> bool:
        """Whether a line is due: at the first row at or behind each multiple of `report_every`."""
        passed = int(row[0] or 0) // self._report_every
        due, self._reports = passed > self._reports, passed
        return due

    def _report(self, row: Row) -> str:
        figures = zip(self._columns[1:], row[1:], strict=True)
        return f"epoch {row[0]}: " + " ".join(
            f"{name} {_shown(value)}" for name, value in figures if value is not None
        )

    def is_due(self, epoch: int) -> bool:
        """Whether the config asks for a checkpoint now."""
        every = self.checkpoint.epochs
        if every is not None and epoch // every > self._saved_epoch // every:
            return True
        return time.monotonic() - self._saved_at >= self.checkpoint.seconds

    def save(self, state: State, stopped: StopReason | None) -> None:
        """History, then best, then last."""
        self._history.append(self._rows)
        self._history.sync()
        self._rows.clear()
        if self.best is not None and not self._best_written:
            self._folder.save_best(checkpoints.encode(best_checkpoint(self.best, self._constants)))
            self._best_written = True
        # an interrupted run is not over: nothing in its bytes may tell it from one that was never disturbed
        over = stopped if stopped in ("finished", "early_stopping") else None
        saved = Saved(state, self._history.offset, self._snapshots, over)
        self._folder.save_last(checkpoints.encode(last_checkpoint(saved, self._constants)))
        self._saved_at, self._saved_epoch = time.monotonic(), state.epoch


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
