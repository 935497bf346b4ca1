"""Runs with metrics that kernels do not compute, or fresh dev rows: kernels pause where a metric is due.

Steps run in the kernel; metrics come from the same Meter that the torch engine uses, and the epoch protocol
decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from mlprun.engines.epoch_protocol import EpochTotals, row_order
from mlprun.engines.fused import data, epochs, slices
from mlprun.engines.fused import tables as t
from mlprun.experiment import MetricComputer, SplitTensors

if TYPE_CHECKING:
    from mlprun.engines.contract import Arrays, Progress, StopCondition
    from mlprun.engines.fused.member import Member, Snapshot
    from mlprun.engines.fused.workspace import Workspace


class PythonMetricsTrainer:
    """An EpochTrainer around a run in flat arrays."""

    def __init__(self, member: Member, space: Workspace) -> None:
        self.experiment, self._member, self._space = member.experiment, member, space
        self._network, self._meter = member.experiment.network(), MetricComputer(member.experiment)
        self._train = SplitTensors.of(member.experiment.fixed["train"])
        self._best: Arrays = {}

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self._member.epoch

    @property
    def progress(self) -> Progress:
        """The best evaluation so far, and the plateau's state."""
        return self._member.progress

    @progress.setter
    def progress(self, progress: Progress) -> None:
        self._member.progress = progress

    def run_epoch(self, until: int, stop: StopCondition) -> EpochTotals[SplitTensors, torch.Tensor] | None:
        """Train up to the next epoch that is logged or evaluated, or up to `until`."""
        member = self._member
        chunk = slices.run(member, self._space, self._next_due(until), stop)
        if chunk.stopped:
            return None
        if chunk.status == t.DIVERGED:
            raise OverflowError("a number is not finite")
        order = row_order(member.config, member.count, member.epoch - 1)
        rows = self._train if order is None else self._train.reordered(order)
        stands = member.stands
        totals: EpochTotals[SplitTensors, torch.Tensor] = EpochTotals(rows, float(stands[t.EPOCH_RATE]))
        # a copy: an evaluation overwrites the kernel's outputs
        totals.logits.append(self._outputs(member.count))
        totals.loss, totals.objective = float(stands[t.EPOCH_LOSS]), float(stands[t.EPOCH_OBJECTIVE])
        return totals

    def _next_due(self, until: int) -> int:
        training, epoch = self.experiment.config.training, self.epoch
        intervals = [training.log_every, *([training.evaluate_every] if self.experiment.has("dev") else [])]
        return min(until, training.epochs, *((epoch // each + 1) * each for each in intervals))

    def _outputs(self, rows: int) -> torch.Tensor:
        outputs = self._member.outputs
        return torch.from_numpy(self._space.kept[: rows * outputs].reshape(rows, outputs).copy())

    def train_metrics(self, totals: EpochTotals[SplitTensors, torch.Tensor]) -> dict[str, float]:
        """Return the metrics of the train rows during the epoch."""
        return self._meter.compute(self._network, totals.logits[0], totals.rows)

    def evaluate(self) -> dict[str, float]:
        """Return the metrics of the dev rows: the loss from the kernel, the others from its outputs."""
        member, space, layout = self._member, self._space, self._member.layout
        rows = self.experiment.rows("dev", epoch=self.epoch)
        blocks, plan = member.dev, member.plan
        if "dev" not in self.experiment.fixed:
            blocks = data.blocks(layout, data.table(self.experiment, rows))
            plan = plan.copy()
            plan[t.DEV_ROWS] = len(rows)
        if space.kept.size < len(rows) * member.outputs:
            space.kept = np.zeros(len(rows) * member.outputs, layout.dtype)
        loss = epochs.examine(
            plan, member.numbers, layout.layers, layout.codes, layout.options, member.theta, space.zeros,
            space.work, blocks, member.shares, space.squares, space.kept,
        )  # fmt: skip
        metrics = self._meter.compute(self._network, self._outputs(len(rows)), SplitTensors.of(rows))
        return {"loss": float(loss), **metrics}

    def save_best(self) -> None:
        """Copy the model as it is now."""
        self._best = self._member.layout.named(self._member.theta)

    def best_model(self) -> Arrays:
        """Return the model as it was at the last `save_best`."""
        return self._best

    def is_finite(self) -> bool:
        """Return True if every parameter is a finite number."""
        return bool(np.isfinite(self._member.theta).all())

    def snapshot(self) -> Snapshot:
        """Return a copy of the run's arrays."""
        return self._member.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Continue from a snapshot."""
        self._member.stand(snapshot)
