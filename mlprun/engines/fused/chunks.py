"""A chunk of epochs of one run, in the terms of the engine contract.

The epoch protocol in Python rewinds a chunk that met a NaN or was stopped inside an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mlprun.engines import epoch_protocol
from mlprun.engines.contract import Best, ChunkResult, Improvement
from mlprun.engines.epoch_protocol import EpochTotals, row_order
from mlprun.engines.evaluation import metrics_of
from mlprun.engines.fused.records import DIVERGED, FINISHED, OUT_OF_PATIENCE, PAUSED
from mlprun.experiment import history_metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlprun.engines.contract import Arrays, Progress, Row, StopCondition, StopReason
    from mlprun.engines.fused.records import Workspace
    from mlprun.engines.fused.run import FusedRun

T = TypeVar("T")
_STOP_REASONS: dict[int, StopReason] = {
    PAUSED: "interrupted",
    FINISHED: "finished",
    OUT_OF_PATIENCE: "early_stopping",
    DIVERGED: "diverged",
}


class TableSequence(Sequence[T]):
    """Items that are made from rows of a table as they are read: all of many runs would need much memory."""

    def __init__(self, pieces: list[NDArray[np.float64]], item: Callable[..., T]) -> None:
        self._table, self._item = np.concatenate(pieces), item

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._item(*row) for row in self._table[index].tolist()]
        return self._item(*self._table[index].tolist())


class HistoryRows(TableSequence["Row"]):
    """The rows that a kernel has logged, with `metrics` metrics."""

    def __init__(self, pieces: list[NDArray[np.float64]], *, metrics: int) -> None:
        super().__init__(pieces, self._row)
        self._metrics = metrics

    def _row(self, *values: float) -> Row:
        dev: Row = values[4 + self._metrics :]
        if math.isnan(values[4 + self._metrics]):  # dev was not evaluated: a run whose loss is nan has ended
            dev = (None,) * len(dev)
        return (int(values[0]), *values[1 : 4 + self._metrics], *dev)

    def __array__(self, dtype: Any = None, *, copy: Any = None) -> NDArray[np.float64]:
        """Return all rows as [rows, columns], nan where dev was not evaluated."""
        return self._table.copy()


def _improvement(epoch: float, before: float, value: float, *_: float) -> Improvement:
    return Improvement(int(epoch), None if math.isnan(before) else before, value)


class PythonMetricsTrainer:
    """An `EpochTrainer` for metrics that kernels do not compute, and for fresh dev rows.

    Steps run in the kernel, which returns where a metric is needed; metrics come from NumPy.
    """

    def __init__(self, run: FusedRun, space: Workspace) -> None:
        self.experiment = run.experiment
        self._run, self._space = run, space
        self._train = run.experiment.fixed["train"]
        self.is_finite, self.snapshot, self.restore = run.is_finite, run.snapshot, run.restore

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self._run.epoch

    @property
    def progress(self) -> Progress:
        """Best epoch, patience and plateau."""
        return self._run.progress

    @progress.setter
    def progress(self, progress: Progress) -> None:
        self._run.progress = progress

    def run_epoch(self, until: int, stop: StopCondition) -> EpochTotals | None:
        """Train up to the next epoch that is logged or evaluated, or to `until`."""
        run, training = self._run, self.experiment.config.training
        every = [training.log_every, *([training.evaluate_every] if self.experiment.has("dev") else [])]
        until = min(until, training.epochs, *((run.epoch // each + 1) * each for each in every))
        if train(self._space, run, until, stop).stopped == "interrupted":
            return None
        state, order = run.states, row_order(self.experiment.config, run.train_rows, run.epoch - 1)
        rows = self._train if order is None else self._train.take(order)
        totals = EpochTotals(rows, state["epoch_lr"].item())
        totals.loss, totals.objective = state["epoch_loss"].item(), state["epoch_objective"].item()
        logits = self._space.outputs[: run.train_rows * run.outputs]
        totals.logits.append(logits.reshape(run.train_rows, run.outputs))
        return totals

    def train_metrics(self, totals: EpochTotals) -> dict[str, Any]:
        """Return the metrics of the train rows during the epoch."""
        return metrics_of(self.experiment, totals.logits[0], totals.rows)

    def evaluate(self) -> dict[str, Any]:
        """Return the loss of the dev rows from the kernel, and the other metrics of its outputs."""
        rows = self.experiment.rows("dev", epoch=self.epoch)
        loss, _, logits = self._run.evaluate(self._space, rows, keep=True)
        return {"loss": loss, **metrics_of(self.experiment, logits, rows)}

    def save_best(self) -> None:
        """Copy the model as it is now: it is the best so far."""
        self._run.parameters.best[:] = self._run.parameters.evaluated

    def best_model(self) -> Arrays:
        """Return the model as it was at the last `save_best`."""
        return self._run.model(self._run.parameters.best, self._run.progress.best_epoch)


def advance(run: FusedRun, space: Workspace, until: int, stop: StopCondition) -> ChunkResult:
    """Train one run up to `until` completed epochs, or until it stops."""
    if run.python_metrics:
        return epoch_protocol.advance(PythonMetricsTrainer(run, space), until, stop)
    return epoch_protocol.advance(run, until, stop, partial(train, space))


def train(space: Workspace, run: FusedRun, until: int, stop: StopCondition) -> ChunkResult:
    """Train up to `until` epochs, asking `stop` between calls of the kernel."""
    state, status, schedule = run.states[0], PAUSED, run.schedule(until)
    rows, improvements = [space.history[:0]], [space.improvements[:0]]
    while status == PAUSED and not stop():
        status = run.call_kernel(space, schedule)
        rows.append(space.history[: state["rows_written"]].copy())
        improvements.append(space.improvements[: state["improvements"]].copy())
    names, best = history_metrics(run.config), None
    last = next((piece[-1] for piece in reversed(improvements) if len(piece)), None)
    if last is not None:
        metrics = dict(zip(("loss", *names), last[3:].tolist(), strict=True))
        epoch = int(state["best_epoch"])
        best = Best(epoch, metrics, run.model(run.parameters.best, epoch))
    return ChunkResult(
        run.epoch,
        HistoryRows(rows, metrics=len(names)),
        TableSequence(improvements, _improvement),
        best,
        _STOP_REASONS.get(status),
        incomplete=bool(state["batch_index"]),
    )
