"""Runs with figures that kernels do not compute, or fresh dev rows: they pause where a figure is wanted.

Steps run in the kernel; figures come from the same Meter that the torch engine uses, and progress.py judges.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlprun.engines import progress as judged
from mlprun.engines.contract import Advance, Best, Improvement, Watch, never
from mlprun.engines.fused import data, epochs, slices
from mlprun.engines.fused import tables as t
from mlprun.experiment import MetricComputer, SplitTensors, history_metrics
from mlprun.parts.schedules import ReduceOnPlateau
from mlprun.randomness import Purpose, order

if TYPE_CHECKING:
    from mlprun.engines.contract import Row, Why
    from mlprun.engines.fused.member import Member
    from mlprun.engines.fused.workspace import Workspace


class _Told:
    """What has happened since a chunk began."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.improvements: list[Improvement] = []
        self.best: Best | None = None
        self.stopped: Why | None = None

    def closed(self, member: Member) -> Advance:
        """The same in the contract's terms."""
        return Advance(member.epoch, self.rows, self.improvements, self.best, self.stopped)


def advance(member: Member, space: Workspace, until: int, watch: Watch) -> Advance:
    """As advance.advance, for these runs."""
    measured = _Measured(member, space)
    start, told = member.snapshot(), _Told()
    while member.epoch < until and told.stopped is None:
        chunk = slices.run(member, space, measured.next_stop(until), watch.stop)
        if chunk.stopped:
            if member.cursor[t.BATCH_INDEX] == 0:
                told.stopped = "interrupted"
                break
            reached = member.epoch
            member.stand(start)
            replayed = (
                advance(member, space, reached, Watch(watch.epochs))
                if reached > start.epoch
                else _Told().closed(member)
            )
            return Advance(member.epoch, replayed.rows, replayed.improvements, replayed.best, "interrupted")
        if chunk.status == t.DIVERGED or not measured.judge(told):
            return _replay(member, space, start, until)
    if told.stopped is None and not np.isfinite(member.theta).all():
        return _replay(member, space, start, until)
    return told.closed(member)


def _replay(member: Member, space: Workspace, start: Any, until: int) -> Advance:
    """Again from the start, epoch by epoch, up to the last whose figures and parameters are finite."""
    member.stand(start)
    measured, told = _Measured(member, space), _Told()
    while member.epoch < until and told.stopped is None:
        good = member.snapshot()
        chunk = slices.run(member, space, member.epoch + 1, never)
        before = len(told.rows), len(told.improvements), told.best
        finite = chunk.status != t.DIVERGED and measured.judge(told) and np.isfinite(member.theta).all()
        if not finite:
            member.stand(good)
            del told.rows[before[0] :], told.improvements[before[1] :]
            told.best, told.stopped = before[2], "diverged"
    return told.closed(member)


class _Measured:
    """Figures of one run at the epochs that want them."""

    def __init__(self, member: Member, space: Workspace) -> None:
        self.member, self.space = member, space
        self.network, self.meter = member.experiment.network(), MetricComputer(member.experiment)
        self.train = SplitTensors.of(member.experiment.fixed["train"])
        self.names = history_metrics(member.config)

    def next_stop(self, until: int) -> int:
        """The next epoch that is logged or evaluated, or `until`."""
        training, epoch = self.member.config.training, self.member.epoch
        every = [
            training.log_every,
            *([training.evaluate_every] if self.member.experiment.has("dev") else []),
        ]
        return min(until, training.epochs, *((epoch // each + 1) * each for each in every))

    def judge(self, told: _Told) -> bool:
        """Evaluate and log the epoch that was just completed as the contract asks; False if it diverged."""
        member, config = self.member, self.member.config
        epoch, training, last = member.epoch, config.training, member.epoch == config.training.epochs
        dev: dict[str, float] | None = None
        # the kernel's own copy of the outputs is written over by an evaluation
        outputs = self._outputs(member.count)
        if member.experiment.has("dev") and (last or epoch % training.evaluate_every == 0):
            dev = self._evaluated()
            if not math.isfinite(dev["loss"]):
                return False
            self._observe(dev, told)
        if last:
            told.stopped = "finished"
        if told.stopped is not None or epoch % training.log_every == 0:
            told.rows.append(self._row(outputs, dev))
        return True

    def _outputs(self, rows: int) -> torch.Tensor:
        values = self.space.kept[: rows * self.member.outputs].reshape(rows, self.member.outputs)
        return torch.from_numpy(values.copy())

    def _evaluated(self) -> dict[str, float]:
        """The figures of the dev rows: the loss from the kernel, the others from its outputs."""
        member, space = self.member, self.space
        rows = member.experiment.rows("dev", epoch=member.epoch)
        blocks, plan = member.dev, member.plan
        if "dev" not in member.experiment.fixed:
            blocks = data.blocks(member.layout, data.table(member.experiment, rows))
            plan = plan.copy()
            plan[t.DEV_ROWS] = len(rows)
        if space.kept.size < len(rows) * member.outputs:
            space.kept = np.zeros(len(rows) * member.outputs, member.layout.dtype)
        layout = member.layout
        loss = epochs.examine(
            plan, member.numbers, layout.layers, layout.codes, layout.options, member.theta, space.zeros,
            space.work, blocks, member.shares, space.squares, space.kept,
        )  # fmt: skip
        figures = self.meter.compute(self.network, self._outputs(len(rows)), SplitTensors.of(rows))
        return {"loss": float(loss), **figures}

    def _observe(self, dev: dict[str, float], told: _Told) -> None:
        member, config = self.member, self.member.config
        before, value = member.progress, dev[config.best.metric.removeprefix("dev_")]
        after = judged.observe(before, member.epoch, value, config.best.mode)
        if after.best_epoch == member.epoch:
            told.improvements.append(Improvement(member.epoch, before.best_value, value))
            told.best = Best(member.epoch, dev, member.layout.named(member.theta))
        if isinstance(config.schedule, ReduceOnPlateau):
            after = judged.observe_plateau(
                after, value, config.best.mode, config.schedule, lr=config.optimizer.lr
            )
        member.progress = after
        patience = config.early_stopping.patience if config.early_stopping else None
        every = config.training.evaluate_every
        if judged.out_of_patience(after, member.epoch, patience, every=every):
            told.stopped = "early_stopping"

    def _row(self, outputs: torch.Tensor, dev: dict[str, float] | None) -> Row:
        member, training = self.member, self.member.config.training
        rows = self.train
        if training.shuffle and not member.full:
            rows = rows.reordered(order(training.seed, Purpose.ORDER, member.count, epoch=member.epoch - 1))
        train = self.meter.compute(self.network, outputs, rows)
        stands = member.stands
        seen = (float(stands[place]) for place in (t.EPOCH_RATE, t.EPOCH_LOSS, t.EPOCH_OBJECTIVE))
        unseen = [None if dev is None else dev[name] for name in ("loss", *self.names)]
        return (member.epoch, *seen, *(train[name] for name in self.names), *unseen)
