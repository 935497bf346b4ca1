"""The configs of a sweep's settings, each checked before anything runs; all problems are told at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from mlprun import engines, schema
from mlprun.config import Node
from mlprun.errors import ConfigError
from mlprun.experiment import SPLITS, Experiment, columns, logged
from mlprun.storage import canonical
from mlprun.sweeps.cost import Cost
from mlprun.sweeps.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.parts.datasets import Dataset, Facts
    from mlprun.schema import Config
    from mlprun.sweeps.definition import Definition
    from mlprun.sweeps.space import Point

MOST_KEPT = 1000
"""configs of settings that are kept; others are read again when their turn comes"""
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


class Configs:
    """The configs of settings, read when they are asked for; threads may ask at once."""

    def __init__(self, definition: Definition, *, allow_code: bool = False) -> None:
        self.definition, self.allow_code = definition, allow_code
        self._lock = threading.Lock()
        self._facts: dict[str, Facts] = {}
        self._prototypes: dict[str, Experiment] = {}
        self._configs: OrderedDict[int, tuple[Config, bool]] = OrderedDict()
        self.base = schema.parse(definition.base, allow_code=allow_code, facts_of=self._facts_of)

    def of(self, point: Point) -> tuple[Config, bool]:
        """The config of a setting with the base's seed, and whether it names the dataset's seed itself."""
        with self._lock:
            return self._config(point)

    def check(self, points: Sequence[Point]) -> list[Checked]:
        """Look at every setting; raises ConfigError with the problems of all, equal ones told once."""
        problems = Problems(self.definition.sweep.random)
        checked: list[Checked] = []
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

    def prototype(self, config: Config) -> Experiment:
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

    def _facts_of(self, dataset: Dataset) -> Facts:
        """The facts of a dataset, asked for once."""
        key = dataset.model_dump_json(exclude={"seed", "split"})
        if key not in self._facts:
            self._facts[key] = dataset.facts()
        return self._facts[key]

    def _config(self, point: Point) -> tuple[Config, bool]:
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

    def forget(self) -> None:
        """Let go of the configs of settings whose numbers others will have."""
        self._configs.clear()

    @cached_property
    def _fold_nodes(self) -> dict[str, Node]:
        """What folds lay over every setting; the first fold stands for all, whose sizes hardly differ."""
        folds = self.definition.sweep.folds
        if folds is None:
            return {}
        place = self.definition.document.node(("folds",)).place
        return {"dataset.split.folds": Node(folds, place), "dataset.split.fold": Node(1, place)}

    def _look_at(self, point: Point) -> Checked:
        config, _ = self._config(point)
        experiment = self.prototype(config)
        able = [engine.name for engine in engines.every() if engine.refuses(experiment) is None]
        if config.engine not in ("auto", *able):
            engines.choose(experiment, config.engine)  # raises, with the reason
        has = [split for split in SPLITS if experiment.has(split)]
        named = ("loss", *logged(config))
        training = config.training
        engine = config.engine if config.engine != "auto" else ("fused" if "fused" in able else "torch")
        kind = Kind(engine, config.device, training.dtype, training.threads, training.epochs, columns(config))
        figures = tuple(f"{split}_{name}" for split in has for name in named)
        return Checked(kind, Cost.of(experiment, engine), figures, config.engine == "auto")
