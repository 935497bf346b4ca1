"""The records and tables of a sweep's database, and the checks of values read from an untrusted file.

The database `trials.sqlite` has these tables:

    sweep(key, value)     the fields of `Description`, as JSON by key
    settings(id, chosen)  one row per configuration; `chosen` is JSON {dotted path: value}
    trials(id, setting, seed, fold, cohort, member, status, engine, epochs, best_epoch, seconds, error)
                          one row per trial; its curves and weights are entry `member` (from 0) of the file
                          `cohorts/cohort-0007.safetensors`
    figures(trial, ...)   one row per trial with metrics, a column for each of `Description.figures`
    rungs(setting, epoch, objective, promoted)
                          the objective of a configuration where a pruner looked at it, and the decision
    results               a view of all that: a column for each parameter, trials and metrics, for
                          SELECT "optimizer.lr", avg(test_loss) FROM results
                          WHERE status IN ('finished', 'early_stopping') GROUP BY 1

Ids count from 1. A trial is `pending` until it is `finished`, stopped by `early_stopping`, `pruned` (its
metrics are those of the epoch where its configuration was pruned), `diverged` (those of the last finite
epoch) or `failed` (`error` says why, it has no metrics). The column `test_loss` is of the best epoch, as is
every other without a prefix, `last_test_loss` of the last one; without dev rows, which choose the best epoch,
the two are equal and `best_epoch` is NULL. SQL has no nan: NULL is a metric that is not a number or was not
computed. `seconds` is the trial's share of its cohort's time, and the only column that differs between two
runs of one sweep.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence  # noqa: TC003 -- pydantic reads annotations
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import Field, TypeAdapter, ValidationError

VERSION = 1
APPLICATION_ID = 0x6D6C7072
_MAX_JSON_DEPTH = 120
"""a config has 100 levels at most"""
_LARGEST = 1e308
_SECTIONS = ("search", "objective", "random", "grid", "paired")

TrialStatus = Literal["pending", "finished", "early_stopping", "pruned", "diverged", "failed"]
Scale = Literal["linear", "log", "choice"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+\z")]
"""of a parameter or a metric: safe between double quotes in SQL"""


@dataclass(frozen=True)
class Description:
    """Properties of the whole sweep, as needed to report or plot it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z")]
    parameters: tuple[Name, ...]
    """dotted paths of the swept parameters, in the order of the sweep file"""
    figures: Annotated[tuple[Name, ...], Field(min_length=1)]
    """names of the metrics: loss and scalar metrics of each split with rows, then the same with `last_`"""
    scales: Mapping[str, Scale] = field(default_factory=dict)
    """of each parameter: `log` for a logarithmic range, `choice` for values that are not numbers"""
    objective: Mapping[str, Any] = field(default_factory=dict)
    """`metric`, `mode` (min or max), `aggregate` (mean, median or success)"""
    success: Mapping[str, Any] | None = None
    """`figure` (a metric), `operator` (one of >= <= > < ==), `number`, and `text`, as in the sweep file"""
    folds: Annotated[int, Field(ge=2, le=2**53)] | None = None
    history: tuple[str, ...] = ()
    """the columns of each trial's history, as in history.csv"""
    total: Annotated[int, Field(ge=0, le=2**53)] = 0
    """number of trials of the finished sweep"""
    definition: Mapping[str, Any] = field(default_factory=dict)
    """the content of the sweep file"""
    base: Mapping[str, Any] = field(default_factory=dict)
    """the complete base config"""
    paths: Mapping[str, list[Any]] = field(default_factory=dict)
    """for each parameter whose values hold file paths: its list of values, as the configurations have them"""
    rows: Mapping[str, str] = field(default_factory=dict)
    """digests of the rows that trials had when the sweep was started, see `resume.row_digests`"""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One combination of parameter values by dotted path; lists are Python lists, as in JSON."""

    id: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a sweep: a configuration with a seed (and a fold) and, once it has ended, its result."""

    id: int
    setting: int
    seed: int
    fold: int | None = None
    cohort: int | None = None
    member: int | None = None
    status: TrialStatus = "pending"
    engine: str | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    seconds: float | None = None
    error: str | None = None
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """metrics by column; None is a metric that is not a number"""


TRIAL_COLUMNS = tuple(Trial.__dataclass_fields__)[1:-1]
"""of the table of trials, after their ids"""


class Rung(NamedTuple):
    """The decision of a pruner about a configuration at an epoch."""

    setting: int
    epoch: int
    objective: float | None
    """the aggregate over the configuration's trials; None if none of them has a finite metric"""
    promoted: bool


def create_statements(description: Description) -> str:
    """Return the SQL that creates the tables of a sweep."""
    metrics = "".join(f', "{name}" REAL' for name in description.figures)
    paths = description.parameters
    values = "".join(f""", json_extract(chosen, '$."{path}"') AS "{path}\"""" for path in paths)
    columns = ", ".join(f"trials.{name}" for name in TRIAL_COLUMNS)
    shown = "".join(f', figures."{name}"' for name in description.figures)
    return f"""
        PRAGMA application_id = {APPLICATION_ID};
        PRAGMA user_version = {VERSION};
        CREATE TABLE sweep (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE settings (id INTEGER PRIMARY KEY, chosen TEXT NOT NULL);
        CREATE TABLE trials (
            id INTEGER PRIMARY KEY, setting INTEGER NOT NULL, seed INTEGER NOT NULL, fold INTEGER,
            cohort INTEGER, member INTEGER, status TEXT NOT NULL, engine TEXT, epochs INTEGER,
            best_epoch INTEGER, seconds REAL, error TEXT);
        CREATE INDEX trials_of_setting ON trials (setting, seed, fold);
        CREATE TABLE figures (trial INTEGER PRIMARY KEY{metrics});
        CREATE TABLE rungs (
            setting INTEGER NOT NULL, epoch INTEGER NOT NULL, objective REAL, promoted INTEGER NOT NULL,
            PRIMARY KEY (setting, epoch)) WITHOUT ROWID;
        CREATE VIEW results AS SELECT trials.id AS trial, {columns}{values}{shown}
            FROM trials JOIN settings ON settings.id = trials.setting
            LEFT JOIN figures ON figures.trial = trials.id ORDER BY trials.id;
    """  # noqa: S608


_INTEGER = "typeof({0}) = 'integer' AND {0} BETWEEN 0 AND 9007199254740992"
_OPTIONAL = f"{{0}} IS NULL OR {_INTEGER}"
_SETTING = f"{_INTEGER} AND {{0}} IN (SELECT id FROM settings)"  # noqa: S608
_TRIALS = {
    "id": _INTEGER,
    "setting": _SETTING,
    "seed": f"{_INTEGER} AND {{0}} < 4294967296",
    "cohort": _OPTIONAL,
    "member": f"({{0}} IS NULL) = (cohort IS NULL) AND ({_OPTIONAL})",
    "status": f"{{0}} IN {get_args(TrialStatus)}",
    "engine": "{0} IS NULL OR {0} IN ('torch', 'fused', 'scratch')",
    "epochs": _OPTIONAL,
    "best_epoch": _OPTIONAL,
    "seconds": "{0} IS NULL OR typeof({0}) = 'real' AND {0} BETWEEN 0 AND 1e308",
    "error": "typeof({0}) IN ('text', 'null')",
}
_RUNGS = {
    "setting": _SETTING,
    "epoch": _INTEGER,
    "objective": "{0} IS NULL OR typeof({0}) = 'real' AND abs({0}) <= 1e308",
    "promoted": f"{_INTEGER} AND {{0}} < 2",
}


def check_queries(description: Description) -> list[str]:
    """Return queries for (row, column) of the first value of each table with a wrong type or range."""
    folds = description.folds
    rules: dict[str, dict[str, str]] = {
        "settings": {"id": _INTEGER, "chosen": "typeof({0}) = 'text'"},
        "trials": {**_TRIALS, "fold": f"{_INTEGER} AND {{0}} <= {folds}" if folds else "{0} IS NULL"},
        "figures": {
            "trial": f"{_INTEGER} AND {{0}} IN (SELECT id FROM trials)",  # noqa: S608
            **dict.fromkeys(description.figures, "typeof({0}) IN ('real', 'null')"),
        },
        "rungs": _RUNGS,
    }
    queries = []
    for table, columns in rules.items():
        checks = [(name, rule.format(f'"{name}"')) for name, rule in columns.items()]
        cases = " ".join(f"WHEN ({check}) IS NOT TRUE THEN '{name}'" for name, check in checks)
        key = next(iter(columns))
        queries.append(
            f"SELECT '{table} ' || quote({key}), CASE {cases} END AS wrong FROM {table} "  # noqa: S608
            "WHERE wrong IS NOT NULL LIMIT 1"
        )
    twice = "SELECT 1 FROM trials GROUP BY setting, seed, fold HAVING count(*) > 1"
    return [*queries, f"SELECT 'trials', 'seed' WHERE EXISTS ({twice})"]


@cache
def type_adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """Return pydantic's adapter of a dataclass, which takes longer to build than a database to check."""
    return TypeAdapter(kind)


def checked_description(fields: Mapping[str, Any]) -> Description:
    """Return the description with these fields. Raises ValueError if no sweep writes such values."""
    if not _is_bounded(fields, math.inf):
        raise ValueError("sweep: nested too deeply")
    known = {key: value for key, value in fields.items() if key in Description.__dataclass_fields__}
    try:
        one: Description = type_adapter(Description).validate_python(known)
    except ValidationError as error:
        raise ValueError(f"sweep: {error.errors()[0]['loc'][0]} has a wrong value") from error
    success = one.success
    is_sound = (
        all(len(set(names)) == len(names) for names in (one.parameters, one.figures))
        and one.objective.get("metric") in (None, *one.figures)
        and (success is None or success.get("figure") in one.figures)
        and (success is None or success.get("operator") in (">=", "<=", ">", "<", "=="))
        and (success is None or isinstance(success.get("number"), int | float))
        and all(isinstance(one.definition.get(key) or {}, dict) for key in _SECTIONS)
    )
    if not is_sound:
        raise ValueError("sweep: its description has a wrong value")
    return one


def checked_values(text: str, parameters: Sequence[str]) -> dict[str, Any]:
    """Return a configuration's values from their JSON. Raises ValueError if no sweep writes such values."""
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise ValueError("settings: nested too deeply") from error
    if (
        not isinstance(values, dict)
        or not values.keys() <= set(parameters)
        or not _is_bounded(values, _LARGEST)
    ):
        raise ValueError("settings: chosen has a wrong value")
    return values


def _is_bounded(value: Any, largest: float, depth: int = _MAX_JSON_DEPTH) -> bool:
    """Return True for JSON whose depth and numbers are bounded; nan is not."""
    if isinstance(value, dict | list | tuple):
        items = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_bounded(item, largest, depth - 1) for item in items)
    return not isinstance(value, int | float) or abs(value) <= largest or math.isinf(largest)
