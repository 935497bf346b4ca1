"""Which classic mistake turns one curve into another: each is tried before it is named.

The mean taken for the sum, a missing bias, another definition of the logged loss, or two of them. A
mistake is named when this config, changed by it, gives the other curve; what nothing explains is left
unexplained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from mlprun import config as reading
from mlprun import schema
from mlprun.engines.torch import TorchEngine
from mlprun.errors import MlprunError
from mlprun.parts.losses import losses
from mlprun.parts.part import Options
from mlprun.verification.agreement import EPS, GROWTH, STRAYED
from mlprun.verification.trajectories import cast, in_dtype, train

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from mlprun.engines import State
    from mlprun.experiment import Experiment
    from mlprun.schema import Config
    from mlprun.verification.trajectories import History

    Values = NDArray[np.float64]

Biases = Literal["", "otherwise", "drawn"]
MIN_ROWS = 3
"""Fewer rows could be explained by anything."""
MAX_MISTAKES = 2
"""Mistakes that are tried together."""
_CLEAR = 10.0
"""How many bounds a curve must move, and how many times nearer a mistake must bring it."""
_NEAR = 100.0
"""How many bounds an early row may miss by if the variant is to be looked at more closely."""


@dataclass(frozen=True)
class Mistake:
    """One thing done differently: `kind` is factor, bias, initialisation or logged loss."""

    kind: str
    text: str


@dataclass(frozen=True)
class Explanation:
    """Mistakes that together turn this curve into the other, and the difference left; None if not tried."""

    mistakes: tuple[Mistake, ...]
    difference: float | None
    rows: int
    """Rows compared: fewer than there are where rounding takes over on the way."""


@dataclass(frozen=True)
class Variation:
    """What a variant of the experiment does differently, and its precision."""

    biases: Biases = ""
    """Removed (or added, from 0); `drawn`: with the weights that the seed gives without (or with) them."""
    factor: float = 1.0
    """On the gradient of the loss."""
    dtype: str = "float64"

    @property
    def count(self) -> int:
        """How many things are different."""
        return bool(self.biases) + (self.factor != 1.0)


def scale_factors(experiment: Experiment) -> dict[float, str]:
    """The factors between a sum and a mean that a gradient or a loss may be off by, each with its meaning."""
    config, rows = experiment.config, experiment.fixed["train"]
    size = config.training.batch_size
    count = len(rows) if size == "full" else min(size, len(rows))
    outputs = config.architecture.outputs or 1
    weight = config.loss.weight(torch.from_numpy(rows.targets[:count]))
    meanings = [
        ("N", float(count), "one side sums over rows, the other takes their mean"),
        ("2", 2.0, "one side has a half in front"),
    ]
    if weight == count * outputs:
        meanings = [
            ("N·K/2", weight / 2, "a squared error's 2/(N·K) is left out of one side"),
            ("N·K", weight, "one side sums over rows and outputs, the other takes the mean"),
            meanings[0],
            ("K", float(outputs), "one side sums over outputs, the other takes their mean"),
            meanings[1],
        ]
    elif weight != count:
        meanings.append(
            ("the sum of the rows' weights", weight, "one side sums over rows, the other does not")
        )
    named: dict[float, list[str]] = {}
    for name, value, meaning in meanings:
        inverse = f"1/({name})" if "/" in name else f"1/{name}"
        for factor, label in ((value, name), (1 / value, inverse)):
            if factor != 1.0:
                named.setdefault(factor, []).append(f"{label} ({meaning})")
    sizes = f"N = {count} rows of a step, K = {outputs} output{'' if outputs == 1 else 's'}"
    return {factor: f"{' or '.join(names)}, with {sizes}" for factor, names in named.items()}


@dataclass
class Variants:
    """Variants of an experiment in float64, each trained once, for so many epochs."""

    original: Experiment
    state: State
    epochs: int
    _known: dict[Variation, History | None] = field(default_factory=dict)

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment with every other loss logged that its targets and outputs admit."""
        config = self.original.config
        parts = [part for name in losses.names() if (part := _as_metric(config, name)) is not None]
        best = config.best.model_copy(update={"metric": "dev_loss", "mode": "min"})
        return in_dtype(config.model_copy(update={"metrics": tuple(parts), "best": best}), "float64")

    @property
    def has_biases(self) -> bool:
        """Whether the experiment has biases."""
        return any(name.endswith(".bias") for name in self.state.model)

    @cached_property
    def _other_biases(self) -> Experiment:
        config = self.experiment.config
        architecture = _with_biases(config.architecture, biases=not self.has_biases)
        return replace(self.experiment, config=config.model_copy(update={"architecture": architecture}))

    def history(self, variation: Variation) -> History | None:
        """The columns of a variant's history; None where there is no such variant."""
        if variation not in self._known:
            self._known[variation] = self._trained(variation)
        return self._known[variation]

    def losses(self, variation: Variation, rows: NDArray[np.int64]) -> Values:
        """A variant's training losses at rows of its history, as far as there are any."""
        history = self.history(variation)
        return np.zeros(0) if history is None else _at(history["train_loss"], rows)

    def growth(self, variation: Variation) -> Values:
        """The largest distance of a variant in float32 from itself in float64 up to each epoch."""
        rows = np.arange(self.epochs)
        exact, rounded = (
            self.losses(replace(variation, dtype=dtype), rows) for dtype in ("float64", "float32")
        )
        count = min(len(exact), len(rounded))
        return np.maximum.accumulate(np.abs(rounded[:count] - exact[:count]))

    def _trained(self, variation: Variation) -> History | None:
        experiment = self._other_biases if variation.biases else self.experiment
        state = self._start(variation, experiment)
        if state is None or (variation.biases and _shapes(state.model) == _shapes(self.state.model)):
            return None
        if variation.dtype == "float32":
            experiment = in_dtype(experiment.config, "float32")
        config = experiment.config
        loss = config.loss.model_copy(update={"scale": config.loss.scale * variation.factor})
        changed = replace(experiment, config=config.model_copy(update={"loss": loss}))
        epochs = min(self.epochs, config.training.epochs)
        return train(TorchEngine(), changed, cast(state, variation.dtype), epochs)[0]

    def _start(self, variation: Variation, experiment: Experiment) -> State | None:
        """The weights that a variant begins with; None where there are none that fit."""
        if variation.biases == "drawn":
            try:
                return TorchEngine().initial_state(experiment)
            except MlprunError:  # its weights are given by name
                return None
        model, shapes = self.state.model, _shapes(experiment.blank_network().state_dict())
        weights = {name: model.get(name, np.zeros(shape)) for name, shape in shapes.items()}
        return replace(self.state, model=weights)


class MistakeSearch:
    """Looks for what makes this config's curve the losses of a reference."""

    def __init__(
        self, variants: Variants, epochs: NDArray[np.int64], losses: Values, bound: Values, dtype: str
    ) -> None:
        self.variants, self.bound, self.eps = variants, bound, EPS[dtype]
        self.rows, self.losses = epochs - 1, losses
        self.factors = scale_factors(variants.experiment)

    def explanations(self) -> tuple[Explanation, ...]:
        """The simplest that fit, the nearest first; empty where nothing does."""
        if len(self.losses) < MIN_ROWS:
            return ()
        pairs = product(get_args(Biases), (1.0, *self.factors))
        variations = [Variation(biases, factor) for biases, factor in pairs]
        for count in range(1, MAX_MISTAKES + 1):
            fitting = [
                Explanation((*self._named(variation), *logged), *fit)
                for variation in variations
                for logged, values in self._readings(variation, count - variation.count)
                if (fit := self._fit(variation, values)) is not None
            ]
            if fitting:
                return tuple(sorted(fitting, key=lambda one: one.difference or 0.0))
        return ()

    def _fit(self, variation: Variation, values: Values) -> tuple[float, int] | None:
        """The largest difference and its rows, where all are within bounds and far nearer than unchanged.

        A variant with longer steps may answer to rounding as this config does not: then it has bounds of
        its own, and is compared up to where rounding takes over.
        """
        here, bound = self.losses[: len(values)], self.bound[: len(values)]
        distance = np.abs(values - here)
        if len(values) < MIN_ROWS or not (distance[:MIN_ROWS] <= bound[:MIN_ROWS] * _NEAR).all():
            return None
        if not (distance <= bound).all():
            bound = bound + self._growth(variation, values)
            strayed = np.flatnonzero(~(bound <= STRAYED * np.abs(here).max()))
            count = int(strayed[0]) if len(strayed) else len(here)
            here, distance, bound = here[:count], distance[:count], bound[:count]
        if len(here) < MIN_ROWS or not (distance <= bound).all():
            return None
        before = np.abs(self.variants.losses(Variation(), self.rows)[: len(here)] - here)
        worst = float(distance.max())
        return None if worst * _CLEAR > float(before.max()) else (worst, len(here))

    def _growth(self, variation: Variation, values: Values) -> Values:
        """What roundings may have grown to in a variant by each of the rows, in the unit of `values`."""
        growth = self.variants.growth(variation)
        losses = self.variants.losses(variation, np.arange(self.variants.epochs))
        share = np.abs(values).max() / max(float(np.abs(losses).max()), 1e-300)
        padded = np.concatenate([growth, np.full(max(0, int(self.rows[-1]) + 1 - len(growth)), np.inf)])
        return np.asarray(GROWTH * self.eps / EPS["float32"] * share * padded[self.rows][: len(values)])

    def _readings(self, variation: Variation, more: int) -> Iterator[tuple[tuple[Mistake, ...], Values]]:
        """A variant's curve, or with one mistake more whatever else of it may have been logged instead."""
        history = self.variants.history(variation) if more in (0, 1) else None
        if history is None:
            return

        def logged(text: str, values: Values) -> tuple[tuple[Mistake, ...], Values]:
            return (Mistake("logged loss", text),), values

        values = _at(history["train_loss"], self.rows)
        if more == 0:
            yield (), values
            if variation.factor != 1.0:  # one mistake: a sum is most often logged as it is differentiated
                text = f"so is what it logs: {variation.factor:.6g} times, too"
                yield logged(text, values * variation.factor)
            return
        text = "it is recorded after each update, where this one's is before: a row earlier"
        yield logged(text, _at(history["train_loss"], self.rows + 1))
        moved = float(np.ptp(self.losses)) > _CLEAR * float(self.bound.max())
        if len(values) and values[0] != 0 and moved:
            ratio = float(self.losses[0] / values[0])
            within = max(1e-6, 2 * float(self.bound[0]) / abs(self.losses[0])) if self.losses[0] else 1e-6
            nearest = next((one for one in self.factors if math.isclose(one, ratio, rel_tol=within)), None)
            meaning = "none of the known factors" if nearest is None else self.factors[nearest]
            text = f"it is {nearest or ratio:.6g} times this one's from the first row on: {meaning}"
            yield logged(text, values * (nearest or ratio))
        yield logged("it is the root of this one's", np.sqrt(np.maximum(values, 0.0)))
        for name in history:
            if name.startswith(("train_", "dev_")) and name != "train_loss":
                yield logged(f"it is what mlprun logs as {name}", _at(history[name], self.rows))

    def _named(self, variation: Variation) -> Iterator[Mistake]:
        """A variation as mistakes."""
        if variation.biases:
            has = self.variants.has_biases
            how = "" if has else ", which start at 0"
            if variation.biases == "drawn":
                how = ", and begins with the weights that the seed draws then"
            yield Mistake("bias", f"it has {'no ' if has else ''}biases{how}")
        if variation.factor != 1.0:
            text = f"its loss's gradient, or its learning rate, is {variation.factor:.6g} times this one's: "
            yield Mistake("factor", text + self.factors[variation.factor])


def _at(column: Values, rows: NDArray[np.int64]) -> Values:
    """The values at rows, as far as there are any."""
    return column[rows[rows < len(column)]]


def _shapes(model: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(array.shape) for name, array in model.items()}


def _as_metric(config: Config, name: str) -> Any:
    """The loss of that name as a metric; None where the config cannot log it."""
    if name == config.loss.name or name != losses[name].names()[0]:
        return None
    document = {**schema.dump(config, "."), "metrics": [{"name": name}], "best": {"metric": "dev_loss"}}
    try:
        return schema.parse(reading.from_mapping({**document, "extend": []}, "", config.name)).metrics[0]
    except MlprunError:
        return None


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
