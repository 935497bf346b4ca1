"""Runs from Python: configs trained, resumed and reproduced, and what a run folder or a checkpoint holds."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlprun import evaluation, figures, files, report, schema
from mlprun.config import document as reading
from mlprun.engines.device import resolve
from mlprun.errors import (
    ConfigError,
    DivergedError,
    InterruptedRunError,
    UsageError,
    command_line,
)
from mlprun.experiment import Experiment
from mlprun.storage import checkpoints, history, runs
from mlprun.training import metadata, reproducing, resuming
from mlprun.training import run as training

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.experiment import SplitArrays
    from mlprun.figures import RunData
    from mlprun.parts.network import Network
    from mlprun.schema import Config
    from mlprun.storage.runs import RunFolder, Status
    from mlprun.verification.verify import Verification


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
        """The run's status and, once it has ended, its final metrics."""
        return self.folder.status()

    @property
    def record(self) -> dict[str, Any]:
        """The content of run.json: what was run, where and with what."""
        return metadata.record_of(self.folder)

    @property
    def metrics(self) -> dict[str, Any]:
        """`best` and `last`, each with its epoch and `splits` (metrics by split), and `baselines`."""
        return self.status.figures

    @property
    def config(self) -> Config:
        """The complete config that was trained; a table that it names may be gone."""
        return self._config[0]

    @property
    def edited(self) -> str | None:
        """A warning if config.yaml was edited after the run was started, else None."""
        return self._config[1]

    @cached_property
    def _config(self) -> tuple[Config, str | None]:
        return metadata.trained_config(self.folder, allow_code=self.allow_code)

    @cached_property
    def history(self) -> dict[str, NDArray[Any]]:
        """The columns of history.csv by name; nan where dev was not evaluated."""
        return history.read(self.folder.history)

    @cached_property
    def best(self) -> evaluation.TrainedModel:
        """The best epoch's network with all that feeds it; the last one's if no dev rows chose a best."""
        return evaluation.best(self.folder, allow_code=self.allow_code)

    @cached_property
    def last(self) -> evaluation.TrainedModel:
        """The newest network with all that feeds it."""
        return evaluation.newest(self.folder, allow_code=self.allow_code)

    def snapshots(self) -> dict[int, dict[str, NDArray[Any]]]:
        """Parameters and buffers by epoch: 0, log-spaced ones, those of `snapshots:`, and the last.

        Raises CheckpointError if snapshots.safetensors is damaged; without it they are few.
        """
        newest = self.folder.load_last()
        if newest is None:
            return {}
        config, preprocessing = self.last.config, self.last.preprocessing
        models = evaluation.snapshots(newest.checkpoint, config, preprocessing, newest.path)
        return dict(sorted({**models, **evaluation.trajectory(self.folder, config, preprocessing)}.items()))

    @property
    def model(self) -> Network:
        """The best epoch's nn.Module, on the CPU, in evaluation mode.

        It takes preprocessed rows, as `rows` gives them; `predict` takes them as they are in a table.
        """
        return self.best.network

    def predict(self, table: str | os.PathLike[str]) -> evaluation.PredictionTable:
        """Return the best epoch's predictions for each row of a table (columns, rows, and `csv()`)."""
        return self.best.predict_table(os.fspath(table))

    def rows(self, split: str) -> SplitArrays:
        """Return the preprocessed rows of a split, as the best epoch was evaluated on them."""
        return self.best.experiment.rows(split, epoch=self.best.epoch)

    @cached_property
    def figure_data(self) -> RunData:
        """What figures of the run are computed from."""
        return figures.RunData.of(self.folder, allow_code=self.allow_code)

    def plot(self, kind: str = "loss", **options: Any) -> Figure:
        """One figure of the run as a matplotlib Figure; `mlprun list plots` names the kinds."""
        return figures.draw(kind, self.figure_data, **options)

    def report(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write the report, one HTML file, and return its path: by default report.html in the run folder."""
        target = os.path.join(self.path, report.FILE) if path is None else os.fspath(path)
        files.write_atomic(target, report.run_report(self.folder, allow_code=self.allow_code))
        return target

    def __repr__(self) -> str:
        status = self.status
        return f"Run({self.path!r}, {status.state}, {status.epochs} epochs)"


def train(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *overrides: str,
    out: str = "runs",
    allow_code: bool = False,
    callbacks: Sequence[Any] = (),
    baselines: Sequence[str] = (),
) -> Run:
    """Train a config (a file, or a mapping of the same form) with `KEY=VALUE` overrides in a new run folder.

    `callbacks` are objects with methods of `mlprun.Callback`. `baselines=["boosting"]` adds scikit-learn's
    gradient boosting to the baselines.

    Raises ConfigError, DataError, DeviceError, FileError; DivergedError and InterruptedRunError after saving.
    """
    resolved = load_config(config, *overrides, allow_code=allow_code)
    experiment = Experiment.of(resolved)
    ended = training.start(experiment, out=out, callbacks=callbacks, baselines=baselines)
    return _run_of(ended, allow_code=allow_code)


def resume(
    run: str | os.PathLike[str],
    *,
    epochs: int | None = None,
    device: str | None = None,
    allow_code: bool = False,
    callbacks: Sequence[Any] = (),
) -> Run:
    """Continue a run where it stopped; `epochs` extends it. Raises as `train` does, and CheckpointError."""
    folder = runs.open_run(os.fspath(run))
    result = resuming.resume(folder, epochs=epochs, device=device, callbacks=callbacks, allow_code=allow_code)
    return _run_of(result, allow_code=allow_code)


def reproduce(
    run: str | os.PathLike[str],
    *,
    out: str | None = None,
    allow_code: bool = False,
    callbacks: Sequence[Any] = (),
) -> reproducing.Reproduction:
    """Train a run again, in a new folder below `out` or in one that is removed, and compare the two.

    Raises CheckpointError for a run that has not ended, and as `train` does.
    """
    folder = runs.open_run(os.fspath(run))
    with tempfile.TemporaryDirectory(prefix="mlprun-") as temporary:
        return reproducing.reproduce(folder, out=out or temporary, callbacks=callbacks, allow_code=allow_code)


def _run_of(result: training.TrainResult, *, allow_code: bool) -> Run:
    folder = result.folder
    if result.stopped == "diverged":
        what = f"training diverged after epoch {result.epoch}, which is saved"
        raise DivergedError(folder.path, what, "lower optimizer.lr or set training.clip_norm")
    if result.stopped == "interrupted":
        what = f"stopped after epoch {result.epoch}, which is saved"
        remedy = f"resume with: {command_line('resume', folder.path)}"
        raise InterruptedRunError(folder.path, what, remedy, signal_number=result.signal_number or 2)
    return Run(folder, allow_code)


def load_config(
    config: str | os.PathLike[str] | Mapping[str, Any], *overrides: str, allow_code: bool = False
) -> Config:
    """Return the complete, checked config of a file or a mapping."""
    if isinstance(config, Mapping):
        return schema.parse(reading.from_mapping(config, "", "config", overrides), allow_code=allow_code)
    path = os.fspath(config)
    try:
        return schema.load(path, overrides, allow_code=allow_code)
    except ConfigError as error:
        from mlprun.sweeps import definition as definitions  # a run's path loads no sweeps

        if not definitions.is_sweep(path):
            raise
        what = "is a sweep file, not the config of a single run"
        raise UsageError(path, what, command_line("sweep run", path)) from error


def verify(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *overrides: str,
    steps: int | None = None,
    against: str | os.PathLike[str] | None = None,
    coordinates: int = 2000,
    allow_code: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Train a config with every engine that can run it, from the same weights, and compare; check gradients.

    `against` names a run folder, a config or a CSV of losses to compare with, too. `coordinates` is how many
    entries of the gradient are checked, at most. Nothing is raised where results do not agree: see `agrees`
    and `problems`.
    """
    from mlprun.verification import verify as verification  # all engines, which a run does without

    loaded = load_config(config, *overrides, allow_code=allow_code)
    other = None if against is None else os.fspath(against)
    return verification.verify(
        loaded, steps=steps, coordinates=coordinates, against=other, allow_code=allow_code, say=say
    )


def load(run: str | os.PathLike[str], *, allow_code: bool = False) -> Run:
    """Return the run in a folder."""
    return Run(runs.open_run(os.fspath(run)), allow_code)


def load_checkpoint(
    path: str | os.PathLike[str], *, device: str = "cpu", allow_code: bool = False
) -> evaluation.TrainedModel:
    """Return the network of a checkpoint file, or of a run folder's best epoch; `device` may be `auto`."""
    device = resolve(device)
    path = runs.resolve_latest(os.fspath(path))
    if os.path.isdir(path) or (files.kind(path) is None and not path.endswith(".safetensors")):
        return evaluation.best(runs.open_run(path), device=device, allow_code=allow_code)
    checkpoint = checkpoints.read(path)
    return evaluation.load(checkpoint, path, os.path.dirname(path), device=device, allow_code=allow_code)
