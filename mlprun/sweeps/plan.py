"""A sweep worked out before anything runs: every setting checked, every trial numbered and put in a cohort.

All of it is a function of the sweep file and its data, so that a sweep that is continued has the same plan.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun import engines, schema
from mlprun.config import Node
from mlprun.errors import ConfigError, UsageError
from mlprun.experiment import SPLITS, Experiment, columns, logged
from mlprun.schema.resolve import goal
from mlprun.storage import canonical
from mlprun.sweeps import space
from mlprun.sweeps.cost import STARTUP, Cost
from mlprun.sweeps.database import Description
from mlprun.sweeps.definition import MOST_TRIALS, Success
from mlprun.sweeps.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlprun.parts.datasets import Dataset, Facts
    from mlprun.schema import Config
    from mlprun.sweeps.database import Setting
    from mlprun.sweeps.definition import Definition
    from mlprun.sweeps.space import Point

MOST_MEMBERS = 1000
MOST_BYTES = 2**26
"""of curves and weights in one cohort's file"""
MOST_SECONDS = 60.0
"""of training in one cohort, by published constants: trials are recorded by whole cohorts"""
MOST_TENSORS = 5000
MOST_KEPT = 1000
"""configs of settings that are kept; others are read again when their turn comes"""
MOST_PROBLEMS = 100


class Member(NamedTuple):
    """A trial of the plan: its number and its setting's, its seed and its fold; all but seeds from 1."""

    trial: int
    setting: int
    seed: int
    fold: int | None


@dataclass(frozen=True)
class Cohort:
    """Trials whose curves and weights share a file: the same engine, device, dtype, columns and epochs."""

    number: int
    members: tuple[Member, ...]
    kind: Kind


class Kind(NamedTuple):
    """What the trials of a cohort have in common."""

    engine: str
    device: str
    dtype: str
    threads: int
    epochs: int
    columns: tuple[str, ...]


class _Checked(NamedTuple):
    """What is kept of a setting that was checked."""

    kind: Kind
    cost: Cost
    figures: tuple[str, ...]
    free: bool
    """whether the config leaves the engine open"""


class Plan:
    """The settings, trials and cohorts of a sweep. Making one checks every setting.

    Raises ConfigError with the problems of all settings, UsageError, DataError for data that cannot be used.
    """

    def __init__(self, definition: Definition, *, allow_code: bool = False) -> None:
        self.definition, self.sweep, self.allow_code = definition, definition.sweep, allow_code
        self._lock = threading.Lock()
        self._facts: dict[str, Facts] = {}
        self._prototypes: dict[str, Experiment] = {}
        self._configs: OrderedDict[int, tuple[Config, bool]] = OrderedDict()
        self.base = schema.parse(definition.base, allow_code=allow_code, facts_of=self._facts_of)
        self.seeds = self._seeds()
        self.folds = self.sweep.folds
        self._refuse_too_many()
        self._points: list[Point] = []
        self._checked: list[_Checked] = []
        self._uses_fused: bool | None = None
        first = space.points(definition) if self.sweep.search is None else space.probes(definition)
        self._extend(list(first))
        self._looked_at = tuple(self._checked)
        self._refuse_unknown_figures()
        if self.sweep.search is not None:
            self.recall(())

    def extend(self, points: Sequence[Point]) -> None:
        """Add a round of a search. Raises ConfigError."""
        self._extend(points)
        self.__dict__.pop("cohorts", None)

    def recall(self, settings: Sequence[Setting]) -> None:
        """Put the settings of a search, as its database has them, in place of those of the plan."""
        self._points, self._checked, self._uses_fused = [], [], None
        self._configs.clear()
        drawn = [(one.id, space.drawn(self.sweep, one.chosen)) for one in settings]
        points = [space.point(self.definition, number, one) for number, one in drawn]
        each = self._round
        for start in range(0, len(points), each):
            self.extend(points[start : start + each])

    @property
    def _round(self) -> int:
        """Settings that are known at once."""
        search = self.sweep.search
        return len(self._points) if search is None else search.batch

    @property
    def settings(self) -> list[Setting]:
        """All settings, by number."""
        return [point.setting for point in self._points]

    @property
    def total(self) -> int:
        """How many trials the sweep ends with; more than there are yet while a search goes on."""
        return space.size(self.sweep) * len(self.seeds) * (self.folds or 1)

    def members(self) -> Iterator[Member]:
        """Every trial: settings in their order, for each its seeds, for each of these its folds."""
        folds: list[int | None] = [None] if self.folds is None else list(range(1, self.folds + 1))
        trial = 0
        for point in self._points:
            for seed in self.seeds:
                for fold in folds:
                    trial += 1
                    yield Member(trial, point.setting.id, seed, fold)

    @cached_property
    def cohorts(self) -> list[Cohort]:
        """Every trial in one cohort, those that were open first before those that were opened later."""
        gathering: dict[Kind, _Gathering] = {}
        closed: list[_Gathering] = []
        each = self._round * len(self.seeds) * (self.folds or 1)
        for member in self.members():
            if (member.trial - 1) % each == 0:  # a search has cohorts of their own for each of its rounds
                gathering.clear()
            checked = self._checked[member.setting - 1]
            room = gathering.get(checked.kind)
            if room is None or not room.has_room(checked.cost):
                room = gathering[checked.kind] = _Gathering(checked.kind)
                closed.append(room)
            room.add(member, checked.cost)
        return [Cohort(number, tuple(one.members), one.kind) for number, one in enumerate(closed, start=1)]

    def config(self, member: Member) -> Config:
        """The complete config of a trial, such as `mlprun train` takes it; threads may ask at once."""
        config, own_seed = self.common(member.setting)
        return seeded(config, member, own_seed=own_seed)

    def common(self, setting: int) -> tuple[Config, bool]:
        """What the configs of a setting's trials have in common, and whether it names the dataset's seed."""
        with self._lock:
            config, own_seed = self._config(self._points[setting - 1])
        return config.model_copy(update={"engine": self._checked[setting - 1].kind.engine}), own_seed

    def examples(self) -> list[tuple[str, Experiment]]:
        """An experiment for each engine that is used and each dtype it is used with."""
        first: dict[tuple[str, str], Cohort] = {}
        for cohort in self.cohorts:
            first.setdefault((cohort.kind.engine, cohort.kind.dtype), cohort)
        return [(engine, self._prototype(self.config(one.members[0]))) for (engine, _), one in first.items()]

    def cost_of(self, member: Member) -> Cost:
        """What a trial takes."""
        return self._checked[member.setting - 1].cost

    @cached_property
    def description(self) -> Description:
        """What the database says of the sweep, but for the words of the sweep file."""
        sweep = self.sweep
        figures = list(dict.fromkeys(name for one in self._looked_at for name in one.figures))
        success = Success.of(sweep.success) if sweep.success is not None else None
        return Description(
            name=self.definition.name,
            parameters=sweep.parameters,
            figures=(*figures, *(f"last_{name}" for name in figures)),
            scales=space.scales(sweep),
            objective={"metric": self._metric, "mode": self._mode, "aggregate": sweep.objective.aggregate},
            success=None if success is None else success._asdict(),
            folds=self.folds,
            history=tuple(dict.fromkeys(name for one in self._looked_at for name in one.kind.columns)),
            total=self.total,
            base=schema.dump(self.base, ""),
        )

    @property
    def cost(self) -> Cost:
        """What all trials take together, by those that are known; bytes are of the largest cohort."""
        return Cost(
            seconds=self.total * sum(one.cost.seconds for one in self._checked) / len(self._checked),
            bytes=max(
                sum(self._checked[member.setting - 1].cost.bytes for member in cohort.members)
                for cohort in self.cohorts
            ),
            tensors=0,
        )

    def _seeds(self) -> tuple[int, ...]:
        seeds = self.sweep.seeds
        first = self.base.training.seed
        if isinstance(seeds, tuple):
            return seeds
        if first + seeds > 2**32:
            raise UsageError(
                "seeds", f"{seeds} seeds from {first} on go beyond 2^32", "choose a smaller seed"
            )
        return tuple(range(first, first + seeds))

    def _refuse_too_many(self) -> None:
        total = space.size(self.sweep) * len(self.seeds) * (self.folds or 1)
        if total > MOST_TRIALS:
            what = f"has {total} trials, and {MOST_TRIALS} are the most"
            raise UsageError(self.definition.document.title, what, "sweep fewer values or seeds")

    def _facts_of(self, dataset: Dataset) -> Facts:
        """The facts of a dataset, asked for once."""
        key = dataset.model_dump_json(exclude={"seed", "split"})
        if key not in self._facts:
            self._facts[key] = dataset.facts()
        return self._facts[key]

    def _config(self, point: Point) -> tuple[Config, bool]:
        """The config of a setting with the base's seed, and whether it names the dataset's seed itself."""
        number = point.setting.id
        if number not in self._configs:
            document = self.definition.base.with_values({**point.nodes, **self._fold_nodes})
            config = schema.parse(document, allow_code=self.allow_code, facts_of=self._facts_of)
            given = document.data["dataset"]
            own_seed = isinstance(given, dict) and given.get("seed") is not None
            self._configs[number] = (config, own_seed)
            if len(self._configs) > MOST_KEPT:
                self._configs.popitem(last=False)
        self._configs.move_to_end(number)
        return self._configs[number]

    @cached_property
    def _fold_nodes(self) -> dict[str, Node]:
        """What folds lay over every setting; the first fold stands for all, whose sizes hardly differ."""
        if self.folds is None:
            return {}
        place = self.definition.document.node(("folds",)).place
        return {"dataset.split.folds": Node(self.folds, place), "dataset.split.fold": Node(1, place)}

    def _extend(self, points: Sequence[Point]) -> None:
        checked = self._check(points)
        if self._uses_fused is None:
            self._uses_fused = self._is_worth_fused(checked)
        if not self._uses_fused:
            checked = [
                one._replace(kind=one.kind._replace(engine="torch"))
                if one.free and one.kind.engine == "fused"
                else one
                for one in checked
            ]
        self._points += points
        self._checked += checked

    def _check(self, points: Sequence[Point]) -> list[_Checked]:
        """Look at every setting; raises ConfigError with the problems of all, equal ones told once."""
        problems = Problems(self.sweep.random)
        checked: list[_Checked] = []
        for point in points:
            try:
                checked.append(self._look_at(point))
            except ConfigError as error:
                problems.add(point, error.problems)
            if len(problems) > MOST_PROBLEMS:
                title = self.definition.document.title
                more = f"{title}: more problems follow; correct these first"
                raise ConfigError([*problems.lines(points), more])
        if problems:
            raise ConfigError(problems.lines(points))
        return checked

    def _look_at(self, point: Point) -> _Checked:
        config, _ = self._config(point)
        experiment = self._prototype(config)
        able = [engine.name for engine in engines.every() if engine.refuses(experiment) is None]
        if config.engine not in ("auto", *able):
            engines.choose(experiment, config.engine)  # raises, with the reason
        has = [split for split in SPLITS if experiment.has(split)]
        named = ("loss", *logged(config))
        training = config.training
        engine = config.engine if config.engine != "auto" else ("fused" if "fused" in able else "torch")
        kind = Kind(engine, config.device, training.dtype, training.threads, training.epochs, columns(config))
        figures = tuple(f"{split}_{name}" for split in has for name in named)
        return _Checked(kind, Cost.of(experiment, engine), figures, config.engine == "auto")

    def _prototype(self, config: Config) -> Experiment:
        """An experiment with rows like those of a setting's trials; data is loaded once for each kind."""
        dataset = {
            key: value
            for key, value in config.dataset.model_dump(exclude={"seed"}).items()
            if not isinstance(value, float)
        }
        loss = config.loss.model_dump(include={"name"})
        key = canonical.digest([dataset, loss, config.training.dtype, config.architecture.vocabulary])
        if key not in self._prototypes:
            self._prototypes[key] = Experiment.of(config)
        return replace(self._prototypes[key], config=config)

    def _is_worth_fused(self, checked: Sequence[_Checked]) -> bool:
        """Whether the sweep is long enough for the kernels to be loaded, going by its first settings."""
        saved = sum(one.cost.saved for one in checked if one.free and one.kind.engine == "fused")
        return self.total * saved / len(checked) > STARTUP

    @property
    def _metric(self) -> str:
        """The objective's figure; train_loss where no trial has dev rows and the sweep names none."""
        objective = self.sweep.objective
        names = {name for one in self._looked_at for name in one.figures}
        if "metric" in objective.model_fields_set or objective.metric in names:
            return objective.metric
        return "train_loss"

    @property
    def _mode(self) -> str:
        figure = self._metric.removeprefix("last_").partition("_")[2]
        return self.sweep.objective.mode or goal(figure, self.base.metrics)

    def _refuse_unknown_figures(self) -> None:
        names = self.description.figures
        document, problems = self.definition.document, []
        success = Success.of(self.sweep.success) if self.sweep.success is not None else None
        for path, name in (
            (("objective", "metric"), self._metric),
            (("success",), names[0] if success is None else success.figure),
        ):
            if name not in names:
                shown = ", ".join(name for name in names if not name.startswith("last_"))
                message = f"{name} is not a figure of these trials; expected one of {shown}, or last_ and one"
                problems.append(document.problem(path, message))
        if problems:
            raise ConfigError(problems)


def seeded(config: Config, member: Member, *, own_seed: bool) -> Config:
    """The config of a setting's trial; its seed is the dataset's as well, unless that has its own."""
    dataset = config.dataset
    update: dict[str, Any] = {}
    if not own_seed:
        update["seed"] = member.seed
    if member.fold is not None:
        assert dataset.split is not None
        update["split"] = dataset.split.model_copy(update={"fold": member.fold})
    training = config.training.model_copy(update={"seed": member.seed})
    return config.model_copy(update={"training": training, "dataset": dataset.model_copy(update=update)})


class _Gathering:
    """A cohort that is being filled."""

    def __init__(self, kind: Kind) -> None:
        self.kind, self.members = kind, list[Member]()
        self.seconds, self.bytes, self.tensors = 0.0, 0, dict[Any, int]()

    def has_room(self, cost: Cost) -> bool:
        return (
            len(self.members) < MOST_MEMBERS
            and self.bytes + cost.bytes <= MOST_BYTES
            and self.seconds + cost.seconds <= MOST_SECONDS
            and sum(self.tensors.values()) + cost.tensors <= MOST_TENSORS
        )

    def add(self, member: Member, cost: Cost) -> None:
        self.members.append(member)
        self.seconds += cost.seconds
        self.bytes += cost.bytes
        self.tensors[cost.form] = cost.tensors
