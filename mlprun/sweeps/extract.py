"""One trial of a sweep as an ordinary run folder: trained again, and compared with what the sweep kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun import files, schema, training
from mlprun.errors import CheckpointError, UsageError
from mlprun.experiment import Experiment
from mlprun.storage import history
from mlprun.sweeps import cohort_file, database, definition, space
from mlprun.sweeps.checking import Configs
from mlprun.sweeps.members import Member
from mlprun.sweeps.plan import seeded

_ENDS = {"early_stopping": "finished", "pruned": "interrupted"}
"""what a run is called that ends as a trial did, where its name is another"""
NAME_LENGTH = 44
"""characters of the sweep's name in a run's, which leaves room for the trial's number"""
_RESTORE = "restore its cohorts from a copy, or run the same sweep again, which trains them anew"

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlprun.schema import Config
    from mlprun.storage.runs import RunFolder
    from mlprun.sweeps.cohort_file import CohortFile
    from mlprun.sweeps.folder import SweepFolder
    from mlprun.sweeps.schema import Trial


@dataclass(frozen=True)
class Extracted:
    """A trial's run folder, and in which ways it is not the sweep's trial: none where all is equal."""

    trial: Trial
    folder: RunFolder
    differences: tuple[str, ...]


def extract(
    place: SweepFolder, number: int, *, out: str, callbacks: Sequence[Any] = (), allow_code: bool = False
) -> Extracted:
    """Train a trial alone, in a new run folder below `out`, and hold it against what the sweep kept of it.

    One that was pruned stops where it was pruned, and can be resumed. Raises UsageError for a trial that is
    not there or has not been trained, and as `train` does.
    """
    trial = _trained(place, number)
    kept = cohort_file.read(place.cohort(trial.cohort or 0))
    kept.history(trial.member or 0)
    config = config_of(place, trial, allow_code=allow_code)
    pause = trial.epochs if trial.status == "pruned" else None
    ended = training.start(Experiment.of(config), out=out, callbacks=callbacks, pause=pause)
    return Extracted(trial, ended.folder, tuple(_differences(ended.folder, trial, kept)))


def config_of(place: SweepFolder, trial: Trial, *, allow_code: bool = False) -> Config:
    """The complete config of a trial, its run called after sweep and trial."""
    with place.results() as results:
        words, name = results.description.definition, results.description.name
        if isinstance(words.get("base"), dict):
            words = {**words, "base": schema.with_format(words["base"])}
        try:
            defined = definition.from_mapping(words, place.path, name)
        except UsageError as error:
            what = f"is damaged: {' '.join(str(error).split())}"
            raise CheckpointError(place.database, what, database.RESTORE) from error
        configs = Configs(defined, allow_code=allow_code)
        points = space.known(defined, results.settings(), results.description.paths)
    # the others need no look: they were checked before any of them was trained
    config, own_seed = configs.of(next(one for one in points if one.setting.id == trial.setting))
    member = Member(trial.id, trial.setting, trial.seed, trial.fold, trial.engine or config.engine)
    called = f"{name[:NAME_LENGTH]}-trial-{trial.id}"
    update = {"name": called, "engine": member.engine}
    return seeded(config, member, own_seed=own_seed).model_copy(update=update)


def _trained(place: SweepFolder, number: int) -> Trial:
    """The trial of that number. Raises UsageError where there is none to extract."""
    with place.results() as results:
        trial, total = results.trial(number), sum(results.counts().values())
    where = f"trial {number}"
    if trial is None:
        raise UsageError(where, "is not in this sweep", f"expected 1 to {total}")
    if trial.status == "pending":
        raise UsageError(where, "has not been trained yet", "go on with mlprun sweep run, or choose another")
    if trial.status == "failed":
        remedy = "mlprun sweep run with --retry-failed trains it again"
        raise UsageError(where, f"failed and left no weights: {trial.error}", remedy)
    if trial.cohort is None or trial.member is None or files.kind(place.cohort(trial.cohort)) is None:
        raise CheckpointError(place.path, f"lacks the curves of trial {number}", _RESTORE)
    return trial


def _differences(folder: RunFolder, trial: Trial, kept: CohortFile) -> Iterator[str]:
    """What of a run is not as the sweep kept it, to the last bit."""
    assert trial.member is not None
    status = folder.status()
    stood = _ENDS.get(trial.status, trial.status)
    if (status.state, status.epochs) != (stood, trial.epochs):
        yield f"the end ({status.state} after epoch {status.epochs}, {stood} after epoch {trial.epochs})"
    last = folder.load_last()
    if last is None or not _equal(last.checkpoint.under("model."), kept.last(trial.member)):
        yield "the weights of the last epoch"
    best = folder.load_best().under("model.") if files.kind(folder.best) is not None else None
    if not _equal(best, kept.best(trial.member)):
        yield "the weights of the best epoch"
    curves, rows = history.read(folder.history), kept.history(trial.member).T
    columns = dict(zip(kept.columns, rows, strict=True))
    if curves.keys() != columns.keys() or not all(
        np.array_equal(curves[name], columns[name], equal_nan=True) for name in columns
    ):
        yield "the history"
    if _figures(status.figures) != _comparable(trial.figures):
        yield "the figures"


def _equal(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether two sets of weights have the same names, types and bytes."""
    if one is None or other is None:
        return one is other
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and one[name].tobytes() == np.asarray(other[name]).tobytes()
        for name in one
    )


def _figures(told: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures of a run by the names that a sweep gives them; tables are left out."""
    best = told["best"] or told["last"]
    named = {
        f"{prefix}{split}_{name}": value
        for prefix, of in (("", best), ("last_", told["last"]))
        for split, figures in of["splits"].items()
        for name, value in figures.items()
        if not isinstance(value, list)
    }
    return _comparable(named)


def _comparable(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    """Figures with None for what is no number."""
    return {name: None if value is None or value != value else value for name, value in figures.items()}
