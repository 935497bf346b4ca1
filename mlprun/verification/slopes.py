"""Gradients against central differences of the objective in float64, which no backward pass is needed for.

A coordinate counts as at a kink when the slopes on its two sides differ and go on differing as the step
shrinks: there no number is the gradient. A wrong gradient is not excused by it elsewhere, since the slopes of
a smooth function come together as the step shrinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlprun.engines.torch.trainer import TorchTrainer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mlprun.engines import State
    from mlprun.experiment import Experiment

LIMIT = 2000
"""coordinates that are looked at; each costs two forward passes"""
STEP, SHORTER = 1e-5, 1e-6
"""of the coordinate's size, or of 1 where it is smaller"""
TOLERANCE = 1e-6
"""of the largest gradient"""
ROUNDINGS = 64.0
"""of the objective, which a difference divides by its step"""
STAYS = 0.3
"""the slopes of a smooth function come ten times nearer from one step to the other"""


@dataclass(frozen=True)
class Check:
    """How an engine's gradient stands against the differences."""

    engine: str
    parameters: int
    """of the network"""
    checked: int
    """coordinates that were, without those at a kink"""
    kinks: int
    difference: float
    """the largest, of those checked"""
    magnitude: float
    """the largest slope"""
    where: str
    """the coordinate it is at, as in layers.0.weight[3, 1]"""
    wrong: int
    """coordinates beyond the bound"""
    bound: float

    @property
    def unit(self) -> float:
        """What differences are shown in: the largest slope, or 1 where no slope is more than rounding."""
        return self.magnitude if self.magnitude > self.bound else 1.0

    @property
    def agrees(self) -> bool:
        """Whether no coordinate is beyond the bound."""
        return self.wrong == 0


class Objective:
    """The objective of the first batch in float64 as a function of the parameters, on the CPU.

    Its coordinates are all parameters, or `limit` of them spread over every array.
    """

    def __init__(self, experiment: Experiment, state: State, limit: int) -> None:
        self._member = TorchTrainer(experiment, state, "cpu")
        self._batch = self._member.first_batch()
        self._parameters = list(self._member.parameters.values())
        self.names = list(self._member.parameters)
        self.shapes = [tuple(parameter.shape) for parameter in self._parameters]
        self._views = [parameter.detach().view(-1) for parameter in self._parameters]
        self.parameters = sum(map(len, self._views))
        share = max(1, limit // len(self._views))
        self.places = [
            (number, int(index))
            for number, view in enumerate(self._views)
            for index in _spread(len(view), len(view) if self.parameters <= limit else share)
        ]
        self.value = self._value()

    def _value(self) -> float:
        with torch.no_grad():
            return self._member.objective(*self._batch).item()

    def slopes(self, place: int, step: float) -> tuple[float, float]:
        """The slopes right and left of a coordinate, the place of which is given."""
        number, index = self.places[place]
        view = self._views[number]
        here = view[index].item()
        step *= max(1.0, abs(here))
        values = []
        for there in (here + step, here - step):
            view[index] = there
            values.append((self._value() - self.value) / (view[index].item() - here))
        view[index] = here
        return values[0], values[1]

    def name(self, place: int) -> str:
        """A coordinate in words."""
        number, index = self.places[place]
        at = ", ".join(map(str, np.unravel_index(index, self.shapes[number])))
        return f"{self.names[number]}[{at}]"

    def flat(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Arrays by parameter name at the coordinates."""
        flat = [np.asarray(arrays[name], np.float64).ravel() for name in self.names]
        return np.array([flat[number][index] for number, index in self.places])


def _spread(count: int, wanted: int) -> NDArray[np.int64]:
    """At most `wanted` of `count` indices, from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))


def check(
    experiment: Experiment,
    state: State,
    gradients: Mapping[str, Mapping[str, NDArray[Any]]],
    *,
    limit: int = LIMIT,
) -> list[Check]:
    """Hold the gradients of engines, by engine and parameter name, against the differences at `state`.

    `limit` is how many coordinates are looked at where there are more.
    """
    objective = Objective(experiment, state, limit)
    sides = np.array([objective.slopes(place, STEP) for place in range(len(objective.places))])
    return [_checked(engine, objective.flat(given), objective, sides) for engine, given in gradients.items()]


def _checked(
    engine: str, gradient: NDArray[np.float64], objective: Objective, sides: NDArray[np.float64]
) -> Check:
    central = sides.mean(axis=1)
    size = float(np.abs(central).max(initial=0.0))
    noise = ROUNDINGS * np.finfo(np.float64).eps * abs(objective.value)
    bound = TOLERANCE * size + noise / STEP
    distance = np.abs(gradient - central)
    kinks, wrong = 0, 0
    for place in np.flatnonzero(~(distance <= bound)):
        right, left = objective.slopes(int(place), SHORTER)
        distance[place] = abs(gradient[place] - (right + left) / 2)
        limit = TOLERANCE * size + noise / SHORTER
        if distance[place] <= limit:
            continue
        before, now = abs(sides[place, 0] - sides[place, 1]), abs(right - left)
        if now > limit and now > STAYS * before:
            kinks += 1
            distance[place] = 0.0
        else:
            wrong += 1
    worst = int(np.argmax(np.where(np.isnan(distance), np.inf, distance)))
    return Check(
        engine,
        objective.parameters,
        len(distance) - kinks,
        kinks,
        float(distance[worst]),
        size,
        objective.name(worst),
        wrong,
        bound,
    )
