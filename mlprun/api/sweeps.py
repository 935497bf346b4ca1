"""Sweeps from Python: running one, and its folder.

`mlprun.sweep(..., on="ray")` trains a sweep on a Ray cluster. To have Ray Tune choose and stop the runs
instead, train in a trainable and report from a callback:

    import os

    import mlprun
    from ray import tune

    CONFIG = os.path.abspath("configs/moons.yaml")  # trials run in folders of their own

    class Report(mlprun.Callback):
        def on_epoch_end(self, run, epoch, metrics):
            if epoch % 10 == 0:
                tune.report({"dev_loss": metrics["dev_loss"]})

    def trainable(values):
        overrides = [f"{key}={value}" for key, value in values.items()]
        mlprun.train(CONFIG, *overrides, callbacks=[Report()])

    space = {"optimizer.lr": tune.loguniform(0.001, 1)}
    tuner = tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(metric="dev_loss", mode="min", num_samples=20),
    )
    best = tuner.fit().get_best_result()
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlprun import figures, files, report
from mlprun.analysis import ensemble as ensembles
from mlprun.analysis import export
from mlprun.analysis.comparisons import compare
from mlprun.analysis.summary import summarize
from mlprun.api.runs import RunHistory
from mlprun.engines.device import resolve
from mlprun.errors import CheckpointError, InterruptedRunError
from mlprun.sweeps import cohort_file
from mlprun.sweeps import definition as definitions
from mlprun.sweeps import run as sweeping
from mlprun.sweeps.folder import open_sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlprun.analysis.comparisons import Pair
    from mlprun.analysis.summary import Summary
    from mlprun.sweeps.definition import Definition
    from mlprun.sweeps.folder import SweepFolder, SweepStatus
    from mlprun.sweeps.run import SweepReporter
    from mlprun.sweeps.schema import Configuration, Description, Trial


class SilentSweep:
    """A reporter of a sweep that says nothing."""

    def begin(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    def say(self, message: str) -> None:
        """Nothing."""

    def report(self, *_: Any, **__: Any) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder: what was swept, and how each trial came out."""

    folder: SweepFolder

    @property
    def path(self) -> str:
        """The folder's path."""
        return self.folder.path

    @property
    def status(self) -> SweepStatus:
        """The sweep's status."""
        return self.folder.status()

    @cached_property
    def description(self) -> Description:
        """The parameters, metrics, objective and success of the sweep."""
        with self.folder.results() as results:
            return results.description

    @cached_property
    def settings(self) -> dict[int, Configuration]:
        """The configurations by number."""
        with self.folder.results() as results:
            return {setting.id: setting for setting in results.settings()}

    @cached_property
    def trials(self) -> list[Trial]:
        """Every trial, by number."""
        with self.folder.results() as results:
            return results.trials()

    def rows(self) -> list[dict[str, Any]]:
        """A flat dict for each trial that has ended, with the columns of `mlprun sweep export`.

        Lists are JSON text such as "[4]", as in an export and in the database's view; None is no value.
        Trials that diverged or were pruned have metrics up to where they ended, which belong in no mean:

            table = pandas.DataFrame(swept.rows())
            sound = table[table["status"].isin(["finished", "early_stopping"])]
            sound.groupby("architecture.hidden")["test_loss"].mean()
            polars.DataFrame(swept.rows(), infer_schema_length=None)
        """
        with self.folder.results() as results:
            return [row for row in export.records(results) if row["status"] != "pending"]

    def history(self, number: int) -> RunHistory:
        """Return the curves of a trial by column; nan is no value. Raises CheckpointError if it has none."""
        trial = next((one for one in self.trials if one.id == number), None)
        if trial is None or trial.cohort is None or trial.member is None or trial.status == "pending":
            raise CheckpointError(self.path, f"has no trial {number} that has ended", "choose another")
        cohort = cohort_file.read(self.folder.cohort(trial.cohort))
        return RunHistory(zip(cohort.columns, cohort.history(trial.member).T, strict=True))

    def summary(self, metric: str | None = None, *, of: str = "best") -> Summary:
        """The settings, the best first, with their statistics over seeds; `of` is best or last."""
        with self.folder.results() as results:
            return summarize(results, metric=metric, of=of)

    def compare(
        self, *settings: int, by: str | None = None, metric: str | None = None, of: str = "best"
    ) -> list[Pair]:
        """Do these settings differ, or the best and each other one, or with `by` a parameter's values?

        Raises UsageError where there is nothing to compare.
        """
        return compare(self.summary(metric, of=of), settings, by)

    def ensemble(
        self, setting: int | None = None, *, device: str = "cpu", allow_code: bool = False
    ) -> ensembles.Ensemble:
        """The trials of a setting, by default of the best one, with the mean of their predictions.

        Raises UsageError where none of them has finished, and DataError where the data is gone.
        """
        return ensembles.load(self.folder, setting, device=resolve(device), allow_code=allow_code)

    def plot(
        self, kind: str = "curves", *, metric: str | None = None, of: str = "best", **options: Any
    ) -> Figure:
        """One figure of the sweep as a matplotlib Figure; `mlprun list sweep_plots` names the kinds."""
        return figures.draw(kind, figures.SweepData.of(self.path, metric=metric, of=of), **options)

    def report(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write the report, one HTML file, and return its path: by default report.html in the folder."""
        target = os.path.join(self.path, report.FILE) if path is None else os.fspath(path)
        files.write_atomic(target, report.sweep_report(self.path))
        return target

    def __fspath__(self) -> str:
        """The folder's path, so that a sweep can be given wherever a sweep's path can."""
        return self.path

    def __repr__(self) -> str:
        status = self.status
        return f"Sweep({self.path!r}, {status.state}, {status.done} of {status.total} trials)"


def sweep(
    definition: str | os.PathLike[str] | Mapping[str, Any],
    *overrides: str,
    out: str = "runs",
    allow_code: bool = False,
    fail_fast: bool = False,
    retry_failed: bool = False,
    processes: bool = False,
    on: str = "local",
    address: str | None = None,
    storage: str | None = None,
    reporter: SweepReporter | None = None,
) -> Sweep:
    """Run a sweep (a file, or a mapping of the same form), or resume the one below `out`.

    With `retry_failed` trials that failed are trained again.

    With `processes`, long trials of engines other than fused are trained in processes of their own; a script
    that asks for it must be guarded by `if __name__ == "__main__":`.

    With `storage`, the URL of a database such as "sqlite:///optuna.db", a search is also written to a study
    of Optuna, named after the folder, which `optuna-dashboard` shows; the search does not depend on it.

    With `on="ray"` trials are trained by the Ray cluster at `address`, or by one on this machine without.

    Raises UsageError, ConfigError, DataError, DeviceError, FileError; InterruptedRunError after saving; with
    `fail_fast` DivergedError and CheckFailedError.
    """
    remote = sweeping.remote_workers(on, address)
    defined = load_definition(definition, *overrides)
    ended = sweeping.run(
        defined,
        out=out,
        reporter=reporter or SilentSweep(),
        allow_code=allow_code,
        fail_fast=fail_fast,
        retry_failed=retry_failed,
        processes=processes,
        remote=remote,
        storage=storage,
    )
    if ended.signal_number is not None and ended.status.state == "interrupted":
        status = ended.status
        kept = f"; {status.kept} more are partially trained" if status.kept else ""
        what = f"stopped after {status.done} of {status.total} trials, which are saved{kept}"
        remedy = "the same command resumes it"
        raise InterruptedRunError(ended.folder.path, what, remedy, signal_number=ended.signal_number)
    return Sweep(ended.folder)


def load_sweep(path: str | os.PathLike[str]) -> Sweep:
    """The sweep in a folder, be it over or not. Raises CheckpointError."""
    return Sweep(open_sweep(os.fspath(path)))


def load_definition(definition: str | os.PathLike[str] | Mapping[str, Any], *overrides: str) -> Definition:
    """A sweep file that was read but not looked at any further; raises ConfigError, UsageError."""
    if isinstance(definition, Mapping):
        return definitions.from_mapping(definition, "", "sweep", overrides)
    return definitions.read(os.fspath(definition), overrides)
