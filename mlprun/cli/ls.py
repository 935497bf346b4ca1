"""`mlprun ls`: the runs and sweeps of a folder, sorted and filtered."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Annotated, Any, NamedTuple

from typer import Argument, Option

from mlprun.cli import metrics
from mlprun.cli.terminal import Output, Table, duration
from mlprun.config.document import read_without_bases
from mlprun.errors import MlprunError, UsageError
from mlprun.parts.part import inline
from mlprun.storage.runs import RunFolder
from mlprun.storage.runs import find as find_runs
from mlprun.sweeps.folder import SweepFolder
from mlprun.sweeps.folder import find as find_sweeps

FIELDS = ("run", "name", "date", "status", "epochs", "seconds", "tag", "note")
_CONDITION = re.compile(r"\s*([A-Za-z][A-Za-z0-9_.]*)\s*(<=|>=|!=|=|<|>)(.*)", re.DOTALL)


def ls_command(
    folder: Annotated[str, Argument(help="the folder of run folders")] = "runs",
    *,
    sort: Annotated[str | None, Option(metavar="KEY", help="Sort runs by this, smallest first.")] = None,
    reverse: Annotated[bool, Option("--reverse", "-r", help="Reverse the order.")] = False,
    where: Annotated[
        list[str] | None, Option(metavar="CONDITION", help="List only these runs; repeatable.")
    ] = None,
    output: Output,
) -> None:
    """List the runs and sweeps in a folder with status, date and test metrics.

    mlprun ls
    mlprun ls runs/sweep-of-monday
    mlprun ls --sort dev_loss --where dataset=moons
    mlprun ls --where "optimizer.lr>=0.1" --where tag=thesis --sort date --reverse

    KEY is run, date, status, epochs, seconds, tag, note, a metric such as
    test_accuracy (of the best epoch), or a value of the config such as optimizer.lr;
    the name of a part is dataset, loss, optimizer and so on. CONDITION is KEY, one
    of = != < <= > >=, and a number or text, in which * stands for any text. With
    --where, sweeps are left out.

    A run with status `crashed` was killed; `mlprun resume RUN` continues it, and
    `mlprun show RUN` shows how many of its epochs are saved. The date is when
    run.json was written, at the start.

    --json prints {"runs": [{"run", "name", "date": ISO 8601, "status", "epochs":
      number or null, "seconds", "tags": [TAG, ...], "note", "best": {"epoch",
      "metric", "value"} or null, "of", "splits"}], "sweeps": [{"sweep", "name",
      "date", "status", "trials", "total", "seconds"}]}; a damaged folder has
      "status": "damaged" and "problem".

    Exit codes: 0 success, 2 unknown key, 4 no such folder, 7 files.
    """
    conditions = [Condition.of(text) for text in where or ()]
    runs = [Listed(one, described) for one, described in _described("run", find_runs(folder), _describe_run)]
    keys = list(dict.fromkeys([*(one.key for one in conditions), *([] if sort is None else [sort])]))
    _check_keys(keys, runs)
    runs = [run for run in runs if all(one.holds(run.value(one.key)) for one in conditions)]
    if sort is not None:
        runs.sort(key=lambda run: _order(run.value(sort)))
        runs.sort(key=lambda run: run.value(sort) is None)
    if reverse:
        runs.reverse()
    sweeps = (
        [] if conditions else [one for _, one in _described("sweep", find_sweeps(folder), _describe_sweep)]
    )
    output.document({"runs": [run.document for run in runs], "sweeps": sweeps})
    if not runs and not sweeps:
        hint = "change --where" if conditions else "create one with mlprun train CONFIG"
        output.message(f"no {'such ' * bool(conditions)}runs in {folder}; {hint}")
    if runs:
        output.result(_runs_table(runs, [key for key in keys if key not in FIELDS]), *[""] * bool(sweeps))
    if sweeps:
        columns = ("sweep", "date", "status", "trials", "of", "time", "")
        output.result(Table(columns, [_sweep_row(sweep) for sweep in sweeps]))


@dataclass(frozen=True)
class Listed:
    """A run of the list: its folder and its JSON document."""

    folder: "RunFolder"
    document: Mapping[str, Any]

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
    def of(cls, text: str) -> "Condition":
        """Return the condition of a text such as dev_loss<0.1. Raises UsageError."""
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise UsageError("--where", f"{text!r} is no condition", 'example: --where "dev_loss<0.1"')
        return cls(found[1], found[2], found[3].strip())

    def holds(self, value: Any) -> bool:
        """Return True if a value meets the condition; a missing one is only unequal to others."""
        if self.sign in "!=":
            values = value or () if self.key == "tag" else (value,)
            return any(map(self._equals, values)) == (self.sign == "=")
        if value is None:
            return False
        there, here = _order(value), _order(self.wanted)
        if there[0] != here[0]:  # a text and a number
            return False
        return (there == here and "=" in self.sign) or (there < here if "<" in self.sign else there > here)

    def _equals(self, value: Any) -> bool:
        if _order(value) == _order(self.wanted):
            return True
        return fnmatchcase(_text(value), re.sub(r"[?[]", r"[\g<0>]", self.wanted))  # only * is special


def _text(value: Any) -> str:
    return value if isinstance(value, str) else inline(value)


def _order(value: Any) -> tuple[bool, float, str]:
    """The place of a value: numbers by size, then texts, in which spaces after commas count as none."""
    try:
        return (False, float(value), "")
    except (TypeError, ValueError):
        return (True, 0.0, re.sub(r",\s+", ",", _text(value)))


def _check_keys(keys: Sequence[str], runs: Sequence[Listed]) -> None:
    """Raise UsageError for a key that no run has a value for."""
    for key in keys:
        if key not in FIELDS and runs and all(run.value(key) is None for run in runs):
            known = list(dict.fromkeys(name for run in runs for name in run.known_keys()))
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
            remedy = f"did you mean {near[0]}?" if near else "see mlprun ls --help"
            raise UsageError(key, "no run has a value for this key", remedy)


def _described(
    kind: str, folders: Iterable[Any], describe: Callable[[Any], dict[str, Any]]
) -> Iterator[tuple[Any, dict[str, Any]]]:
    for folder in folders:
        date = metrics.date_of(folder).isoformat(timespec="seconds")
        head = {kind: folder.path, "name": folder.name, "date": date}
        try:
            yield folder, {**head, **describe(folder)}
        except MlprunError as error:
            yield folder, {**head, "status": "damaged", "problem": str(error)}


def _describe_run(run: "RunFolder") -> dict[str, Any]:
    status, notes = run.status(read_checkpoints=False), run.notes()
    epochs = None if status.state in ("crashed", "failed") else status.epochs
    head = {"status": status.state, "epochs": epochs, "seconds": status.seconds}
    return {**head, "tags": list(notes.tags), "note": notes.note, **metrics.selected(status.figures)}


def _describe_sweep(sweep: "SweepFolder") -> dict[str, Any]:
    one = sweep.status()
    return {"status": one.state, "trials": one.done, "total": one.total, "seconds": one.seconds}


def _runs_table(runs: Sequence[Listed], keys: Sequence[str]) -> Table:
    """The table of runs; tags and notes have a column if any run has them, and so have `keys`."""
    texts = [(", ".join(run.document.get("tags", ())), run.document.get("note", "")) for run in runs]
    shown = [index for index in (0, 1) if any(text[index] for text in texts)]
    rows = [
        [
            *_head(run.document, "run"),
            *(_shown(run.value(key)) for key in keys),
            _test_text(run.document),
            *(text[index] for index in shown),
        ]
        for run, text in zip(runs, texts, strict=True)
    ]
    names = [("tags", "note")[index] for index in shown]
    return Table(("run", "date", "status", "time", *keys, "test", *names), rows)


def _shown(value: Any) -> str | float | None:
    return value if isinstance(value, int | float | None) and not isinstance(value, bool) else _text(value)


def _head(document: Mapping[str, Any], kind: str) -> list[str]:
    seconds = document.get("seconds")
    time = "" if seconds is None else duration(seconds)
    date = datetime.fromisoformat(document["date"])
    this_year = date.year == datetime.now(tz=UTC).year
    return [
        document[kind],
        f"{date:%m-%d %H:%M}" if this_year else f"{date:%Y-%m-%d}",
        document["status"],
        time,
    ]


def _sweep_row(sweep: Mapping[str, Any]) -> list[Any]:
    *head, time = _head(sweep, "sweep")
    return [*head, sweep.get("trials"), sweep.get("total"), time, sweep.get("problem", "")]


def _test_text(run: Mapping[str, Any]) -> str:
    if "problem" in run:
        return str(run["problem"])
    test = run["splits"].get("test", {})
    numbers = {name: value for name, value in test.items() if isinstance(value, int | float)}
    names = sorted(numbers, key=lambda name: name != "loss")
    return ", ".join(f"{name} {numbers[name]:.4g}" for name in names)
