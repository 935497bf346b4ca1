"""Figures in the plane: circles, spirals and a checkerboard, whose boundaries can be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from mlprun.parts.datasets.dataset import datasets
from mlprun.parts.datasets.draws import Classes, SampledDataset, Sampler, digits
from mlprun.parts.part import NonNegativeFloat, PositiveFloat, Probability

if TYPE_CHECKING:
    from numpy.typing import NDArray


@datasets.register
class Circles(SampledDataset):
    """A circle inside another one, one class each.

    Inputs are [N, 2] float64 in units of the outer radius: N // 2 rows evenly spaced on the outer circle
    (class 0), the others on the inner one, shuffled, then with N(0, noise^2) added.
    Good for: showing that a closed boundary takes at least three hidden units.
    Source: scikit-learn's make_circles, jmlr.org/papers/v12/pedregosa11a.html
    """

    name: Literal["circles"] = "circles"
    noise: NonNegativeFloat = Field(
        0.1, description="standard deviation of the noise, in units of the outer radius"
    )
    factor: Probability = Field(0.5, description="inner radius divided by the outer one")

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("outer", "inner")

    def draw(self, rows: int, sampler: Sampler) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        outer, inner = rows // 2, rows - rows // 2
        turn = np.concatenate([np.arange(count) / max(count, 1) for count in (outer, inner)])
        labels = np.repeat([0, 1], [outer, inner])
        radius = np.where(labels == 0, 1.0, self.factor)
        order = sampler.order(rows)
        points = _polar(radius, turn)[order]
        return points + self.noise * sampler.normals(rows, 2), labels[order]


@datasets.register
class Spirals(SampledDataset):
    """Spiral arms around one centre, each turned against the last, one class each.

    Inputs are [N, 2] float64 in units of the outermost radius: rows go to the arms in turn, evenly spaced
    along the radius, shuffled, then with N(0, noise^2) added.
    Good for: what depth and width buy, since the boundary winds; more `turns` are harder.
    Source: Lang and Witbrock (1988), Learning to tell two spirals apart
    """

    name: Literal["spirals"] = "spirals"
    arms: Classes = Field(2, description="spiral arms, which are the classes")
    turns: PositiveFloat = Field(1.0, description="turns that each arm makes from the centre to its end")
    noise: NonNegativeFloat = Field(
        0.03, description="standard deviation of the noise, in units of the outermost radius"
    )

    @property
    def class_names(self) -> tuple[str, ...]:
        return digits(self.arms)

    def draw(self, rows: int, sampler: Sampler) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        number = sampler.order(rows)
        labels, along = number % self.arms, number // self.arms
        # half a step off zero: at the very centre all arms would share a point
        radius = (along + 0.5) / np.ceil(rows / self.arms)
        points = _polar(radius, self.turns * radius + labels / self.arms)
        return points + self.noise * sampler.normals(rows, 2), labels


@datasets.register
class Checkerboard(SampledDataset):
    """Points spread evenly over a square that is ruled into cells of two classes in alternation.

    Inputs are [N, 2] float64 in units of half the side, uniform on [-1, 1); noise is added after a point has
    its class.
    Good for: many separate regions, hence for capacity, and for overfitting when there are few rows.
    Source: Ho and Kleinberg (1996), doi.org/10.1109/ICPR.1996.547429
    """

    name: Literal["checkerboard"] = "checkerboard"
    cells: Annotated[int, Field(ge=2)] = Field(4, description="cells along each side of the square")
    noise: NonNegativeFloat = Field(
        0.0, description="standard deviation of the noise, in units of half the side"
    )

    @property
    def class_names(self) -> tuple[str, ...]:
        return digits(2)

    def draw(self, rows: int, sampler: Sampler) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        place = sampler.uniforms(rows, 2)
        labels = np.floor(self.cells * place).astype(np.int64).sum(axis=1) % 2
        return 2 * place - 1 + self.noise * sampler.normals(rows, 2), labels


def _polar(radius: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 2] points at `radius` and at `turn`, the angle in whole turns."""
    angle = 2 * np.pi * turn
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
