"""Which classic mistake turns one curve into another: each is tried before it is named.

The mean taken for the sum, a missing bias, another definition of the logged loss, or two of them. A
mistake is named when this config, changed by it, gives the other curve; what nothing explains is left
unexplained.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product, starmap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from mlprun import schema
from mlprun.config import document as reading
from mlprun.engines.torch import TorchEngine
from mlprun.errors import MlprunError, plural
from mlprun.parts.losses import losses as known_losses
from mlprun.parts.part import Options
from mlprun.verification.trajectories import in_dtype, train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlprun.engines import State
    from mlprun.experiment import Experiment
    from mlprun.schema import Config
    from mlprun.verification.trajectories import History

    Values = NDArray[np.float64]

MIN_ROWS = 3
"""Fewer rows could be explained by anything."""
MAX_MISTAKES = 2
"""Mistakes that are tried together."""
_CLEAR = 10.0
"""How many bounds a curve must move, and how many times nearer a mistake must bring it."""


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
    """Rows compared."""


class Variation(NamedTuple):
    """What a variant of the experiment does differently."""

    biases: str = ""
    """Removed (or added, from 0); `drawn`: with the weights that the seed gives without (or with) them."""
    factor: float = 1.0
    """On the gradient of the loss."""

    @property
    def size(self) -> int:
        """How many things are different."""
        return bool(self.biases) + (self.factor != 1.0)


def scale_factors(experiment: Experiment) -> dict[float, str]:
    """The factors between a sum and a mean that a gradient or a loss may be off by, each with its meaning."""
    config, rows = experiment.config, experiment.fixed["train"]
    count = config.training.batch_rows(len(rows))
    outputs = config.architecture.outputs or 1
    meanings = [
        ("N", float(count), "one side sums over rows, the other takes their mean"),
        ("2", 2.0, "one side has a half in front"),
    ]
    if experiment.computed.loss.weight(torch.from_numpy(rows.targets[:count])) == count * outputs:
        product_of_both = count * outputs
        meanings[:1] = [
            ("N·K/2", product_of_both / 2, "a squared error's 2/(N·K) is left out of one side"),
            ("N·K", product_of_both, "one side sums over rows and outputs, the other takes the mean"),
            meanings[0],
            ("K", outputs, "one side sums over outputs, the other takes their mean"),
        ]
    named: dict[float, list[str]] = {}
    for name, value, meaning in meanings:
        inverse = f"1/({name})" if "/" in name else f"1/{name}"
        for factor, label in ((value, name), (1 / value, inverse)):
            named.setdefault(factor, []).append(f"{label} ({meaning})")
    named.pop(1.0, None)
    sizes = f"N = {count} rows of a step, K = {plural(outputs, 'output')}"
    return {factor: f"{' or '.join(names)}, with {sizes}" for factor, names in named.items()}


class MistakeSearch:
    """Looks for what makes a config's curve the losses of a reference: trains variants in float64, each once.

    `epochs` is the number of epochs that are compared; `state` is where all variants start.
    """

    def __init__(
        self, original: Experiment, state: State, epochs: int, rows: NDArray[np.int64], losses: Values
    ) -> None:
        config = original.config
        # with every other loss logged that its targets and outputs admit
        parts = [part for name in known_losses.names() if (part := _as_metric(config, name)) is not None]
        best = config.best.model_copy(update={"metric": "dev_loss", "mode": "min"})
        logging = config.model_copy(update={"metrics": tuple(parts), "best": best})
        self.experiment, self.state, self.epochs = in_dtype(logging, "float64"), state, epochs + 1
        self.rows, self.losses = rows, losses
        self.has_biases = any(name.endswith(".bias") for name in state.model)
        self.factors = scale_factors(self.experiment)
        self._known: dict[Variation, History | None] = {}

    def explanations(self, bound: Values) -> tuple[Explanation, ...]:
        """The simplest within the bounds of each loss, the nearest first; empty where nothing fits."""
        if len(self.losses) < MIN_ROWS:
            return ()
        unchanged = self._history(Variation())
        assert unchanged is not None
        before = np.abs(_at(unchanged["train_loss"], self.rows) - self.losses)
        moved = float(np.ptp(self.losses)) > _CLEAR * float(bound.max())
        variations = [*starmap(Variation, product(("", "otherwise", "drawn"), (1.0, *self.factors)))]
        for count in range(1, MAX_MISTAKES + 1):
            fitting = []
            for variation in variations:
                more = count - variation.size
                for logged, values in self._readings(variation, more, bound[0] if moved else None):
                    rows = len(values)
                    distance = np.abs(values - self.losses[:rows])
                    within = rows >= MIN_ROWS and bool((distance <= bound[:rows]).all())
                    if within and _CLEAR * distance.max() <= before[:rows].max():
                        mistakes = [*self._named(variation), *[Mistake("logged loss", logged)] * bool(logged)]
                        fitting.append(Explanation(tuple(mistakes), float(distance.max()), rows))
            if fitting:
                return tuple(sorted(fitting, key=lambda one: one.difference or 0.0))
        return ()

    def _history(self, variation: Variation) -> History | None:
        """The columns of a variant's history; None where there is no such variant."""
        if variation not in self._known:
            self._known[variation] = self._trained(variation)
        return self._known[variation]

    def _trained(self, variation: Variation) -> History | None:
        config, state = self.experiment.config, self.state
        loss = config.loss.model_copy(update={"scale": config.loss.scale * variation.factor})
        config = config.model_copy(update={"loss": loss})
        if variation.biases:
            architecture = _with_biases(config.architecture, biases=not self.has_biases)
            config = config.model_copy(update={"architecture": architecture})
        experiment = replace(self.experiment, config=config)
        if variation.biases == "drawn":
            try:
                state = TorchEngine().initial_state(experiment)
            except MlprunError:  # its weights are given by name
                return None
        elif variation.biases:
            shapes = {name: t.shape for name, t in experiment.blank_network().state_dict().items()}
            model = {name: state.model.get(name, np.zeros(shape)) for name, shape in shapes.items()}
            state = replace(state, model=model)
        if variation.biases and state.model.keys() == self.state.model.keys():
            return None
        return train(TorchEngine(), experiment, state, min(self.epochs, config.training.epochs))[0]

    def _readings(
        self, variation: Variation, more: int, first_bound: float | None
    ) -> Iterator[tuple[str, Values]]:
        """A variant's curve, or with one mistake more whatever else of it may have been logged instead."""
        history = self._history(variation) if more in (0, 1) else None
        if history is None:
            return
        values = _at(history["train_loss"], self.rows)
        if more == 0:
            yield "", values
            if variation.factor != 1.0:  # one mistake: a sum is most often logged as it is differentiated
                yield f"so is what it logs: {variation.factor:.6g} times, too", values * variation.factor
            return
        text = "it is recorded after each update, where this one's is before: a row earlier"
        yield text, _at(history["train_loss"], self.rows + 1)
        if len(values) and values[0] != 0 and first_bound is not None:
            first, ratio = self.losses[0], float(self.losses[0] / values[0])
            error = max(1e-6 * abs(first), 2 * first_bound)
            factor = next((one for one in self.factors if abs(one * values[0] - first) <= error), ratio)
            meaning = self.factors.get(factor, "none of the known factors")
            text = f"it is {factor:.6g} times this one's from the first row on: {meaning}"
            yield text, values * factor
        yield "it is the root of this one's", np.sqrt(np.maximum(values, 0.0))
        for name in history:
            if name.startswith(("train_", "dev_")) and name != "train_loss":
                yield f"it is what mlprun logs as {name}", _at(history[name], self.rows)

    def _named(self, variation: Variation) -> Iterator[Mistake]:
        """A variation as mistakes."""
        if variation.biases:
            has = self.has_biases
            drawn = ", and begins with the weights that the seed draws then"
            how = drawn if variation.biases == "drawn" else "" if has else ", which start at 0"
            yield Mistake("bias", f"it has {'no ' if has else ''}biases{how}")
        if variation.factor != 1.0:
            text = f"its loss's gradient, or its learning rate, is {variation.factor:.6g} times this one's: "
            yield Mistake("factor", text + self.factors[variation.factor])


def _at(column: Values, rows: NDArray[np.int64]) -> Values:
    """The values at rows, as far as there are any."""
    return column[rows[rows < len(column)]]


def _as_metric(config: Config, name: str) -> Any:
    """The loss of that name as a metric; None where the config cannot log it."""
    if name == config.loss.name or name != known_losses[name].names()[0]:
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
