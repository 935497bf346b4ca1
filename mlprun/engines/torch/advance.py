"""A chunk of epochs: what is evaluated and logged, what is best, when a run stops, and the way back.

The way back is a replay: every draw is a function of (seed, epoch, step), so a chunk that met a NaN or was
stopped inside an epoch is rewound to its start and run again up to the last epoch that counts. No epoch pays
for a copy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from mlprun.engines import progress as judged
from mlprun.engines.contract import Advance, Best, Improvement, Watch
from mlprun.experiment import logged
from mlprun.parts.schedules import ReduceOnPlateau

if TYPE_CHECKING:
    from mlprun.engines.contract import Row, State, Why
    from mlprun.engines.torch.member import Member, Pass


@dataclass
class Chunk:
    """What has happened since the chunk began."""

    rows: list[Row] = field(default_factory=list)
    improvements: list[Improvement] = field(default_factory=list)
    best: tuple[int, dict[str, float]] | None = None
    stopped: Why | None = None
    torn: bool = False
    """whether an epoch was left half done"""


def advance(member: Member, until: int, watch: Watch) -> Advance:
    """Train one run up to `until` completed epochs, or until it stops."""
    start = member.state()
    chunk = _run(member, until, watch)
    if chunk.torn:
        reached = member.epoch
        member.restore(start)
        chunk = _run(member, reached, Watch(watch.epochs))
        chunk.stopped = "interrupted"
    # the last epoch's losses do not tell: train was met before the update, dev may hide an infinite weight
    if chunk.stopped == "diverged" or not member.finite():
        return _replay(member, start, watch)
    return _closed(member, chunk)


def _run(member: Member, until: int, watch: Watch) -> Chunk:
    chunk = Chunk()
    while member.epoch < until and chunk.stopped is None:
        if watch.stop():
            chunk.stopped = "interrupted"
            break
        rate = member.rate()
        try:
            done = member.run_epoch(watch.stop)
        except RuntimeError as error:
            if "without overflow" not in str(error):
                raise
            chunk.stopped = "diverged"  # torch refuses a rate beyond float32, which infinity is not
            break
        if done is None:
            chunk.stopped, chunk.torn = "interrupted", True
        else:
            _judge(member, rate, done, chunk, watch)
    return chunk


def _judge(member: Member, rate: float, done: Pass, chunk: Chunk, watch: Watch) -> None:
    """Evaluate and log the epoch that was just completed, and see whether the run goes on."""
    training, epoch, last = member.config.training, member.epoch, member.epoch == watch.epochs
    dev: dict[str, float] | None = None
    if not (math.isfinite(done.loss) and math.isfinite(done.objective)):
        chunk.stopped = "diverged"
        return
    if member.has_dev and (last or epoch % training.evaluate_every == 0):
        dev = member.evaluate()
        if not math.isfinite(dev["loss"]):
            chunk.stopped = "diverged"
            return
        _observe(member, dev, chunk)
    if last:
        chunk.stopped = "finished"
    if chunk.stopped is not None or epoch % training.log_every == 0:
        chunk.rows.append(_row(member, rate, done, dev))


def _observe(member: Member, dev: dict[str, float], chunk: Chunk) -> None:
    config, before, epoch = member.config, member.progress, member.epoch
    value = dev[member.watched]
    member.progress = judged.observe(before, epoch, value, config.best.mode)
    if member.progress.best_epoch == epoch:
        chunk.improvements.append(Improvement(epoch, before.best_value, value))
        chunk.best = (epoch, dev)
        member.keep()
    if isinstance(config.schedule, ReduceOnPlateau):
        member.progress = judged.observe_plateau(
            member.progress, value, config.best.mode, config.schedule, lr=config.optimizer.lr
        )
    patience = config.early_stopping.patience if config.early_stopping else None
    if judged.out_of_patience(member.progress, epoch, patience):
        chunk.stopped = "early_stopping"


def _row(member: Member, rate: float, done: Pass, dev: dict[str, float] | None) -> Row:
    before = done.before[0] if len(done.before) == 1 else torch.cat(done.before)
    train = member.meter.figures(member.network, before, done.rows)
    names = logged(member.config)
    seen = [train[name] for name in names]
    unseen = [None if dev is None else dev[name] for name in ("loss", *names)]
    return (member.epoch, rate, done.loss, done.objective, *seen, *unseen)


def _replay(member: Member, start: State, watch: Watch) -> Advance:
    """The chunk again from its start, up to the last epoch whose figures and parameters are finite."""
    member.restore(start)
    rows: list[Row] = []
    improvements: list[Improvement] = []
    best, good = None, start
    while True:
        piece = _run(member, member.epoch + 1, Watch(watch.epochs))
        if piece.stopped == "diverged" or not member.finite():
            member.restore(good)
            return Advance(member.epoch, rows, improvements, best, "diverged")
        good, closed = member.state(), _closed(member, piece)
        rows.extend(closed.rows)
        improvements.extend(closed.improvements)
        best = closed.best or best


def _closed(member: Member, chunk: Chunk) -> Advance:
    best = None if chunk.best is None else Best(*chunk.best, model=member.kept())
    return Advance(member.epoch, chunk.rows, chunk.improvements, best, chunk.stopped)
