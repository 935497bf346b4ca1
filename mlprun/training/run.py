"""A run from its first checkpoint to its final metrics, new or resumed, with the status that goes with it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mlprun import engines, evaluation
from mlprun.engines import Best, Engine, State
from mlprun.engines import device as devices
from mlprun.errors import MlprunError, UsageError
from mlprun.evaluation.baselines import OPTIONAL, baselines, boosting
from mlprun.experiment import SPLITS, Experiment, SplitArrays
from mlprun.interrupts import StopFlag
from mlprun.storage import runs
from mlprun.storage.runs import RunFolder, RunState, Status
from mlprun.training import tracking
from mlprun.training.metadata import as_yaml, code_of, describe, memory_of, stored_config
from mlprun.training.recorder import RunRecorder, TrainState
from mlprun.training.trainer import (
    EXPECTED,
    Callback,
    ChunkScheduler,
    Trainer,
    TrainingRun,
    check_callbacks,
    emit,
    translate_error,
)
from mlprun.version import NUMERICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlprun.engines.contract import Arrays, StopReason
    from mlprun.engines.evaluation import SplitMetrics
    from mlprun.evaluation import Decision


@dataclass(frozen=True)
class TrainResult:
    """How a training ended; `signal_number` is that of the signal that interrupted it."""

    folder: RunFolder
    stopped: StopReason
    epoch: int
    signal_number: int | None = None


@dataclass(frozen=True)
class TrainContext:
    """What a training works with, new or resumed."""

    experiment: Experiment
    folder: RunFolder
    engine: Engine
    device: str
    constants: Mapping[str, Any]
    """the metadata that all checkpoints of the run share"""
    before: Status
    """the status after earlier sessions, with what is not as it was recorded when the run was started"""
    callbacks: Sequence[Any] = ()
    pause: int | None = None
    """an epoch to stop at"""
    baselines: Sequence[str] = ()
    """those of `OPTIONAL` that are computed beside the usual ones"""

    def evaluate(self, model: Arrays, epoch: int) -> dict[str, Any]:
        """Return `splits`, the metrics of the model after `epoch` epochs, and `decision`, if there is one."""
        rows = evaluation.split_rows(self.experiment, SPLITS, epoch=epoch)
        experiment, decision = self.experiment, self.decide(model, epoch)
        if decision is not None:
            experiment, model = evaluation.decided(experiment, model, decision)
        splits = self.engine.evaluate(experiment, model, rows, device=self.device)
        return {"splits": splits} | ({} if decision is None else {"decision": decision.to_json()})

    def decide(self, model: Arrays, epoch: int) -> Decision | None:
        """Choose on dev what the config asks for; None where it asks for nothing."""
        if not self.experiment.config.decides_on_dev:
            return None
        return evaluation.decide(self.experiment, self.engine, model, epoch=epoch, device=self.device)


def start(
    experiment: Experiment,
    *,
    out: str,
    callbacks: Sequence[Any] = (),
    pause: int | None = None,
    baselines: Sequence[str] = (),
) -> TrainResult:
    """Train a new run in a new folder below `out`; up to an epoch `pause`, it ends there as interrupted.

    `baselines` are those of `OPTIONAL` that are computed beside the usual ones.

    Raises UsageError, DeviceError or FileError before a folder exists when it cannot be done as asked.
    """
    check_callbacks(callbacks)
    for name in baselines:
        if name not in OPTIONAL:
            raise UsageError("baselines", f"unknown baseline {name!r}", f"use {', '.join(OPTIONAL)}")
    experiment = evaluation.check_initial_weights(experiment)
    config = experiment.config
    engine, why = engines.choose(experiment, config.engine)
    device = devices.resolve(config.device)
    experiment.check_size()
    for tracker in config.trackers:
        tracker.check()
    engine.initial_state(experiment)  # fails before a folder exists, as for a weights file of other shapes
    engine.warm_up(experiment, lambda message: emit(callbacks, "on_message", message))
    code, memory = code_of(config), memory_of(config)
    # every folder below `out` lies equally deep, so paths relative to it hold whatever its number will be
    stored = stored_config(config, os.path.join(out, config.name))
    text = as_yaml(stored)
    record = describe(
        experiment, engine=engine.name, why=why, device=device, code=code, stored=stored, text=text
    )
    if baselines:
        record["baselines"] = list(baselines)
    constants = constants_of(experiment, stored, engine)
    with StopFlag() as stop:
        data = None if memory is None else memory.content
        folder, lock = runs.create(out, config.name, config=text, record=record, code=code, data=data)
        with lock:
            new = Status("running")
            context = TrainContext(
                experiment, folder, engine, device, constants, new, callbacks, pause, baselines
            )
            return train(context, None, stop)


def constants_of(experiment: Experiment, stored: Mapping[str, Any], engine: Engine) -> dict[str, Any]:
    """Return the metadata that all checkpoints of a run share."""
    return {
        "config": stored,
        "preprocessing": experiment.preprocessing.to_json(),
        "data_digest": experiment.digest(),
        "engine": engine.name,
        "numerics": NUMERICS,
    }


def train(context: TrainContext, saved: TrainState | None, stop: StopFlag) -> TrainResult:
    """Train to the end and write the status; the caller holds the lock and catches signals."""
    experiment = context.experiment
    status = StatusWriter(context, 0 if saved is None else saved.state.epoch)
    run: TrainingRun | None = None
    with devices.compute_context(experiment.config.training.threads, context.device):
        try:
            state = context.engine.initial_state(experiment) if saved is None else saved.state
            folder = context.folder
            run = TrainingRun(
                experiment, state, until=context.pause, path=folder.path, checkpoint=folder.last
            )
            best = _fit(run, context, saved, stop, status)
            if best is None and run.state.progress.undefined:
                what = f"{experiment.config.best.metric} was not a number at any evaluation"
                emit(run.callbacks, "on_message", f"warning: {what}: there is no best epoch")
            run.final_metrics = final_metrics(context, run.state, best)
        except Exception as error:
            translated = translate_error(error)
            expected = isinstance(translated, EXPECTED)
            if expected:
                status.write("failed", reason=str(translated))
            if run is not None:
                run.error = translated
                emit(run.callbacks, "on_train_end", run)
            if translated is error or not expected:
                raise
            raise translated from error
    assert run is not None
    stopped = run.stop_reason or "interrupted"  # at `pause`
    stop.finished = stopped in _FINISHED
    reason = f"callback: {run.stop_message}" if stopped == "callback" else stopped
    status.write("finished" if stop.finished else stopped, run.final_metrics, reason)  # type: ignore[arg-type]
    emit(run.callbacks, "on_train_end", run)
    return TrainResult(context.folder, stopped, run.epoch, stop.number)


_FINISHED = ("finished", "early_stopping", "callback")


def _fit(
    run: TrainingRun,
    context: TrainContext,
    saved: TrainState | None,
    stop: StopFlag,
    status: StatusWriter,
) -> Best | None:
    """Train a run into its folder; returns its best evaluation, of this session or before."""
    constants, decide = context.constants, context.decide
    with RunRecorder(context.folder, run.experiment, constants, decide, anew=saved is None) as recorder:
        if saved is None:
            recorder.begin(run.state)
        else:
            recorder.restore(saved)
            run.stop_reason = saved.stopped
        own = [part.build() for part in run.config.callbacks]
        if run.config.trackers:
            say = partial(emit, context.callbacks, "on_message")
            track = partial(tracking.Tracking, run.config.trackers, say=say, stop=stop)
            own.append(track(allow_code=bool(run.config.extend)))
        run.callbacks = [recorder, status, *context.callbacks, *own]
        trainer = Trainer(context.engine, [run], device=context.device, stop=stop, scheduler=ChunkScheduler())
        trainer.fit()
        run.raise_for_error()
        return recorder.best


def final_metrics(context: TrainContext, state: State, best: Best | None) -> dict[str, Any]:
    """Return what status.json keeps: `best` (None without dev rows), `last` and `baselines`, with `splits`.

    The first two have a `decision` where something was chosen on dev. `positive` names the class, of two,
    that precision, recall and the like are of.
    """
    experiment = context.experiment
    watched = experiment.config.best.metric
    last, first = context.evaluate(state.model, state.epoch), None
    if best is not None:
        metrics = last if best.epoch == state.epoch else context.evaluate(best.model, best.epoch)
        value = best.metrics[watched.removeprefix("dev_")]
        first = {"epoch": best.epoch, "metric": watched, "value": value, **metrics}
    rows = evaluation.split_rows(experiment, SPLITS, epoch=state.epoch)
    classes = experiment.classes or ()
    return {
        "positive": classes[1] if len(classes) == 2 else None,
        "best": first,
        "last": {"epoch": state.epoch, **last},
        "baselines": {**baselines(experiment, rows), **_optional_baselines(context, rows)},
    }


def _optional_baselines(context: TrainContext, rows: Mapping[str, SplitArrays]) -> dict[str, SplitMetrics]:
    """Return the baselines that were asked for; a message says why one is missing, and the run ends well."""
    try:
        return boosting(context.experiment, rows) if "boosting" in context.baselines else {}
    except MlprunError as error:
        emit(context.callbacks, "on_message", f"warning: {error}")
        return {}


class StatusWriter(Callback):
    """Writes the status of a session at its begin and end and, beside checkpoints, now and then.

    If a run is killed, the last seconds are not counted: one, or a tenth of them all. To record them with
    every checkpoint would make each cost more.
    """

    FIRST, GROWTH = 1.0, 1.1
    """seconds of training before they are recorded for the first time, and their growth between records"""

    def __init__(self, context: TrainContext, epoch: int) -> None:
        self._folder, self._before = context.folder, context.before
        self._began, self._epoch, self._next = time.monotonic(), epoch, self.FIRST
        self.write("running")

    def on_checkpoint(self, run: TrainingRun, epoch: int) -> None:
        """Record the epoch, and the seconds if they have grown enough."""
        self._epoch = epoch
        if self._seconds >= self._next:
            self.write("running")
            self._next = self.GROWTH * self._seconds

    @property
    def _seconds(self) -> float:
        return max(0.0, time.monotonic() - self._began)

    def write(self, state: RunState, metrics: Mapping[str, Any] | None = None, reason: str = "") -> None:
        """Write the status at the epoch that was saved last."""
        seconds, figures = self._before.seconds + self._seconds, dict(metrics or {})
        status = replace(self._before, state=state, epochs=self._epoch, seconds=seconds)
        self._folder.write_status(replace(status, figures=figures, reason=reason))
