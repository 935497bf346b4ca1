"""Resuming a run: its newest checkpoint is read, checked and compared with the present environment."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mlprun import engines, evaluation
from mlprun.config import document as reading
from mlprun.engines import Best, State
from mlprun.engines import device as devices
from mlprun.errors import CheckpointError, UsageError, command_line
from mlprun.evaluation.baselines import OPTIONAL
from mlprun.experiment import Experiment, history_columns, history_metrics
from mlprun.experiment.preprocessing import Preprocessing
from mlprun.interrupts import StopFlag
from mlprun.storage import history, provenance
from mlprun.storage.runs import LastCheckpoint, RunFolder, Status
from mlprun.training import metadata
from mlprun.training.recorder import TrainState, best_from, snapshot_epochs, state_from
from mlprun.training.run import TrainContext, TrainResult, constants_of, train
from mlprun.training.trainer import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlprun.schema import Config

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
        record, status = metadata.record_of(folder), _status(folder)
        last = folder.load_last()
        if last is not None and last.damage is not None:
            message(f"{last.damage}; going on from {last.path}")
        _check_config(folder, last)
        config, edited = metadata.trained_config(folder, last, allow_code=allow_code)
        if edited is not None:
            message(f"warning: {edited}")
        preprocessing, saved = (None, None) if last is None else _load_state(folder, last, config, message)
        if saved is not None and saved.stopped is not None and epochs is None and status.state == "finished":
            _restore_last(folder, last)
            message(f"{folder.path} has ended: nothing is left to train; --epochs N extends it")
            return TrainResult(folder, saved.stopped, saved.state.epoch)
        if epochs is not None:
            status = replace(status, extended=(*status.extended, config.training.epochs))
            config, saved = _extended(config, saved, epochs)
        experiment = Experiment.of(config, preprocessing=preprocessing)
        stored = _as_stored(folder, last, config, record)
        context = _context(
            experiment, folder, status, stored, record=record, device=device, callbacks=callbacks
        )
        reason = None if saved is None else context.engine.validate_state(experiment, saved.state)
        if reason is not None and last is not None:
            raise CheckpointError(last.path, f"holds what no run writes: {reason}", _RESTORE)
        for tracker in config.trackers:
            tracker.check()
        context.engine.warm_up(experiment, message)
        with StopFlag() as stop:
            _restore_last(folder, last)  # until here nothing has been written
            ended = train(context, saved, stop)
            if not metadata.is_equivalent_config(
                folder, config, allow_code=allow_code
            ):  # it was extended or edited
                folder.write_config(metadata.as_yaml(stored))
                if edited is not None:
                    message(f"replaced the edited {folder.config} by the config that was used")
        return ended


def _context(
    experiment: Experiment,
    folder: RunFolder,
    before: Status,
    stored: Mapping[str, Any],
    *,
    record: Mapping[str, Any],
    device: str | None,
    callbacks: Sequence[Any],
) -> TrainContext:
    """Return what the run continues with: the engine of its record, and what has changed since.

    Raises DataError for other rows, DeviceError.
    """
    config = experiment.config
    resolved = devices.resolve(device or (record["device"] if config.device == "auto" else config.device))
    changes = metadata.differences(record, experiment, resolved)
    metadata.check_rows(record, experiment, changes)
    if changes:
        what = f"this may not end with the bytes of an undisturbed run: {'; '.join(changes)}"
        emit(callbacks, "on_message", what)
    engine, _ = engines.choose(experiment, record["engine"])
    constants = constants_of(experiment, stored, engine)
    before = replace(before, differences=tuple(dict.fromkeys((*before.differences, *changes))))
    named = record.get("baselines")
    more = [one for one in OPTIONAL if isinstance(named, list) and one in named]
    return TrainContext(experiment, folder, engine, resolved, constants, before, callbacks, baselines=more)


def _check_config(folder: RunFolder, last: LastCheckpoint | None) -> None:
    """Raise CheckpointError for metadata of no run, and for an edited config.yaml without a checkpoint.

    The checkpoints of another config would not be this run's.
    """
    if last is not None:
        evaluation.check_metadata(last.checkpoint.meta, last.path)
    elif not metadata.matches_record(folder):
        what = "was edited after the run was started, and there is no checkpoint yet that has the config"
        train = f"start a new run with {command_line('train', folder.config)}"
        raise CheckpointError(folder.config, what, f"put the former text back, or {train}")


def _as_stored(
    folder: RunFolder, last: LastCheckpoint | None, config: Config, record: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the config as the folder stores it, in the format of the version that started the run."""
    now = metadata.stored_config(config, folder.path)
    if provenance.settings_digest(now) == record["settings_digest"]:
        return now
    former = reading.read(folder.config).data if last is None else last.checkpoint.meta["config"]
    if former.get("format") == 1:
        former = {key: value for key, value in former.items() if key != "format"}
    return {**former, "training": {**former["training"], "epochs": config.training.epochs}}


def _load_state(
    folder: RunFolder, last: LastCheckpoint, config: Config, message: Callable[[str], None]
) -> tuple[Preprocessing, TrainState]:
    """Return what the checkpoint holds, once its models and epochs agree with the config."""
    saved = state_from(last.checkpoint, last.path)
    preprocessing = Preprocessing.from_json(last.checkpoint.meta["preprocessing"])
    epoch, until = saved.state.epoch, config.training.epochs
    if epoch > until:
        raise CheckpointError(last.path, f"is of epoch {epoch}, and the run goes to {until}", _RESTORE)
    if saved.state.progress.best_epoch > epoch:
        raise CheckpointError(last.path, "knows a best epoch that is still to come", _RESTORE)
    evaluation.check_tensors(config, preprocessing, saved.state.model, last.path)
    snapshots = evaluation.snapshots(last.checkpoint, config, preprocessing, last.path)
    if snapshots.keys() != {due for due in (0, *config.snapshots) if due <= epoch}:
        raise CheckpointError(last.path, "keeps models of other epochs than its config says", _RESTORE)
    history.check(folder.history, history_columns(config), saved.history_offset)
    best = _best(folder, saved, config, preprocessing)
    kept = _trajectory(folder, saved.state, config, preprocessing, message)
    return preprocessing, replace(saved, best=best, trajectory=kept)


def _trajectory(
    folder: RunFolder,
    state: State,
    config: Config,
    preprocessing: Preprocessing,
    message: Callable[[str], None],
) -> dict[int, dict[str, Any]]:
    """Return the models in snapshots.safetensors; a run can continue without them."""
    try:
        kept, what = evaluation.trajectory(folder, config, preprocessing), f"{folder.snapshots} is missing"
    except CheckpointError as error:
        kept, what = {}, str(error)
    if not kept and any(0 < epoch <= state.epoch for epoch in snapshot_epochs(config, state.model)):
        message(f"warning: {what}: continuing without the snapshots of epochs 1 to {state.epoch}")
    return kept


def _restore_last(folder: RunFolder, last: LastCheckpoint | None) -> None:
    """Replace a damaged newest checkpoint by the one before, from which the run continues."""
    if last is not None and last.damage is not None:
        folder.restore_last()


def _status(folder: RunFolder) -> Status:
    """Return the run's status; a damaged one is rewritten, and is no reason not to continue."""
    try:
        return folder.status()
    except CheckpointError:
        return Status("crashed", differences=("status.json was damaged: earlier differences are not known",))


def _extended(config: Config, saved: TrainState | None, epochs: int) -> tuple[Config, TrainState | None]:
    """Return the config with more epochs, and the state of an unfinished run.

    Raises UsageError if that would change the epochs that were run, or for a run that would stop at once.
    """
    former, what, remedy = config.training.epochs, "", "train it again with more epochs"
    if epochs <= former:
        what, remedy = f"the run already goes to {former} epochs", f"give more than {former} to extend it"
    elif config.schedule.depends_on_total:
        what = f"the {config.schedule.name} schedule depends on the number of epochs"
    elif saved is not None and saved.stopped == "early_stopping":
        what = f"the run stopped early at epoch {saved.state.epoch}, and would again"
        remedy = "train it again with more patience"
    if what:
        raise UsageError("--epochs", what, remedy)
    return metadata.with_epochs(config, epochs), None if saved is None else replace(saved, stopped=None)


def _best(folder: RunFolder, saved: TrainState, config: Config, preprocessing: Preprocessing) -> Best | None:
    """Return the best model that `saved` refers to; a newer one will be found again by training."""
    progress = saved.state.progress
    if progress.best_value is None:
        return None
    best = best_from(folder.load_best(), folder.best)
    if best.epoch < progress.best_epoch:
        what = f"is of epoch {best.epoch}, and {folder.last} knows a better one"
        raise CheckpointError(folder.best, what, _RESTORE)
    if best.metrics.keys() != {"loss", *history_metrics(config)}:
        raise CheckpointError(folder.best, "has other metrics than its run", _RESTORE)
    evaluation.check_tensors(config, preprocessing, best.model, folder.best)
    return best if best.epoch == progress.best_epoch else None
