"""Runs with metrics that kernels do not compute, or fresh dev rows: they return where a metric is needed.

Steps run in the kernel; metrics are computed as in the torch engine, and the epoch protocol in Python
decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlprun.engines.epoch_protocol import EpochTotals, row_order
from mlprun.engines.fused.data import blocks, row_table
from mlprun.engines.fused.epochs import EVALUATE
from mlprun.engines.fused.records import DIVERGED
from mlprun.experiment import MetricComputer, SplitTensors

if TYPE_CHECKING:
    from mlprun.engines.contract import Arrays, Progress, StopCondition
    from mlprun.engines.fused.records import Workspace
    from mlprun.engines.fused.run import FusedRun, Snapshot


class PythonMetricsTrainer:
    """A run as the epoch protocol drives it: an `EpochTrainer`."""

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

    def run_epoch(self, until: int, stop: StopCondition) -> EpochTotals[SplitTensors, torch.Tensor] | None:
        """Train up to the next epoch that is logged or evaluated, or to `until`."""
        run, training = self._run, self.experiment.config.training
        every = [training.log_every, *([training.evaluate_every] if self.experiment.has("dev") else [])]
        until = min(until, training.epochs, *((run.epoch // each + 1) * each for each in every))
        result = run.train(self._space, until, stop)
        if result.interrupted:
            return None
        if result.status == DIVERGED:
            raise OverflowError
        record, order = run.state_record, row_order(self.experiment.config, run.train_rows, run.epoch - 1)
        rows = self._train if order is None else self._train.reordered(order)
        totals: EpochTotals[SplitTensors, torch.Tensor] = EpochTotals(rows, float(record["epoch_lr"]))
        totals.loss, totals.objective = float(record["epoch_loss"]), float(record["epoch_objective"])
        # an evaluation overwrites the outputs
        totals.logits.append(self._outputs(run.train_rows))
        return totals

    def train_metrics(self, totals: EpochTotals[SplitTensors, torch.Tensor]) -> dict[str, Any]:
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
