"""The model of a config, assembled from the registries of parts, and its form as a plain mapping."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, model_validator
from pydantic.fields import FieldInfo

from mlprun.parts.activations import activations
from mlprun.parts.architectures import Architecture, architectures
from mlprun.parts.averages import Average, averages
from mlprun.parts.callbacks import CallbackPart, callbacks
from mlprun.parts.datasets import Dataset, datasets
from mlprun.parts.initializers import initializers, module_initializers
from mlprun.parts.losses import Loss, losses
from mlprun.parts.metrics import Metric, metrics
from mlprun.parts.optimizers import Optimizer, optimizers
from mlprun.parts.part import (
    ConfigPath,
    Named,
    NonNegativeFloat,
    NonNegativeInt,
    Options,
    Part,
    PathStr,
    PositiveFloat,
    PositiveInt,
    Registry,
    Seed,
)
from mlprun.parts.penalties import Penalty, penalties
from mlprun.parts.schedules import Schedule, schedules
from mlprun.parts.splits import Split
from mlprun.parts.trackers import TrackerPart, trackers

P = TypeVar("P", bound=Part)

FORMAT: Final = 3
"""the format of the configs that this version writes"""
DERIVED: Any = None
"""the default of a field that is set from the data or from other fields, and never None after that"""
DEFAULT_OPTIMIZER: Final = {"name": "sgd", "lr": 0.2}
DEFAULT_ARCHITECTURE: Final = "mlp"


class MetricRegistry(Registry[Metric | Loss]):
    """Everything that can be logged beside the loss; a metric takes precedence over a loss of its name."""

    def __init__(self) -> None:
        super().__init__("metric", "metrics")

    def __iter__(self) -> Iterator[type[Metric | Loss]]:
        return iter(dict.fromkeys(self[name] for name in self.names()))

    def __contains__(self, name: object) -> bool:
        return name in metrics or name in losses

    def __getitem__(self, name: str) -> type[Metric | Loss]:
        return metrics[name] if name in metrics else losses[name]

    def names(self) -> tuple[str, ...]:
        """Return every name, those of metrics first."""
        return tuple(dict.fromkeys((*metrics.names(), *losses.names())))


class NamedMetric(Named):
    """Field metadata for a metric or a loss; a name of both means the loss if it has options of losses."""

    def __init__(self) -> None:
        super().__init__(MetricRegistry())

    def _choose(self, options: Mapping[str, Any] | Part) -> type[Part]:
        first, name = super()._choose(options), self._name(options)
        if name not in losses:
            return first
        if isinstance(options, Part):
            return losses[name] if isinstance(options, Loss) else first
        of_losses = losses[name].model_fields.keys() - first.model_fields
        return losses[name] if options.keys() & of_losses else first

    def parts(self) -> Iterator[type[Part]]:
        """Iterate over every metric and every loss, both of those that share a name."""
        yield from metrics
        yield from losses


MetricField = Annotated[Metric | Loss, NamedMetric()]


def default_part(registry: Registry[P], name: str) -> P:
    """Return the part of that name with its default options."""
    return registry[name](name=name)


def registries() -> tuple[Registry[Any], ...]:
    """Return every registry that a config can name parts of."""
    return (
        datasets,
        architectures,
        activations,
        initializers,
        module_initializers,
        losses,
        penalties,
        optimizers,
        averages,
        schedules,
        metrics,
        trackers,
    )


class Penalties(Options):
    """Coefficients of the penalties added to the objective: one field for each registered penalty."""

    stored_if_set: ClassVar[frozenset[str]] = frozenset({"divide_by_rows"})

    divide_by_rows: bool = Field(
        default=False,
        description="divide the penalties of a step by the number of its rows, or the sum of their weights",
    )

    @classmethod
    def add_fields(cls) -> None:
        """Add a field for every registered penalty."""
        for name in penalties.names():
            about = f"{penalties[name].summary()} Factor on it; 0 for none."
            field = FieldInfo(annotation=NonNegativeFloat, default=0.0, description=about)
            cls.__pydantic_fields__.setdefault(name, field)

    def divisor(self, loss: Loss, targets: Any, weights: Any = None) -> float:
        """Return what penalties are divided by in a step on rows with these targets and weights."""
        if not self.divide_by_rows:
            return 1.0
        return loss.weight(targets, weights) / math.prod(targets.shape[1:]) or 1.0


Penalties.add_fields()


class Best(Options):
    """The choice of the best epoch."""

    metric: str = Field("dev_loss", description="a logged dev metric: dev_loss, or dev_ and a metric's name")
    mode: Literal["min", "max"] = Field(
        DERIVED, description="whether smaller or larger is better; default: inferred from the metric"
    )


class EarlyStopping(Options):
    """Stopping before the last epoch."""

    stored_if_set: ClassVar[frozenset[str]] = frozenset({"min_delta"})

    patience: PositiveInt = Field(100, description="epochs without improvement of best.metric")
    min_delta: NonNegativeFloat = Field(
        0.0, description="what an improvement must exceed for patience; the best epoch is still the very best"
    )


Cost = Annotated[float, Field(ge=0)]


class ThresholdChoice(Options):
    """The choice of a decision threshold on dev: the best by a metric, or the one of the lowest cost.

    More than two classes have none: predicted is the class of the smallest expected cost.
    """

    metric: MetricField | None = Field(None, description="metric of classes, such as f1 or accuracy")
    costs: tuple[tuple[Cost, ...], ...] | None = Field(
        None, description="cost of a row by its true class (lists) and predicted class (entries)"
    )

    @property
    def class_costs(self) -> tuple[tuple[float, ...], ...] | None:
        """The costs of more than two classes."""
        return self.costs if len(self.costs or ()) > 2 else None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.metric is None) == (self.costs is None):
            raise ValueError("expected either metric or costs")
        return self


def _expand_threshold(value: Any) -> Any:
    """`f1` stands for `{metric: f1}`."""
    return {"metric": value} if isinstance(value, str) else value


class CheckpointSettings(Options):
    """The frequency of checkpoints while training."""

    stored_if_set: ClassVar[frozenset[str]] = frozenset({"snapshots"})

    seconds: PositiveFloat = Field(1.0, description="maximum seconds between checkpoints")
    epochs: PositiveInt | None = Field(
        None, description="maximum epochs between checkpoints; null for no limit"
    )
    snapshots: NonNegativeInt | None = Field(
        None,
        le=1000,
        description="models of log-spaced epochs to keep in snapshots.safetensors, for animations; 0 for "
        "none; default: 24 for networks below 10,000 parameters",
    )


class Training(Options):
    """The training loop: epochs, batches, precision and logging."""

    stored_if_set: ClassVar[frozenset[str]] = frozenset({"accumulate", "average"})

    epochs: NonNegativeInt = Field(1000, description="passes over the train rows")
    batch_size: PositiveInt | Literal["full"] = Field(
        "full", description="rows per step, or full for all rows"
    )
    accumulate: PositiveInt = Field(
        1, description="batches whose rows make one step; the last step of an epoch may have fewer"
    )
    shuffle: bool = Field(default=True, description="shuffle the rows in each epoch")
    seed: Seed = Field(0, description="seed for initial weights, row order and dropout")
    dtype: Literal["float32", "float64"] = Field("float32", description="floating-point type")
    threads: PositiveInt = Field(1, le=1024, description="threads per operation; results may depend on it")
    evaluate_every: PositiveInt = Field(1, description="epochs between evaluations of dev")
    log_every: PositiveInt = Field(1, description="epochs between rows of history.csv")
    report_every: PositiveInt = Field(50, description="epochs between lines of train.log on logged epochs")
    clip_norm: PositiveFloat | None = Field(None, description="maximum norm of all gradients")
    clip_value: PositiveFloat | None = Field(None, description="maximum absolute value of each gradient")
    average: Annotated[Average, Named(averages)] | None = Field(
        None,
        description="average of the parameters that is evaluated and saved in their place (default: none)",
    )

    def batch_rows(self, rows: int) -> int:
        """Return how many of `rows` train rows a batch has; the last one may have fewer."""
        return rows if self.batch_size == "full" else min(self.batch_size, rows)

    def steps(self, rows: int) -> int:
        """Return the number of batches in an epoch of `rows` train rows."""
        return 1 if self.batch_size == "full" else -(-rows // self.batch_size)


def _default_optimizer(value: Any) -> Any:
    """Complete options without a name to those of the default optimizer and its learning rate."""
    if isinstance(value, Mapping) and "name" not in value:
        return {**DEFAULT_OPTIMIZER, **value}
    return value


DatasetField = Annotated[Dataset, Named(datasets)]
ArchitectureField = Annotated[Architecture, Named(architectures, default=DEFAULT_ARCHITECTURE)]
LossField = Annotated[Loss, Named(losses)]
OptimizerField = Annotated[Optimizer, Named(optimizers, default="sgd"), BeforeValidator(_default_optimizer)]
ScheduleField = Annotated[Schedule, Named(schedules)]
CallbackField = Annotated[CallbackPart, Named(callbacks)]
TrackerField = Annotated[TrackerPart, Named(trackers)]
RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Config(Options):
    """An experiment: the data, the network, and how it is trained.

    `load` and `parse` return it with every default set, including those that depend on the data.
    """

    stored_if_set: ClassVar[frozenset[str]] = frozenset(
        {"callbacks", "freeze", "threshold", "calibrate", "trackers"}
    )

    name: RunName = Field(DERIVED, description="name of the run (default: file name)")
    extend: tuple[ConfigPath, ...] = Field(
        (), description="Python files that register custom parts; they run only with --allow-code"
    )
    dataset: DatasetField = Field(description="the data")
    architecture: ArchitectureField = Field(
        default_factory=lambda: default_part(architectures, DEFAULT_ARCHITECTURE), description="the network"
    )
    loss: LossField = Field(
        DERIVED, description="loss function (default: bce, cross_entropy or mse, inferred from the targets)"
    )
    penalty: Penalties = Field(default_factory=Penalties, description="regularisation coefficients")
    optimizer: OptimizerField = Field(
        default_factory=lambda: optimizers["sgd"].model_validate(DEFAULT_OPTIMIZER),
        description="optimizer (default: sgd with lr 0.2)",
    )
    freeze: tuple[str, ...] = Field(
        (),
        description="patterns of the names of parameters that keep their initial values, such as layers.0.*; "
        "a batch norm whose parameters are all frozen uses its running statistics and keeps them",
    )
    schedule: ScheduleField = Field(
        default_factory=lambda: default_part(schedules, "constant"),
        description="learning rate schedule",
    )
    training: Training = Field(default_factory=Training, description="epochs, batches, seed, ...")
    metrics: tuple[MetricField, ...] = Field(
        DERIVED,
        description="metrics to log (default: accuracy; label_accuracy, subset_accuracy and f1 for labels; "
        "r2 for regression; pinball, coverage and interval_width for quantiles)",
    )
    best: Best = Field(default_factory=Best, description="selection of the best epoch")
    early_stopping: EarlyStopping | None = Field(None, description="early stopping (default: none)")
    threshold: Annotated[float | ThresholdChoice | None, BeforeValidator(_expand_threshold)] = Field(
        None,
        description="what the probability of class 1, or of a label, must exceed: a number, or chosen on dev "
        "when training ends, by a metric or costs (default: 0.5); costs of more classes: predicted is the "
        "class of the smallest expected cost",
    )
    calibrate: Literal["temperature"] | None = Field(
        None,
        description="temperature: divide logits by a number fitted on dev when training ends (default: none)",
    )
    checkpoint: CheckpointSettings = Field(
        default_factory=CheckpointSettings, description="checkpoint intervals"
    )
    snapshots: tuple[NonNegativeInt, ...] = Field(
        (), description="epochs at which all outputs are stored, for bar charts"
    )
    callbacks: tuple[CallbackField, ...] = Field(
        (), description="custom callbacks registered in files of `extend`"
    )
    trackers: tuple[TrackerField, ...] = Field(
        (), description="experiment trackers that receive the run: tensorboard, mlflow, wandb, trackio"
    )
    device: Annotated[str, Field(pattern=r"^(cpu|cuda|cuda:[0-9]{1,3}|auto)$")] = Field(
        "cpu", description="cpu, cuda, cuda:1 and so on, or auto for a GPU if there is one"
    )
    engine: Literal["auto", "torch", "fused", "scratch"] = Field(
        "auto",
        description="torch: supports everything; fused: compiled CPU kernels for dense networks; "
        "scratch: readable NumPy in float64; auto: fused if it supports the config and the run is long "
        "enough, otherwise torch",
    )
    format: Literal[1, 2, 3] = Field(
        FORMAT, description="format version of this config; 1 is that of mlprun 0.1"
    )

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that the config's file and overrides name."""
        return tuple(vars(self).get("_variables", ()))

    @property
    def decides_on_dev(self) -> bool:
        """Whether a threshold or a temperature is chosen on dev when training ends."""
        is_chosen = isinstance(self.threshold, ThresholdChoice) and self.class_costs is None
        return self.calibrate is not None or is_chosen

    @property
    def class_costs(self) -> tuple[tuple[float, ...], ...] | None:
        """The costs of more than two classes, by true and predicted class."""
        return self.threshold.class_costs if isinstance(self.threshold, ThresholdChoice) else None

    @property
    def losses(self) -> tuple[Loss, ...]:
        """The loss, and those among the metrics."""
        return (self.loss, *(part for part in self.metrics if isinstance(part, Loss)))

    @property
    def penalties(self) -> tuple[Penalty, ...]:
        """The penalties whose coefficient is not 0."""
        factors = ((name, factor) for name, factor in self.penalty if name in penalties and factor > 0)
        return tuple(penalties[name](name=name, coefficient=factor) for name, factor in factors)


_built = 0


def build() -> type[Config]:
    """Return the model with a field for every penalty registered so far, those of user code included."""
    global _built  # noqa: PLW0603 -- the models themselves are global
    if penalties.version != _built:
        Penalties.add_fields()
        Penalties.model_rebuild(force=True)
        Config.model_rebuild(force=True)
        _built = penalties.version
    return Config


def dump(config: Config, folder: str, *, defaults: bool = True) -> dict[str, Any]:
    """Return the config as dicts, lists and scalars, with its paths relative to `folder`.

    With `defaults=False` only values that were set explicitly are included.
    """
    values: dict[str, Any] = _plain(config, folder, defaults=defaults)
    return values


def _plain(value: Any, folder: str, *, defaults: bool) -> Any:
    if isinstance(value, Split) and (defaults or value.same or value.column is not None):
        return split_value(value)
    if isinstance(value, Options):
        explicit, fields = value.model_fields_set, type(value).model_fields
        return {
            fields[name].alias or name: _plain(inner, folder, defaults=defaults)
            for name, inner in value
            if (defaults and (name not in value.stored_if_set or inner != fields[name].default))
            or name in explicit
        }
    if isinstance(value, dict):
        return {key: _plain(inner, folder, defaults=defaults) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner, folder, defaults=defaults) for inner in value]
    return os.path.relpath(value, folder or ".") if isinstance(value, PathStr) else value


def split_value(split: Split) -> Any:
    """Return a split as a config spells it: a word, a column, or the size of each split."""
    if split.same:
        return "same"
    if split.column is not None:
        return {"column": split.column}
    return split.model_dump(
        exclude={"same", "column"} | ({"folds", "fold"} if split.folds is None else set())
    )


def metric_direction(name: str, logged: tuple[Metric | Loss, ...]) -> str:
    """Return `min` or `max`, whichever is better for a metric; losses and unknown ones are minimised."""
    directions = {metric.name: metric.mode for metric in logged if isinstance(metric, Metric)}
    return directions.get(name, "min")
