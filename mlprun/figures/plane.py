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
from mlprun.figures.chart import evenly
from mlprun.parts.part import suggestion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlprun.experiment.preprocessing import Preprocessing

ROWS = 10_000
"""train rows that the principal components are computed from, at most: evenly spread ones"""
FAINTEST = 0.15
"""opacity of a row far off the plane"""
OFF_THE_PLANE = "faded points lie farther from the slice"


@dataclass(frozen=True)
class Plane:
    """A projection of inputs [N, D], as the network reads them, to positions [N, 2] on two axes.

    Positions are `(inputs - origin) @ projection + offset`, with a `projection` [D, 2]; inputs in the plane
    are `origin + (positions - offset) @ embedding`, with an `embedding` [2, D].
    """

    names: tuple[str, str]
    short: tuple[str, str]
    """the names where there is little room"""
    origin: NDArray[np.float64]
    projection: NDArray[np.float64]
    embedding: NDArray[np.float64]
    offset: NDArray[np.float64]
    spread: float = np.inf
    """root mean square distance of the train rows from `origin` within the plane"""
    variance_share: float = 1.0
    """share of the variance of the train rows that lies within the plane"""
    note: str = ""
    """what the figure of rows in the plane says of it"""
    slice_note: str = ""
    """what the figure of a network in the plane says of it"""

    def project(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """The positions [N, 2] of inputs [N, D]."""
        return np.asarray((inputs - self.origin) @ self.projection + self.offset)

    def opacity(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """[N] from 1 for a row in the plane to FAINTEST for one far off it, as `spread` measures it."""
        distances = np.linalg.norm(inputs - self.unproject(self.project(inputs)), axis=1)
        return np.asarray(FAINTEST + (1 - FAINTEST) * np.exp(-0.5 * (distances / self.spread) ** 2))

    def unproject(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
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
    inputs = np.asarray(inputs, np.float64)
    origin = inputs.mean(axis=0)
    indices = [across, up]
    offset = origin[indices] * scales[indices] + means[indices]
    projection = np.zeros((len(names), 2))
    projection[indices, [0, 1]] = scales[indices]
    embedding = np.zeros((2, len(names)))
    embedding[[0, 1], indices] = 1 / scales[indices]
    shown = (style.name(names[across]), style.name(names[up]))
    plane = Plane(shown, shown, origin, projection, embedding, offset)
    if len(names) == 2:
        return plane
    spread = float(np.sqrt(np.square(inputs[:, indices] - origin[indices]).sum(axis=1).mean()))
    note = f"slice with the other {len(names) - 2} inputs at their mean over train; {OFF_THE_PLANE}"
    return replace(plane, spread=spread, slice_note=note)


def principal_plane(inputs: NDArray[Any]) -> Plane:
    """The plane through the mean of rows [N, D] in the two directions in which they vary most."""
    chosen = np.asarray(inputs[evenly(len(inputs), ROWS)], np.float64)
    origin = chosen.mean(axis=0)
    _, sizes, directions = np.linalg.svd(chosen - origin, full_matrices=False)
    directions = _two(directions, chosen.shape[1])
    total = float(np.square(sizes).sum()) or 1.0
    shares = [float(size) ** 2 / total for size in (*sizes[:2], 0.0, 0.0)][:2]
    names = [f"PC {k + 1} ({shares[k]:.0%} of the variance)" for k in range(2)]
    return Plane(
        (names[0], names[1]),
        ("PC 1", "PC 2"),
        origin,
        directions.T,
        directions,
        np.zeros(2),
        spread=float(np.sqrt(total * sum(shares) / len(chosen))),
        variance_share=sum(shares),
        note=f"plane of the first two principal components (PC) of {chosen.shape[1]} inputs",
        slice_note=f"slice through the mean in the plane of the first two principal components (PC) of "
        f"{chosen.shape[1]} inputs; {OFF_THE_PLANE}",
    )


def _two(directions: NDArray[Any], width: int) -> NDArray[np.float64]:
    """The first two directions, each with its largest component positive; any two where rows have fewer."""
    if len(directions) < 2:
        rest = np.eye(width) - directions.T @ directions
        directions = np.vstack([directions, np.linalg.svd(rest)[2][:1]])
    two = np.asarray(directions[:2], np.float64)
    largest = np.abs(two).argmax(axis=1)
    return two * np.sign(two[[0, 1], largest])[:, None]
