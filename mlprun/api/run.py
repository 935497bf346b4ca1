"""A run folder from Python: what was trained, its figures, networks and pictures; checkpoints, too."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlprun import evaluation, files, training
from mlprun.engines.device import resolve
from mlprun.errors import CheckpointError, command_line
from mlprun.storage import checkpoints, history, runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.experiment import SplitArrays
    from mlprun.figures import Subject
    from mlprun.parts.architectures.network import Network
    from mlprun.schema import Config
    from mlprun.storage.runs import RunFolder, Status


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

    @property
    def config(self) -> Config:
        """The complete config that was trained; a table that it names may be gone."""
        return self._config[0]

    @property
    def edited(self) -> str | None:
        """A warning where config.yaml was edited after the run was started; None where it was not."""
        return self._config[1]

    @cached_property
    def _config(self) -> tuple[Config, str | None]:
        return training.trained_config(self.folder, allow_code=self.allow_code)

    @cached_property
    def history(self) -> dict[str, NDArray[Any]]:
        """The columns of history.csv by name; nan where dev was not evaluated."""
        return history.read(self.folder.history)

    @cached_property
    def best(self) -> evaluation.TrainedModel:
        """The best epoch's network with all that feeds it; the last one's where no dev rows chose a best."""
        return best(self.folder, allow_code=self.allow_code)

    @cached_property
    def last(self) -> evaluation.TrainedModel:
        """The newest network with all that feeds it."""
        return newest(self.folder, allow_code=self.allow_code)

    @property
    def model(self) -> Network:
        """The best epoch's nn.Module, on the CPU, in evaluation mode.

        It takes preprocessed rows, as `rows` gives them; `predict` takes them as they stand in a table.
        """
        return self.best.network

    def predict(self, table: str | os.PathLike[str]) -> evaluation.PredictionTable:
        """What the best epoch's network says of each row of a table (columns, rows, and `csv()`)."""
        return self.best.predict_table(os.fspath(table))

    def rows(self, split: str) -> SplitArrays:
        """The preprocessed rows of a split, as the best epoch's evaluation saw them."""
        return self.best.experiment.rows(split, epoch=self.best.epoch)

    @cached_property
    def subject(self) -> Subject:
        """The run as pictures need it."""
        from mlprun.figures import Subject

        return Subject.of(self.folder, allow_code=self.allow_code)

    def plot(self, kind: str = "loss", **options: Any) -> Figure:
        """One picture of the run as a matplotlib Figure; `mlprun list plots` names the kinds."""
        from mlprun import figures

        return figures.draw(kind, self.subject, **options)

    def __repr__(self) -> str:
        status = self.status
        return f"Run({self.path!r}, {status.state}, {status.epochs} epochs)"


def load(run: str | os.PathLike[str], *, allow_code: bool = False) -> Run:
    """The run in a folder."""
    return Run(runs.open_run(os.fspath(run)), allow_code)


def load_checkpoint(
    path: str | os.PathLike[str], *, device: str = "cpu", allow_code: bool = False
) -> evaluation.TrainedModel:
    """The network of a checkpoint file, or of a run folder's best epoch, on a device (`auto` is one too)."""
    device = resolve(device)
    path = runs.resolve_latest(os.fspath(path))
    if os.path.isdir(path) or (files.kind(path) is None and not path.endswith(".safetensors")):
        return best(runs.open_run(path), device=device, allow_code=allow_code)
    checkpoint = checkpoints.read(path)
    return evaluation.load(checkpoint, path, os.path.dirname(path), device=device, allow_code=allow_code)


def best(folder: RunFolder, *, device: str = "cpu", allow_code: bool) -> evaluation.TrainedModel:
    """The best epoch's network of a run, or the newest where no dev rows chose a best."""
    if files.kind(folder.best) is None:
        loaded, last = newest(folder, device=device, allow_code=allow_code), folder.load_last()
        progress = None if last is None else last.checkpoint.meta.get("progress")
        if isinstance(progress, dict) and progress.get("best_value") is not None:
            what = f"{folder.best} is missing; the newest epoch, {loaded.epoch}, is used instead of the best"
            return replace(loaded, warnings=(what,))
        return loaded
    checkpoint = folder.load_best()
    return evaluation.load(checkpoint, folder.best, folder.path, device=device, allow_code=allow_code)


def newest(folder: RunFolder, *, device: str = "cpu", allow_code: bool) -> evaluation.TrainedModel:
    """The newest network of a run that can be read."""
    last = folder.load_last()
    if last is None:
        remedy = f"go on with: {command_line('resume', folder.path)}"
        raise CheckpointError(folder.path, "was stopped before its first checkpoint", remedy)
    return evaluation.load(last.checkpoint, last.path, folder.path, device=device, allow_code=allow_code)
