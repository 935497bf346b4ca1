"""The options of a sweep file: a base config, the values that replace its own, seeds, and an objective.

    base: ../moons.yaml                     # or a config written here, which may have a base of its own
    seeds: 200                              # counted from the base's training.seed; or a list
    folds: 5                                # cross-validation: each trial tests on one fold of the rows
    grid: {architecture.hidden: [[2], [4], [8]], optimizer.lr: [0.1, 1.0]}    # every combination
    paired: {dataset.noise: [0, 0.5], training.epochs: [500, 1000]}           # the first two, the second two
    random: {optimizer.lr: {log_uniform: [1e-3, 1]}, penalty.l2: {choice: [0, 1e-4]}}
    trials: 500                             # number of configurations drawn from `random`
    seed: 0                                 # of those draws
    search: {name: tpe, trials: 200, batch: 32, seed: 0}    # Optuna, in place of trials and seed
    #        with `pruner: {name: successive_halving}` only the better ones are trained to the end
    objective: {metric: dev_loss, mode: min, aggregate: mean}
    success: test_accuracy >= 0.99

`grid`, `paired` and `random` are combined: every combination of the grid with every pair and every draw, and
each of these configurations with every seed and every fold.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mlprun import schema
from mlprun.config import document as reading
from mlprun.errors import ConfigError, MlprunError, UsageError
from mlprun.parts.part import Options, PositiveInt, Seed
from mlprun.schema import Problem
from mlprun.schema.model import RunName
from mlprun.storage import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mlprun.config.document import Document

MAX_TRIALS = 1_000_000
_BASE = "base."
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_-]+)*")
_SUCCESS = re.compile(
    r"\s*(?P<figure>[A-Za-z_][A-Za-z0-9_]*)\s*(?P<operator>>=|<=|==|>|<)\s*"
    r"(?P<number>[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*"
)
_NOT_SWEPT = {
    "training.seed": "is what `seeds` is for",
    "name": "names a run; settings have numbers",
    "base": "belongs to the base config",
    "extend": "belongs to the base config",
}

Interval = tuple[float, float]
Values = Annotated[tuple[Any, ...], Field(min_length=1)]


class Draw(Options):
    """The distribution of the values of one parameter."""

    uniform: Interval | None = Field(None, description="uniform between two numbers")
    log_uniform: Interval | None = Field(None, description="uniform in the logarithm, between two numbers")
    integers: tuple[int, int] | None = Field(None, description="integers between two, both included")
    choice: Values | None = Field(None, description="one of a list, with equal probability")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if len(self.model_fields_set) != 1:
            kinds = ", ".join(type(self).model_fields)
            raise PydanticCustomError("draw", "expected exactly one of {kinds}", {"kinds": kinds})
        if self.choice is None and self.bounds[0] >= self.bounds[1]:
            raise PydanticCustomError("draw", "the first number must be the smaller one")
        if self.log_uniform is not None and self.log_uniform[0] <= 0:
            raise PydanticCustomError("draw", "logarithms are of numbers greater than 0")
        return self

    @property
    def bounds(self) -> Interval:
        """The ends of the range, of a draw that is not a choice."""
        bounds = self.uniform or self.log_uniform or self.integers
        assert bounds is not None
        return bounds

    @property
    def size(self) -> float:
        """The number of different values."""
        if self.choice is not None:
            return len(set(map(canonical.encode, self.choice)))
        return math.inf if self.integers is None else self.integers[1] - self.integers[0] + 1


class Objective(Options):
    """The metric by which configurations are compared."""

    metric: str = Field("dev_loss", description="metric of a trial: SPLIT_loss or SPLIT_METRIC")
    mode: Literal["min", "max"] | None = Field(
        None, description="min or max (default: inferred from the metric)"
    )
    aggregate: Literal["mean", "median", "success"] = Field(
        "mean", description="over seeds and folds of a setting: mean, median, or success rate"
    )


class Pruner(Options):
    """How configurations are stopped before their end."""

    name: Literal["successive_halving"] = Field(
        "successive_halving", description="at each rung the best share of all so far is promoted"
    )
    min_epochs: PositiveInt | None = Field(
        None, description="epochs of the first rung (default: 1% of training.epochs of the base)"
    )
    reduction_factor: Annotated[int, Field(ge=2)] = Field(
        4, description="keep one in this many settings at each rung, with this many times the epochs"
    )


class Search(Options):
    """How configurations are chosen given the results of earlier ones."""

    name: Literal["tpe", "random"] = Field(
        "tpe", description="Optuna's tree-structured Parzen estimator; or random draws"
    )
    trials: PositiveInt = Field(description="number of settings")
    batch: PositiveInt = Field(32, description="settings per batch")
    seed: Seed = Field(0, description="seed of the search")
    pruner: Pruner | None = Field(None, description="stops unpromising settings early")


class Sweep(Options):
    """A sweep: a base config, the values that replace its own, seeds, and an objective."""

    name: RunName | None = Field(None, description="name of the sweep (default: file name)")
    base: Any = Field(None, description="base config: a path, or the config itself")
    seeds: PositiveInt | Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        1, description="number of seeds, starting with training.seed of the base, or a list"
    )
    folds: Annotated[int, Field(ge=2)] | None = Field(None, description="number of cross-validation folds")
    grid: dict[str, Values] = Field(
        default_factory=dict, description="parameter values; all combinations are trained"
    )
    paired: dict[str, Values] = Field(default_factory=dict, description="parameter values that vary together")
    random: dict[str, Draw] = Field(default_factory=dict, description="distributions of parameters")
    trials: PositiveInt | None = Field(None, description="number of settings sampled from `random`")
    seed: Seed = Field(0, description="seed for sampling `random`")
    search: Search | None = Field(None, description="search over `random` in batches")
    objective: Objective = Field(default_factory=Objective, description="objective")
    success: str | None = Field(None, description="success criterion of a trial: metric, operator, number")

    @property
    def parameters(self) -> tuple[str, ...]:
        """The dotted paths of the swept parameters."""
        return (*self.grid, *self.paired, *self.random)

    @property
    def pruner(self) -> Pruner | None:
        """The pruner of the search."""
        return None if self.search is None else self.search.pruner

    @property
    def different(self) -> float:
        """The number of different configurations that `random` can draw."""
        return math.prod(draw.size for draw in self.random.values())


_KIND = reading.FileKind(
    "sweep file",
    "`base: moons.yaml` (a config) and what to vary, such as `seeds: 20`",
    "`mlprun sweep run --help` shows one",
    folder="sweeps",
    keys=frozenset(Sweep.__annotations__) | schema.CONFIG_FILE.keys,  # a config is reported as one
)
_SWEEP_ONLY = Sweep.__annotations__.keys() - schema.Config.model_fields.keys() - {"base"}


class Success(NamedTuple):
    """The parsed expression of `success`, such as `test_accuracy >= 0.99`."""

    figure: str
    operator: str
    number: float
    text: str

    @classmethod
    def of(cls, text: str) -> Success | None:
        """Parse an expression; return None if it is invalid. Nothing is ever evaluated."""
        found = _SUCCESS.fullmatch(text)
        if found is None:
            return None
        return cls(found["figure"], found["operator"], float(found["number"]), " ".join(text.split()))


class Definition(NamedTuple):
    """A sweep file that was read: its options, its document with positions, and its base config."""

    sweep: Sweep
    document: Document
    base: Document

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.sweep.name or schema.run_name(self.document.name)


def read(path: str, overrides: Sequence[str] = ()) -> Definition:
    """Read a sweep file; overrides such as `seeds=20` change it, `base.training.epochs=9` its base.

    Raises UsageError, ConfigError with every problem of the sweep file, FileError.
    """
    sweep_overrides = [one for one in overrides if not one.startswith(_BASE)]
    base_overrides = [one.removeprefix(_BASE) for one in overrides if one.startswith(_BASE)]
    return _define(
        reading.read_without_bases(path, sweep_overrides, kind=_KIND), base_overrides, section=_BASE
    )


def from_mapping(
    mapping: Mapping[str, Any], folder: str, name: str, base_overrides: Sequence[str] = ()
) -> Definition:
    """Read a sweep from a mapping, with paths relative to `folder`. Raises as `read` does."""
    return _define(reading.from_mapping(mapping, folder, name), base_overrides)


def is_sweep(path: str) -> bool:
    """Return True if a YAML file has keys that only a sweep file has."""
    try:
        return not _SWEEP_ONLY.isdisjoint(reading.read_without_bases(path).data)
    except MlprunError:
        return False


def _define(document: Document, base_overrides: Sequence[str], *, section: str = "") -> Definition:
    data = document.data
    if "dataset" in data and "base" not in data:
        what = "is a config; a sweep names one as its `base:` and says what to vary"
        raise UsageError(
            document.title, what, "mlprun train trains it, with --seeds 20 as a sweep over seeds"
        )
    try:
        sweep = schema.validate(document, Sweep, lambda sweep: _problems(sweep, data))
    except ConfigError as error:
        of_base = _base_problems(document, base_overrides, section)
        raise ConfigError([*error.problems, *of_base]) from error
    return Definition(
        sweep, document, document.base(base_overrides, section=section, kind=schema.CONFIG_FILE)
    )


def _base_problems(document: Document, overrides: Sequence[str], section: str) -> Sequence[str]:
    """Return the base's problems, to report them with those of the sweep file; none if it cannot be read."""
    try:
        base = document.data.get("base")
        if base and isinstance(base, str | dict):
            config = document.base(overrides, section=section, kind=schema.CONFIG_FILE)
            if "extend" not in config.data:  # whose code may register a part
                schema.parse(config)
    except ConfigError as error:
        return error.problems
    except MlprunError:  # of data: reported when the files are valid
        return ()
    return ()


def _problems(sweep: Sweep, data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems between fields; `data` has all keys of the file, valid or not."""
    present = {key for key, value in data.items() if value is not None}
    if not isinstance(sweep.base, str | dict) or not sweep.base:
        what = "expected" if "base" in data else "is missing; expected"
        yield Problem(("base",), f"{what} the path of a config, such as ../moons.yaml, or a config")
    yield from _space_problems(sweep)
    if "search" in present:
        yield from _search_problems(sweep, present)
    elif "random" not in present:
        for key in sorted({"trials", "seed"} & present):
            what = "is for the draws of `random`, which is missing; did you mean seeds?"
            yield Problem((key,), what, at_key=True)
    elif "trials" not in present:
        yield Problem(("random",), "needs the number of draws; add `trials: 100`", at_key=True)
    search = sweep.search
    path, count = (("trials",), sweep.trials) if search is None else (("search", "trials"), search.trials)
    if sweep.random and count is not None and count > sweep.different:  # no two draws are equal
        remedy = f"set {'.'.join(path)} to {sweep.different}, or repeat configurations with seeds"
        yield Problem(path, f"`random` has {sweep.different} different configurations; {remedy}")
    if isinstance(sweep.seeds, tuple) and len(set(sweep.seeds)) < len(sweep.seeds):
        yield Problem(("seeds",), "lists a seed twice")
    if sweep.success is not None and Success.of(sweep.success) is None:
        message = "expected a metric, an operator (>= <= > < ==) and a number, such as test_accuracy >= 0.99"
        yield Problem(("success",), message)
    if sweep.objective.aggregate == "success" and "success" not in present:
        yield Problem(("objective", "aggregate"), "needs `success:` to define when a trial is one")


def _space_problems(sweep: Sweep) -> Iterator[Problem]:
    """Yield the problems of swept parameters, other than those of single values."""
    seen: dict[str, str] = {}
    for section in ("grid", "paired", "random"):
        for key in getattr(sweep, section):
            yield from _key_problems(sweep, section, key, seen)
    for key, values in sweep.grid.items():
        yield from _duplicate_problems(("grid", key), values)
    lengths = {key: len(values) for key, values in sweep.paired.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        yield Problem(("paired",), f"lists must have equal lengths: {shown}")
    elif lengths:
        yield from _duplicate_problems(
            ("paired", next(iter(lengths))), list(zip(*sweep.paired.values(), strict=True))
        )


def _duplicate_problems(path: tuple[str, str], values: Sequence[Any]) -> Iterator[Problem]:
    """Yield a problem for each value (or pair) that is listed twice, whose trials would be equal."""
    seen: set[str] = set()
    for index, value in enumerate(values):
        # as JSON, since True == 1 is no reason to take one for the other; 1 and 1.0 are one number
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        one = json.dumps(float(value) if is_number else value, sort_keys=True)
        if one in seen:
            yield Problem((*path, index), "is listed twice; use seeds to repeat a configuration")
        seen.add(one)


def _search_problems(sweep: Sweep, present: AbstractSet[str]) -> Iterator[Problem]:
    """Yield the problems of options that cannot be combined with a search."""
    if "random" not in present:
        yield Problem(("search",), "searches the parameters of `random`, which is missing", at_key=True)
    for key in ("grid", "paired"):
        if getattr(sweep, key):
            message = "cannot be combined with `search`; name its parameters in `random` as a choice"
            yield Problem((key,), message, at_key=True)
    for key in ("trials", "seed"):
        if key in present:
            yield Problem((key,), f"is for draws without `search`; use search.{key}", at_key=True)


def _key_problems(sweep: Sweep, section: str, key: str, seen: dict[str, str]) -> Iterator[Problem]:
    """Yield the problems of the path of a parameter; `seen` has the sections of the ones before it."""
    path = (section, key)
    root = key.partition(".")[0]
    if _KEY.fullmatch(key) is None:
        yield Problem(path, "is not a dotted path such as optimizer.lr", at_key=True)
    elif key in _NOT_SWEPT or root in _NOT_SWEPT:
        yield Problem(path, f"cannot be swept: it {_NOT_SWEPT.get(key) or _NOT_SWEPT[root]}", at_key=True)
    elif sweep.folds is not None and key.startswith("dataset.split"):
        yield Problem(path, "cannot be swept beside `folds`, which divide the rows", at_key=True)
    for other, its_section in seen.items():
        if other == key or other.startswith(f"{key}.") or key.startswith(f"{other}."):
            yield Problem(path, f"is set by {other} in {its_section} too; keep one of them", at_key=True)
    seen[key] = section
