"""A run from its folder to its final figures: started from a config, or resumed where it stopped."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import yaml

from mlprun import config as reading
from mlprun import engines, files, schema
from mlprun.engines import device as devices
from mlprun.errors import CheckpointError, MlprunError, OutOfMemoryError, UsageError
from mlprun.experiment import Experiment
from mlprun.experiment.preprocessing import Preprocessing
from mlprun.storage import provenance, runs
from mlprun.storage.status import State as Standing
from mlprun.storage.status import Status
from mlprun.training.final import final_figures
from mlprun.training.loop import Course, Reporter, follow
from mlprun.training.record import Record
from mlprun.training.signals import StopFlag
from mlprun.training.state import best_from, saved_from

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlprun.engines import Best, Engine, State
    from mlprun.engines.contract import Why
    from mlprun.schema import Config
    from mlprun.storage.runs import RunFolder
    from mlprun.training.state import Saved

MAX_CODE = 1_000_000
"""bytes of one file of user code"""


@dataclass(frozen=True)
class Ended:
    """How a training came to its end; `signal_number` names the signal that interrupted it."""

    folder: RunFolder
    stopped: Why
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


def start(experiment: Experiment, *, out: str, reporter: Reporter) -> Ended:
    """Train a new run in a new folder below `out`.

    Raises UsageError, DeviceError or FileError before a folder exists when it cannot be done as asked.
    """
    config = experiment.config
    engine, why = engines.choose(experiment, config.engine)
    device = devices.resolve(config.device)
    code = _code(config)
    # every folder below `out` lies equally deep, so paths relative to it hold whatever its number will be
    stored = _stored(config, os.path.join(out, config.name))
    constants = {"config": stored, "preprocessing": experiment.preprocessing.to_json(), "engine": engine.name}
    record = _record(experiment, engine=engine.name, why=why, device=device, code=code, stored=stored)
    folder, lock = runs.create(out, config.name, config=_yaml(stored), record=record, code=code)
    with lock:
        return _run(Session(experiment, folder, engine, device, constants, reporter), None, None)


def resume(
    folder: RunFolder, *, reporter: Reporter, epochs: int | None = None, allow_code: bool = False
) -> Ended:
    """Go on exactly where a run stopped; with `epochs` a finished run is extended to so many.

    Raises CheckpointError, RunInUseError, and UsageError for a run that cannot be extended.
    """
    with folder.lock():
        last = folder.load_last()
        saved = best = preprocessing = None
        if last is None:  # killed before its first checkpoint: begin again
            config = schema.load(folder.config, allow_code=allow_code)
        else:
            if last.damage is not None:
                reporter.say(f"{last.damage}; going on from {last.path}")
                folder.mend_last()
            meta = last.checkpoint.meta
            document = reading.from_mapping(meta["config"], folder.path, last.path)
            config = schema.parse(document, allow_code=allow_code, data=False)
            preprocessing = Preprocessing.from_json(meta["preprocessing"])
            saved = saved_from(last.checkpoint, last.path)
            best = _best(folder, saved)
        if epochs is not None:
            config, saved = _extended(config, epochs), _unfinished(saved)
        experiment = Experiment.of(config, preprocessing=preprocessing)
        engine, _ = engines.choose(experiment, str(folder.record()["engine"]))
        stored = _stored(config, folder.path)
        constants = {
            "config": stored,
            "preprocessing": experiment.preprocessing.to_json(),
            "engine": engine.name,
        }
        device, seconds = devices.resolve(config.device), _seconds(folder)
        session = Session(experiment, folder, engine, device, constants, reporter, seconds)
        ended = _run(session, saved, best)
        folder.write_config(_yaml(stored))  # an extension has changed it
        return ended


def _run(session: Session, saved: Saved | None, best: Best | None) -> Ended:
    """Train to the end and write the status; the caller holds the lock."""
    folder, config = session.folder, session.experiment.config
    folder.write_status(Status("running", 0 if saved is None else saved.state.epoch, session.seconds))
    began = time.monotonic()
    with _computing(config, session.device), StopFlag() as stop:
        try:
            stopped, state, best = _follow(session, saved, best, stop)
            figures = final_figures(session.experiment, state, best, device=session.device)
        except (MlprunError, MemoryError, RuntimeError) as error:
            told = _as_expected(error)
            folder.write_status(
                Status("failed", 0, session.seconds + time.monotonic() - began, {}, str(told))
            )
            if told is error:
                raise
            raise told from error
    status: Standing = "finished" if stopped == "early_stopping" else stopped
    seconds = session.seconds + time.monotonic() - began
    folder.write_status(Status(status, state.epoch, seconds, figures, stopped))
    return Ended(folder, stopped, state.epoch, stop.number)


def _follow(
    session: Session, saved: Saved | None, best: Best | None, stop: StopFlag
) -> tuple[Why, State, Best | None]:
    experiment, engine = session.experiment, session.engine
    course = Course(engine, session.device, stop, session.reporter)
    with Record(session.folder, experiment, session.constants) as record:
        if saved is None:
            state = engine.start(experiment)
            record.begin(state)
        else:
            state = saved.state
            record.go_on(saved, best)
        session.reporter.begin(session.folder.path, experiment, state.epoch)
        if saved is not None and saved.stopped is not None:
            return saved.stopped, state, best
        stopped, state = follow(experiment, state, record, course)
        return stopped, state, record.best


def _seconds(folder: RunFolder) -> float:
    """The seconds of training so far; a damaged status is written anew, and is no reason not to go on."""
    try:
        return folder.status().seconds
    except CheckpointError:
        return 0.0


def _extended(config: Config, epochs: int) -> Config:
    """The config with more epochs. Raises UsageError where that would change the epochs that were run."""
    known = config.training.epochs
    if config.schedule.depends_on_total:
        what = f"the {config.schedule.name} schedule depends on the number of epochs"
        raise UsageError(
            "--epochs", f"this run cannot be extended: {what}", "train it again with more epochs"
        )
    if epochs <= known:
        raise UsageError("--epochs", f"the run already goes to {known}", f"give more than {known}")
    return config.model_copy(update={"training": config.training.model_copy(update={"epochs": epochs})})


def _unfinished(saved: Saved | None) -> Saved | None:
    """The state of a run that goes on to more epochs. Raises UsageError for one that would stop at once."""
    if saved is None:
        return None
    if saved.stopped == "early_stopping":
        what = f"the run stopped early at epoch {saved.state.epoch}, and would again"
        raise UsageError("--epochs", what, "train it again with more patience")
    return saved.going_on()


def _best(folder: RunFolder, saved: Saved) -> Best | None:
    """The best model that `saved` knows of; one that is newer will be found again."""
    if saved.state.progress.best_value is None:
        return None
    best = best_from(folder.load_best())
    if best.epoch < saved.state.progress.best_epoch:
        what = f"is of epoch {best.epoch}, and {folder.last} knows a better one"
        raise CheckpointError(folder.best, what, "restore it from a copy or train again")
    return best if best.epoch == saved.state.progress.best_epoch else None


def _code(config: Config) -> dict[str, bytes]:
    """The user's source files by the name under which the run folder keeps them."""
    code: dict[str, bytes] = {}
    for path in config.extend:
        name = os.path.basename(path)
        if name in code or name.startswith("."):
            what = f"{name} cannot be copied into the run folder under its own name"
            raise UsageError("extend", what, "give each file a name of its own, without a dot in front")
        code[name] = files.read_bytes(path, cap=MAX_CODE)
    return code


def _stored(config: Config, folder: str) -> dict[str, Any]:
    """The config as the run folder keeps it: user code lies in the folder under its own name."""
    stored = schema.dump(config, folder)
    if config.extend:
        stored["extend"] = [os.path.basename(path) for path in config.extend]
    return stored


def _yaml(stored: Mapping[str, Any]) -> str:
    return yaml.safe_dump(stored, sort_keys=False, allow_unicode=True, width=110)


def _record(
    experiment: Experiment,
    *,
    engine: str,
    why: str,
    device: str,
    code: Mapping[str, bytes],
    stored: Mapping[str, Any],
) -> dict[str, Any]:
    """run.json: what was run, where and with what."""
    config = experiment.config
    assert config.dataset.seed is not None
    told = provenance.record(
        config_digest=hashlib.sha256(_yaml(stored).encode()).hexdigest(),
        data_digest=experiment.digest(),
        seeds={"training": config.training.seed, "dataset": config.dataset.seed},
        threads=config.training.threads,
        device=device,
        engine=engine,
        engine_reason=why,
    )
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in code.items()}
    return {"name": config.name, "device_kind": _device_kind(device), "code": digests, **told}


def _device_kind(device: str) -> str:
    return "cpu" if device == "cpu" else torch.cuda.get_device_name(device)


@contextmanager
def _computing(config: Config, device: str) -> Iterator[None]:
    """The threads and the determinism that the config asks for, for as long as the run trains."""
    former = torch.get_num_threads()
    torch.set_num_threads(config.training.threads)
    try:
        with devices.deterministic(device):
            yield
    finally:
        torch.set_num_threads(former)


def _as_expected(error: Exception) -> Exception:
    """The failure as a user should meet it: memory that ran out is told as such."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        what = "memory ran out while training; the last checkpoint is intact"
        return OutOfMemoryError("memory", what, "use fewer rows, smaller layers or a smaller batch")
    return error
