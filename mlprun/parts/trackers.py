"""Experiment trackers that a config can name: `trackers: [tensorboard, {name: mlflow, uri: ...}]`.

A tracker is opened for a run, receives the logged epochs and, at the end, the final metrics, figures and
checkpoint. All of this happens in a process of its own, see `mlprun.trackers`: what a tracker imports, prints
or waits for does not reach the training. A file that `extend` names may register its own:

    @trackers.register
    class Lines(TrackerPart):
        "Appends the epochs to a text file."
        name: Literal["lines"] = "lines"
        path: str

        def open(self, run, known):
            return LinesOf(self.path, run)  # a TrackerSession
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import Field

from mlprun import extras, files
from mlprun.parts.part import ConfigPath, Part, Registry

Scalar = bool | int | float | str
Row = Mapping[str, float]
"""the metrics of a logged epoch by column of history.csv, `epoch` among them"""


@dataclass(frozen=True)
class TrackedRun:
    """A run, a sweep, or a trial of a sweep, as a tracker is told of it."""

    name: str
    """of its folder, such as moons-001; of a trial with its number"""
    project: str
    """the name of the config or of the sweep, by default that of the project or experiment"""
    path: str
    """the absolute path of the folder, which links back to it"""
    params: Mapping[str, Scalar] = field(default_factory=dict)
    """the config by dotted path"""
    trial: int | None = None
    parent: str | None = None
    """the id of the sweep of a trial"""
    group: str | None = None
    """the name of the sweep's folder, for the sweep and its trials"""


@dataclass(frozen=True)
class Result:
    """How a run ended: its state, last epoch and final metrics, and the paths of figures and other files."""

    state: str
    epoch: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    figures: Sequence[str] = ()
    """PNG files, each named after its figure"""
    artifacts: Sequence[str] = ()

    @property
    def has_failed(self) -> bool:
        """Whether the run did not come to a good end."""
        return self.state not in ("finished", "early_stopping", "pruned")


class TrackerSession(ABC):
    """A run that is open in a tracker."""

    id: str
    """by which the tracker finds the run again; equal to `known` if it continues that one"""

    @abstractmethod
    def log(self, rows: Sequence[Row]) -> None:
        """Send logged epochs."""

    @abstractmethod
    def finish(self, result: Result) -> None:
        """Send the result, and close the run."""


class TrackerPart(Part):
    """The options of a tracker."""

    library: ClassVar[str] = ""
    """the extra that it needs"""
    title: ClassVar[str] = ""
    """what its users call it"""

    def check(self) -> None:
        """Raise UsageError if the library is not installed."""
        if self.library:
            extras.need(self.library, where="trackers", title=self.title)

    def open(self, run: TrackedRun, known: str | None) -> TrackerSession:
        """Open a run: the one with the id `known`, if there is still one, or a new one."""
        raise NotImplementedError


trackers: Registry[TrackerPart] = Registry("tracker", "trackers")


@trackers.register
class TensorBoard(TrackerPart):
    """TensorBoard: event files, in the run folder by default; `tensorboard --logdir runs` shows all runs.

    Trials of a sweep are in folders of their own, with their parameters under HPARAMS.
    """

    library, title = "tensorboard", "TensorBoard"

    name: Literal["tensorboard"] = "tensorboard"
    folder: ConfigPath | None = Field(
        None,
        description="folder with a folder of events for each run (default: tensorboard in the run folder)",
    )

    def open(self, run: TrackedRun, known: str | None) -> TrackerSession:
        own = run.group or run.name
        folder = (
            os.path.join(run.path, "tensorboard") if self.folder is None else os.path.join(self.folder, own)
        )
        if run.trial is not None:
            folder = os.path.join(folder, f"trial-{run.trial}")
        return _EventFile(folder, run, known)


class _EventFile(TrackerSession):
    """An event file, written without torch and TensorFlow; `id` is the name of a run's first one."""

    def __init__(self, folder: str, run: TrackedRun, known: str | None) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        exists = known is not None and files.kind(os.path.join(folder, known)) == "file"
        before = set(files.names(folder)) if files.is_folder(folder) else set()
        self._writer = EventFileWriter(folder)
        (made,) = set(files.names(folder)) - before
        self.id = known if exists and known is not None else made
        if self.id != known:
            self._describe(run)

    def _describe(self, run: TrackedRun) -> None:
        """Write the parameters, and as text the run folder and the parameters."""
        from tensorboard.plugins.hparams import summary_v2 as hparams
        from tensorboard.plugins.text import summary_v2 as text

        self._write(hparams.hparams_pb(dict(run.params), trial_id=run.name), 0)
        lines = [f"run folder: `{run.path}`\n", "|parameter|value|", "|-|-|"]
        lines += [f"|{key}|{str(value).replace('|', ' ')}|" for key, value in run.params.items()]
        self._write(text.text_pb("config", "\n".join(lines)), 0)

    def _write(self, summary: Any, step: int) -> None:
        self._writer.add_event(self._event(summary=summary, step=step, wall_time=time.time()))

    def _scalars(self, metrics: Iterable[tuple[str, float]]) -> Any:
        return self._summary(
            value=[self._summary.Value(tag=tag, simple_value=value) for tag, value in metrics]
        )

    def log(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._write(self._scalars(_metrics(row)), int(row["epoch"]))
        self._writer.flush()

    def finish(self, result: Result) -> None:
        self._write(self._scalars(result.metrics.items()), result.epoch)
        for path in result.figures:
            image = files.read_bytes(path, cap=2**30)
            width, height = (int.from_bytes(image[at : at + 4], "big") for at in (16, 20))  # of a PNG
            picture = self._summary.Image(width=width, height=height, encoded_image_string=image)
            value = self._summary.Value(tag=f"figures/{_stem(path)}", image=picture)
            self._write(self._summary(value=[value]), result.epoch)
        self._writer.close()


@trackers.register
class MLflow(TrackerPart):
    """MLflow: a run in an experiment, with figures and checkpoint as artifacts; trials are nested runs."""

    library, title = "mlflow", "MLflow"

    name: Literal["mlflow"] = "mlflow"
    uri: str | None = Field(
        None,
        description="tracking URI, such as sqlite:///mlflow.db (relative to the working directory) or "
        "http://localhost:5000 (default: MLFLOW_TRACKING_URI)",
    )
    experiment: str | None = Field(None, description="experiment (default: name of the config)")

    def open(self, run: TrackedRun, known: str | None) -> TrackerSession:
        return _MlflowRun(self.uri, self.experiment or run.project, run, known)


class _MlflowRun(TrackerSession):
    PARAMS, METRICS, LENGTH = 100, 1000, 6000
    """the most parameters and metrics of a request, and characters of a value"""

    def __init__(self, uri: str | None, experiment: str, run: TrackedRun, known: str | None) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException

        self._client, self._metric, self._error = MlflowClient(tracking_uri=uri), Metric, MlflowException
        if known is not None and self._reopened(known):
            self.id = known
            return
        tags = {"mlprun.run_folder": run.path}
        if run.parent is not None:
            tags["mlflow.parentRunId"] = run.parent
        opened = self._client.create_run(self._experiment_id(experiment), run_name=run.name, tags=tags)
        self.id = opened.info.run_id
        params = [Param(key, str(value)[: self.LENGTH]) for key, value in run.params.items()]
        for start in range(0, len(params), self.PARAMS):
            self._client.log_batch(self.id, params=params[start : start + self.PARAMS])

    def _reopened(self, known: str) -> bool:
        try:
            self._client.update_run(known, status="RUNNING")
        except self._error:  # it was deleted
            return False
        return True

    def _experiment_id(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except self._error:
                found = self._client.get_experiment_by_name(name)  # another process was faster
                if found is None:
                    raise
        return str(found.experiment_id)

    def log(self, rows: Sequence[Row]) -> None:
        self._log((row["epoch"], pair) for row in rows for pair in _metrics(row))

    def _log(self, metrics: Iterable[tuple[float, tuple[str, float]]]) -> None:
        now = int(time.time() * 1000)
        made = [self._metric(name, value, now, int(epoch)) for epoch, (name, value) in metrics]
        for start in range(0, len(made), self.METRICS):
            self._client.log_batch(self.id, metrics=made[start : start + self.METRICS])

    def finish(self, result: Result) -> None:
        self._log((result.epoch, pair) for pair in result.metrics.items())
        for path in result.figures:
            self._client.log_artifact(self.id, path, "figures")
        for path in result.artifacts:
            self._client.log_artifact(self.id, path)
        stopped = "KILLED" if result.state in ("interrupted", "crashed") else "FAILED"
        self._client.set_terminated(self.id, stopped if result.has_failed else "FINISHED")


@trackers.register
class WeightsAndBiases(TrackerPart):
    """Weights & Biases: a run in a project; the trials of a sweep form a group.

    Files are written to `wandb` in the working directory; `wandb sync` uploads those of `mode: offline`.
    """

    library, title = "wandb", "Weights & Biases"

    name: Literal["wandb"] = "wandb"
    project: str | None = Field(None, description="project (default: name of the config)")
    entity: str | None = Field(None, description="user or team (default: that of the login)")
    mode: Literal["online", "offline"] | None = Field(None, description="default: WANDB_MODE, or online")

    def open(self, run: TrackedRun, known: str | None) -> TrackerSession:
        import wandb

        opened = wandb.init(
            entity=self.entity,
            project=self.project or run.project,
            id=known or f"{run.name}-{os.urandom(4).hex()}",
            name=run.name,
            group=run.group,
            mode=self.mode,
            config={**run.params, "run_folder": run.path},
            resume="allow",
            reinit="create_new",  # a sweep is open while its trials are
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True
            ),
        )
        return _WandbRun(wandb, opened, ends_with_code=True)


@trackers.register
class Trackio(TrackerPart):
    """trackio: a local database in TRACKIO_DIR, which `trackio show` presents; trials form a group."""

    library, title = "trackio", "trackio"

    name: Literal["trackio"] = "trackio"
    project: str | None = Field(None, description="project (default: name of the config)")

    def open(self, run: TrackedRun, known: str | None) -> TrackerSession:
        import contextvars

        import trackio

        start = partial(
            trackio.init,
            project=self.project or run.project,
            name=run.name,
            group=run.group,
            config={**run.params, "run_folder": run.path},
            resume="never" if known is None else "allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        # in a context of its own, since a trial would end the sweep in that of its own
        return _WandbRun(trackio, contextvars.copy_context().run(start), ends_with_code=False)


class _WandbRun(TrackerSession):
    """A run of Weights & Biases, or of trackio, which has the same interface."""

    def __init__(self, library: Any, run: Any, *, ends_with_code: bool) -> None:
        self._library, self._run, self._ends_with_code = library, run, ends_with_code
        self.id = str(run.id)

    def log(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._run.log(dict(_metrics(row)), step=int(row["epoch"]))

    def finish(self, result: Result) -> None:
        figures = {f"figures/{_stem(path)}": self._library.Image(path) for path in result.figures}
        if result.metrics or figures:
            self._run.log({**result.metrics, **figures}, step=result.epoch)
        if result.artifacts:
            artifact = self._library.Artifact(self._run.name, type="model")
            for path in result.artifacts:
                artifact.add_file(path)
            self._run.log_artifact(artifact)
        self._run.finish(**({"exit_code": int(result.has_failed)} if self._ends_with_code else {}))


def _metrics(row: Row) -> Iterable[tuple[str, float]]:
    return ((name, value) for name, value in row.items() if name != "epoch")


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]
