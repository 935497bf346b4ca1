"""What an engine supports of a config, and why it refuses the rest.

An engine declares the options that it takes into account, for each part. A part that it does not know, and an
option that it does not know and that is not at its default, are refused: an option that is added to a part
is never ignored silently.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeVar

from mlprun.parts.activations import each
from mlprun.parts.architectures import Architecture, Mlp
from mlprun.parts.schedules import EpochSchedule, ReduceOnPlateau

if TYPE_CHECKING:
    from mlprun.experiment import Experiment
    from mlprun.parts.part import Options, Part

T = TypeVar("T")
KnownOptions = Callable[[Any], Collection[str] | None]
"""the options of a part that an engine takes into account; None for a part that it lacks"""
NETWORK = ("outputs", "output_activation", "hidden", "activation", "bias", "init")
"""options of every architecture; the initial parameters are the same for all engines"""
MLP = (*NETWORK, "layers", "output", "dropout", "norm", "residual")
LAYER = ("units", "activation", "bias", "init", "dropout", "norm")
EMBEDDING = ("vocabulary", "dim", "activation", "init")
PLATEAU = ("factor", "patience", "threshold", "threshold_mode", "cooldown", "min_lr", "eps")
TRAINING = (
    "epochs", "batch_size", "accumulate", "shuffle", "seed", "dtype", "threads", "evaluate_every",
    "log_every", "report_every", "clip_norm", "clip_value", "average",
)  # fmt: skip
PENALTIES = {"l1": ("coefficient",), "l2": ("coefficient",)}


@dataclass(frozen=True)
class Capabilities:
    """What an engine supports; `lacks` begins the reasons for what it does not."""

    lacks: str
    architectures: Mapping[str, Collection[str]]
    """known options by the name of the architecture"""
    activation: KnownOptions
    loss: KnownOptions
    optimizer: KnownOptions
    dtypes: Collection[str] = ("float32", "float64")
    layers: Collection[str] = ()
    """what it has of dropout, batch norm and layer norm"""
    computes_metrics: bool = False
    """whether it computes losses that are only logged, too"""
    names: Mapping[str, Collection[str]] = field(default_factory=dict)
    """the parts that it has, by kind, to be listed in reasons"""

    def missing(self, experiment: Experiment) -> str | None:
        """Return why the engine cannot run an experiment; None if it can."""
        return next(self._missing(experiment), None)

    def _missing(self, experiment: Experiment) -> Iterator[str]:
        config, dtype = experiment.computed, experiment.config.training.dtype
        if dtype not in self.dtypes:
            able = " or ".join(self.dtypes)
            yield f"it computes in {able}, not in {dtype}; set training.dtype={able}"
        if config.device != "cpu":
            yield f"it runs on the CPU, not on device {config.device}"
        yield from self._missing_layers(config.architecture, output=not config.loss.activation)
        losses = config.losses if self.computes_metrics else config.losses[:1]
        yield from self._missing_parts("loss", losses, self.loss)
        yield from self._missing_parts("optimizer", (config.optimizer,), self.optimizer)
        yield from self._missing_parts("penalty", config.penalties, lambda part: PENALTIES.get(part.name))
        if isinstance(config.schedule, ReduceOnPlateau):
            yield from self._unknown_options("schedule", config.schedule, PLATEAU)
        elif not isinstance(config.schedule, EpochSchedule):
            yield f"{self.lacks} the schedule {config.schedule.name}"
        yield from self._unknown_options("training", config.training, TRAINING)

    def _missing_layers(self, architecture: Architecture, *, output: bool) -> Iterator[str]:
        known = self.architectures.get(first_name(architecture))
        if known is None:
            yield f"{self.lacks} the architecture {architecture.name}"
            return
        embedding = getattr(architecture, "embedding", None)
        if embedding is not None and "embedding" not in known:
            yield f"{self.lacks} embeddings"
        elif embedding is not None:
            yield from self._unknown_options("embedding", embedding, EMBEDDING)
        if architecture.tables:
            yield f"{self.lacks} embeddings of a table's columns (encode: embedding)"
        yield from self._unknown_options(f"architecture {architecture.name}", architecture, known)
        layers = architecture.hidden_layers if isinstance(architecture, Mlp) else ()
        for layer in layers:
            needed = [f"{layer.norm} norm"] if layer.norm != "none" else []
            needed += ["dropout"] if layer.dropout else []
            yield from (f"{self.lacks} {name}" for name in needed if name not in self.layers)
            yield from self._unknown_options("layers", layer, LAYER)
        owners = [*(layers or (architecture,)), embedding]
        activations = [one for owner in owners for one in each(getattr(owner, "activation", None) or ())]
        if output and architecture.output_activation is not None:
            activations.append(architecture.output_activation)
        yield from self._missing_parts("activation", activations, self.activation)

    def _missing_parts(self, kind: str, parts: Collection[Part], known: KnownOptions) -> Iterator[str]:
        for part in parts:
            options = known(part)
            if options is None:
                names = f"; it has {', '.join(self.names[kind])}" if kind in self.names else ""
                yield f"{self.lacks} the {kind} {part.name}{names}"
            else:
                yield from self._unknown_options(f"{kind} {part.name}", part, options)

    def _unknown_options(self, owner: str, options: Options, known: Collection[str]) -> Iterator[str]:
        for name, info in type(options).model_fields.items():
            if name != "name" and name not in known:
                default = info.get_default(call_default_factory=True)
                if getattr(options, name) != default:
                    yield f"{self.lacks} the option {name} of {owner}; leave it at {default!r}"


def first_name(part: Part) -> str:
    """Return the first of the names that a config may use for a part."""
    return type(part).names()[0]


COMMON = ("lr", "groups", "reduction", "scale", "units")
"""options that engines made of functions deal with themselves"""


@lru_cache
def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(name for name in signature(function).parameters if name not in COMMON)


def function_options(table: Mapping[str, Callable[..., Any]]) -> KnownOptions:
    """Return the known options of parts that are computed by the functions of a table, their parameters."""

    def known(part: Part) -> Collection[str] | None:
        function = table.get(first_name(part))
        return None if function is None else (*COMMON, "class_weights", *_parameters(function))

    return known


def entry(table: Mapping[str, Callable[..., T]], part: Part) -> Callable[..., T]:
    """Return the function of a part in a table, with the options that it takes."""
    function = table[first_name(part)]
    taken = _parameters(function)
    return partial(function, **{name: value for name, value in part if name in taken})
