"""How far two courses of one experiment are apart, in units of their precision, and how far they may be.

Bounds: first gradients differ by at most 1e-5 (float32) or 1e-12 (float64) of the largest. Afterwards torch's
own float32 is the yardstick: what it is away from torch in float64 tells how much rounding grows on this
experiment, and another engine may be four times as far, with a few roundings more for an experiment in which
torch was lucky.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.verification.courses import LOSSES, Course

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

DEFINITION = "torch"
EPS = {dtype: float(np.finfo(dtype).eps) for dtype in ("float32", "float64")}
GRADIENT = {"float32": 1e-5, "float64": 1e-12}
"""of the largest gradient"""
GROWTH = 4.0
"""times what rounding has grown to in torch's own float32"""
SLACK = {"float32": 1e-6, "float64": 1e-12}
"""beside that, of the largest number, which counts as 1 at least in float32"""
STRAYED = 1e-3
"""of the largest number: where torch's own float32 is farther from float64, rounding no longer just grows"""


@dataclass(frozen=True)
class Difference:
    """The largest difference of two sets of numbers, and the bound it is held to; None for a yardstick."""

    value: float
    magnitude: float
    """the largest of the numbers"""
    dtype: str
    """the coarser of the two precisions"""
    bound: float | None

    @property
    def units(self) -> float:
        """The difference in roundings: eps of the precision times the magnitude."""
        unit = EPS[self.dtype] * self.magnitude
        return self.value / unit if unit else (0.0 if self.value == 0 else math.inf)

    @property
    def agrees(self) -> bool:
        """Whether it keeps to its bound; a NaN never does."""
        return self.bound is None or self.value <= self.bound


@dataclass(frozen=True)
class Pair:
    """Two courses compared. The gradient is None between precisions, where no bound is known."""

    one: str
    other: str
    gradient: Difference | None
    curve: Difference
    """of the column that comes nearest to its bound"""
    weights: Difference

    @property
    def differences(self) -> dict[str, Difference]:
        """What is compared, by name."""
        found = {"gradient": self.gradient, "curve": self.curve, "weights": self.weights}
        return {name: difference for name, difference in found.items() if difference is not None}

    @property
    def agrees(self) -> bool:
        """Whether all differences keep to their bounds."""
        return all(difference.agrees for difference in self.differences.values())


def compare(courses: Sequence[Course]) -> list[Pair]:
    """Every pair of one precision, and each course in float32 with the definition in float64.

    `courses` hold the torch engine in both precisions.
    """
    known = {(course.engine, course.dtype): course for course in courses}
    exact, rounded = known[DEFINITION, "float64"], known[DEFINITION, "float32"]
    pairs = [
        (one, other)
        for one, other in combinations(courses, 2)
        if one.dtype == other.dtype or exact in (one, other)
    ]
    return [_compared(one, other, exact, rounded) for one, other in pairs]


def _compared(one: Course, other: Course, exact: Course, rounded: Course) -> Pair:
    gradient = None
    if one.dtype == other.dtype:
        size = largest(exact.gradient)
        distance = apart(one.gradient, other.gradient)
        gradient = Difference(distance, size, one.dtype, GRADIENT[one.dtype] * size)
    curves = [
        _difference(one, other, exact, rounded, ({name: course.history[name]} for course in courses))
        for courses in [(one, other, exact, rounded)]
        for name in LOSSES
    ]
    curve = max(curves, key=_badness)
    weights = _difference(
        one, other, exact, rounded, (course.weights for course in (one, other, exact, rounded))
    )
    return Pair(one.label, other.label, gradient, curve, weights)


def _difference(one: Course, other: Course, exact: Course, rounded: Course, given: Any) -> Difference:
    """Of the arrays of both courses, with those of the definition to see what is allowed."""
    a, b, reference, near = given
    # where float32 diverges and float64 does not, nothing is known of what rounding may do
    size, own = largest(reference), apart(reference, near) if rounded.stopped == exact.stopped else math.inf
    dtype = "float32" if "float32" in (one.dtype, other.dtype) else "float64"
    value = apart(a, b) if one.stopped == other.stopped else math.inf
    if {one, other} == {exact, rounded}:
        return Difference(value, size, dtype, None)
    return Difference(value, size, dtype, sum(allowed(course, own, size) for course in (one, other)))


def allowed(course: Course, own: float, size: float) -> float:
    """How far a course may be from the definition in float64: `own` is how far torch in float32 is."""
    if course.engine == DEFINITION:
        return own if course.dtype == "float32" else 0.0
    if course.dtype == "float32":
        return GROWTH * own + SLACK["float32"] * max(1.0, size)
    grown = own * EPS["float64"] / EPS["float32"] if math.isfinite(own) else 0.0
    return GROWTH * grown + SLACK["float64"] * size


def _badness(difference: Difference) -> tuple[bool, float]:
    bound = difference.bound
    if not bound:  # of yardsticks and of bounds of 0 the largest difference tells most
        return (not difference.agrees, difference.value)
    return (not difference.agrees, difference.value / bound)


def largest(arrays: Arrays) -> float:
    """The size of the largest finite number."""
    sizes = (np.abs(array[np.isfinite(array)]).max(initial=0.0) for array in arrays.values())
    return max(map(float, sizes), default=0.0)


def apart(one: Arrays, other: Arrays) -> float:
    """The largest difference, infinite where only one of the two has a number, a name or a shape."""
    if one.keys() != other.keys():
        return math.inf
    return max((_apart(one[name], other[name]) for name in one), default=0.0)


def _apart(one: NDArray[Any], other: NDArray[Any]) -> float:
    if one.shape != other.shape:
        return math.inf
    a, b = one.astype(np.float64), other.astype(np.float64)
    differing = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if not differing.any():
        return 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        distance = float(np.abs(a[differing] - b[differing]).max())
    return distance if math.isfinite(distance) else math.inf
