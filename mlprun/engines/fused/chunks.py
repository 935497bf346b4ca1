"""A chunk of epochs of one run, in the terms of the engine contract.

A chunk that met a NaN or was stopped inside an epoch is rewound by a replay, as in the epoch protocol in
Python: it runs again from its start, up to the last epoch that counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np

from mlprun.engines import epoch_protocol
from mlprun.engines.contract import Best, ChunkResult, Improvement, never
from mlprun.engines.fused.python_metrics import PythonMetricsTrainer
from mlprun.engines.fused.records import DIVERGED, FINISHED, OUT_OF_PATIENCE
from mlprun.engines.fused.run import HISTORY_COLUMNS, KernelResult
from mlprun.experiment import history_metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.engines.contract import Row, StopCondition, StopReason
    from mlprun.engines.fused.records import Workspace
    from mlprun.engines.fused.run import FusedRun

T = TypeVar("T")
_STOP_REASONS: dict[int, StopReason] = {
    FINISHED: "finished",
    OUT_OF_PATIENCE: "early_stopping",
    DIVERGED: "diverged",
}


class _TableSequence(Sequence[T]):
    """Items that are made from rows of a table as they are read: all of many runs would need much memory."""

    def __init__(self, pieces: list[NDArray[np.float64]], columns: int) -> None:
        self._table = np.concatenate(pieces) if pieces else np.zeros((0, columns))

    def _item(self, *values: float) -> T:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._item(*self._table[index].tolist())


class HistoryRows(_TableSequence["Row"]):
    """The rows that a kernel has logged; each of `metrics` metrics is the one that it computes."""

    def __init__(self, pieces: list[NDArray[np.float64]], *, metrics: int) -> None:
        super().__init__(pieces, HISTORY_COLUMNS)
        self._metrics = metrics

    def _item(self, *values: float) -> Row:
        epoch, lr, loss, objective, metric, evaluated, dev_loss, dev_metric = values
        train = (metric,) * self._metrics
        dev = (dev_loss, *(dev_metric,) * self._metrics) if evaluated else (None,) * (1 + self._metrics)
        return (int(epoch), lr, loss, objective, *train, *dev)

    def table(self) -> NDArray[np.float64]:
        """Return all rows as [rows, columns], nan in the place of None."""
        columns = [0, 1, 2, 3, *[4] * self._metrics, 6, *[7] * self._metrics]
        table = self._table[:, columns]
        table[self._table[:, 5] == 0, 4 + self._metrics :] = np.nan
        return table


class Improvements(_TableSequence[Improvement]):
    """The improvements that a kernel has found."""

    def _item(self, *values: float) -> Improvement:
        epoch, before, value = values
        return Improvement(int(epoch), None if math.isnan(before) else before, value)


def advance(run: FusedRun, space: Workspace, until: int, stop: StopCondition) -> ChunkResult:
    """Train one run up to `until` completed epochs, or until it stops."""
    if run.python_metrics:
        return epoch_protocol.advance(PythonMetricsTrainer(run, space), until, stop)
    start = run.snapshot()
    result = run.train(space, until, stop)
    if result.interrupted and run.state_record["batch_index"]:
        reached = run.epoch
        run.restore(start)
        result = run.train(space, reached, never)
        result.interrupted = True
    if result.status == DIVERGED or not run.is_finite():
        failed = run.epoch
        run.restore(start)
        result = _replay(run, space, failed)
    return _chunk_result(run, result)


def _replay(run: FusedRun, space: Workspace, failed: int) -> KernelResult:
    """Train up to the last epoch whose metrics and parameters are finite; those of epoch `failed` are not.

    A number that is not finite stays so. The last 1, 2, 4, ... epochs are left out until those before are
    finite, and from there the search goes on upwards.
    """
    good, kept, back = run.snapshot(), KernelResult(), 1
    good_epoch = run.epoch
    while failed - good_epoch > 1:
        target = max(good_epoch + 1, failed - back)
        result = run.train(space, target, never)
        if result.status != DIVERGED and run.is_finite():
            good, good_epoch, back = run.snapshot(), run.epoch, (failed - target) // 2
            kept.extend(result)
        else:
            failed, back = run.epoch, 2 * back
            run.restore(good)
    kept.status = DIVERGED
    return kept


def _chunk_result(run: FusedRun, result: KernelResult) -> ChunkResult:
    record, names = run.state_record, history_metrics(run.config)
    stopped: StopReason | None = "interrupted" if result.interrupted else _STOP_REASONS.get(result.status)
    best = None
    if result.improvements:
        metrics = {"loss": float(record["best_loss"])} | dict.fromkeys(names, float(record["best_metric"]))
        best = Best(int(record["best_epoch"]), metrics, run.layout.unflatten(run.parameters.best))
    rows = HistoryRows(result.rows, metrics=len(names))
    return ChunkResult(run.epoch, rows, Improvements(result.improvements, 3), best, stopped)
