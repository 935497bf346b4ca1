"""The distance of two trajectories in roundings of their precision, and how large it may be.

Bounds: first gradients differ by at most 1e-5 (float32) or 1e-12 (float64) of the largest. Afterwards torch's
own float32 is the reference: its distance from torch in float64 tells how much rounding grows on this
experiment. Another engine may be four times as far, and a few roundings more for an experiment in which torch
was lucky.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.verification.trajectories import DEFINITION, Trajectory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

EPS = {dtype: float(np.finfo(dtype).eps) for dtype in ("float32", "float64")}
GRADIENT_BOUND = {"float32": 1e-5, "float64": 1e-12}
"""Relative to the largest gradient."""
GROWTH = 4.0
"""Times what rounding has grown to in torch's own float32."""
SLACK = {"float32": 1e-6, "float64": 1e-12}
"""Added to that, relative to the largest number, which counts as 1 at least in float32."""

STRAYED = 1e-3
"""Of the largest number: where torch's own float32 is farther from float64, rounding no longer just grows."""


@dataclass(frozen=True)
class Difference:
    """The largest difference of two sets of arrays and its bound, None for torch's own float32."""

    value: float
    magnitude: float
    """The largest of the numbers."""
    dtype: str
    """The coarser of the two precisions."""
    bound: float | None

    @property
    def roundings(self) -> float:
        """The difference in units of eps of the precision times the magnitude."""
        unit = EPS[self.dtype] * self.magnitude
        return self.value / unit if unit else (0.0 if self.value == 0 else math.inf)

    @property
    def agrees(self) -> bool:
        """Whether it is within its bound; a NaN never is."""
        return self.bound is None or self.value <= self.bound


@dataclass(frozen=True)
class TrajectoryPair:
    """Two trajectories compared."""

    one: str
    other: str
    differences: Mapping[str, Difference]
    """Of the first gradient, the curve and the weights; of no gradient between two precisions."""

    @property
    def agrees(self) -> bool:
        """Whether all differences are within their bounds."""
        return all(difference.agrees for difference in self.differences.values())


def compare(trajectories: Sequence[Trajectory]) -> list[TrajectoryPair]:
    """Compare every pair of one precision, and each trajectory in float32 with torch in float64.

    `trajectories` contain torch in both precisions.
    """
    by_key = {(one.engine, one.dtype): one for one in trajectories}
    exact, rounded = by_key[DEFINITION, "float64"], by_key[DEFINITION, "float32"]

    def distance(name: str, one: Trajectory, other: Trajectory) -> float:
        if one.diverged != other.diverged:
            return math.inf
        return max_difference(getattr(one, name), getattr(other, name))

    pairs = []
    for one, other in combinations(trajectories, 2):
        if one.dtype != other.dtype and exact not in (one, other):
            continue
        differences = {}
        if one.dtype == other.dtype:
            size = largest(exact.gradient)
            value, bound = max_difference(one.gradient, other.gradient), GRADIENT_BOUND[one.dtype] * size
            differences["gradient"] = Difference(value, size, one.dtype, bound)
        dtype = "float32" if "float32" in (one.dtype, other.dtype) else "float64"
        for name in ("curve", "weights"):
            # infinite where only float32 diverges: nothing is known of what rounding may do
            own, size = distance(name, exact, rounded), largest(getattr(exact, name))
            limit = sum(allowed(each, own, size) for each in (one, other))
            is_reference = {one, other} == {exact, rounded}
            value = distance(name, one, other)
            differences[name] = Difference(value, size, dtype, None if is_reference else limit)
        pairs.append(TrajectoryPair(one.label, other.label, differences))
    return pairs


def allowed(trajectory: Trajectory, own: float, size: float) -> float:
    """How far a trajectory may be from torch in float64, where torch in float32 is `own` away."""
    if trajectory.engine == DEFINITION:
        return own if trajectory.dtype == "float32" else 0.0
    if trajectory.dtype == "float32":
        return GROWTH * own + SLACK["float32"] * max(1.0, size)
    grown = own * EPS["float64"] / EPS["float32"] if math.isfinite(own) else 0.0
    return GROWTH * grown + SLACK["float64"] * size


def largest(arrays: Arrays) -> float:
    """The size of the largest finite number."""
    sizes = (np.abs(array[np.isfinite(array)]).max(initial=0.0) for array in arrays.values())
    return max(map(float, sizes), default=0.0)


def max_difference(one: Arrays, other: Arrays) -> float:
    """The largest difference; infinite where only one of the two has a number, a name or a shape."""
    if {name: array.shape for name, array in one.items()} != {name: a.shape for name, a in other.items()}:
        return math.inf
    largest_difference = 0.0
    for name in one:
        a, b = one[name].astype(np.float64), other[name].astype(np.float64)
        differing = ~((a == b) | (np.isnan(a) & np.isnan(b)))
        with np.errstate(invalid="ignore", over="ignore"):
            distance = float(np.abs(a[differing] - b[differing]).max(initial=0.0))
        largest_difference = max(largest_difference, distance if math.isfinite(distance) else math.inf)
    return largest_difference
