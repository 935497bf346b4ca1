"""Check gradients against central differences of the objective in float64, which need no backward pass.

A coordinate is at a kink where the slopes on its two sides differ and go on differing as the step shrinks:
there no number is the gradient. This excuses no wrong gradient elsewhere, since the slopes of a smooth
function come together as the step shrinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlprun.engines.torch.trainer import TorchTrainer
from mlprun.verification.trajectories import cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mlprun.engines import State
    from mlprun.experiment import Experiment

STEP, SHORT_STEP = 1e-5, 1e-6
"""Relative to the coordinate's size, or to 1 where it is smaller."""
TOLERANCE = 1e-6
"""Relative to the largest slope."""
ROUNDINGS = 64.0
"""Of the objective, which a difference divides by its step."""
_KINK = 0.3
"""The slopes of a smooth function come ten times nearer from one step to the other."""


@dataclass(frozen=True)
class GradientCheck:
    """An engine's gradient compared with the differences."""

    engine: str
    parameters: int
    """Of the network."""
    checked: int
    """Coordinates compared, without those at a kink."""
    kinks: int
    wrong: int
    """Coordinates beyond the bound."""
    difference: float
    """The largest of those checked."""
    largest: float
    """The largest slope."""
    bound: float
    where: str
    """The coordinate of the largest difference, as in layers.0.weight[3, 1]."""

    @property
    def unit(self) -> float:
        """What differences are shown in: the largest slope, or 1 where no slope is more than rounding."""
        return self.largest if self.largest > self.bound else 1.0

    @property
    def agrees(self) -> bool:
        """Whether no coordinate is beyond the bound."""
        return self.wrong == 0


class Objective:
    """The objective of the first batch in float64 as a function of the parameters, on the CPU.

    Its coordinates are all parameters, or `limit` of them spread over every array.
    """

    def __init__(self, experiment: Experiment, state: State, limit: int) -> None:
        self._trainer = TorchTrainer(experiment, cast(state, "float64"), "cpu")
        self._batch = self._trainer.first_batch()
        parameters = self._trainer.parameters
        self._views = {name: parameter.detach().view(-1) for name, parameter in parameters.items()}
        self._shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
        self.parameters = sum(map(len, self._views.values()))
        share = self.parameters if self.parameters <= limit else max(1, limit // len(parameters))
        self.coordinates = [
            (name, int(index))
            for name, view in self._views.items()
            for index in np.unique(np.linspace(0, len(view) - 1, min(len(view), share)).round())
        ]
        self.value = self._evaluate()

    def _evaluate(self) -> float:
        with torch.no_grad():
            return self._trainer.objective(*self._batch).item()

    def slopes(self, number: int, step: float) -> tuple[float, float]:
        """The slopes right and left of a coordinate, given by its number."""
        name, index = self.coordinates[number]
        view = self._views[name]
        here = view[index].item()
        step *= max(1.0, abs(here))
        slopes = []
        for there in (here + step, here - step):
            view[index] = there
            slopes.append((self._evaluate() - self.value) / (view[index].item() - here))
        view[index] = here
        return slopes[0], slopes[1]

    def label(self, number: int) -> str:
        """A coordinate as in `layers.0.weight[3, 1]`."""
        name, index = self.coordinates[number]
        return f"{name}[{', '.join(map(str, np.unravel_index(index, self._shapes[name])))}]"

    def at_coordinates(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Arrays by parameter name, at the coordinates."""
        flat = {name: np.asarray(arrays[name], np.float64).ravel() for name in self._views}
        return np.array([flat[name][index] for name, index in self.coordinates])


def check_gradients(
    experiment: Experiment,
    state: State,
    gradients: Mapping[str, Mapping[str, NDArray[Any]]],
    *,
    limit: int,
) -> list[GradientCheck]:
    """Compare gradients, by engine and parameter name, with the differences at `state`.

    `limit` is the number of coordinates to check where there are more; each costs two forward passes.
    """
    objective = Objective(experiment, state, limit)
    sides = np.array([objective.slopes(number, STEP) for number in range(len(objective.coordinates))])
    return [
        _check(engine, objective.at_coordinates(arrays), objective, sides)
        for engine, arrays in gradients.items()
    ]


def _check(
    engine: str, gradient: NDArray[np.float64], objective: Objective, sides: NDArray[np.float64]
) -> GradientCheck:
    """`sides` has the slopes right and left of each coordinate, [coordinates, 2]."""
    central = sides.mean(axis=1)
    size = float(np.abs(central).max(initial=0.0))
    noise = ROUNDINGS * np.finfo(np.float64).eps * abs(objective.value)
    bound, short_bound = (TOLERANCE * size + noise / step for step in (STEP, SHORT_STEP))
    distance = np.abs(gradient - central)
    kinks = wrong = 0
    for number in np.flatnonzero(~(distance <= bound)):
        right, left = objective.slopes(int(number), SHORT_STEP)
        distance[number] = abs(gradient[number] - (right + left) / 2)
        if distance[number] <= short_bound:
            continue
        before, now = abs(sides[number, 0] - sides[number, 1]), abs(right - left)
        if now > short_bound and now > _KINK * before:
            kinks += 1
            distance[number] = 0.0
        else:
            wrong += 1
    worst = int(np.argmax(np.where(np.isnan(distance), np.inf, distance)))
    return GradientCheck(
        engine,
        objective.parameters,
        len(distance) - kinks,
        kinks,
        wrong,
        float(distance[worst]),
        size,
        bound,
        objective.label(worst),
    )
