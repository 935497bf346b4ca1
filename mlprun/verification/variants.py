"""The experiment as somebody may have written it: without biases, from other weights, with a factor.

A suspicion is tried and not guessed: the variant is trained, and its curve is compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun import config as reading
from mlprun import schema
from mlprun.engines import RunFailure, State
from mlprun.engines.contract import never
from mlprun.engines.torch import TorchEngine
from mlprun.errors import MlprunError
from mlprun.experiment import history_columns
from mlprun.parts.losses import losses
from mlprun.parts.part import Options
from mlprun.verification.courses import cast, in_dtype, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mlprun.experiment import Experiment
    from mlprun.schema import Config

Biases = Literal["", "otherwise", "drawn"]


@dataclass(frozen=True)
class Change:
    """What is otherwise.

    Biases are taken away (or added, from 0), the rival's start is taken, and there are factors on the
    gradient of the loss and on the learning rate.
    """

    biases: Biases = ""
    """`drawn`: with the weights that the seed gives without them (or with them)"""
    start: bool = False
    factor: float = 1.0
    rate: float = 1.0
    dtype: str = "float64"
    """no suspicion, but a look at how a variant answers to rounding"""

    @property
    def count(self) -> int:
        """How many things are otherwise."""
        return bool(self.biases) + self.start + (self.factor != 1.0) + (self.rate != 1.0)


@dataclass
class Variants:
    """Variants of an experiment in float64, each trained once, for so many epochs."""

    given: Experiment
    state: State
    other: State | None
    """the rival's start, where it is known"""
    epochs: int
    _known: dict[tuple[Change, int], Mapping[str, NDArray[np.float64]] | None] = field(default_factory=dict)

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment with every other loss logged, too."""
        return with_losses(self.given)

    @cached_property
    def _bare(self) -> Experiment:
        """The experiment with biases otherwise."""
        return _rebuilt(self.experiment, biases=not _has_biases(self.state))

    def history(self, change: Change, epochs: int | None = None) -> Mapping[str, NDArray[np.float64]] | None:
        """The columns of a variant's history; None where there is no such variant."""
        key = (change, self.epochs if epochs is None else epochs)
        if key not in self._known:
            self._known[key] = self._trained(*key)
        return self._known[key]

    def start(self, change: Change) -> State | None:
        """The weights that a variant begins with; None where the rival's do not fit."""
        experiment = self._bare if change.biases else self.experiment
        shapes = {name: tuple(value.shape) for name, value in experiment.blank_network().state_dict().items()}
        if change.start:
            fits = self.other is not None and shapes == _shapes(self.other)
            return self.other if fits else None
        if change.biases == "drawn":
            return self._drawn
        given = {
            name: self.state.model.get(name, np.zeros(shape, np.float64)) for name, shape in shapes.items()
        }
        return replace(self.state, model=given)

    @cached_property
    def _drawn(self) -> State | None:
        """The start that the seed gives when biases are otherwise; None where it is given by name."""
        try:
            return TorchEngine().initial_state(self._bare)
        except MlprunError:
            return None

    def growth(self, change: Change) -> NDArray[np.float64]:
        """How far a variant in float32 is from itself in float64 by each epoch, at most."""
        found = [self.history(one) for one in (change, replace(change, dtype="float32"))]
        curves = [np.zeros(0) if history is None else history["train_loss"] for history in found]
        rows = min(map(len, curves))
        return np.maximum.accumulate(np.abs(curves[1][:rows] - curves[0][:rows]))

    def _trained(self, change: Change, epochs: int) -> Mapping[str, NDArray[np.float64]] | None:
        state = self.start(change)
        if state is None or (change.biases and _shapes(state) == _shapes(self.state)):
            return None
        experiment = self._bare if change.biases else self.experiment
        if change.dtype == "float32":
            experiment = in_dtype(experiment.config, change.dtype)
        config = experiment.config
        loss = config.loss.model_copy(update={"scale": config.loss.scale * change.factor})
        optimizer = config.optimizer.model_copy(update={"lr": config.optimizer.lr * change.rate})
        changed = config.model_copy(update={"loss": loss, "optimizer": optimizer})
        torch, made = TorchEngine(), replace(experiment, config=changed)
        cohort = torch.open([made], [cast(state, change.dtype)], device="cpu")
        (told,) = torch.advance(cohort, [min(epochs, config.training.epochs)], never)
        if isinstance(told, RunFailure):
            raise told.error
        return table(history_columns(changed), told.rows)


def with_losses(experiment: Experiment) -> Experiment:
    """The experiment with every loss logged that its targets and outputs admit: one of them may be meant."""
    config = experiment.config
    parts = [part for name in losses.names() if (part := _admitted(config, name)) is not None]
    best = config.best.model_copy(update={"metric": "dev_loss", "mode": "min"})
    changed = config.model_copy(update={"metrics": tuple(parts), "best": best})
    return in_dtype(changed, "float64")


def _admitted(config: Config, name: str) -> Any:
    """The loss of that name as a figure; None where the config cannot log it."""
    if name == config.loss.name or name != losses[name].names()[0]:
        return None
    document = {**schema.dump(config, "."), "metrics": [{"name": name}], "best": {"metric": "dev_loss"}}
    try:
        return schema.parse(reading.from_mapping({**document, "extend": []}, "", config.name)).metrics[0]
    except MlprunError:
        return None


def _has_biases(state: State) -> bool:
    return any(name.endswith(".bias") for name in state.model)


def _shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in state.model.items()}


def _rebuilt(experiment: Experiment, *, biases: bool) -> Experiment:
    config = experiment.config
    architecture = _with_biases(config.architecture, biases=biases)
    return replace(experiment, config=config.model_copy(update={"architecture": architecture}))


def _with_biases(options: Any, *, biases: bool) -> Any:
    """Options with every switch called bias turned on or off."""
    if isinstance(options, tuple):
        return tuple(_with_biases(one, biases=biases) for one in options)
    if not isinstance(options, Options):
        return options
    changed = {
        name: biases if name == "bias" and isinstance(value, bool) else _with_biases(value, biases=biases)
        for name, value in options
    }
    return options.model_copy(update=changed)
