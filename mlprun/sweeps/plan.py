"""A sweep worked out before anything runs: every setting checked, every trial numbered and put in a cohort.

All of it is a function of the sweep file, its data and what the database of a folder has of it already, so
that a sweep that is continued has the same plan.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlprun import schema
from mlprun.errors import CheckpointError, ConfigError, UsageError
from mlprun.schema import metric_direction
from mlprun.sweeps import paths, pruning, space
from mlprun.sweeps.checking import Configs, figures_of
from mlprun.sweeps.cost import STARTUP, Cost, gather
from mlprun.sweeps.definition import MOST_TRIALS, Success
from mlprun.sweeps.members import Member, Members
from mlprun.sweeps.problems import late_rungs, of_figures
from mlprun.sweeps.schema import Description

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from mlprun.experiment import Experiment
    from mlprun.schema import Config
    from mlprun.sweeps.checking import Checked, Kind
    from mlprun.sweeps.database import Results
    from mlprun.sweeps.definition import Definition, Pruner
    from mlprun.sweeps.schema import Configuration
    from mlprun.sweeps.space import Point

Key = tuple[int, int, int | None]
"""of a trial: its setting, its seed and its fold"""
_RESTORE = "restore it from a copy or run the sweep again in another folder"


@dataclass(frozen=True)
class Cohort:
    """Trials whose curves and weights share a file: the same engine, device, dtype, columns and epochs."""

    number: int
    members: Members
    kind: Kind


class Plan:
    """The settings, trials and cohorts of a sweep. Making one checks every setting.

    What `known` has already, the database of this sweep or of one that it contains, keeps its numbers and
    its cohorts; new settings and trials come after those. `again` are trials that are trained once more.
    `configs` are the definition's, where they are there already.

    Raises ConfigError with the problems of all settings, UsageError, DataError for data that cannot be used,
    CheckpointError for a database of another sweep.
    """

    def __init__(
        self,
        definition: Definition,
        *,
        allow_code: bool = False,
        known: Results | None = None,
        configs: Configs | None = None,
        again: frozenset[int] = frozenset(),
    ) -> None:
        self.definition, self.sweep = definition, definition.sweep
        self.configs = configs or Configs(definition, allow_code=allow_code)
        self.allow_code = self.configs.allow_code
        self.again = again
        self.base = self.configs.base
        self.seeds = self._seeds()
        self.folds = self.sweep.folds
        self._refuse_too_many()
        self.cohorts: list[Cohort] = []
        self._points: list[Point] = []
        self._checked: list[Checked] = []
        engines = () if known is None else (trial.engine for trial in known.planned())
        self._uses_fused = next((engine == "fused" for engine in engines if engine is not None), None)
        self._words = paths.lists(self.sweep)
        self._words_before = self._words if known is None else known.description.paths
        settings = [] if known is None else known.settings()
        # every round of a search has the engine of its first, also where this version would choose another
        before = known.planned() if known is not None and self.sweep.search is not None else ()
        self._engines = {one.setting: one.engine for one in before}
        points = space.known(definition, settings, self._words_before)
        if self.sweep.search is None:
            looked_at = self._add(points)
        else:
            looked_at = self.configs.check(space.probes(definition))
            self.configs.forget()
            self._add(points)
        self._looked_at = tuple(looked_at)
        epochs = self.base.training.epochs
        if problems := of_figures(definition, figures_of(looked_at)) + late_rungs(definition, epochs):
            raise ConfigError(problems)
        self._trials = self.done = 0
        recalled = set[Key]() if known is None else self._recall(known, again)
        self.added = [] if recalled is None else self._gather(points, recalled)
        """cohorts of trials that are not known"""
        self._new = slice(len(settings), len(self._points))

    def extend(self, points: Sequence[Point]) -> list[Cohort]:
        """Add a round of a search: its cohorts. Raises ConfigError."""
        self._add(points)
        return self._gather(points)

    @cached_property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which a pruner looks at the settings of a round."""
        pruner = self._pruner
        return () if pruner is None else pruning.epochs_of(pruner, self.base.training.epochs)

    @property
    def _pruner(self) -> Pruner | None:
        return None if self.sweep.search is None else self.sweep.search.pruner

    @property
    def settings(self) -> list[Configuration]:
        """All settings, by number."""
        return list(self.each_setting())

    def each_setting(self, *, new: bool = False) -> Iterator[Configuration]:
        """All settings, by number, without holding them all; `new` are those that were not known at first."""
        return map(self.written, self._points[self._new] if new else self._points)

    def written(self, point: Point) -> Configuration:
        """A setting as the database has it: with paths in the words that are there already."""
        return paths.reworded(point.setting, self._words, self._words_before)

    @property
    def total(self) -> int:
        """How many trials the sweep ends with; more than there are yet while a search goes on."""
        return space.size(self.sweep) * len(self.seeds) * (self.folds or 1)

    def members(self) -> Iterator[Member]:
        """Every trial, by number."""
        return iter(sorted(member for cohort in self.cohorts for member in cohort.members))

    def config(self, member: Member) -> Config:
        """The complete config of a trial, such as `mlprun train` takes it; threads may ask at once."""
        config, own_seed = self.common(member)
        return seeded(config, member, own_seed=own_seed)

    def common(self, member: Member) -> tuple[Config, bool]:
        """What the configs of a setting's trials share, and whether it names the dataset's seed itself."""
        config, own_seed = self.configs.of(self._points[member.setting - 1])
        return config.model_copy(update={"engine": member.engine}), own_seed

    def examples(self, cohorts: Iterable[Cohort]) -> list[tuple[str, Experiment]]:
        """An experiment for each engine that cohorts use and each dtype it is used with."""
        first: dict[tuple[str, str], Cohort] = {}
        for cohort in cohorts:
            first.setdefault((cohort.kind.engine, cohort.kind.dtype), cohort)
        made = self.configs.prototype
        return [(engine, made(self.config(one.members[0]))) for (engine, _), one in first.items()]

    def cost_of(self, member: Member) -> Cost:
        """What a trial takes."""
        return self._checked[member.setting - 1].cost

    @cached_property
    def description(self) -> Description:
        """What the database says of the sweep, but for the words of the sweep file."""
        sweep = self.sweep
        figures = figures_of(self._looked_at)
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
            paths=self._words_before,
            base=schema.dump(self.base, ""),
        )

    @property
    def cost(self) -> Cost:
        """What all trials take together, by those that are known; bytes are of the largest cohort."""
        pruner = self._pruner
        part = 1.0 if pruner is None else pruning.share(pruner, self.base.training.epochs)
        return Cost(
            seconds=part * self.total * sum(one.cost.seconds for one in self._checked) / len(self._checked),
            bytes=max(
                sum(self._checked[member.setting - 1].cost.bytes for member in cohort.members)
                for cohort in self.cohorts
            ),
            tensors=0,
        )

    def _seeds(self) -> Sequence[int]:
        seeds = self.sweep.seeds
        first = self.base.training.seed
        if isinstance(seeds, tuple):
            return seeds
        if first + seeds > 2**32:
            raise UsageError(
                "seeds", f"{seeds} seeds from {first} on go beyond 2^32", "choose a smaller seed"
            )
        return range(first, first + seeds)

    def _refuse_too_many(self) -> None:
        total = space.size(self.sweep) * len(self.seeds) * (self.folds or 1)
        if total > MOST_TRIALS:
            what = f"has {total} trials, and {MOST_TRIALS} are the most"
            raise UsageError(self.definition.document.title, what, "sweep fewer values or seeds")

    def _add(self, points: Sequence[Point]) -> list[Checked]:
        """Check settings and choose the engine of their trials."""
        checked = self.configs.check(points)
        if checked and self._uses_fused is None:
            search = self.sweep.search  # its first round decides, as it did when there was no other
            used = {
                self._engines.get(point.number)
                for point, one in zip(points, checked, strict=True)
                if one.free and one.kind.engine == "fused"
            }
            if used - {None}:
                self._uses_fused = "fused" in used
            else:
                self._uses_fused = self._is_worth_fused(checked[: None if search is None else search.batch])
        if not self._uses_fused:
            other = {
                one: one._replace(kind=one.kind._replace(engine="torch"))
                for one in set(checked)
                if one.free and one.kind.engine == "fused"
            }
            checked = [other.get(one, one) for one in checked]
        self._points += points
        self._checked += checked
        return checked

    def _recall(self, known: Results, again: frozenset[int]) -> set[Key] | None:
        """Take the trials that have numbers and cohorts; None where that is all. Raises CheckpointError."""
        found, count = set[Key](), sum(known.counts().values())
        is_whole = count == len(self._points) * len(self.seeds) * (self.folds or 1)
        for trial in known.planned():
            number, place = trial.cohort, trial.member
            if number is None or place is None or trial.setting > len(self._points):
                raise CheckpointError(known.path, "is damaged: it holds trials of no cohort", _RESTORE)
            self.done += trial.status != "pending" and trial.id not in again
            if not self.cohorts or self.cohorts[-1].number != number:
                kind = self._checked[trial.setting - 1].kind
                kind = kind._replace(engine=trial.engine or kind.engine)
                self.cohorts.append(Cohort(number, Members(kind.engine), kind))
            members = self.cohorts[-1].members
            members.add(Member(trial.id, trial.setting, trial.seed, trial.fold, members.engine))
            if not is_whole:
                found.add((trial.setting, trial.seed, trial.fold))
        self._trials = count
        return None if is_whole else found

    def _gather(self, points: Sequence[Point], known: Container[Key] = ()) -> list[Cohort]:
        """New cohorts of all trials of settings that are not known: seeds in their order, then folds."""
        folds: list[int | None] = [None] if self.folds is None else list(range(1, self.folds + 1))
        every = itertools.product((point.number for point in points), self.seeds, folds)
        new = (key for key in every if key not in known)
        gathered = gather(
            (Member(trial, *key, checked.kind.engine), checked.kind, checked.cost)
            for trial, key in enumerate(new, start=self._trials + 1)
            for checked in (self._checked[key[0] - 1],)
        )
        self._trials += sum(len(members) for members, _ in gathered)
        first = self.cohorts[-1].number + 1 if self.cohorts else 1
        made = [Cohort(number, *one) for number, one in enumerate(gathered, start=first)]
        self.cohorts += made
        return made

    def _is_worth_fused(self, checked: Sequence[Checked]) -> bool:
        """Whether the sweep is long enough for the kernels to be loaded, going by its first settings."""
        saved = sum(one.cost.saved for one in checked if one.free and one.kind.engine == "fused")
        return self.total * saved / len(checked) > STARTUP

    @property
    def _metric(self) -> str:
        """The objective's figure; train_loss where no trial has dev rows and the sweep names none."""
        objective = self.sweep.objective
        known = objective.metric in figures_of(self._looked_at)
        if known or "metric" in objective.model_fields_set:
            return objective.metric
        return "train_loss"

    @property
    def _mode(self) -> str:
        figure = self._metric.removeprefix("last_").partition("_")[2]
        return self.sweep.objective.mode or metric_direction(figure, self.base.metrics)


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
