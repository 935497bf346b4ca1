"""A run from its first checkpoint to its final figures, new or resumed, with the status that goes with it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlprun import engines, evaluation
from mlprun.engines import device as devices
from mlprun.experiment import SPLITS
from mlprun.storage import canonical, runs
from mlprun.storage.runs import RunState, Status
from mlprun.training.expected import EXPECTED, as_expected
from mlprun.training.loop import Course, Reporter, follow
from mlprun.training.record import Record
from mlprun.training.recorded import as_yaml, code_of, describe, stored_config
from mlprun.training.signals import StopFlag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.engines import Best, Engine, State
    from mlprun.engines.contract import Arrays, StopReason
    from mlprun.experiment import Experiment
    from mlprun.schema import Config
    from mlprun.storage.runs import RunFolder
    from mlprun.training.state import Saved


@dataclass(frozen=True)
class Ended:
    """How a training came to its end; `signal_number` names the signal that interrupted it."""

    folder: RunFolder
    stopped: StopReason
    epoch: int
    signal_number: int | None = None


@dataclass(frozen=True)
class Session:
    """What a training works with, new or resumed."""

    experiment: Experiment
    folder: RunFolder
    engine: Engine
    device: str
    constants: Mapping[str, Any]
    """the metadata that all checkpoints of the run share"""
    reporter: Reporter
    seconds: float = 0.0
    """of training before this session"""
    differences: tuple[str, ...] = ()
    """what is not as it was recorded when the run was started"""
    extended: tuple[int, ...] = ()
    """the epochs that the run went to before each extension"""
    pause: int | None = None
    """an epoch to stop at"""

    def status(self, state: RunState, epochs: int, seconds: float, *told: Any) -> Status:
        """The status of this run; `seconds` are those of this session, `told` the figures and the reason."""
        status = Status(state, epochs, self.seconds + max(0.0, seconds), *told)
        return replace(status, differences=self.differences, extended=self.extended)


def start(experiment: Experiment, *, out: str, reporter: Reporter, pause: int | None = None) -> Ended:
    """Train a new run in a new folder below `out`; up to an epoch `pause`, it ends there as interrupted.

    Raises UsageError, DeviceError or FileError before a folder exists when it cannot be done as asked.
    """
    experiment = evaluation.check_initial_weights(experiment)
    config = experiment.config
    engine, why = engines.choose(experiment, config.engine)
    device = devices.resolve(config.device)
    experiment.check_size()
    engine.initial_state(experiment)  # fails before a folder exists, as for a weights file of other shapes
    engine.warm_up(experiment, reporter.say)
    code = code_of(config)
    # every folder below `out` lies equally deep, so paths relative to it hold whatever its number will be
    stored = stored_config(config, os.path.join(out, config.name))
    record = describe(experiment, engine=engine.name, why=why, device=device, code=code, stored=stored)
    constants = constants_of(experiment, stored, engine)
    with StopFlag() as stop:
        folder, lock = runs.create(out, config.name, config=as_yaml(stored), record=record, code=code)
        with lock:
            session = Session(experiment, folder, engine, device, constants, reporter, pause=pause)
            return carry_out(session, None, None, stop)


def never_a_number(config: Config) -> str:
    """Why a run that evaluated dev rows has no best epoch."""
    watching = [name for name in ("early_stopping",) if config.early_stopping is not None]
    watching += [config.schedule.name] if config.schedule.plateau else []
    idle = f", and {' and '.join(watching)} had nothing to go by" if watching else ""
    return f"{config.best.metric} was not a number at any evaluation: there is no best epoch{idle}"


def constants_of(experiment: Experiment, stored: Mapping[str, Any], engine: Engine) -> dict[str, Any]:
    """The metadata that all checkpoints of a run share."""
    return {
        "config": canonical.prepare(stored),
        "preprocessing": canonical.prepare(experiment.preprocessing.to_json()),
        "data_digest": experiment.digest(),
        "engine": engine.name,
    }


def carry_out(session: Session, saved: Saved | None, best: Best | None, stop: StopFlag) -> Ended:
    """Train to the end and write the status; the caller holds the lock and catches signals."""
    config = session.experiment.config
    standing = Standing(session, 0 if saved is None else saved.state.epoch)
    with devices.computing(config.training.threads, session.device):
        try:
            stopped, state, best = _follow(session, saved, best, stop, standing)
            if best is None and state.progress.undefined:
                session.reporter.say(f"warning: {never_a_number(config)}")
            figures = final_figures(session.experiment, state, best, device=session.device)
        except Exception as error:
            told = as_expected(error)
            if not isinstance(told, EXPECTED):
                raise
            standing.end("failed", {}, str(told))
            if told is error:
                raise
            raise told from error
    standing.end("finished" if stopped == "early_stopping" else stopped, figures, stopped)
    stop.finished = stopped in ("finished", "early_stopping")
    return Ended(session.folder, stopped, state.epoch, stop.number)


def _follow(
    session: Session, saved: Saved | None, best: Best | None, stop: StopFlag, standing: Standing
) -> tuple[StopReason, State, Best | None]:
    experiment, engine = session.experiment, session.engine
    course = Course(engine, session.device, stop, session.reporter, standing.saved, session.pause)
    with Record(session.folder, experiment, session.constants, begins=saved is None) as record:
        if saved is None:
            state = engine.initial_state(experiment)
            record.begin(state)
        else:
            state = saved.state
            record.go_on(saved, best)
        session.reporter.begin(session.folder.path, experiment, state.epoch)
        if saved is not None and saved.stopped is not None:
            return saved.stopped, state, best
        stopped, state = follow(experiment, state, record, course)
        return stopped, state, record.best


def final_figures(experiment: Experiment, state: State, best: Best | None, *, device: str) -> dict[str, Any]:
    """What status.json keeps: `best` (None without dev rows), `last` and `baselines`, with `splits`.

    `positive` names the class, of two, that precision, recall and the like are of.
    """
    config = experiment.config
    last = _measured(experiment, state.model, state.epoch, device)
    first = None
    if best is not None:
        name = config.best.metric.removeprefix("dev_")
        first = {
            "epoch": best.epoch,
            "metric": config.best.metric,
            "value": best.metrics[name],
            "splits": last
            if best.epoch == state.epoch
            else _measured(experiment, best.model, best.epoch, device),
        }
    rows = evaluation.split_tensors(experiment, SPLITS, epoch=state.epoch, device="cpu")
    classes = experiment.classes or ()
    return {
        "positive": classes[1] if len(classes) == 2 else None,
        "best": first,
        "last": {"epoch": state.epoch, "splits": last},
        "baselines": evaluation.baselines(experiment, rows),
    }


def _measured(experiment: Experiment, model: Arrays, epoch: int, device: str) -> evaluation.SplitMetrics:
    network = experiment.filled_network(model).to(device)
    rows = evaluation.split_tensors(experiment, SPLITS, epoch=epoch, device=device)
    return evaluation.evaluate(experiment, network, rows)


SOONEST = 1.0
"""seconds of training before they are recorded for the first time"""
GROWTH = 1.1
"""how much larger the seconds are each time that they are recorded"""


class Standing:
    """Writes the status of a session at its begin and end and, beside checkpoints, now and then.

    Of a run that is killed the last seconds are not counted: one, or a tenth of them all. To record them with
    every checkpoint would make each cost more.
    """

    def __init__(self, session: Session, epoch: int) -> None:
        self._session, self._began, self._epoch = session, time.monotonic(), epoch
        self._next = SOONEST
        self._write("running")

    def saved(self, epoch: int) -> None:
        """A checkpoint of this epoch has been written."""
        self._epoch = epoch
        if self._seconds >= self._next:
            self._write("running")
            self._next = GROWTH * self._seconds

    def end(self, state: RunState, figures: dict[str, Any], reason: str) -> None:
        """The session is over, at the epoch that was saved last."""
        self._write(state, figures, reason)

    @property
    def _seconds(self) -> float:
        return max(0.0, time.monotonic() - self._began)

    def _write(self, state: RunState, *told: Any) -> None:
        self._session.folder.write_status(self._session.status(state, self._epoch, self._seconds, *told))
