"""The epoch protocol: what is evaluated and logged, what is best, when a run stops, and how it is rewound.

Used by every engine that steps from Python; the fused kernels have the only other copy. An engine supplies an
`EpochTrainer`. A chunk that met a NaN or was stopped inside an epoch is rewound by a replay: every draw is a
function of (seed, epoch, step), so the chunk runs again from its start up to the last epoch that counts. No
epoch pays for a copy.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from mlprun import randomness
from mlprun.engines import state_spec
from mlprun.engines.contract import (
    Arrays,
    Best,
    ChunkResult,
    Improvement,
    Plateau,
    Progress,
    Row,
    RunFailure,
    State,
    StopCondition,
    StopReason,
    never,
)
from mlprun.experiment import Experiment, history_metrics
from mlprun.parts.schedules import EpochSchedule, ReduceOnPlateau
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlprun.parts.losses import Loss
    from mlprun.schema import Config


def learning_rate(config: Config, epoch: int, progress: Progress) -> float:
    """Return the learning rate of the epoch that follows `epoch` completed ones."""
    if isinstance(config.schedule, EpochSchedule):
        return config.optimizer.lr * config.schedule.factor(epoch, config.training.epochs)
    return config.optimizer.lr * progress.plateau.factor


def row_order(config: Config, rows: int, epoch: int) -> NDArray[np.int64] | None:
    """Return the order in which an epoch visits its rows; None for the data's own.

    A full batch is one slice in any order, so it stays as it is.
    """
    training = config.training
    if not training.shuffle or training.batch_rows(rows) == rows:
        return None
    return randomness.order(training.seed, Purpose.ORDER, rows, epoch=epoch)


def mean_loss(loss: Loss, differentiated: float, weight: float) -> float:
    """Return the mean that the history shows, from a loss value with its own reduction and scale."""
    unscaled = differentiated / loss.scale
    return unscaled / (weight or 1.0) if loss.reduction == "sum" else unscaled


class EpochTotals:
    """What the batches of an epoch gave, each before its update.

    The loss and the objective are means over the batches, weighted by what was averaged; of a single batch
    they are its own numbers, not multiplied and divided.
    """

    def __init__(self, rows: Any, lr: float) -> None:
        self.rows, self.lr = rows, lr
        """rows in the order of the batches"""
        self.logits: list[Any] = []
        """per batch [B, K], values before the output activation"""
        self.loss = self.objective = 0.0
        self._sums, self._weight, self._rows = (0.0, 0.0), 0.0, 0

    def add(self, logits: Any, loss: float, objective: float, *, weight: float, rows: int) -> None:
        """Add a batch: its logits, its loss as the mean that divides by `weight`, its objective."""
        self.logits.append(logits)
        self._sums = self._sums[0] + loss * weight, self._sums[1] + objective * rows
        self._weight, self._rows = self._weight + weight, self._rows + rows
        first = len(self.logits) == 1
        self.loss = loss if first else self._sums[0] / (self._weight or 1.0)
        self.objective = objective if first else self._sums[1] / self._rows


class Rewindable(Protocol):
    """A run between `open` and the last `advance`."""

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        ...

    def is_finite(self) -> bool:
        """Return True if every parameter is a finite number."""
        ...

    def snapshot(self) -> Any:
        """Return a copy of the state, for `restore`."""
        ...

    def restore(self, snapshot: Any) -> None:
        """Continue from a snapshot."""
        ...


Train = Callable[[Any, int, StopCondition], ChunkResult]
"""trains a run up to some epochs or until a stop, without looking back"""


class EpochTrainer(Rewindable, Protocol):
    """A run that is stepped from Python."""

    experiment: Experiment
    progress: Progress

    def run_epoch(self, until: int, stop: StopCondition) -> EpochTotals | None:
        """Train one epoch; None when `stop` was met between batches, the epoch incomplete.

        It may train more epochs, up to `until`, if only the last of them is to be logged or evaluated.
        """
        ...

    def train_metrics(self, totals: EpochTotals) -> dict[str, Any]:
        """Return the metrics and extra losses of the train rows during the epoch."""
        ...

    def evaluate(self) -> dict[str, Any]:
        """Return `loss` and the metrics of the dev rows after the epochs so far."""
        ...

    def save_best(self) -> None:
        """Copy the model as it is now: it is the best so far."""
        ...

    def best_model(self) -> Arrays:
        """Return the model as it was at the last `save_best`."""
        ...


def train_epochs(trainer: EpochTrainer, until: int, stop: StopCondition) -> ChunkResult:
    """Train up to `until` epochs from Python, without looking back."""
    chunk, incomplete = _Chunk(), False
    while trainer.epoch < until and chunk.stopped is None:
        if stop():
            chunk.stopped = "interrupted"
        elif (totals := trainer.run_epoch(until, stop)) is None:
            chunk.stopped, incomplete = "interrupted", True
        else:
            _evaluate_and_log(trainer, totals, chunk)
    best = None if chunk.best is None else Best(*chunk.best, model=trainer.best_model())
    return ChunkResult(
        trainer.epoch, chunk.rows, chunk.improvements, best, chunk.stopped, incomplete=incomplete
    )


def advance(
    trainer: Rewindable,
    until: int,
    stop: StopCondition,
    train: Train = train_epochs,
) -> ChunkResult:
    """Train one run up to `until` completed epochs, or until it stops."""
    start = trainer.snapshot()
    result = train(trainer, until, stop)
    if result.incomplete:
        trainer.restore(start)
        result = replace(train(trainer, result.epoch, never), stopped="interrupted")
    # the last epoch's losses do not show it: train came before the update, dev may hide an infinite weight
    if result.stopped == "diverged" or not trainer.is_finite():
        failed = trainer.epoch
        trainer.restore(start)
        return _replay(trainer, failed, train)
    return result


def _replay(trainer: Rewindable, failed: int, train: Train) -> ChunkResult:
    """Train up to the last epoch whose metrics and parameters are finite; those of epoch `failed` are not.

    A number that is not finite stays so. The last 1, 2, 4, ... epochs are left out until those before are
    finite, and from there the search goes on upwards.
    """
    pieces: list[ChunkResult] = []
    good, back = trainer.snapshot(), 1
    while failed - trainer.epoch > 1:
        target = max(trainer.epoch + 1, failed - back)
        piece = train(trainer, target, never)
        if piece.stopped != "diverged" and trainer.is_finite():
            good, back = trainer.snapshot(), (failed - target) // 2
            pieces.append(piece)
        else:
            failed, back = trainer.epoch, 2 * back
            trainer.restore(good)
    rows = [row for piece in pieces for row in piece.rows]
    improvements = [improvement for piece in pieces for improvement in piece.improvements]
    best = next((piece.best for piece in reversed(pieces) if piece.best is not None), None)
    return ChunkResult(trainer.epoch, rows, improvements, best, "diverged")


@dataclass
class _Chunk:
    """What has happened since the chunk began."""

    rows: list[Row] = field(default_factory=list)
    improvements: list[Improvement] = field(default_factory=list)
    best: tuple[int, dict[str, float]] | None = None
    stopped: StopReason | None = None


def _evaluate_and_log(trainer: EpochTrainer, totals: EpochTotals, chunk: _Chunk) -> None:
    """Evaluate and log the epoch that was just completed, and decide whether the run continues."""
    training, epoch = trainer.experiment.config.training, trainer.epoch
    last = epoch == training.epochs
    dev: dict[str, float] | None = None
    if not (math.isfinite(totals.loss) and math.isfinite(totals.objective)):
        chunk.stopped = "diverged"
        return
    if trainer.experiment.has("dev") and (last or epoch % training.evaluate_every == 0):
        dev = trainer.evaluate()
        if not math.isfinite(dev["loss"]):
            chunk.stopped = "diverged"
            return
        _observe_dev(trainer, dev, chunk)
    if last:
        chunk.stopped = "finished"
    if chunk.stopped is not None or epoch % training.log_every == 0:
        chunk.rows.append(_row(trainer, totals, dev))


def _observe_dev(trainer: EpochTrainer, dev: dict[str, float], chunk: _Chunk) -> None:
    config, before, epoch = trainer.experiment.config, trainer.progress, trainer.epoch
    value = dev[config.best.metric.removeprefix("dev_")]
    stopping = config.early_stopping
    progress = observe(before, epoch, value, config.best.mode, stopping.min_delta if stopping else 0.0)
    if progress.best_epoch == epoch:
        chunk.improvements.append(Improvement(epoch, before.best_value, value))
        chunk.best = (epoch, dev)
        trainer.save_best()
    if isinstance(config.schedule, ReduceOnPlateau):
        progress = observe_plateau(progress, value, config.best.mode, config.schedule, lr=config.optimizer.lr)
    trainer.progress = progress
    patience = stopping.patience if stopping else None
    if out_of_patience(progress, epoch, patience, every=config.training.evaluate_every):
        chunk.stopped = "early_stopping"


def _row(trainer: EpochTrainer, totals: EpochTotals, dev: dict[str, float] | None) -> Row:
    train, names = trainer.train_metrics(totals), history_metrics(trainer.experiment.config)
    of_dev = [None if dev is None else dev[name] for name in ("loss", *names)]
    of_train = [train[name] for name in names]
    return (trainer.epoch, totals.lr, totals.loss, totals.objective, *of_train, *of_dev)


def improves(value: float, best: float | None, mode: str) -> bool:
    """Return True if `value` is strictly better than `best`; nan never is, any number is better than none."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value < best if mode == "min" else value > best


def observe(progress: Progress, epoch: int, value: float, mode: str, min_delta: float = 0.0) -> Progress:
    """Return the progress after the watched dev metric was `value` at `epoch`.

    Any strictly better value is the best; patience counts from one that is better by more than `min_delta`.
    """
    if math.isnan(value):
        return replace(progress, undefined=progress.undefined + 1)
    before = progress.reference or (progress.best_epoch, progress.best_value)
    moves = improves(value + (min_delta if mode == "min" else -min_delta), before[1], mode)
    if improves(value, progress.best_value, mode):
        progress = replace(progress, best_epoch=epoch, best_value=value)
    reference: Any = (epoch, value) if moves else before
    return replace(
        progress,
        undefined=0 if moves else progress.undefined,
        reference=None if reference[0] == progress.best_epoch else reference,
    )


def observe_plateau(
    progress: Progress, value: float, mode: str, schedule: ReduceOnPlateau, *, lr: float
) -> Progress:
    """Return the progress after the plateau schedule saw `value`; nan is ignored.

    `lr` is the config's learning rate.
    """
    if math.isnan(value):
        return progress
    state = progress.plateau
    best, bad, cooldown, factor = state.best, state.bad_evaluations, state.cooldown_left, state.factor
    if schedule.improves(value, best, mode):
        best, bad = value, 0
    else:
        bad += 1
    if cooldown > 0:
        cooldown, bad = cooldown - 1, 0
    if bad > schedule.patience:
        factor, cooldown, bad = schedule.cut(factor, lr), schedule.cooldown, 0
    return replace(progress, plateau=Plateau(factor, best, bad, cooldown))


def out_of_patience(progress: Progress, epoch: int, patience: int | None, *, every: int = 1) -> bool:
    """Return True if `patience` epochs have passed since the one that it counts from.

    Epochs whose metric was nan do not count. An evaluation stands for the `every` epochs up to it.
    """
    passed = epoch - progress.patience_start - progress.undefined * every
    return patience is not None and passed >= patience


def advance_run(run: Callable[[], ChunkResult]) -> ChunkResult | RunFailure:
    """Advance one run of a cohort, with the time it took; its exception becomes a RunFailure."""
    start = time.perf_counter()
    try:
        result = run()
    except Exception as error:  # noqa: BLE001 -- the trainer raises it again or records it with this run
        return RunFailure(error)
    return replace(result, seconds=time.perf_counter() - start)


class SequentialTrainer(EpochTrainer, Protocol):
    """An EpochTrainer whose state can be saved, and which can return the next step's gradient."""

    def state(self) -> State:
        """Return a copy of the run's state."""
        ...

    def next_gradient(self) -> Arrays:
        """Return the gradient of the next step's objective by parameter name, before clipping."""
        ...


S = TypeVar("S", bound=SequentialTrainer)


class SequentialEngine(Generic[S]):
    """Base of the engines that train their runs one after another, step by step."""

    name: str
    trainer: Callable[[Experiment, State, str], S]
    """makes a live run that continues from a state, on a device"""
    unsupported_reason: Callable[[Experiment], str | None]
    optimizer_spec: Callable[[Experiment, State], state_spec.OptimizerSpec | None]
    """what the optimizer keeps in a state; None if that is not known"""
    evaluate: Callable[..., dict[str, dict[str, Any]]]
    outputs: Callable[..., NDArray[Any]]

    def cohort_key(self, experiment: Experiment) -> Hashable:
        """Return the same key for every run: they are trained one after another."""
        return self.name

    def warm_up(self, experiment: Experiment, message: Callable[[str], None]) -> None:
        """Nothing needs to be done."""

    def initial_state(self, experiment: Experiment) -> State:
        """Return the state at epoch 0."""
        return State(0, experiment.initial())

    def gradients(self, experiment: Experiment, state: State, *, device: str) -> Arrays:
        """Return the gradient of the first step after `state`."""
        return self.trainer(experiment, state, device).next_gradient()

    def validate_state(self, experiment: Experiment, state: State) -> str | None:
        """Return what is wrong with an optimizer's state; None for an optimizer that a user wrote."""
        if state.epoch == 0:
            return state_spec.untrained_state_error(state)
        known = self.optimizer_spec(experiment, state)
        averages = experiment.config.training.average is not None
        return None if known is None else state_spec.state_error(state, known, averages=averages)

    def open(
        self,
        experiments: Sequence[Experiment],
        states: Sequence[State],
        *,
        device: str,
        threads: int | None = None,
    ) -> list[S]:
        """Return live runs that continue from the given states."""
        pairs = zip(experiments, states, strict=True)
        return [self.trainer(experiment, state, device) for experiment, state in pairs]

    def states(self, cohort: Sequence[S], which: Sequence[int]) -> list[State]:
        """Return copies of the states of the selected runs."""
        return [cohort[index].state() for index in which]

    def advance(
        self, cohort: Sequence[S], until: Sequence[int], stop: StopCondition
    ) -> list[ChunkResult | RunFailure]:
        """Train each run up to its own number of completed epochs, or until it stops."""
        return [
            advance_run(lambda: advance(trainer, end, stop))  # noqa: B023 -- called at once
            if trainer.epoch < end
            else ChunkResult(trainer.epoch)
            for trainer, end in zip(cohort, until, strict=True)
        ]
