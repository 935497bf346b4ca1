"""mlprun from Python, as in a notebook; the commands are made of the same functions.

run = mlprun.train("configs/moons.yaml", "optimizer.lr=0.1")
run.history["dev_loss"], run.figures, run.model, run.plot()
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlprun import config as reading
from mlprun import evaluation, files, schema, training, verification
from mlprun.errors import CheckpointError, ConfigError, DivergedError, InterruptedRunError, UsageError
from mlprun.experiment import Experiment
from mlprun.storage import checkpoints, history, runs
from mlprun.sweeps import cohorts, launchers
from mlprun.sweeps import definition as definitions
from mlprun.sweeps import run as sweeping
from mlprun.sweeps.summary import summarize

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.engines import Advance
    from mlprun.experiment import Rows
    from mlprun.parts.architectures.network import Network
    from mlprun.plots import Subject
    from mlprun.schema import Config
    from mlprun.storage.runs import RunFolder
    from mlprun.storage.status import Status
    from mlprun.sweeps.database import Description, Setting, Trial
    from mlprun.sweeps.definition import Definition
    from mlprun.sweeps.folder import SweepFolder, SweepStatus
    from mlprun.sweeps.plan import Plan
    from mlprun.sweeps.session import Reporter as SweepReporter
    from mlprun.sweeps.summary import Summary
    from mlprun.training import Ended, Reporter
    from mlprun.verification import Verification


class SilentSweep:
    """A reporter of sweeps that says nothing."""

    def begin(self, folder: str, plan: Plan, done: int) -> None:
        """Nothing."""

    def say(self, message: str) -> None:
        """Nothing."""

    def report(self, done: int, seconds: float) -> None:
        """Nothing."""


class Silent:
    """A reporter that says nothing."""

    def begin(self, folder: str, experiment: Experiment, epoch: int) -> None:
        """Nothing."""

    def say(self, message: str) -> None:
        """Nothing."""

    def report(self, advance: Advance, seconds: float) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Run:
    """A run folder: what was trained, how it went, and the networks it left."""

    folder: RunFolder
    allow_code: bool = False

    @property
    def path(self) -> str:
        """The folder's path."""
        return self.folder.path

    @property
    def status(self) -> Status:
        """How the run stands and, once it has ended, its final figures."""
        return self.folder.status()

    @property
    def record(self) -> dict[str, Any]:
        """What run.json says: what was run, where and with what."""
        return training.record_of(self.folder)

    @property
    def figures(self) -> dict[str, Any]:
        """`best` and `last`, each with its epoch and `splits` (figures by split), and `baselines`."""
        return self.status.figures

    @cached_property
    def config(self) -> Config:
        """The complete config; a table that it names may be gone."""
        document = reading.read(self.folder.config)
        return schema.parse(document, allow_code=self.allow_code, data=False)

    @cached_property
    def history(self) -> dict[str, NDArray[Any]]:
        """The columns of history.csv by name; nan where dev was not evaluated."""
        return history.read(self.folder.history)

    @cached_property
    def best(self) -> evaluation.Loaded:
        """The best epoch's network with all that feeds it; the last one's where no dev rows chose a best."""
        return _best(self.folder, allow_code=self.allow_code)

    @cached_property
    def last(self) -> evaluation.Loaded:
        """The newest network with all that feeds it."""
        return _newest(self.folder, allow_code=self.allow_code)

    @property
    def model(self) -> Network:
        """The best epoch's nn.Module, on the CPU, in evaluation mode.

        It takes preprocessed rows, as `rows` gives them; `predict` takes them as they stand in a table.
        """
        return self.best.network

    def predict(self, table: str | os.PathLike[str]) -> evaluation.Answers:
        """What the best epoch's network says of each row of a table (columns, rows, and `csv()`)."""
        return self.best.predict_table(os.fspath(table))

    def rows(self, split: str) -> Rows:
        """The preprocessed rows of a split, as the best epoch's evaluation saw them."""
        return self.best.experiment.rows(split, epoch=self.best.epoch)

    @cached_property
    def subject(self) -> Subject:
        """The run as pictures need it."""
        from mlprun.plots import Subject

        return Subject.of(self.folder, allow_code=self.allow_code)

    def plot(self, kind: str = "loss", **options: Any) -> Figure:
        """One picture of the run as a matplotlib Figure; `mlprun list plots` names the kinds."""
        from mlprun import plots

        return plots.draw(kind, self.subject, **options)

    def __repr__(self) -> str:
        status = self.status
        return f"Run({self.path!r}, {status.state}, {status.epochs} epochs)"


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
        """How the sweep stands."""
        return self.folder.status()

    @cached_property
    def description(self) -> Description:
        """The parameters, figures, objective and success of the sweep."""
        with self.folder.results() as results:
            return results.description

    @cached_property
    def settings(self) -> dict[int, Setting]:
        """The settings by number."""
        with self.folder.results() as results:
            return {setting.id: setting for setting in results.settings()}

    @cached_property
    def trials(self) -> list[Trial]:
        """Every trial, by number."""
        with self.folder.results() as results:
            return results.trials()

    def rows(self) -> list[dict[str, Any]]:
        """One flat dict for each trial that has ended: its values by path, `seed`, `status`, figures."""
        return [
            {
                "trial": trial.id,
                **self.settings[trial.setting].chosen,
                "seed": trial.seed,
                **({} if trial.fold is None else {"fold": trial.fold}),
                "status": trial.status,
                **trial.figures,
            }
            for trial in self.trials
            if trial.status != "pending"
        ]

    def history(self, number: int) -> dict[str, NDArray[Any]]:
        """The curves of a trial by column; nan is no value. Raises CheckpointError where it has none."""
        trial = next((one for one in self.trials if one.id == number), None)
        if trial is None or trial.cohort is None or trial.member is None or trial.status == "pending":
            raise CheckpointError(self.path, f"has no trial {number} that has ended", "choose another")
        found = cohorts.read(self.folder.cohort(trial.cohort))
        return dict(zip(found.columns, found.history(trial.member).T, strict=True))

    def summary(self, metric: str | None = None, *, of: str = "best") -> Summary:
        """The settings, the best first, with their statistics over seeds; `of` is best or last."""
        with self.folder.results() as results:
            return summarize(results, metric=metric, of=of)

    def plot(
        self, kind: str = "curves", *, metric: str | None = None, of: str = "best", **options: Any
    ) -> Figure:
        """One picture of the sweep as a matplotlib Figure; `mlprun list sweep_plots` names the kinds."""
        from mlprun.plots import sweeps

        return sweeps.draw(kind, sweeps.Sweep.of(self.path, metric=metric, of=of), **options)

    def __repr__(self) -> str:
        status = self.status
        return f"Sweep({self.path!r}, {status.state}, {status.done} of {status.total} trials)"


def sweep(
    definition: str | os.PathLike[str] | Mapping[str, Any],
    *overrides: str,
    out: str = "runs",
    allow_code: bool = False,
    fail_fast: bool = False,
    processes: bool = False,
    on: str = "local",
    address: str | None = None,
    reporter: SweepReporter | None = None,
) -> Sweep:
    """Run a sweep (a file, or a mapping of the same form), or go on with the one that is below `out`.

    With `processes`, long trials of engines other than fused are trained in processes of their own; a script
    that asks for it stands behind `if __name__ == "__main__":`.

    With `on="ray"` trials are trained by the Ray cluster at `address`, or by one on this machine without.

    Raises UsageError, ConfigError, DataError, DeviceError, FileError; InterruptedRunError after saving; with
    `fail_fast` DivergedError and CheckFailedError.
    """
    elsewhere = launchers.elsewhere(on, address)
    defined = load_sweep(definition, *overrides)
    ended = sweeping.run(
        defined,
        out=out,
        reporter=reporter or SilentSweep(),
        allow_code=allow_code,
        fail_fast=fail_fast,
        processes=processes,
        elsewhere=elsewhere,
    )
    if ended.signal_number is not None and ended.status.state == "interrupted":
        what = f"stopped after {ended.status.done} of {ended.status.total} trials, which are saved"
        remedy = "the same command goes on"
        raise InterruptedRunError(ended.folder.path, what, remedy, signal_number=ended.signal_number)
    return Sweep(ended.folder)


def load_sweep(definition: str | os.PathLike[str] | Mapping[str, Any], *overrides: str) -> Definition:
    """A sweep that was read but not looked at any further; raises ConfigError, UsageError."""
    if isinstance(definition, Mapping):
        return definitions.from_mapping(definition, "", "sweep", overrides)
    return definitions.read(os.fspath(definition), overrides)


def train(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *overrides: str,
    out: str = "runs",
    allow_code: bool = False,
    reporter: Reporter | None = None,
) -> Run:
    """Train a config (a file, or a mapping of the same form) with `KEY=VALUE` overrides in a new run folder.

    Raises ConfigError, DataError, DeviceError, FileError; DivergedError and InterruptedRunError after saving.
    """
    resolved = load_config(config, *overrides, allow_code=allow_code)
    experiment = Experiment.of(resolved)
    return _ended(training.start(experiment, out=out, reporter=reporter or Silent()), allow_code=allow_code)


def resume(
    run: str | os.PathLike[str],
    *,
    epochs: int | None = None,
    device: str | None = None,
    allow_code: bool = False,
    reporter: Reporter | None = None,
) -> Run:
    """Go on where a run stopped; `epochs` extends it. Raises as `train` does, and CheckpointError."""
    folder = runs.open_run(os.fspath(run))
    ended = training.resume(
        folder, epochs=epochs, device=device, reporter=reporter or Silent(), allow_code=allow_code
    )
    return _ended(ended, allow_code=allow_code)


def reproduce(
    run: str | os.PathLike[str],
    *,
    out: str | None = None,
    allow_code: bool = False,
    reporter: Reporter | None = None,
) -> training.Reproduction:
    """Train a run again, in a new folder below `out` or in one that is removed, and compare the two.

    Raises CheckpointError for a run that has not ended, and as `train` does.
    """
    folder = runs.open_run(os.fspath(run))
    with tempfile.TemporaryDirectory(prefix="mlprun-") as temporary:
        return training.reproduce(
            folder, out=out or temporary, reporter=reporter or Silent(), allow_code=allow_code
        )


def verify(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *overrides: str,
    steps: int | None = None,
    against: str | os.PathLike[str] | None = None,
    coordinates: int = verification.LIMIT,
    allow_code: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Train a config with every engine that can run it, from the same weights, and compare; check gradients.

    `against` names a run folder, a config or a CSV of losses that is compared, too. Nothing is raised where
    they do not agree: ask `agrees` and `problems`.
    """
    resolved = load_config(config, *overrides, allow_code=allow_code)
    return verification.verify(
        resolved,
        steps=steps,
        coordinates=coordinates,
        against=None if against is None else os.fspath(against),
        allow_code=allow_code,
        say=say,
    )


def load(run: str | os.PathLike[str], *, allow_code: bool = False) -> Run:
    """The run in a folder."""
    return Run(runs.open_run(os.fspath(run)), allow_code)


def load_config(
    config: str | os.PathLike[str] | Mapping[str, Any], *overrides: str, allow_code: bool = False
) -> Config:
    """The complete, checked config of a file or a mapping."""
    if isinstance(config, Mapping):
        return schema.parse(reading.from_mapping(config, "", "config", overrides), allow_code=allow_code)
    path = os.fspath(config)
    try:
        return schema.load(path, overrides, allow_code=allow_code)
    except ConfigError as error:
        if not definitions.is_sweep(path):
            raise
        what = "is a sweep file, not the config of a single run"
        raise UsageError(path, what, f"mlprun sweep run {shlex.quote(path)}") from error


def load_checkpoint(
    path: str | os.PathLike[str], *, device: str = "cpu", allow_code: bool = False
) -> evaluation.Loaded:
    """The network of a checkpoint file, or of a run folder's best epoch."""
    path = runs.newest(os.fspath(path))
    if os.path.isdir(path) or (files.kind(path) is None and not path.endswith(".safetensors")):
        return _best(runs.open_run(path), device=device, allow_code=allow_code)
    checkpoint = checkpoints.read(path)
    return evaluation.load(checkpoint, path, os.path.dirname(path), device=device, allow_code=allow_code)


def _best(folder: RunFolder, *, device: str = "cpu", allow_code: bool) -> evaluation.Loaded:
    """The best epoch's network of a run, or the newest where no dev rows chose a best."""
    if files.kind(folder.best) is None:
        return _newest(folder, device=device, allow_code=allow_code)
    checkpoint = folder.load_best()
    return evaluation.load(checkpoint, folder.best, folder.path, device=device, allow_code=allow_code)


def _newest(folder: RunFolder, *, device: str = "cpu", allow_code: bool) -> evaluation.Loaded:
    """The newest network of a run that can be read."""
    last = folder.load_last()
    if last is None:
        remedy = f"go on with: mlprun resume {shlex.quote(folder.path)}"
        raise CheckpointError(folder.path, "was stopped before its first checkpoint", remedy)
    return evaluation.load(last.checkpoint, last.path, folder.path, device=device, allow_code=allow_code)


def _ended(ended: Ended, *, allow_code: bool) -> Run:
    folder = ended.folder
    if ended.stopped == "diverged":
        what = f"training diverged after epoch {ended.epoch}, which is saved"
        raise DivergedError(folder.path, what, "lower optimizer.lr or set training.clip_norm")
    if ended.stopped == "interrupted":
        what = f"stopped after epoch {ended.epoch}, which is saved"
        remedy = f"go on with: mlprun resume {shlex.quote(folder.path)}"
        raise InterruptedRunError(folder.path, what, remedy, signal_number=ended.signal_number or 2)
    return Run(folder, allow_code)
