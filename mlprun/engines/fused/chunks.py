"""A chunk of epochs of one run, in the terms of the engine contract.

The epoch protocol in Python rewinds a chunk that met a NaN or was stopped inside an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from mlprun.engines import epoch_protocol
from mlprun.engines.contract import Best, ChunkResult, Improvement
from mlprun.engines.epoch_protocol import EpochTotals, row_order
from mlprun.engines.fused.data import kernel_rows
from mlprun.engines.fused.records import DIVERGED, FINISHED, OUT_OF_PATIENCE, PAUSED, kernel_table
from mlprun.engines.fused.run import EVALUATE, HISTORY_COLUMNS
from mlprun.experiment import MetricComputer, SplitTensors, history_metrics

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
    """The rows that a kernel has logged; each of `metrics` metrics is the one that it computes."""

    def __init__(self, pieces: list[NDArray[np.float64]], *, metrics: int) -> None:
        super().__init__(pieces, self._row)
        self._metrics = metrics

    def _row(self, *values: float) -> Row:
        epoch, lr, loss, objective, metric, dev_loss, dev_metric = values
        dev: Row = (dev_loss, *[dev_metric] * self._metrics)
        if math.isnan(dev_loss):  # dev was not evaluated: a run whose loss is nan has ended
            dev = (None,) * len(dev)
        return (int(epoch), lr, loss, objective, *[metric] * self._metrics, *dev)

    def __array__(self, dtype: Any = None, *, copy: Any = None) -> NDArray[np.float64]:
        """Return all rows as [rows, columns], nan where dev was not evaluated."""
        return self._table[:, [0, 1, 2, 3, *[4] * self._metrics, 5, *[6] * self._metrics]]


def _improvement(epoch: float, before: float, value: float) -> Improvement:
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
            data = data._replace(dev=kernel_rows(self.experiment, rows, run.layout, in_blocks=True))
            record = record.copy()
            record["dev_rows"] = len(rows)
        if self._space.outputs.size < len(rows) * run.outputs:
            outputs = np.zeros(len(rows) * run.outputs, run.layout.dtype)
            self._space = self._space._replace(outputs=outputs)
        table = kernel_table((record, run.layout.network, data, run.parameters, self._space))
        loss = EVALUATE.compiled(run.layout.dtype.name)(table)
        metrics = self._meter.compute(self._network, self._outputs(len(rows)), SplitTensors.of(rows))
        return {"loss": loss, **metrics}

    def _outputs(self, rows: int) -> torch.Tensor:
        outputs = self._run.outputs
        values = self._space.outputs[: rows * outputs].reshape(rows, outputs)
        return torch.from_numpy(values.copy())

    def save_best(self) -> None:
        """Copy the model as it is now: it is the best so far."""
        self._run.parameters.best[:] = self._run.parameters.current

    def best_model(self) -> Arrays:
        """Return the model as it was at the last `save_best`."""
        return self._run.layout.unflatten(self._run.parameters.best)


def advance(run: FusedRun, space: Workspace, until: int, stop: StopCondition) -> ChunkResult:
    """Train one run up to `until` completed epochs, or until it stops."""
    if run.python_metrics:
        return epoch_protocol.advance(PythonMetricsTrainer(run, space), until, stop)
    return epoch_protocol.advance(run, until, stop, partial(train, space))


def train(space: Workspace, run: FusedRun, until: int, stop: StopCondition) -> ChunkResult:
    """Train up to `until` epochs, asking `stop` between calls of the kernel."""
    state, status, schedule = run.states[0], PAUSED, run.schedule(until)
    rows, improvements = [np.zeros((0, HISTORY_COLUMNS))], [np.zeros((0, 3))]
    while status == PAUSED and not stop():
        status = run.call_kernel(space, schedule)
        rows.append(space.history[: state["rows_written"]].copy())
        improvements.append(space.improvements[: state["improvements"]].copy())
    names, best = history_metrics(run.config), None
    if any(map(len, improvements)):
        metrics = {"loss": float(state["best_loss"])} | dict.fromkeys(names, float(state["best_metric"]))
        best = Best(int(state["best_epoch"]), metrics, run.layout.unflatten(run.parameters.best))
    return ChunkResult(
        run.epoch,
        HistoryRows(rows, metrics=len(names)),
        TableSequence(improvements, _improvement),
        best,
        _STOP_REASONS.get(status),
        incomplete=bool(state["batch_index"]),
    )
