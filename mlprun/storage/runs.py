"""Run folders: created, opened, found, and written to by the one process that holds their lock.

A folder is prepared under a dot-name, with config, record, status and a lock that is held, and claimed by
rename, so a numbered folder is never without them. Symbolic links inside one are refused, and nothing is
removed but temporaries that `files` named.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import platform
import re
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

from mlprun import files
from mlprun.config.tree import printable
from mlprun.errors import CheckpointError, FileError, RunInUseError, UsageError, command_line, shell_path
from mlprun.parts import SPLITS
from mlprun.storage import canonical, checkpoints, provenance
from mlprun.storage.history import History

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlprun.storage.checkpoints import Checkpoint

RunState = Literal["running", "finished", "interrupted", "diverged", "failed", "crashed"]
"""`crashed` is never written: it is how a run that died while running is shown."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RUN_NAME = re.compile(rf"{_NAME.pattern}-[0-9]{{3,9}}")
DATA = "data.parquet"
"""the rows of a run that was trained on a table in memory"""
_FILES = (
    DATA,
    "config.yaml",
    "run.json",
    "status.json",
    "history.csv",
    "best.safetensors",
    "last.safetensors",
    "last.previous.safetensors",
    "snapshots.safetensors",
    "train.log",
    "notes.json",
    "lock",
)
_NEEDED = ("config.yaml", "run.json", "status.json")
_MAX_JSON = 16_000_000
_SWEEP = "trials.sqlite"
"""a file of sweep folders, which run folders lack"""
LATEST = "latest"
"""the name of the newest run of a folder, as in runs/latest: a symbolic link where the system allows it"""
TRASH = ".trash"
"""the folder beside runs into which `trash` moves them"""
_RESTORE = "put the run's own file back"
_LATEST_DATE = 2**37
"""seconds, in the year 6325: a file's time can lie beyond what dates can say"""
_PATIENCE = 0.25
"""seconds to wait for a lock; `ls` and `show` hold it for microseconds while they ask whether it is held"""


_STATUS_TYPES = {
    "state": str,
    "epochs": int,
    "seconds": float | int,
    "figures": dict,
    "reason": str,
    "differences": list,
    "extended": list,
}


@dataclass(frozen=True)
class Status:
    """The status of a run: completed epochs, seconds of training, final metrics (JSON), and why it ended.

    `differences` are between the recorded and the present environment when the run was resumed; while there
    are none, the run equals one that was never disturbed, byte for byte. `extended` holds the number of
    epochs before each extension.
    """

    state: RunState
    epochs: int = 0
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    differences: tuple[str, ...] = ()
    extended: tuple[int, ...] = ()

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Status:
        """Return the status of the content of status.json. Raises ValueError for anything else."""
        is_sound = all(isinstance(value.get(key), kind) for key, kind in _STATUS_TYPES.items())
        if not is_sound or value["state"] not in get_args(RunState) or not _is_result(value["figures"]):
            raise ValueError("a value has a wrong type")
        lists = {"differences": tuple(value["differences"]), "extended": tuple(value["extended"])}
        return cls(**{key: value[key] for key in _STATUS_TYPES} | lists)


@dataclass(frozen=True)
class Notes:
    """What users write about a run: notes.json, which mlprun only shows and filters by."""

    tags: tuple[str, ...] = ()
    note: str = ""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Notes:
        """Return the notes of the content of notes.json. Raises ValueError for anything else."""
        tags, note = value.get("tags"), value.get("note")
        if (
            not isinstance(tags, list)
            or not isinstance(note, str)
            or any(type(one) is not str for one in tags)
        ):
            raise ValueError("a value has a wrong type")
        return cls(tuple(tags), note)


def _is_result(value: dict[str, Any]) -> bool:
    """Return True if these are the metrics of a run that has ended (best, last, baselines), or none."""
    if not value:
        return True
    try:
        best, last = value["best"], value["last"]
        epochs = [last] if best is None else [last, best]
        tables = [*(one["splits"] for one in epochs), *value["baselines"].values()]
        pairs = [pair for table in tables for split in table.values() for pair in split.items()]
        lists = {name for name, metric in pairs if isinstance(metric, list)}
        return (
            isinstance(value.get("positive"), str | None)
            and all(isinstance(one["epoch"], int) for one in epochs)
            and (best is None or (isinstance(best["metric"], str) and isinstance(best["value"], float | int)))
            and all(split in SPLITS for table in tables for split in table)
            and all(
                isinstance(metric, list if name in lists else float | int | None) for name, metric in pairs
            )
        )
    except (KeyError, TypeError, AttributeError):
        return False


def selected(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return, as JSON, the best epoch and its metrics; those of the last if none was selected on dev rows."""
    best, of = metrics.get("best"), "best" if metrics.get("best") else "last"
    return {
        "best": {key: best[key] for key in ("epoch", "metric", "value")} if best else None,
        "of": of if metrics else "",
        "splits": metrics[of]["splits"] if metrics else {},
    }


def encode_json(value: object) -> bytes:
    """Return the bytes of run.json or status.json."""
    return f"{canonical.encode(value, indent=2)}\n".encode()


class Lock(files.OpenFile):
    """The right to write to a run folder, an flock from construction until `release` or the end of `with`.

    Only the process that holds the lock replaces its file, namely when other paths share it by hard links, as
    in copies made with `cp -al`: two copies are two runs. So after locking, the path must still name the
    locked file; otherwise the new one is locked. The lock ends with its process. Children that execute
    another program do not inherit it; a forked one would keep it, so workers are spawned.

    Raises RunInUseError, which names the process that holds it, and FileError where nothing can be written.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        try:
            self._take()
        except BaseException:
            self.close()
            raise

    def release(self) -> None:
        """Let others write to the run folder; a second call does nothing."""
        self.close()

    def _take(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._acquired():
            if time.monotonic() > deadline:
                what = f"is in use by {lock_holder(self.path)}"
                raise RunInUseError(os.path.dirname(self.path) or ".", what, "wait for it or stop it")
            time.sleep(_PATIENCE / 20)
        line = f"{os.getpid()} {platform.node()}\n".encode()
        if self._is_shared():
            descriptor = files.replace_locked(self.path, line)
            self.close()
            self._descriptor = descriptor
        else:
            self._truncate(0)
            files.append(self._descriptor, line, self.path)

    def _acquired(self) -> bool:
        """Lock the file that is at the path now; return False if another process holds it."""
        while files.lock(self._descriptor, self.path):
            if files.is_at(self._descriptor, self.path):
                return True
            self.close()
            self._descriptor = files.open_writing(self.path)
        return False


def is_locked(path: str) -> bool:
    """Return True if a process holds the lock; works on a read-only file system too."""
    while True:
        try:
            descriptor = files.open_reading(path, follow=False)
        except (FileNotFoundError, IsADirectoryError):
            return False
        try:
            if not files.lock(descriptor, path, shared=True):
                return True
            if files.is_at(descriptor, path):
                return False
        finally:
            files.close(descriptor, path)


def lock_holder(path: str) -> str:
    """Return the process that last took the lock, such as `process 4711 on lab3`, for a message."""
    try:
        process, host = files.read_text(path, cap=1000, follow=False).split()
    except (OSError, ValueError, FileError):
        return "another process"
    return f"process {process} on {host}" if process.isdigit() and host.isprintable() else "another process"


StatusT = TypeVar("StatusT", bound=Any)


class Folder(Generic[StatusT]):
    """A folder with a lock, run.json and status.json, the base of those of runs and of sweeps."""

    status_type: type[StatusT]
    subfolders: tuple[str, ...] = ()
    restore = "train it again with mlprun train"
    """what would work if a file is damaged"""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = os.path.basename(os.path.abspath(path))
        """the folder's own name, such as moons-001"""

    def lock(self) -> Lock:
        """Take the right to write, and remove the temporaries that a killed process left behind."""
        lock = Lock(os.path.join(self.path, "lock"))
        try:
            for folder in (self.path, *(os.path.join(self.path, name) for name in self.subfolders)):
                for name in files.names(folder) if files.is_folder(folder) else ():
                    path = os.path.join(folder, name)
                    if files.is_temporary(name) and files.kind(path) == "file":
                        files.remove(path)
        except BaseException:
            lock.release()
            raise
        return lock

    def started_at(self) -> int:
        """Return when run.json was written, once, at the start: nanoseconds since 1970; 0 without one."""
        with contextlib.suppress(FileNotFoundError):
            return files.lstat(os.path.join(self.path, "run.json")).st_mtime_ns
        return 0

    def date(self) -> datetime:
        """Return when the run or sweep was started, in local time."""
        seconds = min(self.started_at() // 10**9, _LATEST_DATE)
        return datetime.fromtimestamp(seconds, tz=UTC).astimezone()

    def record(self) -> dict[str, Any]:
        """Return run.json: what was run, where and with what."""
        return self._read_json("run.json")

    def _read_json(self, name: str) -> dict[str, Any]:
        path = os.path.join(self.path, name)
        try:
            value = canonical.decode(files.read_bytes(path, cap=_MAX_JSON, follow=False))
        except FileNotFoundError as error:
            raise CheckpointError(path, "no such file", self.restore) from error
        except (files.WrongKindError, files.TooLargeError, ValueError) as error:
            what = "is damaged: it is not the JSON that mlprun writes"
            raise CheckpointError(path, what, self.restore) from error
        if not isinstance(value, dict):
            raise CheckpointError(path, "is damaged: it is not a mapping", self.restore)
        return value

    def _written_status(self) -> StatusT:
        """Return the status; one that is `running` while no process holds the lock is `crashed`."""
        status = self._read_status()
        if status.state == "running" and not is_locked(os.path.join(self.path, "lock")):
            status = self._read_status()  # it may have ended in between
            if status.state == "running":
                status = replace(status, state="crashed")
        return status

    def _read_status(self) -> StatusT:
        value = self._read_json("status.json")
        try:
            status: StatusT = self.status_type.from_json(value)
        except ValueError as error:
            path = os.path.join(self.path, "status.json")
            raise CheckpointError(path, "is damaged: it is not a status", self.restore) from error
        return status

    def write_status(self, status: StatusT) -> None:
        """Replace status.json."""
        files.write_atomic(os.path.join(self.path, "status.json"), encode_json(asdict(status)))


@dataclass(frozen=True)
class LastCheckpoint:
    """The newest usable checkpoint of a run; `damage` is why it is last.previous and not last."""

    checkpoint: Checkpoint
    path: str
    damage: CheckpointError | None = None


class RunFolder(Folder[Status]):
    """A folder that holds a run, made by `create`, `open_run` and `find`."""

    status_type = Status

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.config, self.history = os.path.join(path, "config.yaml"), os.path.join(path, "history.csv")
        names = ("best", "last", "snapshots")
        self.best, self.last, self.snapshots = (os.path.join(path, f"{name}.safetensors") for name in names)
        self.previous = os.path.join(path, "last.previous.safetensors")
        """the checkpoint before the newest"""

    def plots(self) -> str:
        """Return the folder for figures, made when it is missing; a symbolic link there is refused."""
        path = os.path.join(self.path, "plots")
        if files.kind(path) not in (None, "folder"):
            raise CheckpointError(path, f"is a {files.kind(path)}", "expected a folder")
        files.make_folder(path)
        return path

    def status(self, *, read_checkpoints: bool = True) -> Status:
        """Return the status; a run that says `running` while no process holds its lock has crashed.

        The epochs of a crashed or failed run are those of its newest checkpoint. Without `read_checkpoints`,
        for lists of many runs, they are those in status.json.
        """
        status = self._written_status()
        if status.state == "running" or (read_checkpoints and status.state in ("crashed", "failed")):
            return replace(status, epochs=self._saved_epochs())
        return status

    def notes(self) -> Notes:
        """Return the tags and the note of the user."""
        path = os.path.join(self.path, "notes.json")
        if files.kind(path) is None:
            return Notes()
        try:
            return Notes.from_json(self._read_json("notes.json"))
        except ValueError as error:
            raise CheckpointError(path, "is damaged: it holds no tags and note", "remove it") from error

    def change_notes(self, change: Callable[[Notes], Notes]) -> Notes:
        """Replace notes.json by what `change` makes of it, one process at a time; return the new notes.

        The lock of the run is not needed, since nothing but users depends on notes.
        """
        with files.locked_folder(self.path):
            notes = change(self.notes())
            files.write_atomic(os.path.join(self.path, "notes.json"), encode_json(asdict(notes)))
        return notes

    def _saved_epochs(self) -> int:
        """Return the epoch of the newest checkpoint; 0 where none can be read."""
        with contextlib.suppress(CheckpointError):
            last = self.load_last()
            return 0 if last is None else int(last.checkpoint.meta["epoch"])
        return 0

    def write_config(self, text: str) -> None:
        """Replace config.yaml."""
        files.write_atomic(self.config, text.encode())

    def open_history(self, columns: Sequence[str], *, anew: bool = False) -> History:
        """Open history.csv for appending; `anew` for a run without a checkpoint."""
        return History.open(self.history, columns, anew=anew)

    def open_log(self) -> Log:
        """Open train.log for appending."""
        return Log(os.path.join(self.path, "train.log"))

    def save_best(self, data: bytes) -> None:
        """Replace best.safetensors; to be called just before the `save_last` that refers to it."""
        files.write_atomic(self.best, data)

    def save_last(self, data: bytes) -> None:
        """Replace last.safetensors, keeping the former one as last.previous.safetensors."""
        files.write_atomic(self.last, data, previous=self.previous)

    def load_last(self) -> LastCheckpoint | None:
        """Return the newest checkpoint, or the one before if it is damaged; None before the first one."""
        if files.kind(self.last) is None and files.kind(self.previous) is None:
            return None
        try:
            return LastCheckpoint(self._read_own(self.last), self.last)
        except CheckpointError as damage:
            try:
                checkpoint = self._read_own(self.previous)
            except CheckpointError as error:
                what = f"has no usable checkpoint: {damage}; {error}"
                raise CheckpointError(self.path, what, Folder.restore) from damage
            return LastCheckpoint(checkpoint, self.previous, damage)

    def restore_last(self) -> None:
        """Replace a damaged last by last.previous, so that the next save does not keep the damage."""
        data = checkpoints.read_bytes(self.previous, follow=False)
        checkpoints.decode(data, self.previous)
        files.write_atomic(self.last, data)

    def load_best(self) -> Checkpoint:
        """Return the best epoch's checkpoint."""
        return self._read_own(self.best)

    def save_snapshots(self, data: bytes) -> None:
        """Replace snapshots.safetensors; to be called just before the `save_last` that it precedes."""
        files.write_atomic(self.snapshots, data)

    def load_snapshots(self) -> Checkpoint | None:
        """Return the models of log-spaced epochs; None for a run that has none."""
        if files.kind(self.snapshots) is None:
            return None
        checkpoint = self._read_own(self.snapshots)
        if checkpoint.meta.get("kind") != checkpoints.SNAPSHOTS:
            raise CheckpointError(self.snapshots, "holds no snapshots", _RESTORE)
        return checkpoint

    def _read_own(self, path: str) -> Checkpoint:
        """Return a checkpoint of this run; raises CheckpointError for one that another run has written."""
        checkpoint = checkpoints.read(path, follow=False)
        epoch = checkpoint.meta.get("epoch")
        if type(epoch) is not int or epoch < 0:
            raise CheckpointError(path, "does not say of which epoch it is", _RESTORE)
        digest, config = self.record().get("settings_digest"), checkpoint.meta.get("config")
        if digest is None or (isinstance(config, dict) and provenance.settings_digest(config) == digest):
            return checkpoint
        raise CheckpointError(path, "is of another run: it was trained with another config", _RESTORE)


def create(
    out: str,
    name: str,
    *,
    config: str,
    record: Mapping[str, Any],
    code: Mapping[str, bytes] | None = None,
    data: bytes | None = None,
) -> tuple[RunFolder, Lock]:
    """Create a folder NAME-001, NAME-002, ... below `out`, with its lock held and its status `running`.

    `record` goes into run.json; `code` holds the user's source files by plain name, `data` the rows of a
    table in memory. A process that dies meanwhile leaves at most a dot-folder.
    """
    contents = {name: data for name, data in (code or {}).items() if is_allowed_file_name(name)}
    assert len(contents) == len(code or {}), "source files are copied under plain names of their own"
    if data is not None:
        contents[DATA] = data
    contents["config.yaml"] = config.encode()
    contents["run.json"] = encode_json(record)
    contents["status.json"] = encode_json(asdict(Status("running")))
    check_name(name)
    with contextlib.ExitStack() as undo:
        prepared, lock = prepare(out, name, contents, undo)
        undo.callback(_unlink_missing, out)
        final = claim(prepared, out, name)
        undo.pop_all()
    return RunFolder(final), lock


def prepare(
    out: str, name: str, contents: Mapping[str, bytes], undo: contextlib.ExitStack, more: Sequence[str] = ()
) -> tuple[str, Lock]:
    """Create a dot-folder below `out` with these files, its lock held.

    `undo` removes it, with the files named `more`. A process that dies meanwhile leaves it behind.
    """
    files.make_folder(out)
    prepared = os.path.join(out, f".{name}-{os.urandom(8).hex()}")
    undo.callback(remove_prepared, prepared, (*contents, "lock", *more))
    files.make_folder(prepared, exclusive=True)
    for file, data in contents.items():
        files.write_new(os.path.join(prepared, file), data)
    return prepared, undo.enter_context(Lock(os.path.join(prepared, "lock")))


def claim(prepared: str, out: str, name: str) -> str:
    """Rename a prepared folder to the next free name NAME-001, NAME-002, ... below `out`; return its path.

    `latest` names it before it exists: a process that dies in between leaves a link to nothing, for which
    `resolve_latest` finds the newest run, and never one to an older run.
    """
    while True:
        final = next_free(out, name)
        point_latest(out, os.path.basename(final))
        with contextlib.suppress(FileExistsError):  # another process was faster
            files.claim(prepared, final)
            return final


def next_free(out: str, name: str) -> str:
    """Return the path below `out` of the name NAME-001, NAME-002, ... after those that are taken."""
    folders = filter(files.is_folder, (out, os.path.join(out, TRASH)))
    taken = [taken for folder in folders for taken in files.names(folder)]
    number = max((number_of(found, name) for found in taken), default=0) + 1
    return os.path.join(out, f"{name}-{number:03d}")


def number_of(folder: str, name: str) -> int:
    """Return 7 for a folder NAME-007, and 0 for another."""
    digits = folder.removeprefix(f"{name}-")
    return int(digits) if digits != folder and re.fullmatch("[0-9]{3,9}", digits) else 0


def remove_prepared(folder: str, names: Sequence[str]) -> None:
    """Remove a folder that got no name, with the files that were put into it."""
    for name in names:
        with contextlib.suppress(OSError):
            files.system.unlink(os.path.join(folder, name))
    with contextlib.suppress(OSError):
        files.system.rmdir(folder)


def is_allowed_file_name(name: str) -> bool:
    """Return True if a file of the user may have this name in a run folder."""
    return (
        os.path.basename(name) == name
        and not name.startswith(".")
        and name not in (*_FILES, "plots", "report.html", "trackers", "tensorboard", "")
    )


def check_name(name: str) -> None:
    """Raise UsageError for a name that a run cannot have."""
    if _NAME.fullmatch(name) is None:
        remedy = "expected up to 64 letters, digits, '.', '_' and '-', the first a letter or a digit"
        raise UsageError(f"run name {name!r}", "is not allowed", remedy)


def resolve_latest(path: str) -> str:
    """Return `path`, with FOLDER/latest replaced by the newest run in FOLDER unless a user put it there.

    The path may also be of a file in the run, such as FOLDER/latest/last.safetensors.
    """
    folder, name = os.path.split(os.path.normpath(path))
    if os.path.basename(folder) == LATEST and files.kind(folder) in (None, "symbolic link"):
        return os.path.join(resolve_latest(folder), name)
    if name != LATEST:
        return path
    target = _linked_run(folder)
    if target is not None and has_files(os.path.join(folder, target)):
        return os.path.join(folder, target)
    if target is None and files.kind(path) is not None:
        return path
    newest = _newest(folder or ".")
    if newest is None:
        raise CheckpointError(path, "there is no run yet", "train one with mlprun train CONFIG")
    return newest.path


def point_latest(folder: str, name: str | None = None) -> None:
    """Let FOLDER/latest name a run, by default the newest one, unless it is not a link of this module."""
    path = os.path.join(folder, LATEST)
    if _linked_run(folder) is None and files.kind(path) is not None:
        return
    if name is None:
        newest = _newest(folder)
        name = None if newest is None else newest.name
    if name is None:
        files.remove_link(path)
    else:
        files.point_link(path, name)


def _unlink_missing(folder: str) -> None:
    """Remove a link to a run that was not made after all."""
    target = _linked_run(folder)
    if target is not None and files.kind(os.path.join(folder, target)) is None:
        files.remove_link(os.path.join(folder, LATEST))


def _linked_run(folder: str) -> str | None:
    """Return the name to which FOLDER/latest links if it is one that a run gets, such as moons-001."""
    target = files.link_target(os.path.join(folder, LATEST))
    return target if target is not None and _RUN_NAME.fullmatch(target) else None


def _newest(folder: str) -> RunFolder | None:
    return max(find(folder), key=lambda run: run.started_at(), default=None)


def open_run(path: str) -> RunFolder:
    """Return the run folder at `path` (`runs/latest` is the newest in `runs`).

    Raises CheckpointError for what it lacks or what is wrong with it.
    """
    path = resolve_latest(path)
    if not files.is_folder(path):
        kind = files.kind(path)
        raise CheckpointError(path, f"is a {kind}" if kind else "no such folder", suggest_run(path))
    for name in _FILES:
        kind = files.kind(os.path.join(path, name))
        if kind is None and name in _NEEDED:
            if files.kind(os.path.join(path, _SWEEP)) == "file":
                remedy = f"see {command_line('sweep show', path)}, or mlprun.load_sweep in Python"
                raise CheckpointError(path, "is the folder of a sweep, not of a run", remedy)
            raise CheckpointError(path, f"is not a run folder: it has no {name}", suggest_run(path))
        if kind not in (None, "file"):
            what = f"is a {kind}, which mlprun does not follow out of a run folder"
            raise CheckpointError(os.path.join(path, name), what, "put the file itself there")
    return RunFolder(path)


def trash(folder: Folder[Any]) -> str:
    """Move a run or sweep, whose lock the caller holds, to the trash beside it; return its new path.

    Raises UsageError for a link and for a name that the trash holds already, RunInUseError, FileError.
    """
    path = os.path.abspath(folder.path)
    out, name = os.path.split(path)
    if os.path.basename(out) == TRASH:
        raise UsageError(folder.path, "is in the trash already", "free the space with rm -r")
    if files.kind(path) != "folder":
        raise UsageError(folder.path, "is a symbolic link", "remove the link, or name the folder itself")
    bin_ = os.path.join(out, TRASH)
    if files.kind(bin_) not in (None, "folder"):
        raise FileError(bin_, f"is a {files.kind(bin_)}", "expected a folder")
    files.make_folder(bin_)
    try:
        files.claim(path, os.path.join(bin_, name))
    except FileExistsError as error:
        raise UsageError(folder.path, f"is in {bin_} already", "rename the one there") from error
    files.sync_folder(out)
    if _linked_run(out) == name:
        point_latest(out)
    return os.path.join(os.path.dirname(folder.path), TRASH, name)


def suggest_run(path: str) -> str:
    """Return what would work instead of a path that is no run: one in that folder, or of a similar name."""
    for folder in (path, os.path.dirname(path) or ".", "runs"):
        with contextlib.suppress(CheckpointError, FileError):
            found = {run.name: shell_path(run.path) for run in find(folder)}
            if near := difflib.get_close_matches(os.path.basename(path), found, n=1):
                return f"did you mean {found[near[0]]}?"
            if found:
                return f"expected a run folder, such as {list(found.values())[-1]}"
    return "expected a run folder, such as runs/moons-001"


def find(folder: str) -> list[RunFolder]:
    """Return the run folders below `folder`, by name and number; raises CheckpointError if it is missing.

    Hidden folders and a link named `latest` are left out.
    """
    try:
        names = files.names(folder)
    except FileNotFoundError as error:
        raise CheckpointError(folder, "no such folder", "expected a folder of runs, such as runs/") from error
    if LATEST in names and files.kind(os.path.join(folder, LATEST)) == "symbolic link":
        names.remove(LATEST)
    paths = (os.path.join(folder, name) for name in names if not name.startswith("."))
    return [RunFolder(path) for path in sorted(paths, key=_natural) if has_files(path)]


def has_files(path: str, names: Sequence[str] = _NEEDED) -> bool:
    """Return True if a folder has all of these files, by default those of every run."""
    return all(files.kind(os.path.join(path, name)) == "file" for name in names)


def _natural(path: str) -> tuple[str, int, str]:
    stem, _, digits = path.rpartition("-")
    return (stem, int(digits), path) if re.fullmatch("[0-9]{1,9}", digits) else (path, 0, path)


class Log(files.AppendFile):
    """An open train.log that lines are appended to."""

    def write(self, *lines: str) -> None:
        """Append lines in one write; what a terminal would act on is escaped."""
        text = "".join(f"{printable(line)}\n" for line in lines)
        self._append(text.encode())
