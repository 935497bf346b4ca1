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
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field

from mlprun import files
from mlprun.config.document import read_without_bases
from mlprun.errors import CheckpointError, MlprunError
from mlprun.storage import runs
from mlprun.sweeps import database
from mlprun.sweeps.schema import Configuration, Description, Trial, type_adapter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlprun.storage.runs import Lock
    from mlprun.sweeps.database import Results, Writer

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

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Return the status of the content of status.json. Raises ValueError for anything else."""
        status: Self = type_adapter(SweepStatus).validate_python(value)
        return status


class SweepFolder(runs.Folder[SweepStatus]):
    """A folder that holds a sweep; `create`, `open_sweep` and `find` make these."""

    status_type, subfolders, restore = SweepStatus, ("cohorts",), database.RESTORE

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.definition, self.database = os.path.join(path, "sweep.yaml"), os.path.join(path, DATABASE)
        self._former = os.path.join(path, ".sweep.former.yaml")

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

    def status(self) -> SweepStatus:
        """Return the status; a sweep that is `running` while no process holds its lock has crashed."""
        status = self._written_status()
        if status.state != "finished":
            with self.results() as results, results.snapshot():
                counts, total = results.counts(), results.description.total
            done = sum(counts.values()) - counts["pending"]
            # a process that died between a cohort's end and the status still counts its trials as kept
            return replace(status, done=done, total=total, kept=min(status.kept, total - done))
        return status

    def edit_warning(self, definition: Mapping[str, Any]) -> str | None:
        """Return a message if sweep.yaml differs from the definition of the database; None if it does not."""
        try:
            content: Any = read_without_bases(self.definition).data
        except MlprunError:
            content = None
        if json.dumps(content, sort_keys=True) == json.dumps(definition, sort_keys=True):
            return None
        if files.kind(self._former) == "file" and self.has_definition(_read(self._former)):
            return None  # a process died after it had extended the database
        return (
            f"{self.definition} differs from the definition in the database (edited, or left by an "
            "interrupted update); the database's is used"
        )

    def keep_definition(self) -> None:
        """Keep the text of sweep.yaml until the next is written: it is no edit if it then differs."""
        files.write_atomic(self._former, _read(self.definition))

    def write_definition(self, text: str, *, keep_edited: bool = False) -> None:
        """Replace sweep.yaml, if it differs; `keep_edited` keeps the former text as sweep.edited.yaml."""
        if not self.has_definition(text.encode()):
            if keep_edited:
                files.write_atomic(os.path.join(self.path, "sweep.edited.yaml"), _read(self.definition))
            files.write_atomic(self.definition, text.encode())
        if files.kind(self._former) == "file":
            files.remove(self._former)

    def has_definition(self, text: bytes) -> bool:
        """Return True if sweep.yaml has this text."""
        return _read(self.definition) == text

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


def _read(path: str) -> bytes:
    return files.read_bytes(path, cap=_MAX_JSON, follow=False)


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
    contents = {
        "sweep.yaml": text.encode(),
        "run.json": runs.encode_json(record),
        "status.json": runs.encode_json(asdict(SweepStatus("running", total=description.total))),
    }
    with contextlib.ExitStack() as undo:
        more = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm")
        prepared, lock = runs.prepare(*os.path.split(final), contents, undo, more)
        with database.create(os.path.join(prepared, DATABASE), description) as writer:
            writer.extend(settings, trials)
        undo.callback(runs.remove_prepared, os.path.join(prepared, "cohorts"), ())
        files.make_folder(os.path.join(prepared, "cohorts"), exclusive=True)
        files.claim(prepared, final)
        undo.pop_all()
    return SweepFolder(final), lock


def is_sweep(path: str) -> bool:
    """Return True if a folder holds a sweep."""
    return runs.has_files(path, _NEEDED)


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
    return sorted(alike, key=lambda found: runs.number_of(found.name, name), reverse=True)
