"""A sweep planned before anything runs: configurations checked, trials numbered and put in cohorts.

A plan is a function of the sweep file, its data and what the database of a folder has of it already, so a
sweep that is resumed has the same plan.
"""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import TYPE_CHECKING

from mlprun import schema
from mlprun.engines.fused import support
from mlprun.errors import CheckpointError, ConfigError, UsageError
from mlprun.schema import Config, metric_direction
from mlprun.sweeps import search, space
from mlprun.sweeps.cohorts import Cohort, Cost, TrialSpec, divide
from mlprun.sweeps.configs import CheckedConfig, Configs, metrics_of, objective_problems, pruner_problems
from mlprun.sweeps.database import RESTORE, Results
from mlprun.sweeps.definition import MAX_TRIALS, Definition, Success
from mlprun.sweeps.schema import Configuration, Description, Trial
from mlprun.sweeps.trials import ResumeState, SharedConfig, TrialBatch, first_chunk

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from mlprun.experiment import Experiment
    from mlprun.sweeps.space import Candidate

TrialKey = tuple[int, int, int | None]
"""of a trial: its configuration, its seed and its fold"""


class Plan:
    """The configurations, trials and cohorts of a sweep. Making one checks every configuration.

    What `known` has already, the database of this sweep or of one that it contains, keeps its numbers and its
    cohorts; new configurations and trials come after those. `again` are trials that are trained once more.

    Raises ConfigError with the problems of all configurations, UsageError, DataError for data that cannot be
    used, CheckpointError for a database of another sweep.
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
        self.definition, self.sweep, self.again = definition, definition.sweep, again
        self.configs = configs or Configs(definition, allow_code=allow_code)
        self.base = self.configs.base
        self.folds = self.sweep.folds
        self.seeds = self._seeds()
        if self.total > MAX_TRIALS:
            what = f"has {self.total} trials, and {MAX_TRIALS} are the most"
            raise UsageError(definition.document.title, what, "sweep fewer values or seeds")
        self.cohorts: list[Cohort] = []
        self._candidates: list[Candidate] = []
        self._checked: list[CheckedConfig] = []
        self._paths = space.path_lists(self.sweep)
        self._known_paths = self._paths if known is None else known.description.paths
        settings = [] if known is None else known.settings()
        engines = [] if known is None else (one.engine for one in known.planned() if one.engine is not None)
        self._uses_fused = next((engine == "fused" for engine in engines), None)
        """whether trials whose config leaves the engine open use fused; what trials have used stays"""
        candidates = space.restored(definition, settings, self._known_paths)
        if self.sweep.search is None:
            self._examples = self._add(candidates)
        else:
            self._examples = self.configs.check(space.validation_candidates(definition))
            self.configs.forget()
            self._add(candidates)
        problems = objective_problems(definition, metrics_of(self._examples))
        if problems := problems + pruner_problems(definition, self.base.training.epochs):
            raise ConfigError(problems)
        self._n_trials = self.done = 0
        self.added = self._divide(candidates, () if known is None else self._restore(known, again))
        """cohorts of trials that are not known"""
        self.n_known = len(settings)
        """number of configurations that were known at first"""

    def extend(self, candidates: Sequence[Candidate]) -> list[Cohort]:
        """Add a round of a search and return its cohorts. Raises ConfigError."""
        self._add(candidates)
        return self._divide(candidates)

    @property
    def total(self) -> int:
        """The number of trials when the sweep is finished; more than now while a search goes on."""
        return space.size(self.sweep) * len(self.seeds) * (self.folds or 1)

    @cached_property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which a pruner compares the configurations of a round."""
        return search.rung_epochs(self.sweep.pruner, self.base.training.epochs)

    @property
    def settings(self) -> list[Configuration]:
        """All configurations, by number."""
        return list(map(self.record, self._candidates))

    def record(self, candidate: Candidate) -> Configuration:
        """Return a configuration for the database, which keeps its own spelling of paths."""
        return space.with_paths(candidate.configuration, self._paths, self._known_paths)

    def shared_config(self, setting: int, engine: str) -> SharedConfig:
        """Return the config that the trials of a configuration share; threads may ask at once."""
        config, sets_data_seed = self.configs.of(self._candidates[setting - 1])
        config = config.model_copy(update={"engine": engine})
        return SharedConfig(config, sets_data_seed, self.configs.allow_code)

    def config(self, spec: TrialSpec, engine: str) -> Config:
        """Return the complete config of a trial, as `mlprun train` takes it."""
        return self.shared_config(spec.setting, engine).of_trial(spec.seed, spec.fold)

    def batch(
        self, cohort: Cohort, specs: Sequence[TrialSpec], resume: ResumeState, device: str
    ) -> TrialBatch:
        """Return the batch of some trials of a cohort."""
        kind, trials = cohort.kind, {one.trial for one in specs}
        settings = {one.setting for one in specs}
        return TrialBatch(
            tuple(specs),
            {setting: self.shared_config(setting, kind.engine) for setting in settings},
            first_chunk(kind.epochs, max(self.cost_of(one).seconds for one in specs)),
            {trial: resume.results[trial] for trial in trials & resume.results.keys()},
            {trial: resume.budgets[trial] for trial in trials & resume.budgets.keys()},
            kind.engine,
            device,
            kind.threads,
        )

    def examples(self) -> list[tuple[str, Experiment]]:
        """Return an experiment for each engine and each dtype that it is used with."""
        first: dict[tuple[str, str], Cohort] = {}
        for cohort in self.cohorts:
            first.setdefault((cohort.kind.engine, cohort.kind.dtype), cohort)
        return [
            (engine, self.configs.prototype(self.config(cohort.members[0], engine)))
            for (engine, _), cohort in first.items()
        ]

    def cost_of(self, spec: TrialSpec) -> Cost:
        """Return the expected cost of a trial."""
        return self._checked[spec.setting - 1].cost

    @cached_property
    def description(self) -> Description:
        """The description of the sweep for the database, without the content of the sweep file."""
        sweep = self.sweep
        metrics = metrics_of(self._examples)
        success = Success.of(sweep.success or "")
        objective = sweep.objective
        metric = objective.metric
        if metric not in metrics and "metric" not in objective.model_fields_set:
            metric = "train_loss"  # no trial has dev rows
        plain = metric.removeprefix("last_").partition("_")[2]
        mode = objective.mode or metric_direction(plain, self.base.metrics)
        return Description(
            name=self.definition.name,
            parameters=sweep.parameters,
            figures=(*metrics, *(f"last_{name}" for name in metrics)),
            scales=space.scales(sweep),
            objective={"metric": metric, "mode": mode, "aggregate": objective.aggregate},
            success=None if success is None else success._asdict(),
            folds=self.folds,
            history=tuple(dict.fromkeys(name for one in self._examples for name in one.kind.columns)),
            total=self.total,
            paths=self._known_paths,
            base=schema.dump(self.base, ""),
        )

    @property
    def cost(self) -> Cost:
        """The cost of all trials together, going by those that are known; bytes are of the largest cohort."""
        share = search.trained_fraction(self.sweep.pruner, self.base.training.epochs)
        mean = sum(one.cost.seconds for one in self._checked) / len(self._checked)
        sizes = (sum(self.cost_of(spec).bytes for spec in cohort.members) for cohort in self.cohorts)
        return Cost(seconds=share * self.total * mean, bytes=max(sizes), tensors=0)

    def _seeds(self) -> Sequence[int]:
        seeds, first = self.sweep.seeds, self.base.training.seed
        if isinstance(seeds, tuple):
            return seeds
        if first + seeds > 2**32:
            what = f"{seeds} seeds from {first} on go beyond 2^32"
            raise UsageError("seeds", what, "choose a smaller seed")
        return range(first, first + seeds)

    def _add(self, candidates: Sequence[Candidate]) -> list[CheckedConfig]:
        """Check configurations and choose the engine of their trials."""
        checked = self.configs.check(candidates)
        if checked and self._uses_fused is None:
            # whether the sweep is long enough for loading the kernels, going by its first round
            round_ = checked[: None if self.sweep.search is None else self.sweep.search.batch]
            saved = sum(one.cost.saved for one in round_ if one.is_auto and one.kind.engine == "fused")
            start = support.STARTUP - support.TORCH_STARTUP
            self._uses_fused = self.total * saved / len(round_) > start
        if not self._uses_fused:
            torch = {
                one: one._replace(kind=one.kind._replace(engine="torch"))
                for one in set(checked)
                if one.is_auto and one.kind.engine == "fused"
            }
            checked = [torch.get(one, one) for one in checked]
        self._candidates += candidates
        self._checked += checked
        return checked

    def _restore(self, known: Results, again: frozenset[int]) -> set[TrialKey]:
        """Add the trials of a database and return their keys. Raises CheckpointError."""
        keys = set[TrialKey]()
        for trial in known.planned():
            number = trial.cohort
            if number is None or trial.member is None or trial.setting > len(self._candidates):
                raise CheckpointError(known.path, "is damaged: it holds trials of no cohort", RESTORE)
            self.done += trial.status != "pending" and trial.id not in again
            if not self.cohorts or self.cohorts[-1].number != number:
                kind = self._checked[trial.setting - 1].kind
                kind = kind._replace(engine=trial.engine or kind.engine)
                self.cohorts.append(Cohort(number, [], kind))
            key = trial.setting, trial.seed, trial.fold
            self.cohorts[-1].members.append(TrialSpec(trial.id, *key))
            keys.add(key)
        self._n_trials = len(keys)
        return keys

    def _divide(self, candidates: Sequence[Candidate], known: Container[TrialKey] = ()) -> list[Cohort]:
        """Add cohorts of all trials that are not known: of each configuration by seed, then by fold."""
        folds = range(1, self.folds + 1) if self.folds else (None,)
        every = itertools.product((one.number for one in candidates), self.seeds, folds)
        new = enumerate((key for key in every if key not in known), start=self._n_trials + 1)
        checked = ((TrialSpec(trial, *key), self._checked[key[0] - 1]) for trial, key in new)
        first = self.cohorts[-1].number + 1 if self.cohorts else 1
        cohorts = divide(((spec, one.kind, one.cost) for spec, one in checked), first)
        self._n_trials += sum(len(cohort.members) for cohort in cohorts)
        self.cohorts += cohorts
        return cohorts


def pending_trials(cohorts: Iterable[Cohort]) -> Iterator[Trial]:
    """Yield the database records of the trials of cohorts before they are trained."""
    for cohort in cohorts:
        for position, spec in enumerate(cohort.members):
            yield Trial(*spec, cohort.number, position, engine=cohort.kind.engine)
