"""One trial of a sweep as an ordinary run folder: trained again, and compared with what the sweep kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun import files, schema
from mlprun.errors import CheckpointError, UsageError
from mlprun.experiment import Experiment
from mlprun.storage import history
from mlprun.sweeps import cohort_file, database, definition, space
from mlprun.sweeps.configs import Configs
from mlprun.sweeps.trials import SharedConfig
from mlprun.training import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlprun.schema import Config
    from mlprun.storage.runs import RunFolder
    from mlprun.sweeps.cohort_file import CohortFile
    from mlprun.sweeps.folder import SweepFolder
    from mlprun.sweeps.schema import Trial

NAME_LENGTH = 44
"""characters of the sweep's name in a run's, which leaves room for the trial's number"""
_RUN_STATES = {"early_stopping": "finished", "pruned": "interrupted"}
"""states of a run by the status of a trial, if these differ"""
_RESTORE = "restore its cohorts from a copy, or run the same sweep again, which trains them anew"


@dataclass(frozen=True)
class ExtractedTrial:
    """A trial's run folder, and in what it differs from the sweep's trial: nothing if all is equal."""

    trial: Trial
    folder: RunFolder
    differences: tuple[str, ...]


def extract(
    folder: SweepFolder, number: int, *, out: str, callbacks: Sequence[Any] = (), allow_code: bool = False
) -> ExtractedTrial:
    """Train a trial alone, in a new run folder below `out`, and compare it with what the sweep kept.

    A pruned trial stops where it was pruned, and can be resumed. Raises UsageError for a trial that does not
    exist or has not been trained, and as `train` does.
    """
    trial = _trained(folder, number)
    kept = cohort_file.read(folder.cohort(trial.cohort or 0))
    kept.history(trial.member or 0)
    config = config_of(folder, trial, allow_code=allow_code)
    pause = trial.epochs if trial.status == "pruned" else None
    ended = run.start(Experiment.of(config), out=out, callbacks=callbacks, pause=pause)
    return ExtractedTrial(trial, ended.folder, tuple(_differences(ended.folder, trial, kept)))


def config_of(folder: SweepFolder, trial: Trial, *, allow_code: bool = False) -> Config:
    """Return the complete config of a trial, with a run name made of the sweep's and the trial's number."""
    configs = configs_of(folder, allow_code=allow_code)
    with folder.results() as results:
        name, settings, paths = results.description.name, results.settings(), results.description.paths
    candidates = space.restored(configs.definition, settings, paths)
    # the others are not checked: they were before any of them was trained
    config, sets_data_seed = configs.of(next(one for one in candidates if one.number == trial.setting))
    update: dict[str, Any] = {"name": f"{name[:NAME_LENGTH]}-trial-{trial.id}"}
    update |= {"trackers": ()} if config.trackers else {}
    update["engine"] = trial.engine or config.engine
    shared = SharedConfig(config.model_copy(update=update), sets_data_seed, allow_code)
    return shared.of_trial(trial.seed, trial.fold)


def configs_of(folder: SweepFolder, *, allow_code: bool = False) -> Configs:
    """Return the configs of a sweep, as the database defines it. Raises CheckpointError if it is damaged."""
    with folder.results() as results:
        content, name = results.description.definition, results.description.name
    if isinstance(content.get("base"), dict):
        content = {**content, "base": schema.with_format(content["base"])}
    try:
        defined = definition.from_mapping(content, folder.path, name)
    except UsageError as error:
        what = f"is damaged: {' '.join(str(error).split())}"
        raise CheckpointError(folder.database, what, database.RESTORE) from error
    return Configs(defined, allow_code=allow_code)


def _trained(folder: SweepFolder, number: int) -> Trial:
    """Return the trial of that number. Raises UsageError if there is none to extract."""
    with folder.results() as results:
        trial, total = results.trial(number), sum(results.counts().values())
    where = f"trial {number}"
    if trial is None:
        raise UsageError(where, "is not in this sweep", f"expected 1 to {total}")
    if trial.status == "pending":
        raise UsageError(where, "has not been trained yet", "resume with mlprun sweep run, or choose another")
    if trial.status == "failed":
        remedy = "mlprun sweep run with --retry-failed trains it again"
        raise UsageError(where, f"failed and left no weights: {trial.error}", remedy)
    if trial.cohort is None or trial.member is None or files.kind(folder.cohort(trial.cohort)) is None:
        raise CheckpointError(folder.path, f"lacks the curves of trial {number}", _RESTORE)
    return trial


def _differences(folder: RunFolder, trial: Trial, kept: CohortFile) -> Iterator[str]:
    """Yield what of a run differs from what the sweep kept, to the last bit."""
    assert trial.member is not None
    status = folder.status()
    state = _RUN_STATES.get(trial.status, trial.status)
    if (status.state, status.epochs) != (state, trial.epochs):
        yield f"the end ({status.state} after epoch {status.epochs}, {state} after epoch {trial.epochs})"
    last = folder.load_last()
    if not _are_equal(last.checkpoint.under("model.") if last else None, kept.last(trial.member)):
        yield "the weights of the last epoch"
    best = folder.load_best().under("model.") if files.kind(folder.best) is not None else None
    if not _are_equal(best, kept.best(trial.member)):
        yield "the weights of the best epoch"
    curves, rows = history.read(folder.history), kept.history(trial.member).T
    columns = dict(zip(kept.columns, rows, strict=True))
    if curves.keys() != columns.keys() or not all(
        np.array_equal(curves[name], columns[name], equal_nan=True) for name in columns
    ):
        yield "the history"
    figures = status.figures
    metrics = {
        f"{prefix}{split}_{name}": value
        for prefix, of in (("", figures["best"] or figures["last"]), ("last_", figures["last"]))
        for split, values in of["splits"].items()
        for name, value in values.items()
    }
    # None is a metric that is not a number
    if any(value not in (None, metrics.get(name)) for name, value in trial.figures.items()):
        yield "the figures"


def _are_equal(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Return True if two sets of weights have the same names, dtypes and bytes."""
    if one is None or other is None:
        return one is other
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and one[name].tobytes() == np.asarray(other[name]).tobytes()
        for name in one
    )
