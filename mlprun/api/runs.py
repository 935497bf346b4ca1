"""Runs from Python: configs trained, resumed and reproduced, and what a run folder or a checkpoint holds."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from mlprun import evaluation, export, figures, files, report, schema
from mlprun.config import document as reading
from mlprun.config.parser import compose_mapping
from mlprun.config.tree import Source, describe_value, printable
from mlprun.engines.device import resolve
from mlprun.errors import (
    ConfigError,
    DivergedError,
    InterruptedRunError,
    MlprunError,
    UsageError,
    command_line,
    plural,
)
from mlprun.experiment import Experiment, SplitArrays
from mlprun.parts.datasets.table.frames import table_of
from mlprun.parts.part import listed
from mlprun.parts.trackers import trackers
from mlprun.storage import checkpoints, history
from mlprun.storage.listing import FIELDS, Condition, Listed, select
from mlprun.storage.runs import DATA, RunFolder, Status, open_run, resolve_latest
from mlprun.training import metadata, reproducing, resuming
from mlprun.training import run as training
from mlprun.training.trainer import Callback, TrainingRun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.engines import ChunkResult
    from mlprun.parts.data import Data
    from mlprun.parts.metrics import Predictions
    from mlprun.parts.network import Network
    from mlprun.verification.verify import Verification

ConfigLike = str | os.PathLike[str] | Mapping[str, Any] | schema.Config
"""a config: the path of a file, a mapping of the same form, YAML text, or one that was read"""


class RunHistory(dict[str, "NDArray[Any]"]):
    """The columns of a history by name, each an array with a number for each logged epoch."""

    def to_frame(self) -> Any:
        """Return a DataFrame of pandas, or of polars where pandas is not installed."""
        return frame(dict(self))

    def __repr__(self) -> str:
        rows = len(next(iter(self.values()), ()))
        return f"{type(self).__name__}({plural(rows, 'row')} of {', '.join(self)})"


def frame(data: Any) -> Any:
    """Return columns or records as a DataFrame of pandas, or of polars where pandas is not installed."""
    library = "pandas" if importlib.util.find_spec("pandas") else "polars"
    return importlib.import_module(library).DataFrame(data)


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
    def config(self) -> schema.Config:
        """The complete config that was trained; a table that it names may be gone."""
        return self._config[0]

    @property
    def edited(self) -> str | None:
        """A warning if config.yaml was edited after the run was started, else None."""
        return self._config[1]

    @cached_property
    def _config(self) -> tuple[schema.Config, str | None]:
        return metadata.trained_config(self.folder, allow_code=self.allow_code)

    @cached_property
    def history(self) -> RunHistory:
        """The columns of history.csv by name; nan where dev was not evaluated."""
        return RunHistory(history.read(self.folder.history))

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

    @cached_property
    def classes(self) -> NDArray[Any] | None:
        """The classes [C] in the order of `predict_proba`'s columns; None where targets are no classes."""
        names = self.best.preprocessing.classes
        return None if names is None else evaluation.class_values(names)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return what the best epoch's network predicts for rows, in the units and names of the table.

        For a numeric target [N], for several [N, K]; for classes their names [N], which are numbers or
        booleans where the table had such; for labels 0 or 1 [N, K]; for quantiles [N, Q] by rising level.

        `X` is the path of a table, a data frame, an array [N, D] with the columns in the order of training,
        or a list of mappings. Columns that the model does not need are ignored. Warns of categories that
        training did not meet.

        Raises DataError for rows that do not fit.
        """
        return evaluation.answers(self._predictions(X))

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probability of each class [N, C], or of each label [N, K], for rows as in `predict`.

        Raises UsageError for a network whose outputs are no probabilities; DataError as `predict` does.
        """
        config = self.best.config
        predictions = self._predictions(X)
        if not predictions.probabilistic:
            what = f"trained with the loss {config.loss.name}, it gives no probabilities"
            raise UsageError(self.path, what, "use predict, or train with the loss bce or cross_entropy")
        return predictions.outputs if predictions.multilabel else predictions.probabilities

    def predict_table(self, path: str | os.PathLike[str]) -> evaluation.PredictionTable:
        """Return the predictions for each row of a table file in columns, as `mlprun predict` writes them."""
        return self.best.predict_table(os.fspath(path))

    def evaluate(self, X: Any, y: Any = None) -> dict[str, Any]:
        """Return the loss and the metrics of the best epoch's network for rows with known targets.

        `X` is as in `predict`. Targets are columns of it, or `y`: a series, an array [N] or [N, K], or a
        frame, with class names as in the table and numbers in its units. Metrics are in the user's units.

        Raises DataError for rows that do not fit, UsageError for `y` beside a path.
        """
        return self.best.evaluate_data(self._read(X, y, targets=True))

    def _predictions(self, X: Any) -> Predictions:
        return self.best.predict(self._read(X))

    def _read(self, X: Any, y: Any = None, *, targets: bool = False) -> Data:
        model, table = self.best, X
        if not isinstance(X, str | os.PathLike):
            known = model.preprocessing
            table, _ = table_of(X, y, names=known.input_names, target_names=known.target_names)
        elif y is not None:
            raise UsageError("y", "is given, and the table has its own targets", "leave it out, or give rows")
        rows = model.read_rows(os.fspath(X) if table is X else table, targets=targets)
        for warning in rows.warnings:
            warnings.warn(warning, stacklevel=4)
        return rows

    def rows(self, split: str) -> SplitArrays:
        """Return the preprocessed rows of a split, as the best epoch was evaluated on them."""
        return self.best.experiment.rows(split, epoch=self.best.epoch)

    @cached_property
    def figure_data(self) -> figures.RunData:
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

    def export(self, kind: str, path: str | os.PathLike[str] | None = None) -> str:
        """Write the best epoch's network in a format of `mlprun list exports`, and return the file's path.

        The name of a tracker (`mlprun list trackers`) sends the run there, and returns its own path.

        By default it is in the run folder, such as model.py. It is compared with `predict` on dev rows first;
        a warning says why where that cannot be done. Raises UsageError for an unknown format, a missing
        extra, and user code; CheckFailedError where the file does not answer as `predict` does.
        """
        target = None if path is None else os.fspath(path)
        if kind in trackers:
            if target is not None:
                raise UsageError("path", "is the name of a file, and a tracker has none", "leave it out")
            export.send(self.path, kind, allow_code=self.allow_code)
            return self.path
        if export.find(kind, target).of_run:
            return export.write_card(self.folder, target, allow_code=self.allow_code).path
        written = export.write(self.best, kind, target, metrics=self.metrics)
        if written.reason:
            warnings.warn(f"{written.path}: not checked: {written.reason}", stacklevel=2)
        return written.path

    def __fspath__(self) -> str:
        """The folder's path, so that a run can be given wherever a run's path can."""
        return self.path

    def __repr__(self) -> str:
        try:
            status = self.status
        except MlprunError as error:
            return f"Run({self.path!r}, unreadable: {error.what})"
        best = status.figures.get("best")
        found = f", best {best['metric']} {best['value']:.4g} at epoch {best['epoch']}" if best else ""
        return f"Run({self.path!r}, {status.state}, {plural(status.epochs, 'epoch')}{found})"

    def _repr_html_(self) -> str:
        """The result as a table and the losses as a figure, for notebooks."""
        try:
            return report.run_summary(self.folder, repr(self), allow_code=self.allow_code)
        except MlprunError:
            return escape(repr(self))


class RunList(list[Run]):
    """Runs, as `mlprun.runs` lists them."""

    def to_frame(self) -> Any:
        """Return a DataFrame of pandas, or of polars without it: a row for each run, as `mlprun ls` has them.

        Metrics such as test_accuracy are those of the best epoch, or of the last without one.
        """
        return frame([_record(Listed.of(run.folder)) for run in self])

    def __repr__(self) -> str:
        return "\n".join([plural(len(self), "run"), *map(repr, self)])


def _record(run: Listed) -> dict[str, Any]:
    """Return the fields and metrics of a run, each a single value."""
    values = {name: run.value(name) for name in (*FIELDS, *run.metrics)} | {
        "tag": ", ".join(run.value("tag") or ())
    }
    return {name: value for name, value in values.items() if not isinstance(value, list)}


def runs(
    folder: str | os.PathLike[str] = "runs", where: str | Sequence[str] = (), *, allow_code: bool = False
) -> RunList:
    """Return the runs in a folder, by name and number, that meet all conditions `where`.

    A condition is a text as `mlprun ls --where` takes it: a metric of the best epoch, a value of the config
    or a field (run, name, date, status, epochs, seconds, tag, note), one of = != < <= > >=, and a number or a
    text, in which * stands for any text. The link `latest` and runs in the trash are left out.

    Raises CheckpointError if there is no such folder, UsageError for a condition that is none or whose key no
    run has a value for.
    """
    texts = [where] if isinstance(where, str) else where
    found = select(os.fspath(folder), [Condition.of(text, option="where") for text in texts])
    return RunList(Run(one.folder, allow_code) for one in found)


_LOSSES = ("train_loss", "dev_loss")


class ProgressLine(Callback):
    """Draws the epoch and the losses of a training in one line of standard error."""

    SECONDS = 0.1
    """between drawings"""

    def __init__(self) -> None:
        self._due, self._metrics = 0.0, dict[str, float]()

    @classmethod
    def if_interactive(cls, progress: bool) -> list[ProgressLine]:  # noqa: FBT001 - an argument of `train`
        """Return one where somebody can see it: standard error is a terminal or that of a notebook."""
        stream = sys.stderr
        is_notebook = type(stream).__module__.startswith("ipykernel")
        return [cls()] if progress and stream is not None and (is_notebook or stream.isatty()) else []

    def on_message(self, message: str) -> None:
        """Show a message."""
        sys.stderr.write(f"{printable(message)}\n")

    def on_train_start(self, run: TrainingRun) -> None:
        """Show warnings about the data."""
        for warning in run.experiment.warnings:
            self.on_message(f"warning: {warning}")

    def on_chunk_end(self, run: TrainingRun, chunk: ChunkResult) -> None:
        """Draw the line again."""
        for row in chunk.rows[-1:]:
            pairs = zip(run.columns, row, strict=True)
            self._metrics |= {name: value for name, value in pairs if value is not None}
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + self.SECONDS
            sys.stderr.write(f"\r{self._line(run)}")
            sys.stderr.flush()

    def on_train_end(self, run: TrainingRun) -> None:
        """Leave the last line."""
        sys.stderr.write(f"\r{self._line(run)}\n")

    def _line(self, run: TrainingRun) -> str:
        position = f"{run.config.name}  epoch {run.epoch}/{run.config.training.epochs}"
        known = [f"{name} {self._metrics[name]:.4g}" for name in _LOSSES if name in self._metrics]
        return " · ".join([position, *known]).ljust(70)


def train(
    config: ConfigLike,
    *overrides: str,
    data: Any = None,
    callbacks: Sequence[Any] = (),
    out: str | os.PathLike[str] = "runs",
    name: str | None = None,
    progress: bool = True,
    allow_code: bool = False,
    baselines: Sequence[str] = (),
) -> Run:
    """Train a config with `KEY=VALUE` overrides in a new folder below `out`, and return the run.

    `config` is the path of a file, a mapping of the same form, YAML text (a string with a line break or ": "
    that is not the path of a file), or what `load_config` and `run.config` give. `name` is that of the run.

    `data` takes the place of the file of a table (`dataset.path`): a data frame of pandas, polars or another
    library that narwhals knows, whose target is named by `dataset.target`, or a pair (X, y) of an array
    [N, D] or a frame, and an array [N] or [N, K], a series or a frame. Arrays have columns x1, x2, ...;
    without `dataset.target` the target is called as the series is, or y. Values mean what they do in a file,
    and the options of `dataset` apply. The rows are saved in the run folder as data.parquet, with their
    SHA-256 in run.json, so that the folder is complete.

    `callbacks` are objects with methods of `mlprun.Callback`. `progress` shows epoch and losses in one line
    of standard error where that is a terminal or a notebook's. `baselines=["boosting"]` adds scikit-learn's
    gradient boosting to the baselines.

    Raises ConfigError, DataError, DeviceError, FileError; DivergedError and InterruptedRunError after saving.
    """
    if name is not None:
        overrides = (*overrides, f"name={json.dumps(name)}")
    resolved = load_config(config, *overrides, data=data, allow_code=allow_code)
    experiment = Experiment.of(resolved)
    callbacks = [*ProgressLine.if_interactive(progress), *callbacks]
    ended = training.start(experiment, out=os.fspath(out), callbacks=callbacks, baselines=baselines)
    return _run_of(ended, allow_code=allow_code)


def resume(
    run: str | os.PathLike[str],
    *,
    epochs: int | None = None,
    device: str | None = None,
    allow_code: bool = False,
    callbacks: Sequence[Any] = (),
    progress: bool = True,
) -> Run:
    """Continue a run where it stopped; `epochs` extends it. Raises as `train` does, and CheckpointError."""
    folder = open_run(os.fspath(run))
    callbacks = [*ProgressLine.if_interactive(progress), *callbacks]
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
    folder = open_run(os.fspath(run))
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
    config: ConfigLike, *overrides: str, data: Any = None, allow_code: bool = False
) -> schema.Config:
    """Return the complete, checked config of a file, a mapping or a YAML text, as `train` takes them.

    Raises as `train` does before training.
    """
    if wrong := [one for one in overrides if not isinstance(one, str)]:
        raise UsageError("overrides", f"{wrong[0]!r} is no text", 'expected "KEY=VALUE" for each')
    if isinstance(config, schema.Config):
        config = schema.dump(config, "")
    accepted: tuple[Any, ...] = (str, os.PathLike, Mapping)
    if not isinstance(config, accepted):
        what = f"is of type {type(config).__name__}"
        raise UsageError("config", what, "expected a path, a mapping or YAML text")
    try:
        if isinstance(config, Mapping):
            document = reading.from_mapping(config, "", "config", overrides)
        elif isinstance(config, str) and ("\n" in config or ": " in config) and files.kind(config) is None:
            document = schema.read("config", overrides, text=config)
        else:
            document = schema.read(os.fspath(config), overrides)
        return _config_of(document, data, allow_code=allow_code)
    except ConfigError as error:
        from mlprun.sweeps import definition as definitions  # a run's path loads no sweeps

        if isinstance(config, Mapping) or not definitions.is_sweep(os.fspath(config)):
            raise
        what = "is a sweep file, not the config of a single run"
        raise UsageError(os.fspath(config), what, command_line("sweep run", config)) from error


def _config_of(document: reading.Document, data: Any, *, allow_code: bool) -> schema.Config:
    """Return the config of a document; the rows of `data` take the place of its table's file."""
    if data is None:
        return schema.parse(document, allow_code=allow_code)
    section = document.data.get("dataset")
    options = section if isinstance(section, Mapping) else {} if section is None else {"name": section}
    name, target = options.get("name", "table"), options.get("target")
    if name != "table":
        what = f"is {describe_value(name)}, and data is given; leave dataset out, or override it with "
        raise ConfigError([document.problem(("dataset",), f"{what}dataset.name=table")])
    rows, targets = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    known = tuple(one for one in listed(target) if isinstance(one, str))  # another type is refused below
    memory, named = table_of(rows, targets, target_names=known)
    if target is None and not named:
        what = "is missing; name the column of the target, or give data=(X, y)"
        raise ConfigError([document.problem(("dataset", "target"), what)])
    values: dict[str, Any] = {"name": "table", "path": DATA}
    if target is None:
        values["target"] = named if len(named) > 1 else named[0]
    nodes = compose_mapping(values, Source("data", "", 0)).value
    assert isinstance(nodes, dict)
    document = document.with_values({f"dataset.{key}": entry.node for key, entry in nodes.items()})
    return schema.parse(document, allow_code=allow_code, memory=memory)


def verify(
    config: ConfigLike,
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
    return Run(open_run(os.fspath(run)), allow_code)


def load_checkpoint(
    path: str | os.PathLike[str], *, device: str = "cpu", allow_code: bool = False
) -> evaluation.TrainedModel:
    """Return the network of a checkpoint file, or of a run folder's best epoch; `device` may be `auto`."""
    device = resolve(device)
    path = resolve_latest(os.fspath(path))
    if os.path.isdir(path) or (files.kind(path) is None and not path.endswith(".safetensors")):
        return evaluation.best(open_run(path), device=device, allow_code=allow_code)
    checkpoint = checkpoints.read(path)
    return evaluation.load(checkpoint, path, os.path.dirname(path), device=device, allow_code=allow_code)
