"""A plane through input space: two axes of a figure, and back to inputs.

Two inputs are the plane themselves. Of more, it is a chosen pair with all others at their mean over train, or
the plane through the mean of the two directions in which the train rows vary most. Its outputs there
are a slice of all outputs: rows lie off such a plane, and a figure of the slice shows how far.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.errors import UsageError
from mlprun.figures import style
from mlprun.figures.chart import Array, evenly_spaced
from mlprun.parts.part import suggestion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlprun.experiment.preprocessing import Preprocessing

ROWS = 10_000
"""train rows that the principal components are computed from, at most: evenly spread ones"""
FAINTEST = 0.15
"""opacity of a row far off the plane"""


@dataclass(frozen=True)
class Plane:
    """A projection of inputs [N, D], as the network reads them, to positions [N, 2] on two axes.

    Positions are `(inputs - origin) @ projection + offset`, with a `projection` [D, 2]; inputs in the plane
    are `origin + (positions - offset) @ embedding`, with an `embedding` [2, D].
    """

    names: tuple[str, str]
    origin: Array
    projection: Array
    embedding: Array
    offset: Array
    note: str = ""
    """what the figures say of it; empty where the inputs are the plane"""
    spread: float = np.inf
    """root mean square distance of the train rows from `origin` within the plane"""
    has_equal_units: bool = True
    """whether both axes measure the same, so that lengths on them may be compared"""
    variance_share: float = 1.0
    """share of the variance of the train rows that lies within the plane"""

    def project(self, inputs: NDArray[Any]) -> Array:
        """The positions [N, 2] of inputs [N, D]."""
        return np.asarray((inputs - self.origin) @ self.projection + self.offset)

    def opacity(self, inputs: NDArray[Any]) -> Array:
        """[N] from 1 for a row in the plane to FAINTEST for one far off it, as `spread` measures it."""
        distances = np.linalg.norm(inputs - self.unproject(self.project(inputs)), axis=1)
        return np.asarray(FAINTEST + (1 - FAINTEST) * np.exp(-0.5 * (distances / self.spread) ** 2))

    def grid(self, ends: Sequence[tuple[float, float]], count: int) -> Array:
        """The inputs [count², D] at points between (left, right) and (bottom, top), the lowest row first."""
        x, y = np.meshgrid(*(np.linspace(*side, count) for side in ends))
        return self.unproject(np.column_stack([x.ravel(), y.ravel()]))

    def unproject(self, positions: Array) -> Array:
        """The inputs [N, D] at positions [N, 2] in the plane."""
        return np.asarray(self.origin + (positions - self.offset) @ self.embedding)


def pair_plane(preprocessing: Preprocessing, inputs: NDArray[Any], features: Sequence[str]) -> Plane:
    """The plane of two inputs, with all others at their mean over rows [N, D].

    Raises UsageError for unknown features.
    """
    names, (means, scales) = preprocessing.names, preprocessing.input_units
    for name in features:
        if name not in names:
            raise UsageError("--features", f"{name!r} is no input", suggestion(name, names[:30]))
    across, up = (names.index(name) for name in features)
    if across == up:
        raise UsageError("--features", f"{features[0]!r} is named twice", "name two different inputs")
    origin = np.asarray(inputs, np.float64).mean(axis=0)
    pair = [across, up]
    axes = np.eye(len(names))[pair]
    shown = (style.name(names[across]), style.name(names[up]))
    offset = origin[pair] * scales[pair] + means[pair]
    equal = bool(scales[across] == scales[up])
    plane = Plane(
        shown, origin, axes.T * scales[pair], axes / scales[pair][:, None], offset, has_equal_units=equal
    )
    if len(names) == 2:
        return plane
    spread = float(np.sqrt(np.square((inputs - origin)[:, pair]).sum(axis=1).mean()))
    note = f"the other {len(names) - 2} inputs at their mean over train"
    return replace(plane, spread=spread, note=note)


def principal_plane(inputs: NDArray[Any]) -> Plane:
    """The plane through the mean of rows [N, D] in the two directions in which they vary most.

    Each direction has its largest component positive.
    """
    chosen = np.asarray(inputs[evenly_spaced(len(inputs), ROWS)], np.float64)
    origin = chosen.mean(axis=0)
    _, sizes, directions = np.linalg.svd(chosen - origin, full_matrices=False)
    total = float(np.square(sizes).sum()) or 1.0
    shares = [float(size) ** 2 / total for size in (*sizes[:2], 0.0, 0.0)][:2]
    if len(directions) < 2:  # any second direction where rows have none
        rest = np.eye(chosen.shape[1]) - directions.T @ directions
        directions = np.vstack([directions, np.linalg.svd(rest)[2][:1]])
    two = np.asarray(directions[:2], np.float64)
    largest = np.abs(two).argmax(axis=1)
    two *= np.sign(two[[0, 1], largest])[:, None]
    return Plane(
        (f"PC 1 ({shares[0]:.0%})", f"PC 2 ({shares[1]:.0%})"),
        origin,
        two.T,
        two,
        np.zeros(2),
        f"principal components (PC) of {chosen.shape[1]} inputs",
        float(np.sqrt(total * sum(shares) / len(chosen))),
        variance_share=sum(shares),
    )
