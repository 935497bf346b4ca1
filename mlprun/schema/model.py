"""What a config may say: one model, assembled from the registries of parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo

from mlprun.parts.activations import activations
from mlprun.parts.architectures import Architecture, architectures
from mlprun.parts.datasets import Dataset, datasets
from mlprun.parts.initializers import initializers, module_initializers
from mlprun.parts.losses import Loss, losses
from mlprun.parts.metrics.metric import metrics
from mlprun.parts.optimizers import Optimizer, optimizers
from mlprun.parts.part import (
    ConfigPath,
    Named,
    NonNegativeFloat,
    NonNegativeInt,
    Options,
    Part,
    PositiveFloat,
    PositiveInt,
    Registry,
    Seed,
)
from mlprun.parts.penalties import Penalty, penalties
from mlprun.parts.schedules import Schedule, schedules
from mlprun.schema.figures import FigureField
from mlprun.schema.formats import FORMAT

LATER: Any = None
"""The default of a field that is filled in from the data or from other fields, and never None after that."""
DEFAULT_OPTIMIZER = {"name": "sgd", "lr": 0.2}
DEFAULT_ARCHITECTURE = "mlp"


P = TypeVar("P", bound=Part)


def default_part(registry: Registry[P], name: str) -> P:
    """The part of that name with its default options."""
    return registry[name](name=name)


def registries() -> tuple[Registry[Any], ...]:
    """Every registry that a config can name parts of."""
    return (
        datasets,
        architectures,
        activations,
        initializers,
        module_initializers,
        losses,
        penalties,
        optimizers,
        schedules,
        metrics,
    )


class Penalties(Options):
    """Factors on the penalties that are added to the objective: one field for each registered penalty."""

    @classmethod
    def add_fields(cls) -> None:
        """Give every registered penalty its field."""
        for name in penalties.names():
            about = f"{penalties[name].summary()} Factor on it; 0 for none."
            field = FieldInfo(annotation=NonNegativeFloat, default=0.0, description=about)
            cls.__pydantic_fields__.setdefault(name, field)


Penalties.add_fields()


class Best(Options):
    """Which epoch is kept as the best."""

    metric: str = Field("dev_loss", description="a logged dev figure: dev_loss, or dev_ and a metric's name")
    mode: Literal["min", "max"] = Field(
        LATER, description="whether small or large is good; by default what the figure calls for"
    )


class EarlyStopping(Options):
    """When training ends before its last epoch."""

    patience: PositiveInt = Field(100, description="epochs without a better value of best.metric")


class CheckpointSettings(Options):
    """How often the state is saved while training."""

    seconds: PositiveFloat = Field(1.0, description="seconds between checkpoints at most")
    epochs: PositiveInt | None = Field(None, description="epochs between checkpoints at most; null for any")


class Training(Options):
    """How the loop above the optimizer runs."""

    epochs: NonNegativeInt = Field(1000, description="passes over the train rows")
    batch_size: PositiveInt | Literal["full"] = Field("full", description="rows per step, or full for all")
    shuffle: bool = Field(default=True, description="draw a new row order for each epoch")
    seed: Seed = Field(0, description="of initial weights, row orders and dropout")
    dtype: Literal["float32", "float64"] = Field("float32", description="floating-point type")
    threads: PositiveInt = Field(1, le=1024, description="threads of one operation; results may depend on it")
    evaluate_every: PositiveInt = Field(1, description="epochs between evaluations of dev")
    log_every: PositiveInt = Field(1, description="epochs between rows of history.csv")
    report_every: PositiveInt = Field(50, description="epochs between lines of train.log on logged epochs")
    clip_norm: PositiveFloat | None = Field(None, description="largest norm of all gradients together")
    clip_value: PositiveFloat | None = Field(None, description="largest size of each gradient")


def _default_optimizer(value: Any) -> Any:
    """Options without a name are those of the default optimizer, which has a learning rate of its own."""
    if isinstance(value, Mapping) and "name" not in value:
        return {**DEFAULT_OPTIMIZER, **value}
    return value


DatasetField = Annotated[Dataset, Named(datasets)]
ArchitectureField = Annotated[Architecture, Named(architectures, default=DEFAULT_ARCHITECTURE)]
LossField = Annotated[Loss, Named(losses)]
OptimizerField = Annotated[Optimizer, Named(optimizers, default="sgd"), BeforeValidator(_default_optimizer)]
ScheduleField = Annotated[Schedule, Named(schedules)]
RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Config(Options):
    """An experiment: what is learnt, by which network, and how.

    `load` and `parse` give it with every default spelled out, those too that depend on the data.
    """

    name: RunName = Field(LATER, description="what the run is called; by default the file's name")
    extend: tuple[ConfigPath, ...] = Field(
        (), description="Python files that register parts of your own; they run only with --allow-code"
    )
    dataset: DatasetField = Field(description="the rows to learn from")
    architecture: ArchitectureField = Field(
        default_factory=lambda: default_part(architectures, DEFAULT_ARCHITECTURE), description="the network"
    )
    loss: LossField = Field(
        LATER, description="what is minimised; by default bce, cross_entropy or mse, as targets call for"
    )
    penalty: Penalties = Field(default_factory=Penalties, description="factors on sums over the weights")
    optimizer: OptimizerField = Field(
        default_factory=lambda: optimizers["sgd"].model_validate(DEFAULT_OPTIMIZER),
        description="how weights are updated; by default sgd with lr 0.2",
    )
    schedule: ScheduleField = Field(
        default_factory=lambda: default_part(schedules, "constant"),
        description="how the learning rate changes",
    )
    training: Training = Field(default_factory=Training, description="epochs, batches, seed and the like")
    metrics: tuple[FigureField, ...] = Field(
        LATER, description="what is logged beside the loss; by default accuracy, or r2 for numbers"
    )
    best: Best = Field(default_factory=Best, description="which epoch is kept as the best")
    early_stopping: EarlyStopping | None = Field(None, description="when to stop early; by default never")
    checkpoint: CheckpointSettings = Field(
        default_factory=CheckpointSettings, description="how often the state is saved"
    )
    snapshots: tuple[NonNegativeInt, ...] = Field(
        (), description="epochs at which all outputs are kept, for bar charts"
    )
    device: Annotated[str, Field(pattern=r"^(cpu|cuda|cuda:[0-9]{1,3}|auto)$")] = Field(
        "cpu", description="cpu, cuda, cuda:1 and so on, or auto for a GPU if there is one"
    )
    engine: Literal["auto", "torch", "fused", "scratch"] = Field(
        "auto",
        description="what executes the steps: torch runs everything, fused compiles dense ones for the CPU, "
        "scratch is written to be read, in NumPy and float64; auto takes fused where it can run the config "
        "and the run is long enough to be worth its start, else torch",
    )
    format: Literal[1, 2] = Field(
        FORMAT, description="which version of these words the config is written in; 1 is that of mlprun 0.1"
    )

    @property
    def penalties(self) -> tuple[Penalty, ...]:
        """The penalties whose factor is not 0."""
        factors = ((name, factor) for name, factor in self.penalty if factor > 0)
        return tuple(penalties[name](name=name, coefficient=factor) for name, factor in factors)


_built = 0


def build() -> type[Config]:
    """The model with a factor for every penalty that is registered by now, those of user code included."""
    global _built  # noqa: PLW0603 -- the models themselves are global
    if penalties.version != _built:
        Penalties.add_fields()
        Penalties.model_rebuild(force=True)
        Config.model_rebuild(force=True)
        _built = penalties.version
    return Config
