"""Lists of runs: what each is, in a few fields and metrics, and which of them meet conditions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun.config.document import read_without_bases
from mlprun.errors import MlprunError, UsageError
from mlprun.parts.part import inline
from mlprun.storage.runs import Folder, RunFolder, find, selected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIELDS = ("run", "name", "date", "status", "epochs", "seconds", "tag", "note")
_CONDITION = re.compile(r"\s*([A-Za-z][A-Za-z0-9_.]*)\s*(<=|>=|!=|=|<|>)(.*)", re.DOTALL)


def select(folder: str, conditions: Sequence[Condition] = (), keys: Sequence[str] = ()) -> list[Listed]:
    """Return the runs below a folder that meet all conditions, by name and number.

    Raises CheckpointError if the folder is missing; UsageError for a key, of a condition or one of `keys`,
    that no run has a value for.
    """
    runs = [Listed.of(one) for one in find(folder)]
    _check_keys([*(one.key for one in conditions), *keys], runs)
    return [run for run in runs if all(one.holds(run.value(one.key)) for one in conditions)]


@dataclass(frozen=True)
class Listed:
    """A run of the list: its folder and its JSON document."""

    folder: RunFolder
    document: Mapping[str, Any]

    @classmethod
    def of(cls, folder: RunFolder) -> Listed:
        """Return a run folder with its document."""
        return cls(folder, describe("run", folder, _describe_run))

    def value(self, key: str) -> Any:
        """Return a field, a metric or a value of the config; None where the run has none."""
        if key in FIELDS:
            return self.document.get("tags" if key == "tag" else key)
        if key in self.metrics:
            return self.metrics[key]
        value: Any = self.config
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value.get("name", value) if isinstance(value, Mapping) else value

    def known_keys(self) -> list[str]:
        """Return what `value` knows, the config up to its second level."""
        sections = {key: value for key, value in self.config.items() if isinstance(value, Mapping)}
        nested = [f"{key}.{name}" for key, value in sections.items() for name in value]
        return [*FIELDS, *self.metrics, *self.config, *nested]

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The metrics of the best epoch by their names in a history, such as dev_loss."""
        splits = self.document.get("splits", {}).items()
        return {f"{split}_{name}": value for split, values in splits for name, value in values.items()}

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The values of config.yaml, none if it is damaged."""
        try:
            return read_without_bases(self.folder.config).data
        except MlprunError:
            return {}


class Condition(NamedTuple):
    """A condition of `--where`."""

    key: str
    sign: str
    wanted: str

    @classmethod
    def of(cls, text: str, *, option: str = "--where") -> Condition:
        """Return the condition of a text such as dev_loss<0.1, which `option` gives. Raises UsageError."""
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise UsageError(option, f"{text!r} is no condition", f'example: {option} "dev_loss<0.1"')
        return cls(found[1], found[2], found[3].strip())

    def holds(self, value: Any) -> bool:
        """Return True if a value meets the condition; a missing one is only unequal to others."""
        if self.sign in "!=":
            values = value or () if self.key == "tag" else (value,)
            return any(map(self._equals, values)) == (self.sign == "=")
        if value is None:
            return False
        there, here = order(value), order(self.wanted)
        if there[0] != here[0]:  # a text and a number
            return False
        return (there == here and "=" in self.sign) or (there < here if "<" in self.sign else there > here)

    def _equals(self, value: Any) -> bool:
        if order(value) == order(self.wanted):
            return True
        return fnmatchcase(as_text(value), re.sub(r"[?[]", r"[\g<0>]", self.wanted))  # only * is special


def as_text(value: Any) -> str:
    """Return a value as conditions compare it with text."""
    return value if isinstance(value, str) else inline(value)


def order(value: Any) -> tuple[bool, float, str]:
    """The place of a value: numbers by size, then texts, in which spaces after commas count as none."""
    try:
        return (False, float(value), "")
    except (TypeError, ValueError):
        return (True, 0.0, re.sub(r",\s+", ",", as_text(value)))


def _check_keys(keys: Sequence[str], runs: Sequence[Listed]) -> None:
    """Raise UsageError for a key that no run has a value for."""
    for key in keys:
        if key not in FIELDS and runs and all(run.value(key) is None for run in runs):
            known = list(dict.fromkeys(name for run in runs for name in run.known_keys()))
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
            remedy = f"did you mean {near[0]}?" if near else "see mlprun ls --help"
            raise UsageError(key, "no run has a value for this key", remedy)


def describe(kind: str, folder: Folder[Any], details: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Return a run or sweep as JSON: path, name, date and details, or what is wrong with its folder."""
    date = folder.date().isoformat(timespec="seconds")
    head = {kind: folder.path, "name": folder.name, "date": date}
    try:
        return {**head, **details(folder)}
    except MlprunError as error:
        return {**head, "status": "damaged", "problem": str(error)}


def _describe_run(run: RunFolder) -> dict[str, Any]:
    status, notes = run.status(read_checkpoints=False), run.notes()
    epochs = None if status.state in ("crashed", "failed") else status.epochs
    head = {"status": status.state, "epochs": epochs, "seconds": status.seconds}
    return {**head, "tags": list(notes.tags), "note": notes.note, **selected(status.figures)}
