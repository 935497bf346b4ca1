"""The folder of a sweep: created, found, and written to by the one process that holds its lock.

runs/widths-001/
  sweep.yaml                     the sweep with its base config written out; can be run again as it is
  run.json, status.json          what was run, where and with what (written once); its status
  trials.sqlite                  configurations, trials, metrics: see `schema`
  trials.sqlite.sha256           its digest once the sweep is finished: see `database`
  cohorts/cohort-0001.safetensors  histories and weights of up to a thousand trials: see `cohort_file`
  lock
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from mlprun import files
from mlprun.config.document import read_without_bases
from mlprun.errors import CheckpointError, MlprunError
from mlprun.storage import canonical, runs
from mlprun.storage.runs import Lock, is_locked
from mlprun.sweeps import database

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlprun.sweeps.database import Results, Writer
    from mlprun.sweeps.schema import Configuration, Description, Trial

DATABASE = "trials.sqlite"
_NEEDED = ("sweep.yaml", "run.json", "status.json", DATABASE)
_PARTIAL = re.compile(r"cohort-([0-9]{4,})\.partial\.safetensors")
_MAX_JSON = 16_000_000

Count = Annotated[int, Field(ge=0, le=2**53)]
State = Literal["running", "finished", "interrupted", "failed", "crashed"]
"""`crashed` is never written: it is reported for a sweep whose process died"""


@dataclass(frozen=True)
class SweepStatus:
    """The status of a sweep: the trials that have ended, of how many, and the seconds it has taken.

    `kept` counts the trials that are in partial files and not in the database. `differences` lists what
    differed from the record when the sweep was resumed.
    """

    state: State
    done: Count = 0
    total: Count = 0
    seconds: Annotated[float, Field(ge=0, le=2**53)] = 0.0
    reason: str = ""
    differences: tuple[str, ...] = ()
    kept: Count = 0

    def encode(self) -> bytes:
        """Return the bytes of status.json."""
        return f"{canonical.encode(asdict(self), indent=2)}\n".encode()


@dataclass(frozen=True)
class SweepFolder:
    """A folder that holds a sweep; `create`, `open_sweep` and `find` make these."""

    path: str

    @property
    def name(self) -> str:
        """The folder's own name, such as widths-001."""
        return os.path.basename(os.path.abspath(self.path))

    @property
    def definition(self) -> str:
        """The path of the complete sweep file."""
        return os.path.join(self.path, "sweep.yaml")

    @property
    def database(self) -> str:
        """The path of the database."""
        return os.path.join(self.path, DATABASE)

    def cohort(self, number: int) -> str:
        """Return the path of a cohort's histories and weights."""
        return os.path.join(self.path, "cohorts", f"cohort-{number:04d}.safetensors")

    def partial(self, number: int) -> str:
        """Return the path of the partial results of a cohort."""
        return os.path.join(self.path, "cohorts", f"cohort-{number:04d}.partial.safetensors")

    def results(self) -> Results:
        """Open the database for reading; a context that closes it."""
        return database.open_reading(self.database)

    def writer(self) -> Writer:
        """Open the database for writing, which only the holder of the lock may."""
        return database.Writer(self.database)

    def record(self) -> dict[str, Any]:
        """Return the content of run.json: the sweep's digest, and where and with what it was started."""
        return _read_json(os.path.join(self.path, "run.json"))

    def status(self) -> SweepStatus:
        """Return the status; a sweep that is `running` while no process holds its lock has crashed."""
        status = self._written_status()
        if status.state == "running" and not is_locked(os.path.join(self.path, "lock")):
            status = self._written_status()
            if status.state == "running":
                status = replace(status, state="crashed")
        if status.state != "finished":
            with self.results() as results, results.snapshot():
                counts, total = results.counts(), results.description.total
            done = sum(counts.values()) - counts["pending"]
            # a process that died between a cohort's end and the status still counts its trials as kept
            return replace(status, done=done, total=total, kept=min(status.kept, total - done))
        return status

    def _written_status(self) -> SweepStatus:
        path = os.path.join(self.path, "status.json")
        try:
            return TypeAdapter(SweepStatus).validate_python(_read_json(path))
        except ValidationError as error:
            raise CheckpointError(
                path, "is damaged: it is not the status of a sweep", database.RESTORE
            ) from error

    def write_status(self, status: SweepStatus) -> None:
        """Replace status.json."""
        files.write_atomic(os.path.join(self.path, "status.json"), status.encode())

    def edit_warning(self, definition: Mapping[str, Any]) -> str | None:
        """Return a message if sweep.yaml differs from the definition of the database; None if it does not."""
        try:
            content: Any = read_without_bases(self.definition).data
        except MlprunError:
            content = None
        if json.dumps(content, sort_keys=True) == json.dumps(definition, sort_keys=True):
            return None
        return (
            f"{self.definition} differs from the definition in the database (edited, or left by an "
            "interrupted update); the database's is used"
        )

    def write_definition(self, text: str, *, keep_edited: bool = False) -> None:
        """Replace sweep.yaml, if it differs; `keep_edited` keeps the former text as sweep.edited.yaml."""
        if not self.has_definition(text):
            if keep_edited:
                data = files.read_bytes(self.definition, cap=_MAX_JSON, follow=False)
                files.write_atomic(os.path.join(self.path, "sweep.edited.yaml"), data)
            files.write_atomic(self.definition, text.encode())

    def has_definition(self, text: str) -> bool:
        """Return True if sweep.yaml has this text."""
        return files.read_bytes(self.definition, cap=_MAX_JSON, follow=False) == text.encode()

    def lock(self) -> Lock:
        """Acquire the lock for writing, and remove the temporary files that a killed process left behind."""
        lock = Lock(os.path.join(self.path, "lock"))
        try:
            for folder in filter(files.is_folder, (self.path, os.path.join(self.path, "cohorts"))):
                for name in files.names(folder):
                    path = os.path.join(folder, name)
                    if files.is_temporary(name) and files.kind(path) == "file":
                        files.remove(path)
        except BaseException:
            lock.release()
            raise
        return lock

    def make_cohorts(self) -> None:
        """Create the folder of cohorts if it is missing."""
        files.make_folder(os.path.join(self.path, "cohorts"))

    def partials(self) -> list[int]:
        """Return the cohorts with partial results."""
        folder = os.path.join(self.path, "cohorts")
        found = map(_PARTIAL.fullmatch, files.names(folder) if files.is_folder(folder) else ())
        return [int(name[1]) for name in found if name is not None]

    def remove_partial(self, number: int) -> None:
        """Remove the partial results of a cohort, if there are any."""
        if files.kind(self.partial(number)) == "file":
            files.remove(self.partial(number))


def create(
    final: str,
    text: str,
    record: Mapping[str, Any],
    description: Description,
    *,
    settings: Iterable[Configuration],
    trials: Iterable[Trial],
) -> tuple[SweepFolder, Lock]:
    """Create a folder at `final`, with `text` as sweep.yaml, its lock held and the status `running`.

    Raises FileExistsError if it exists. A process that dies meanwhile leaves at most a dot-folder.
    """
    out, name = os.path.split(final)
    files.make_folder(out)
    prepared = os.path.join(out, f".{name}-{secrets.token_hex(8)}")
    small = {
        "sweep.yaml": text.encode(),
        "run.json": f"{canonical.encode(record, indent=2)}\n".encode(),
        "status.json": SweepStatus("running", total=description.total).encode(),
    }
    written = (*small, "lock", DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm")
    with contextlib.ExitStack() as undo:
        undo.callback(runs.remove_prepared, prepared, written)
        files.make_folder(prepared, exclusive=True)
        for file, data in small.items():
            files.write_new(os.path.join(prepared, file), data)
        with database.create(os.path.join(prepared, DATABASE), description) as writer:
            writer.extend(settings, trials)
        undo.callback(runs.remove_prepared, os.path.join(prepared, "cohorts"), ())
        files.make_folder(os.path.join(prepared, "cohorts"), exclusive=True)
        lock = undo.enter_context(Lock(os.path.join(prepared, "lock")))
        files.claim(prepared, final)
        undo.pop_all()
    return SweepFolder(final), lock


def is_sweep(path: str) -> bool:
    """Return True if a folder holds a sweep."""
    return all(files.kind(os.path.join(path, name)) == "file" for name in _NEEDED)


def open_sweep(path: str) -> SweepFolder:
    """Return the sweep folder at `path`. Raises CheckpointError if a file is missing."""
    expected = "expected the folder of a sweep, such as runs/widths-001"
    if not files.is_folder(path):
        kind = files.kind(path)
        raise CheckpointError(path, f"is a {kind}" if kind else "no such folder", expected)
    missing = [name for name in _NEEDED if files.kind(os.path.join(path, name)) != "file"]
    if missing:
        raise CheckpointError(path, f"is not a sweep: it has no {missing[0]}", expected)
    return SweepFolder(path)


def find(out: str) -> list[SweepFolder]:
    """Return the sweep folders below `out`, by name; none if it does not exist."""
    if not files.is_folder(out):
        return []
    paths = [os.path.join(out, name) for name in files.names(out) if not name.startswith(".")]
    return [SweepFolder(path) for path in paths if is_sweep(path)]


def named(out: str, name: str) -> list[SweepFolder]:
    """Return the folders NAME-... below `out`, the newest first."""
    alike = [found for found in find(out) if found.name.rpartition("-")[0] == name]
    return sorted(alike, key=_number, reverse=True)


def _number(found: SweepFolder) -> int:
    """Return 1000 for a folder NAME-1000, and 0 for one that was renamed."""
    digits = found.name.rpartition("-")[2]
    return int(digits) if re.fullmatch("[0-9]+", digits) else 0


def _read_json(path: str) -> dict[str, Any]:
    try:
        value = canonical.decode(files.read_bytes(path, cap=_MAX_JSON, follow=False))
    except FileNotFoundError as error:
        raise CheckpointError(path, "no such file", "expected the folder of a sweep") from error
    except (files.WrongKindError, files.TooLargeError, ValueError) as error:
        raise CheckpointError(
            path, "is damaged: it is not the JSON that mlprun writes", database.RESTORE
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(path, "is damaged: it is not a mapping", database.RESTORE)
    return value
