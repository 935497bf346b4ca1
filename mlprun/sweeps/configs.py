"""The configs of a sweep's configurations, checked before anything runs, with all problems at once."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun import engines, evaluation, schema
from mlprun.config.tree import Node, Path, printable, truncate
from mlprun.errors import ConfigError, MlprunError, UsageError
from mlprun.experiment import SPLITS, Experiment, data_key, history_columns, history_metrics
from mlprun.parts.losses import losses
from mlprun.parts.metrics import metrics
from mlprun.sweeps import search, space
from mlprun.sweeps.cohorts import CohortKind, Cost
from mlprun.sweeps.definition import MAX_TRIALS, Definition, Success, Sweep
from mlprun.sweeps.space import Candidate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from mlprun.config.document import Document
    from mlprun.parts.datasets import Dataset, DatasetInfo
    from mlprun.schema import Config

MAX_CACHED = 1000
"""configs of configurations, and infos of datasets; others are read again when needed"""
MAX_PROBLEMS = 100
_MAX_WITH = 120
"""characters of the values shown beside a problem"""


class CheckedConfig(NamedTuple):
    """What is kept of a configuration's config after the check."""

    kind: CohortKind
    cost: Cost
    metrics: tuple[str, ...]
    is_auto: bool
    """whether the config leaves the engine open"""


def metrics_of(checked: Iterable[CheckedConfig]) -> list[str]:
    """Return the metrics of configurations, those of the best epoch."""
    return list(dict.fromkeys(name for one in checked for name in one.metrics))


class Configs:
    """The configs of a sweep's configurations, parsed when needed. Threads may share it."""

    def __init__(self, definition: Definition, *, allow_code: bool = False) -> None:
        self.definition, self.allow_code = definition, allow_code
        self._lock = threading.Lock()
        self._info: dict[str, DatasetInfo] = {}
        self._prototypes: dict[tuple[Any, ...], Experiment] = {}
        self._configs: dict[int, tuple[Config, bool]] = {}
        try:
            self.base = self._parse(definition.base)
        except ConfigError as error:
            raise ConfigError([*error.problems, *self._further_problems(error.problems)]) from error
        split = self.base.dataset.split
        if definition.sweep.folds is not None and split is not None and split.column is not None:
            what = "cannot be combined with dataset.split.column, which divides the rows; remove one of them"
            raise ConfigError([definition.document.problem(("folds",), what)])

    def of(self, candidate: Candidate) -> tuple[Config, bool]:
        """Return a config with the base's seed, and whether it sets the dataset's seed explicitly."""
        with self._lock:
            return self._config(candidate)

    def check(self, candidates: Sequence[Candidate]) -> list[CheckedConfig]:
        """Check every configuration. Raises ConfigError with the problems of all, equal ones once."""
        checked, problems = self._check(candidates)
        if problems:
            late = pruner_problems(self.definition, self.base.training.epochs)
            raise ConfigError([*problems, *self._objective_problems(checked), *late])
        return checked

    def _check(
        self, candidates: Sequence[Candidate], known: Sequence[str] = ()
    ) -> tuple[list[CheckedConfig], Sequence[str]]:
        """Return the configurations without problems, and the problems of the others that are not known."""
        problems = _Problems(self.definition.sweep.random)
        checked: list[CheckedConfig] = []
        distinct: dict[CheckedConfig, CheckedConfig] = {}
        for candidate in candidates:
            try:
                one = self._check_one(candidate)
                checked.append(distinct.setdefault(one, one))
            except UsageError as error:
                texts = error.problems if isinstance(error, ConfigError) else [str(error)]
                problems.add(candidate, [text for text in texts if text not in known])
            if len(problems) > MAX_PROBLEMS:
                title = self.definition.document.title
                more = f"{title}: more problems follow; correct these first"
                return checked, [*problems.lines(candidates), more]
        return checked, problems.lines(candidates)

    def _further_problems(self, problems: Sequence[str]) -> Sequence[str]:
        """Return the problems of configurations and metrics beside the problems of the base."""
        definition = self.definition
        if space.size(definition.sweep) > MAX_TRIALS:
            return ()
        is_search = definition.sweep.search is not None
        candidates = (
            space.validation_candidates(definition) if is_search else list(space.candidates(definition))
        )
        try:
            checked, more = self._check(candidates, problems)
        except MlprunError:  # of data: reported when the files are valid
            return ()
        return [*more, *self._objective_problems(checked)]

    def _objective_problems(self, checked: Sequence[CheckedConfig]) -> list[str]:
        """Return the problems of objective and success, unless other problems leave them in doubt."""
        if any(path.partition(".")[0] in ("dataset", "metrics") for path in self.definition.sweep.parameters):
            return []
        if not checked:
            with suppress(MlprunError):  # all configurations have problems; the base need not
                checked = [self._check_one(Candidate(0, (), ()))]
        return objective_problems(self.definition, metrics_of(checked)) if checked else []

    def prototype(self, config: Config) -> Experiment:
        """Return an experiment with rows like those of a trial; data is loaded once for each kind."""
        key = data_key(config, ignore_seeds=True)
        known = self._prototypes.get(key)
        if known is None:
            known = self._prototypes[key] = Experiment.of(config)
            return known
        return known.with_config(config)

    @property
    def prototypes(self) -> Collection[Experiment]:
        """The experiments that were made, each with the config that it was made for."""
        return self._prototypes.values()

    def _parse(self, document: Document) -> Config:
        return schema.parse(document, allow_code=self.allow_code, info_of=self._info_of)

    def _info_of(self, dataset: Dataset) -> DatasetInfo:
        key = dataset.model_dump_json(exclude={"seed", "split"})
        if key not in self._info:
            if len(self._info) >= MAX_CACHED:
                self._info.clear()
            self._info[key] = dataset.info()
        return self._info[key]

    def _config(self, candidate: Candidate) -> tuple[Config, bool]:
        number = candidate.number
        if number not in self._configs:
            document = self.definition.base.with_values({**candidate.by_parameter, **self._fold_nodes})
            config = self._parse(document)
            dataset = document.data["dataset"]
            sets_data_seed = isinstance(dataset, dict) and dataset.get("seed") is not None
            if len(self._configs) >= MAX_CACHED:
                self._configs.clear()
            self._configs[number] = (config, sets_data_seed)
        return self._configs[number]

    def forget(self) -> None:
        """Drop the configs of configurations whose numbers others will have."""
        self._configs.clear()

    @cached_property
    def _fold_nodes(self) -> dict[str, Node]:
        """The values for folds; the first fold stands for all, whose sizes hardly differ."""
        folds = self.definition.sweep.folds
        if folds is None:
            return {}
        place = self.definition.document.node(("folds",)).position
        return {"dataset.split.folds": Node(folds, place), "dataset.split.fold": Node(1, place)}

    def _check_one(self, candidate: Candidate) -> CheckedConfig:
        config, _ = self._config(candidate)
        experiment = evaluation.check_initial_weights(self.prototype(config))
        engine = config.engine
        if engine == "auto":
            engine = "torch" if engines.named("fused").unsupported_reason(experiment) else "fused"
        engines.choose(experiment, engine)  # raises if it cannot
        names = ("loss", *history_metrics(config))
        training = config.training
        kind = CohortKind(
            engine, config.device, training.dtype, training.threads, training.epochs, history_columns(config)
        )
        splits = [split for split in SPLITS if experiment.has(split)]
        metric_names = tuple(f"{split}_{name}" for split in splits for name in names)
        return CheckedConfig(kind, Cost.of(experiment, engine), metric_names, config.engine == "auto")


# ---- problems


class _Problems:
    """The problems of configurations, in the order in which they are found.

    `drawn` are the parameters whose values are drawn: one wrong number of each is enough.
    """

    def __init__(self, drawn: Iterable[str]) -> None:
        self._drawn = frozenset(drawn)
        self._problems: dict[tuple[str, str], tuple[str, list[Candidate]]] = {}

    def __len__(self) -> int:
        return len(self._problems)

    def add(self, candidate: Candidate, texts: Iterable[str]) -> None:
        """Add the problems of a configuration, as ConfigError has them."""
        heads = {
            key: node.position.report(key, "").splitlines()[0] for key, node in candidate.by_parameter.items()
        }
        for text in texts:
            head = text.splitlines()[0]
            key = next((key for key, start in heads.items() if head.startswith(start)), "")
            # for an unknown key, each value has another position and the same problem
            about = "" if key in self._drawn else head.removeprefix(heads.get(key, ""))
            first, having = self._problems.setdefault((key, about), (text, []))
            if text == first:
                having.append(candidate)

    def lines(self, candidates: Sequence[Candidate]) -> list[str]:
        """Return each problem and, if only some configurations have it, the values that these share."""
        if not self._problems:
            return []
        common = _shared_values(candidates)
        return [
            text if key in self._drawn else _with_values(text, key, _shared_values(having).items(), common)
            for (key, _), (text, having) in self._problems.items()
        ]


def _shared_values(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Return the values that all of these configurations have."""
    first, *others = (one.configuration.values for one in candidates)
    return {key: value for key, value in first.items() if all(one[key] == value for one in others)}


def _with_values(text: str, about: str, shared: Iterable[tuple[str, Any]], common: Mapping[str, Any]) -> str:
    """Return `file:3:7: optimizer.momentum: unknown key (with optimizer.name=adam)`, and the lines below."""
    head, *below = text.splitlines()
    values = ", ".join(
        f"{key}={_shown(value)}"
        for key, value in shared
        if key not in common and key != about and f": {key}." not in text
    )
    with_values = f" (with {printable(truncate(values, _MAX_WITH))})" if values else ""
    return "\n".join([head + with_values, *below])


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def objective_problems(definition: Definition, names: Sequence[str]) -> list[str]:
    """Return the problems of objective and success; `names` are the metrics of each best epoch."""
    sweep, success = definition.sweep, Success.of(definition.sweep.success or "")
    used: dict[Path, str] = {}
    if "metric" in sweep.objective.model_fields_set:
        used["objective", "metric"] = sweep.objective.metric
    if success is not None:
        used["success",] = success.figure
    expected = f"expected one of {', '.join(names)}, or last_ and one"
    unknown = [
        definition.document.problem(path, f"{name} is not a metric of these trials; {expected}")
        for path, name in used.items()
        if name.removeprefix("last_") not in names
    ]
    problems = (_mode_problem(sweep), _success_problem(success))
    return unknown or [definition.document.problem(*one) for one in problems if one is not None]


def _mode_problem(sweep: Sweep) -> tuple[Path, str] | None:
    """Return the problem of a mode that does not suit the metric, as `best.mode` is refused as well."""
    objective = sweep.objective
    name = _without_split(objective.metric)
    good = metrics[name].mode if name in metrics else "min" if name == "loss" or name in losses else None
    if good is None or objective.mode in (None, good):
        return None
    what = f"{objective.metric} is better when {'larger' if good == 'max' else 'smaller'}"
    return ("objective", "mode"), f"{what}; set mode: {good}, or leave it out"


def _success_problem(success: Success | None) -> tuple[Path, str] | None:
    """Return the problem of a success whose number is no value of its metric."""
    if success is None or _without_split(success.figure) not in metrics:
        return None
    low, high = metrics[_without_split(success.figure)].bounds
    if low <= success.number <= high:
        return None
    share = f"; {success.number:g}% is {success.number / 100:g}" if high == 1 < success.number <= 100 else ""
    return ("success",), f"{success.figure} is always between {low:g} and {high:g}{share}"


def _without_split(metric: str) -> str:
    """Return accuracy for last_test_accuracy."""
    return metric.removeprefix("last_").partition("_")[2]


def pruner_problems(definition: Definition, epochs: int) -> list[str]:
    """Return the problem of a pruner whose first rung is not before the end of all epochs."""
    pruner = definition.sweep.pruner
    if pruner is None or search.rung_epochs(pruner, epochs):
        return []
    message = f"has nothing to look at before the end; expected fewer than the base's {epochs} epochs"
    return [definition.document.problem(("search", "pruner", "min_epochs"), message)]
