"""A chunk of epochs: what is evaluated and logged, what is best, when a run stops, and the way back.

For engines that work epoch by epoch. The way back is a replay: every draw is a function of (seed, epoch,
step), so a chunk that met a NaN or was stopped inside an epoch is rewound to its start and run again up to
the last epoch that counts. No epoch pays for a copy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mlprun.engines import epoch as epochs
from mlprun.engines import progress as judged
from mlprun.engines.contract import Advance, Best, Improvement, Watch
from mlprun.experiment import history_metrics
from mlprun.parts.schedules import ReduceOnPlateau

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.engines.contract import Arrays, Row, State, Why
    from mlprun.engines.progress import Progress
    from mlprun.experiment import Experiment


R = TypeVar("R")
V = TypeVar("V")


class Member(Protocol[R, V]):
    """A run between `open` and the last `advance`, as an engine keeps it."""

    experiment: Experiment
    epoch: int
    progress: Progress

    def run_epoch(self, rate: float, stop: Callable[[], bool]) -> epochs.Met[R, V] | None:
        """Train one epoch at a learning rate; None when `stop` said so between batches, the epoch half done.

        Raises OverflowError for a number that the run's dtype cannot hold.
        """
        ...

    def figures(self, done: epochs.Met[R, V]) -> dict[str, Any]:
        """The metrics and extra losses of the train rows as the epoch met them."""
        ...

    def evaluate(self) -> dict[str, Any]:
        """`loss` and the figures of the dev rows as they are after the epochs so far."""
        ...

    def keep(self) -> None:
        """Remember the network as it is now: it is the best so far."""
        ...

    def kept(self) -> Arrays:
        """The network as it was at the last `keep`."""
        ...

    def finite(self) -> bool:
        """Whether every parameter is a finite number."""
        ...

    def state(self) -> State:
        """A copy of where the run stands."""
        ...

    def restore(self, state: State) -> None:
        """Stand where `state` says."""
        ...


@dataclass
class Chunk:
    """What has happened since the chunk began."""

    rows: list[Row] = field(default_factory=list)
    improvements: list[Improvement] = field(default_factory=list)
    best: tuple[int, dict[str, float]] | None = None
    stopped: Why | None = None
    torn: bool = False
    """whether an epoch was left half done"""


def advance(member: Member[R, V], until: int, watch: Watch) -> Advance:
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


def _run(member: Member[R, V], until: int, watch: Watch) -> Chunk:
    chunk = Chunk()
    while member.epoch < until and chunk.stopped is None:
        if watch.stop():
            chunk.stopped = "interrupted"
            break
        rate = epochs.rate(member.experiment.config, member.epoch, member.progress)
        try:
            done = member.run_epoch(rate, watch.stop)
        except OverflowError:
            chunk.stopped = "diverged"
            break
        if done is None:
            chunk.stopped, chunk.torn = "interrupted", True
        else:
            _judge(member, rate, done, chunk, watch)
    return chunk


def _judge(member: Member[R, V], rate: float, done: epochs.Met[R, V], chunk: Chunk, watch: Watch) -> None:
    """Evaluate and log the epoch that was just completed, and see whether the run goes on."""
    experiment, epoch, last = member.experiment, member.epoch, member.epoch == watch.epochs
    training = experiment.config.training
    dev: dict[str, float] | None = None
    if not (math.isfinite(done.loss) and math.isfinite(done.objective)):
        chunk.stopped = "diverged"
        return
    if experiment.has("dev") and (last or epoch % training.evaluate_every == 0):
        dev = member.evaluate()
        if not math.isfinite(dev["loss"]):
            chunk.stopped = "diverged"
            return
        _observe(member, dev, chunk)
    if last:
        chunk.stopped = "finished"
    if chunk.stopped is not None or epoch % training.log_every == 0:
        chunk.rows.append(_row(member, rate, done, dev))


def _observe(member: Member[R, V], dev: dict[str, float], chunk: Chunk) -> None:
    config, before, epoch = member.experiment.config, member.progress, member.epoch
    value = dev[config.best.metric.removeprefix("dev_")]
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
    every = config.training.evaluate_every
    if judged.out_of_patience(member.progress, epoch, patience, every=every):
        chunk.stopped = "early_stopping"


def _row(member: Member[R, V], rate: float, done: epochs.Met[R, V], dev: dict[str, float] | None) -> Row:
    train = member.figures(done)
    names = history_metrics(member.experiment.config)
    seen = [train[name] for name in names]
    unseen = [None if dev is None else dev[name] for name in ("loss", *names)]
    return (member.epoch, rate, done.loss, done.objective, *seen, *unseen)


def _replay(member: Member[R, V], start: State, watch: Watch) -> Advance:
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


def _closed(member: Member[R, V], chunk: Chunk) -> Advance:
    best = None if chunk.best is None else Best(*chunk.best, model=member.kept())
    return Advance(member.epoch, chunk.rows, chunk.improvements, best, chunk.stopped)
