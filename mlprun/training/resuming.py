"""A run that goes on: what it was is read from its newest checkpoint, and compared with what is here now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlprun import config as reading
from mlprun import engines, evaluation, schema
from mlprun.engines import device as devices
from mlprun.errors import CheckpointError, UsageError
from mlprun.experiment import Experiment
from mlprun.experiment.preprocessing import Preprocessing
from mlprun.storage.status import Status
from mlprun.training.recorded import as_yaml, differences, record_of, refuse_other_rows, stored_config
from mlprun.training.run import Ended, Session, carry_out, constants_of
from mlprun.training.signals import StopFlag
from mlprun.training.state import best_from, saved_from

if TYPE_CHECKING:
    from mlprun.engines import Best
    from mlprun.schema import Config
    from mlprun.storage.runs import Last, RunFolder
    from mlprun.training.loop import Reporter
    from mlprun.training.state import Saved


def resume(
    folder: RunFolder,
    *,
    reporter: Reporter,
    epochs: int | None = None,
    device: str | None = None,
    allow_code: bool = False,
) -> Ended:
    """Go on exactly where a run stopped; with `epochs` a finished run is extended to so many.

    `device: auto` stays what it was when the run was started; `device` here names another one.
    Raises CheckpointError, RunInUseError, DataError for rows that changed since, and UsageError for a run
    that cannot be extended.
    """
    with folder.lock():
        record, status = record_of(folder), _status(folder)
        last = folder.load_last()
        if last is not None and last.damage is not None:
            reporter.say(f"{last.damage}; going on from {last.path}")
            folder.mend_last()
        config = _config(folder, last, allow_code=allow_code)
        preprocessing = saved = best = None
        if last is not None:
            preprocessing = Preprocessing.from_json(last.checkpoint.meta["preprocessing"])
            saved = saved_from(last.checkpoint, last.path)
            evaluation.check_tensors(config, preprocessing, saved.state.model, last.path)
            if saved.state.epoch > config.training.epochs:
                what = f"is of epoch {saved.state.epoch}, and the run goes to {config.training.epochs}"
                raise CheckpointError(last.path, what, "restore it from a copy or train again")
            if saved.stopped is not None and epochs is None and status.state == "finished":
                reporter.say(f"{folder.path} has ended: nothing is left to train")
                return Ended(folder, saved.stopped, saved.state.epoch)
            best = _best(folder, saved, config, preprocessing)
        extended = status.extended
        if epochs is not None:
            extended = (*extended, config.training.epochs)
            config, saved = _extended(config, epochs), _unfinished(saved)
        experiment = Experiment.of(config, preprocessing=preprocessing)
        asked = record["device"] if config.device == "auto" else config.device
        place = devices.resolve(device or asked)
        found = differences(record, experiment, place)
        refuse_other_rows(record, experiment, found)
        if found:
            reporter.say(f"this may not end with the bytes of an undisturbed run: {'; '.join(found)}")
        engine, _ = engines.choose(experiment, record["engine"])
        engine.prepare(experiment, reporter.say)
        stored = stored_config(config, folder.path)
        session = Session(
            experiment,
            folder,
            engine,
            place,
            constants_of(experiment, stored, engine),
            reporter,
            status.seconds,
            tuple(dict.fromkeys((*status.differences, *found))),
            extended,
        )
        with StopFlag() as stop:
            ended = carry_out(session, saved, best, stop)
            folder.write_config(as_yaml(stored))  # an extension has changed it
        return ended


def _config(folder: RunFolder, last: Last | None, *, allow_code: bool) -> Config:
    """The run's config; of one that was killed before its first checkpoint, what its folder says."""
    if last is None:
        return schema.load(folder.config, allow_code=allow_code)
    evaluation.check_metadata(last.checkpoint.meta, last.path)
    document = reading.from_mapping(last.checkpoint.meta["config"], folder.path, last.path)
    return schema.parse(document, allow_code=allow_code, data=False)


def _status(folder: RunFolder) -> Status:
    """How the run stands; a damaged status is written anew, and is no reason not to go on."""
    try:
        return folder.status()
    except CheckpointError:
        return Status("crashed", differences=("status.json was damaged: earlier differences are not known",))


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


def _best(folder: RunFolder, saved: Saved, config: Config, preprocessing: Preprocessing) -> Best | None:
    """The best model that `saved` knows of; one that is newer will be found again."""
    if saved.state.progress.best_value is None:
        return None
    best = best_from(folder.load_best(), folder.best)
    if best.epoch < saved.state.progress.best_epoch:
        what = f"is of epoch {best.epoch}, and {folder.last} knows a better one"
        raise CheckpointError(folder.best, what, "restore it from a copy or train again")
    evaluation.check_tensors(config, preprocessing, best.model, folder.best)
    return best if best.epoch == saved.state.progress.best_epoch else None
