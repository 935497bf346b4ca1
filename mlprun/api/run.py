"""A run folder from Python: what was trained, its figures, networks and pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlprun import training
from mlprun.api import networks
from mlprun.storage import history, runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun import evaluation
    from mlprun.experiment import Rows
    from mlprun.parts.architectures.network import Network
    from mlprun.plots import Subject
    from mlprun.schema import Config
    from mlprun.storage.runs import RunFolder
    from mlprun.storage.status import Status


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
    def best(self) -> evaluation.Loaded:
        """The best epoch's network with all that feeds it; the last one's where no dev rows chose a best."""
        return networks.best(self.folder, allow_code=self.allow_code)

    @cached_property
    def last(self) -> evaluation.Loaded:
        """The newest network with all that feeds it."""
        return networks.newest(self.folder, allow_code=self.allow_code)

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


def load(run: str | os.PathLike[str], *, allow_code: bool = False) -> Run:
    """The run in a folder."""
    return Run(runs.open_run(os.fspath(run)), allow_code)
