"""A chunk of epochs of one run, in the terms of the engine contract.

A chunk that met a NaN or was stopped inside an epoch is rewound by a replay, as in the epoch protocol in
Python: it runs again from its start, up to the last epoch that counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import torch

from mlprun.engines import epoch_protocol
from mlprun.engines.contract import Best, ChunkResult, Improvement, never
from mlprun.engines.epoch_protocol import EpochTotals, row_order
from mlprun.engines.fused.data import blocks, row_table
from mlprun.engines.fused.epochs import EVALUATE
from mlprun.engines.fused.records import DIVERGED, FINISHED, OUT_OF_PATIENCE
from mlprun.engines.fused.run import HISTORY_COLUMNS, KernelResult
from mlprun.experiment import MetricComputer, SplitTensors, history_metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.engines.contract import Arrays, Progress, Row, StopCondition, StopReason
    from mlprun.engines.fused.records import Workspace
    from mlprun.engines.fused.run import FusedRun, Snapshot

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


class PythonMetricsTrainer:
    """An `EpochTrainer` for metrics that kernels do not compute, and for fresh dev rows.

    Steps run in the kernel, which returns where a metric is needed; metrics come from Python, as in torch.
    """

    def __init__(self, run: FusedRun, space: Workspace) -> None:
        self.experiment = run.experiment
        self._run, self._space = run, space
        self._network, self._meter = run.experiment.network(), MetricComputer(run.experiment)
        self._train = SplitTensors.of(run.experiment.fixed["train"])
        self.is_finite, self.snapshot = run.is_finite, run.snapshot

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
        result = run.train(self._space, until, stop)
        if result.interrupted:
            return None
        if result.status == DIVERGED:
            raise OverflowError
        state, order = run.states, row_order(self.experiment.config, run.train_rows, run.epoch - 1)
        rows = self._train if order is None else self._train.reordered(order)
        totals = EpochTotals(rows, state["epoch_lr"].item())
        totals.loss, totals.objective = state["epoch_loss"].item(), state["epoch_objective"].item()
        # an evaluation overwrites the outputs
        totals.logits.append(self._outputs(run.train_rows))
        return totals

    def train_metrics(self, totals: EpochTotals) -> dict[str, Any]:
        """Return the metrics of the train rows during the epoch."""
        return self._meter.compute(self._network, totals.logits[0], totals.rows)

    def evaluate(self) -> dict[str, Any]:
        """Return the loss of the dev rows from the kernel, and the other metrics from its outputs."""
        run = self._run
        rows = self.experiment.rows("dev", epoch=run.epoch)
        data, record = run.data, run.record
        if "dev" not in self.experiment.fixed:
            data = data._replace(dev=blocks(run.layout, row_table(self.experiment, rows)))
            record = record.copy()
            record["dev_rows"] = len(rows)
        if self._space.scratch.outputs.size < len(rows) * run.outputs:
            outputs = np.zeros(len(rows) * run.outputs, run.layout.dtype)
            self._space = self._space._replace(scratch=self._space.scratch._replace(outputs=outputs))
        kernel = EVALUATE.compiled(run.layout.dtype.name)
        loss = kernel(record, run.layout.network, data, run.parameters, self._space)
        metrics = self._meter.compute(self._network, self._outputs(len(rows)), SplitTensors.of(rows))
        return {"loss": float(loss), **metrics}

    def _outputs(self, rows: int) -> torch.Tensor:
        outputs = self._run.outputs
        values = self._space.scratch.outputs[: rows * outputs].reshape(rows, outputs)
        return torch.from_numpy(values.copy())

    def save_best(self) -> None:
        """Copy the model as it is now: it is the best so far."""
        self._run.parameters.best[:] = self._run.parameters.current

    def best_model(self) -> Arrays:
        """Return the model as it was at the last `save_best`."""
        return self._run.layout.unflatten(self._run.parameters.best)

    def restore(self, snapshot: Snapshot) -> None:
        """Continue from a snapshot."""
        self._run.restore(snapshot)


def advance(run: FusedRun, space: Workspace, until: int, stop: StopCondition) -> ChunkResult:
    """Train one run up to `until` completed epochs, or until it stops."""
    if run.python_metrics:
        return epoch_protocol.advance(PythonMetricsTrainer(run, space), until, stop)
    start = run.snapshot()
    result = run.train(space, until, stop)
    if result.interrupted and run.states["batch_index"].item():
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
    good, total, back = run.snapshot(), KernelResult(), 1
    good_epoch = run.epoch
    while failed - good_epoch > 1:
        target = max(good_epoch + 1, failed - back)
        result = run.train(space, target, never)
        if result.status != DIVERGED and run.is_finite():
            good, good_epoch, back = run.snapshot(), run.epoch, (failed - target) // 2
            total.rows += result.rows
            total.improvements += result.improvements
        else:
            failed, back = run.epoch, 2 * back
            run.restore(good)
    total.status = DIVERGED
    return total


def _chunk_result(run: FusedRun, result: KernelResult) -> ChunkResult:
    state, names = run.states, history_metrics(run.config)
    stopped: StopReason | None = "interrupted" if result.interrupted else _STOP_REASONS.get(result.status)
    best = None
    if result.improvements:
        metrics = {"loss": state["best_loss"].item()} | dict.fromkeys(names, state["best_metric"].item())
        best = Best(state["best_epoch"].item(), metrics, run.layout.unflatten(run.parameters.best))
    rows = HistoryRows(result.rows, metrics=len(names))
    return ChunkResult(run.epoch, rows, Improvements(result.improvements, 3), best, stopped)
