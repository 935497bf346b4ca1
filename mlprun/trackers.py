"""The process of a tracker: it follows the folder of a run or a sweep, and sends what is new.

`training.tracking` starts it. Rows of a run are sent as they appear in its
history.csv, and the rest when standard input ends. Trials of a sweep are sent when it has ended: reading its
database before would delay it. `trackers/NAME-DIGEST.json` in the folder keeps by which id a tracker with
these options knows it, and what is sent, so that a resumed run or another export continues there.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from mlprun import figures, files
from mlprun.config.tree import leaves
from mlprun.errors import MlprunError
from mlprun.isolation import isolate_command
from mlprun.parts.trackers import Result, Scalar, TrackedRun, trackers
from mlprun.storage import canonical, history, runs
from mlprun.sweeps.extract import configs_of
from mlprun.sweeps.folder import SweepFolder, is_sweep
from mlprun.sweeps.objective import LAST
from mlprun.training import metadata, tracking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from mlprun.parts.part import Registry
    from mlprun.parts.trackers import Row, TrackerPart
    from mlprun.schema import Config
    from mlprun.storage.runs import RunFolder
    from mlprun.sweeps.schema import Trial

POLL_SECONDS: Final = 1.0
POLL_FACTOR: Final = 20
"""the next look at a history waits so many times as long as the last one took"""
ROWS: Final = 1000
"""that are sent at once, and recorded as sent"""
_MAX_STATE: Final = 16_000_000
_MAX_MESSAGE: Final = 1000


def send(path: str, name: str, *, allow_code: bool = False) -> None:
    """Send a run or a sweep that is there already to a tracker, with the options in its config, if any.

    Raises UsageError and FileError as `tracking.send` does, and CheckpointError.
    """
    parts = _config_of(path, allow_code=allow_code).trackers
    tracking.send(path, name, parts, allow_code=allow_code)


def _config_of(path: str, *, allow_code: bool) -> Config:
    """Return the config of a run, or the base of a sweep."""
    if is_sweep(path):
        return configs_of(SweepFolder(path), allow_code=allow_code).base
    return metadata.trained_config(runs.open_run(path), allow_code=allow_code)[0]


def main() -> int:
    """Do what the first line of standard input says; return the exit code of the process."""
    order = json.loads(sys.stdin.buffer.readline())
    report, silent = os.dup(1), os.open(os.devnull, os.O_RDWR)
    for standard in (1, 2):  # of libraries that print
        os.dup2(silent, standard)
    isolate_command()
    ended = threading.Event()
    threading.Thread(target=_watch, args=(ended, order["seconds"]), daemon=True).start()
    try:
        _send(order, ended)
    except BaseException as error:  # noqa: BLE001 -- reported by the training
        text = str(error) if isinstance(error, MlprunError) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(BrokenPipeError):  # nobody waits any more
            os.write(report, text.strip().partition("\n")[0][:_MAX_MESSAGE].encode())
        return 1
    return 0


def _watch(ended: threading.Event, seconds: float | None) -> None:
    """Wait until the training ends; from then on the process has so many seconds, whatever hangs in it."""
    sys.stdin.buffer.read()
    if seconds is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM, which ends a process
    ended.set()


def _send(order: Mapping[str, Any], ended: threading.Event) -> None:
    path, allow_code, options = order["path"], order["allow_code"], order["tracker"]
    if is_sweep(path):
        ended.wait()
    config = _config_of(path, allow_code=allow_code)  # registers trackers of user code
    tracker = trackers[options["name"]].model_validate(options)
    with State(path, options) as state:
        if is_sweep(path):
            _send_sweep(SweepFolder(path), tracker, state)
        else:
            _send_run(runs.open_run(path), config, tracker, state, ended, allow_code=allow_code)


class State(files.AppendFile):
    """What a tracker has of a folder: `id` there, and the last `epoch` or the `trials` that it has.

    One process at a time: another, of a session that was interrupted, has seconds left.
    """

    def __init__(self, folder: str, options: Mapping[str, Any]) -> None:
        parent = os.path.join(folder, "trackers")
        files.make_folder(parent)
        name = f"{options['name']}-{canonical.digest(options)[:8]}.json"
        super().__init__(os.path.join(parent, name))
        while not files.lock(self._descriptor, self.path):
            time.sleep(POLL_SECONDS)
        self.id: str | None = None
        self.epoch, self.trials = 0, list[str]()
        try:
            value = json.loads(files.read_bytes(self.path, cap=_MAX_STATE, follow=False))
            self.id, self.epoch, self.trials = str(value["id"]), int(value["epoch"]), list(value["trials"])
        except (ValueError, TypeError, KeyError):  # none yet, or the process died while it wrote
            pass

    def start(self, known: str) -> None:
        """Take over the id of an opened run; a new one has nothing yet."""
        if known != self.id:
            self.id, self.epoch, self.trials = known, 0, []
            self.save()

    def save(self) -> None:
        """Write the file."""
        self._truncate(0)
        content = {"id": self.id, "epoch": self.epoch, "trials": self.trials}
        files.append(self._descriptor, f"{json.dumps(content)}\n".encode(), self.path)


# ---- runs


def _send_run(
    folder: RunFolder,
    config: Config,
    tracker: TrackerPart,
    state: State,
    ended: threading.Event,
    *,
    allow_code: bool,
) -> None:
    params = flatten(metadata.stored_config(config, folder.path))
    run = TrackedRun(folder.name, config.name, os.path.abspath(folder.path), params)
    session = tracker.open(run, state.id)
    state.start(session.id)
    is_over = False
    while not is_over:
        is_over = ended.is_set()  # before the last rows are read
        began = time.monotonic()
        rows = [row for row in _rows(history.read(folder.history)) if row["epoch"] > state.epoch]
        for start in range(0, len(rows), ROWS):
            batch = rows[start : start + ROWS]
            session.log(batch)
            state.epoch = int(batch[-1]["epoch"])
            state.save()
        if not is_over:
            ended.wait(max(POLL_SECONDS, POLL_FACTOR * (time.monotonic() - began)))
    deadline = time.monotonic() + POLL_SECONDS
    while (status := folder.status()).state == "running" and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS / 20)  # a killed training closes its files in turn: this pipe before its lock
    metrics = dict(_final_metrics(status.figures))
    if not metrics:
        return session.finish(Result(status.state, status.epochs))
    checkpoint = folder.best if files.kind(folder.best) == "file" else folder.last
    data = figures.RunData.of(folder, allow_code=allow_code)
    with tempfile.TemporaryDirectory(prefix="mlprun-") as temporary:
        drawn = list(_draw(figures.run_figures, data, temporary))
        return session.finish(Result(status.state, status.epochs, metrics, drawn, [checkpoint]))


def _rows(columns: Mapping[str, NDArray[Any]]) -> list[Row]:
    """Return the rows of a history without empty cells and nan."""
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    return [
        {name: value for name, value in zip(columns, row, strict=True) if not math.isnan(value)}
        for row in rows
    ]


def _final_metrics(ended: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield `best/test_loss`, `last/test_loss`, `baselines/NAME/test_loss`, ..., of status.json's metrics."""
    tables = {f"baselines/{name}": splits for name, splits in ended.get("baselines", {}).items()}
    for which in ("best", "last"):
        if ended.get(which) is not None:
            yield f"{which}/epoch", ended[which]["epoch"]
            tables[which] = ended[which]["splits"]
    for prefix, splits in tables.items():
        for split, metrics in splits.items():
            for name, value in metrics.items():
                several = value if isinstance(value, list) else [value]
                for index, one in enumerate(several):
                    if one is not None:
                        end = f"/{index}" if isinstance(value, list) else ""
                        yield f"{prefix}/{split}_{name}{end}", one


def _draw(registry: Registry[Any], data: Any, folder: str) -> Iterator[str]:
    """Draw the default figures that apply into a folder, and yield their paths."""
    kinds = [part.names()[0] for part in registry if part.is_default and "png" in part.formats]
    for kind, chart in figures.charts_of(registry, data, kinds):
        path = os.path.join(folder, f"{kind}.png")
        files.write_new(path, figures.encode(chart, "png"))
        yield path


# ---- sweeps


def _send_sweep(folder: SweepFolder, tracker: TrackerPart, state: State) -> None:
    """Send the trials that have ended, each as a run of its own, then the figures of the sweep."""
    data = figures.SweepData.of(folder.path)
    with folder.results() as results:
        description, trials = results.description, [one for one in results.each() if one.status != "pending"]
        values = {one.id: one.values for one in results.settings()}
    path, base = os.path.abspath(folder.path), flatten(description.base)
    options = {key: value for key, value in description.definition.items() if key != "base"}
    sweep = TrackedRun(
        folder.name, description.name, path, {**base, **flatten({"sweep": options})}, group=folder.name
    )
    session = tracker.open(sweep, state.id)
    state.start(session.id)
    for trial in trials:
        key = f"{trial.id} {trial.status}"  # a trial that failed may be trained again
        if key in state.trials:
            continue
        params = {**base, **flatten(values[trial.setting]), "training.seed": trial.seed}
        params |= {} if trial.fold is None else {"fold": trial.fold}
        name = f"{folder.name}-trial-{trial.id}"
        child = tracker.open(
            TrackedRun(name, description.name, path, params, trial.id, session.id, folder.name), None
        )
        child.log(_rows(data.history(trial) or {}))
        child.finish(Result(trial.status, trial.epochs or 0, _trial_metrics(trial)))
        state.trials.append(key)
        state.save()
    with tempfile.TemporaryDirectory(prefix="mlprun-") as temporary:
        drawn = list(_draw(figures.sweep_figures, data, temporary))
        metrics = {"trials": len(trials)}
        session.finish(Result(folder.status().state, 0, metrics, drawn, [folder.definition]))


def _trial_metrics(trial: Trial) -> dict[str, float]:
    return {
        f"last/{name.removeprefix(LAST)}" if name.startswith(LAST) else f"best/{name}": value
        for name, value in trial.figures.items()
        if value is not None
    }


# ---- parameters


def flatten(config: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return a config by dotted path, lists and null as JSON, without its trackers."""
    logged = {key: value for key, value in config.items() if key not in ("trackers", "format")}
    return {
        path: value if isinstance(value, Scalar) else json.dumps(value, ensure_ascii=False)
        for path, value in leaves(logged)
    }
