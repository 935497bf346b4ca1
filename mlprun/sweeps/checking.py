"""The configs of a sweep's settings, each checked before anything runs; all problems are told at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun import engines, evaluation, schema
from mlprun.config import Node
from mlprun.errors import ConfigError, MlprunError, UsageError
from mlprun.experiment import SPLITS, Experiment, data_key, history_columns, history_metrics
from mlprun.sweeps import space
from mlprun.sweeps.cost import Cost
from mlprun.sweeps.definition import MOST_TRIALS
from mlprun.sweeps.problems import Problems, late_rungs, of_figures
from mlprun.sweeps.space import Point

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from mlprun.config import Document
    from mlprun.parts.datasets import Dataset, DatasetInfo
    from mlprun.schema import Config
    from mlprun.sweeps.definition import Definition

MOST_KEPT = 1000
"""configs of settings, and info of datasets, that are kept; others are read again when their turn comes"""
MOST_PROBLEMS = 100


class Kind(NamedTuple):
    """What the trials of a cohort have in common."""

    engine: str
    device: str
    dtype: str
    threads: int
    epochs: int
    columns: tuple[str, ...]


class Checked(NamedTuple):
    """What is kept of a setting that was checked."""

    kind: Kind
    cost: Cost
    figures: tuple[str, ...]
    free: bool
    """whether the config leaves the engine open"""


def figures_of(checked: Iterable[Checked]) -> list[str]:
    """The figures of settings, those of the best epoch."""
    return list(dict.fromkeys(name for one in checked for name in one.figures))


class Configs:
    """The configs of settings, read when they are asked for; threads may ask at once."""

    def __init__(self, definition: Definition, *, allow_code: bool = False) -> None:
        self.definition, self.allow_code = definition, allow_code
        self._lock = threading.Lock()
        self._info: OrderedDict[str, DatasetInfo] = OrderedDict()
        self._prototypes: dict[tuple[Any, ...], Experiment] = {}
        self._configs: OrderedDict[int, tuple[Config, bool]] = OrderedDict()
        try:
            self.base = self._parse(definition.base)
        except ConfigError as error:
            raise ConfigError([*error.problems, *self._beside(error.problems)]) from error

    def of(self, point: Point) -> tuple[Config, bool]:
        """The config of a setting with the base's seed, and whether it names the dataset's seed itself."""
        with self._lock:
            return self._config(point)

    def check(self, points: Sequence[Point]) -> list[Checked]:
        """Look at every setting; raises ConfigError with the problems of all, equal ones told once."""
        checked, problems = self._look(points)
        if problems:
            late = late_rungs(self.definition, self.base.training.epochs)
            raise ConfigError([*problems, *self._unknown_figures(checked), *late])
        return checked

    def _look(self, points: Sequence[Point], but: Sequence[str] = ()) -> tuple[list[Checked], Sequence[str]]:
        """The settings without problems, and the problems of the others `but` those told already."""
        problems = Problems(self.definition.sweep.random)
        checked: list[Checked] = []
        alike: dict[Checked, Checked] = {}
        for point in points:
            try:
                one = self._look_at(point)
                checked.append(alike.setdefault(one, one))
            except UsageError as error:
                told = error.problems if isinstance(error, ConfigError) else [str(error)]
                problems.add(point, [one for one in told if one not in but])
            if len(problems) > MOST_PROBLEMS:
                title = self.definition.document.title
                more = f"{title}: more problems follow; correct these first"
                return checked, [*problems.lines(points), more]
        return checked, problems.lines(points)

    def _beside(self, problems: Sequence[str]) -> Sequence[str]:
        """What is wrong with settings and figures beside the problems of the base."""
        definition = self.definition
        if space.size(definition.sweep) > MOST_TRIALS:
            return ()
        points = space.points(definition) if definition.sweep.search is None else space.probes(definition)
        try:
            checked, more = self._look(list(points), problems)
        except MlprunError:  # of data: told when the files say what they should
            return ()
        return [*more, *self._unknown_figures(checked)]

    def _unknown_figures(self, checked: Sequence[Checked]) -> list[str]:
        """What is wrong with objective and success, where the settings with problems leave no doubt of it."""
        if any(path.partition(".")[0] in ("dataset", "metrics") for path in self.definition.sweep.parameters):
            return []
        if not checked:
            with suppress(MlprunError):  # all have problems; the base need not
                checked = [self._look_at(Point(0, (), ()))]
        return of_figures(self.definition, figures_of(checked)) if checked else []

    def prototype(self, config: Config) -> Experiment:
        """An experiment with rows like those of a setting's trials; data is loaded once for each kind."""
        key = data_key(config, ignore_seeds=True)
        known = self._prototypes.get(key)
        if known is None:
            known = self._prototypes[key] = Experiment.of(config)
            return known
        return known.with_config(config)

    @property
    def prototypes(self) -> Collection[Experiment]:
        """Those that were made, each with the config that it was made for."""
        return self._prototypes.values()

    def _parse(self, document: Document) -> Config:
        return schema.parse(document, allow_code=self.allow_code, info_of=self._info_of)

    def _info_of(self, dataset: Dataset) -> DatasetInfo:
        """The info of a dataset, asked for once unless very many were asked for since."""
        key = dataset.model_dump_json(exclude={"seed", "split"})
        if key not in self._info:
            self._info[key] = dataset.info()
            if len(self._info) > MOST_KEPT:
                self._info.popitem(last=False)
        return self._info[key]

    def _config(self, point: Point) -> tuple[Config, bool]:
        number = point.number
        if number not in self._configs:
            document = self.definition.base.with_values({**point.nodes, **self._fold_nodes})
            config = self._parse(document)
            given = document.data["dataset"]
            own_seed = isinstance(given, dict) and given.get("seed") is not None
            self._configs[number] = (config, own_seed)
            if len(self._configs) > MOST_KEPT:
                self._configs.popitem(last=False)
        self._configs.move_to_end(number)
        return self._configs[number]

    def forget(self) -> None:
        """Let go of the configs of settings whose numbers others will have."""
        self._configs.clear()

    @cached_property
    def _fold_nodes(self) -> dict[str, Node]:
        """What folds lay over every setting; the first fold stands for all, whose sizes hardly differ."""
        folds = self.definition.sweep.folds
        if folds is None:
            return {}
        place = self.definition.document.node(("folds",)).position
        return {"dataset.split.folds": Node(folds, place), "dataset.split.fold": Node(1, place)}

    def _look_at(self, point: Point) -> Checked:
        config, _ = self._config(point)
        experiment = evaluation.check_initial_weights(self.prototype(config))
        able = [engine.name for engine in engines.every() if engine.unsupported_reason(experiment) is None]
        if config.engine not in ("auto", *able):
            engines.choose(experiment, config.engine)  # raises, with the reason
        has = [split for split in SPLITS if experiment.has(split)]
        named = ("loss", *history_metrics(config))
        training = config.training
        engine = config.engine if config.engine != "auto" else ("fused" if "fused" in able else "torch")
        kind = Kind(
            engine, config.device, training.dtype, training.threads, training.epochs, history_columns(config)
        )
        figures = tuple(f"{split}_{name}" for split in has for name in named)
        return Checked(kind, Cost.of(experiment, engine), figures, config.engine == "auto")
