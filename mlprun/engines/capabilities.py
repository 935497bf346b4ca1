"""What an engine has, as names of parts, and what a config asks for that is not among them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mlprun.parts.activations import each
from mlprun.parts.architectures import Mlp
from mlprun.parts.losses import Loss
from mlprun.parts.schedules import EpochSchedule, ReduceOnPlateau

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from mlprun.experiment import Experiment
    from mlprun.parts.activations import Activation
    from mlprun.parts.architectures import Architecture
    from mlprun.parts.part import Part

T = TypeVar("T")


@dataclass(frozen=True)
class Capabilities:
    """The parts that an engine has, by the first of the names that a config may use for them."""

    dtypes: Collection[str]
    architectures: Collection[str]
    activations: Collection[str]
    losses: Collection[str]
    optimizers: Collection[str]
    penalties: Collection[str]

    def missing(self, experiment: Experiment) -> str | None:
        """The first thing that the engine has not, and what there is instead; None if it has everything."""
        return next(self._missing(experiment), None)

    def _missing(self, experiment: Experiment) -> Iterator[str]:
        config = experiment.config
        dtype = config.training.dtype
        if dtype not in self.dtypes:
            able = " or ".join(self.dtypes)
            yield f"it computes in {able}, not in {dtype}; set training.dtype={able}"
        if config.device != "cpu":
            yield f"it runs on the CPU, not on device {config.device}; set device=cpu"
        yield from self._missing_layers(config.architecture)
        losses = (config.loss, *(part for part in config.metrics if isinstance(part, Loss)))
        yield from _unknown("loss", losses, self.losses)
        yield from _unknown("optimizer", (config.optimizer,), self.optimizers)
        yield from _unknown("penalty", config.penalties, self.penalties)
        if not isinstance(config.schedule, EpochSchedule | ReduceOnPlateau):
            yield f"it lacks the schedule {config.schedule.name}"

    def _missing_layers(self, architecture: Architecture) -> Iterator[str]:
        yield from _unknown("architecture", (architecture,), self.architectures)
        for layer in architecture.hidden_layers if isinstance(architecture, Mlp) else ():
            if layer.dropout:
                yield "it lacks dropout; set architecture.dropout=0"
            if layer.norm != "none":
                yield f"it lacks {layer.norm} norm; set architecture.norm=none"
        yield from _unknown("activation", _activations(architecture), self.activations)


def first_name(part: Part) -> str:
    """The first of the names that a config may use for a part."""
    return type(part).names()[0]


def entry(table: Mapping[str, Callable[..., T]], part: Part) -> Callable[..., T]:
    """What a table has for a part, with the options that are the part's own business."""
    others = ("name", "lr", "reduction", "scale", "units", "coefficient")
    return partial(table[first_name(part)], **{name: value for name, value in part if name not in others})


def _unknown(kind: str, parts: Collection[Part], known: Collection[str]) -> Iterator[str]:
    for part in parts:
        if first_name(part) not in known:
            yield f"it lacks the {kind} {part.name}; it has {', '.join(known)}"


def _activations(architecture: Architecture) -> list[Activation]:
    """Every activation of an architecture, that of its outputs included."""
    places = [architecture, getattr(architecture, "embedding", None)]
    if isinstance(architecture, Mlp):
        places = [*architecture.hidden_layers, architecture.embedding]
    found = [one for place in places for one in each(getattr(place, "activation", None) or ())]
    outputs = architecture.output_activation
    return found if outputs is None else [*found, outputs]
