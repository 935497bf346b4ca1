"""A run that goes on: what it was is read from its newest checkpoint, and compared with what is here now."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mlprun import engines, evaluation, schema
from mlprun.engines import device as devices
from mlprun.errors import CheckpointError, UsageError, command_line
from mlprun.experiment import Experiment, history_columns, history_metrics
from mlprun.experiment.preprocessing import Preprocessing
from mlprun.interrupts import StopFlag
from mlprun.storage import history, provenance
from mlprun.storage.runs import Status
from mlprun.training.metadata import (
    as_yaml,
    config_of,
    differences,
    edit_warning,
    is_as_recorded,
    record_of,
    refuse_other_rows,
    says,
    stored_config,
    written_config,
)
from mlprun.training.recorder import best_from, state_from
from mlprun.training.run import TrainContext, TrainResult, constants_of, train
from mlprun.training.trainer import emit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlprun.engines import Best, Engine
    from mlprun.schema import Config
    from mlprun.storage.runs import LastCheckpoint, RunFolder
    from mlprun.training.recorder import TrainState

_RESTORE = "restore it from a copy or train again"


def resume(
    folder: RunFolder,
    *,
    callbacks: Sequence[Any] = (),
    epochs: int | None = None,
    device: str | None = None,
    allow_code: bool = False,
) -> TrainResult:
    """Continue exactly where a run stopped; with `epochs` a finished run is extended to so many.

    `device: auto` stays what it was when the run was started; `device` here names another one.
    Raises CheckpointError, RunInUseError, DataError for rows that changed since, and UsageError for a run
    that cannot be extended.
    """
    message = partial(emit, callbacks, "on_message")
    with folder.lock():
        record, status = record_of(folder), _status(folder)
        last = folder.load_last()
        if last is not None and last.damage is not None:
            message(f"{last.damage}; going on from {last.path}")
        config, edited = _config(folder, last, record, allow_code=allow_code)
        if edited is not None:
            message(f"warning: {edited}")
        preprocessing, saved = (None, None) if last is None else _kept(folder, last, config)
        if saved is not None and saved.stopped is not None and epochs is None and status.state == "finished":
            _mend(folder, last)
            emit(
                callbacks,
                "on_message",
                f"{folder.path} has ended: nothing is left to train; --epochs N extends it",
            )
            return TrainResult(folder, saved.stopped, saved.state.epoch)
        best = _best(folder, saved, config, preprocessing)
        extended = status.extended
        if epochs is not None:
            extended = (*extended, config.training.epochs)
            done = 0 if saved is None else saved.state.epoch
            config, saved = _extended(config, epochs, done=done), _unfinished(saved)
        experiment = Experiment.of(config, preprocessing=preprocessing)
        before = replace(status, extended=extended)
        kept = _as_kept(folder, last, config, record)
        context = _context(
            experiment, folder, before, kept, record=record, device=device, callbacks=callbacks
        )
        _refuse_flaw(context.engine, experiment, saved, last)
        context.engine.warm_up(experiment, message)
        with StopFlag() as stop:
            _mend(folder, last)  # until here nothing has been written
            ended = train(context, saved, best, stop)
            if not says(folder, config, allow_code=allow_code):  # an extension or the user has changed it
                by_user = edited is not None or not (before.extended or is_as_recorded(folder))
                folder.write_config(as_yaml(kept))
                if by_user:
                    emit(
                        callbacks,
                        "on_message",
                        f"replaced the edited {folder.config} by the config that was used",
                    )
        return ended


def _context(
    experiment: Experiment,
    folder: RunFolder,
    before: Status,
    kept: Mapping[str, Any],
    *,
    record: Mapping[str, Any],
    device: str | None,
    callbacks: Sequence[Any],
) -> TrainContext:
    """What the run goes on with: the engine of its record, and what of that is not so any more.

    Raises DataError for other rows, DeviceError.
    """
    config = experiment.config
    asked = record["device"] if config.device == "auto" else config.device
    place = devices.resolve(device or asked)
    found = differences(record, experiment, place)
    refuse_other_rows(record, experiment, found)
    if found:
        emit(
            callbacks,
            "on_message",
            f"this may not end with the bytes of an undisturbed run: {'; '.join(found)}",
        )
    engine, _ = engines.choose(experiment, record["engine"])
    return TrainContext(
        experiment,
        folder,
        engine,
        place,
        constants_of(experiment, kept, engine),
        callbacks,
        before.seconds,
        tuple(dict.fromkeys((*before.differences, *found))),
        before.extended,
    )


def _config(
    folder: RunFolder, last: LastCheckpoint | None, record: Mapping[str, Any], *, allow_code: bool
) -> tuple[Config, str | None]:
    """The run's config, and a warning where config.yaml says something else.

    Of a run that was killed before its first checkpoint, it is what config.yaml says; CheckpointError where
    that was edited, since the checkpoints of another config are not this run's.
    """
    if last is not None:
        evaluation.check_metadata(last.checkpoint.meta, last.path)
        config = config_of(last.checkpoint, last.path, folder, allow_code=allow_code)
        return config, edit_warning(folder, config, last.path, allow_code=allow_code)
    config = schema.load(folder.config, allow_code=allow_code)
    settings = provenance.settings_digest(stored_config(config, folder.path))
    if not is_as_recorded(folder) and settings != record["settings_digest"]:
        what = "was edited after the run was started, and there is no checkpoint yet that has the config"
        train = f"start a new run with {command_line('train', folder.config)}"
        raise CheckpointError(folder.config, what, f"put the former text back, or {train}")
    return config, None


def _as_kept(
    folder: RunFolder, last: LastCheckpoint | None, config: Config, record: Mapping[str, Any]
) -> dict[str, Any]:
    """The config as the folder keeps it, in the words of the version that started the run."""
    now = stored_config(config, folder.path)
    if provenance.settings_digest(now) == record["settings_digest"]:
        return now
    words = written_config(folder) if last is None else last.checkpoint.meta["config"]
    return {**words, "training": {**words["training"], "epochs": config.training.epochs}}


def _kept(folder: RunFolder, last: LastCheckpoint, config: Config) -> tuple[Preprocessing, TrainState]:
    """What the checkpoint holds, its models and epochs being those that the config leads to."""
    saved = state_from(last.checkpoint, last.path)
    preprocessing = Preprocessing.from_json(last.checkpoint.meta["preprocessing"])
    epoch, until = saved.state.epoch, config.training.epochs
    if epoch > until:
        raise CheckpointError(last.path, f"is of epoch {epoch}, and the run goes to {until}", _RESTORE)
    if saved.state.progress.best_epoch > epoch:
        raise CheckpointError(last.path, "knows a best epoch that is still to come", _RESTORE)
    evaluation.check_tensors(config, preprocessing, saved.state.model, last.path)
    snapshots = evaluation.snapshots(last.checkpoint, config, preprocessing, last.path)
    if snapshots.keys() != {kept for kept in (0, *config.snapshots) if kept <= epoch}:
        raise CheckpointError(last.path, "keeps models of other epochs than its config says", _RESTORE)
    history.check(folder.history, history_columns(config), saved.history_offset)
    return preprocessing, saved


def _refuse_flaw(
    engine: Engine, experiment: Experiment, saved: TrainState | None, last: LastCheckpoint | None
) -> None:
    """Raise CheckpointError for an optimizer's state that the engine cannot have left."""
    flaw = None if saved is None else engine.validate_state(experiment, saved.state)
    if flaw is not None and last is not None:
        raise CheckpointError(last.path, f"holds what no run writes: {flaw}", _RESTORE)


def _mend(folder: RunFolder, last: LastCheckpoint | None) -> None:
    """Put the checkpoint that is gone on from in the place of a damaged one."""
    if last is not None and last.damage is not None:
        folder.restore_last()


def _status(folder: RunFolder) -> Status:
    """How the run stands; a damaged status is written anew, and is no reason not to go on."""
    try:
        return folder.status()
    except CheckpointError:
        return Status("crashed", differences=("status.json was damaged: earlier differences are not known",))


def _extended(config: Config, epochs: int, *, done: int) -> Config:
    """The config with more epochs. Raises UsageError where that would change the epochs that were run."""
    known = config.training.epochs
    if epochs <= known:
        what = f"the run already goes to {known} epochs, of which {done} are done"
        raise UsageError("--epochs", what, f"give more than {known} to extend it")
    if config.schedule.depends_on_total:
        what = f"the {config.schedule.name} schedule depends on the number of epochs"
        raise UsageError(
            "--epochs", f"this run cannot be extended: {what}", "train it again with more epochs"
        )
    return config.model_copy(update={"training": config.training.model_copy(update={"epochs": epochs})})


def _unfinished(saved: TrainState | None) -> TrainState | None:
    """The state of a run that goes on to more epochs. Raises UsageError for one that would stop at once."""
    if saved is None:
        return None
    if saved.stopped == "early_stopping":
        what = f"the run stopped early at epoch {saved.state.epoch}, and would again"
        raise UsageError("--epochs", what, "train it again with more patience")
    return replace(saved, stopped=None)


def _best(
    folder: RunFolder, saved: TrainState | None, config: Config, preprocessing: Preprocessing | None
) -> Best | None:
    """The best model that `saved` knows of; one that is newer will be found again."""
    if saved is None or preprocessing is None or saved.state.progress.best_value is None:
        return None
    best = best_from(folder.load_best(), folder.best)
    if best.epoch < saved.state.progress.best_epoch:
        what = f"is of epoch {best.epoch}, and {folder.last} knows a better one"
        raise CheckpointError(folder.best, what, _RESTORE)
    if best.metrics.keys() != {"loss", *history_metrics(config)}:
        raise CheckpointError(folder.best, "has other figures than its run", _RESTORE)
    evaluation.check_tensors(config, preprocessing, best.model, folder.best)
    return best if best.epoch == saved.state.progress.best_epoch else None
