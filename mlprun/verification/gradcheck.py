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
    from collections.abc import Iterator, Mapping

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
    objective = _Objective(TorchTrainer(experiment, cast(state, "float64"), "cpu"))
    shapes = {name: tuple(view.shape) for name, view in objective.parameters.items()}
    coordinates = list(_spread(shapes, limit))
    slopes = np.array([objective.slopes(*each, STEP) for each in coordinates])
    central = slopes.mean(axis=1)
    size = float(np.abs(central).max(initial=0.0))
    noise = ROUNDINGS * np.finfo(np.float64).eps * abs(objective.value)
    bound, short_bound = (TOLERANCE * size + noise / step for step in (STEP, SHORT_STEP))
    checks = []
    for engine, arrays in gradients.items():
        gradient = np.array([arrays[name][index] for name, index in coordinates], np.float64)
        distance = np.abs(gradient - central)
        kinks = wrong = 0
        for number in np.flatnonzero(~(distance <= bound)):
            right, left = objective.slopes(*coordinates[number], SHORT_STEP)
            distance[number] = abs(gradient[number] - (right + left) / 2)
            if distance[number] <= short_bound:
                continue
            before, now = abs(slopes[number, 0] - slopes[number, 1]), abs(right - left)
            if now > short_bound and now > _KINK * before:
                kinks += 1
                distance[number] = 0.0
            else:
                wrong += 1
        worst = int(np.argmax(np.where(np.isnan(distance), np.inf, distance)))
        name, index = coordinates[worst]
        where = f"{name}[{', '.join(map(str, index))}]"
        total = sum(view.numel() for view in objective.parameters.values())
        checked, largest = len(coordinates) - kinks, float(distance[worst])
        checks.append(GradientCheck(engine, total, checked, kinks, wrong, largest, size, bound, where))
    return checks


class _Objective:
    """The objective of the first batch in float64 as a function of the parameters, on the CPU."""

    def __init__(self, trainer: TorchTrainer) -> None:
        self._trainer, self._batch = trainer, trainer.first_batch()
        self.parameters = {name: parameter.detach() for name, parameter in trainer.parameters.items()}
        self.value = self._evaluate()

    def _evaluate(self) -> float:
        with torch.no_grad():
            return self._trainer.objective(*self._batch).item()

    def slopes(self, name: str, index: tuple[int, ...], step: float) -> tuple[float, float]:
        """The slopes right and left of a coordinate."""
        parameter = self.parameters[name]
        here = parameter[index].item()
        step *= max(1.0, abs(here))
        slopes = []
        for there in (here + step, here - step):
            parameter[index] = there
            slopes.append((self._evaluate() - self.value) / (parameter[index].item() - here))
        parameter[index] = here
        return slopes[0], slopes[1]


def _spread(shapes: Mapping[str, tuple[int, ...]], limit: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """All coordinates, or `limit` of them spread over every array, by name and index."""
    sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    total = sum(sizes.values())
    share = total if total <= limit else max(1, limit // len(sizes))
    for name, size in sizes.items():
        for flat in np.unique(np.linspace(0, size - 1, min(size, share)).round().astype(np.int64)):
            yield name, tuple(map(int, np.unravel_index(flat, shapes[name])))
