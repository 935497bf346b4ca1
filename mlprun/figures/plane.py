"""A plane through input space: what two axes of a picture mean, and back.

Two inputs are the plane themselves. Of more, it is a chosen pair with all others at their mean over train, or
the plane through the mean of the two directions in which the train rows vary most. What a network says there
is a slice of all that it says: rows lie off such a plane, and a picture of the slice shows how far.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.errors import UsageError
from mlprun.figures import style
from mlprun.parts.part import suggestion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.experiment.preprocessing import Preprocessing
    from mlprun.figures.subject import Subject

ROWS = 10_000
"""train rows that the principal components are computed from, at most: evenly spread ones"""
FAINTEST = 0.15
"""opacity of a row far off the plane"""
OFF_THE_PLANE = "rows lie off it, the fainter the farther"


@dataclass(frozen=True)
class Plane:
    """Shown are `(inputs - origin) · reading + offset`, inputs are `origin + (shown - offset) · writing`.

    `reading` is [D, 2] and `writing` [2, D], between inputs as the network reads them and what the axes show.
    """

    names: tuple[str, str]
    short: tuple[str, str]
    """the names where there is little room"""
    origin: NDArray[np.float64]
    reading: NDArray[np.float64]
    writing: NDArray[np.float64]
    offset: NDArray[np.float64]
    near: float = np.inf
    """how far train rows lie from `origin` within the plane: the root of the mean square"""
    share: float = 1.0
    """of the variance of the train rows, what lies within the plane"""
    about: str = ""
    """what a reader must know of rows that are shown in it"""
    slice: str = ""
    """what a reader must know of a network that is asked in it"""

    def show(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """[N, D] inputs of the network to [N, 2] places in the picture."""
        return np.asarray((inputs - self.origin) @ self.reading + self.offset)

    def opacity(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """[N] from 1 for a row in the plane to FAINTEST for one far off it, as `near` measures it."""
        distances = np.linalg.norm(inputs - self.inputs(self.show(inputs)), axis=1)
        return np.asarray(FAINTEST + (1 - FAINTEST) * np.exp(-0.5 * (distances / self.near) ** 2))

    def inputs(self, shown: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N, 2] places in the picture to [N, D] inputs of the network."""
        return np.asarray(self.origin + (shown - self.offset) @ self.writing)


def plane_of(subject: Subject, features: tuple[str, str] | None) -> Plane:
    """The plane that a picture of this run's inputs is drawn in. Raises UsageError for unknown features."""
    names = subject.preprocessing.names
    if features is not None:
        places = [_find(name, names) for name in features]
        if places[0] == places[1]:
            raise UsageError("--features", f"{features[0]!r} is named twice", "name two different inputs")
        return _pair(subject, places[0], places[1])
    return _pair(subject, 0, 1) if len(names) == 2 else subject.principal


def input_units(preprocessing: Preprocessing) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and scale of every network input: `input * scale + mean` is in the user's units."""
    return preprocessing.input_units


def spread(rows: int, most: int) -> NDArray[np.int64]:
    """The indices of at most `most` of the rows, evenly spread."""
    if rows <= most:
        return np.arange(rows)
    return np.linspace(0, rows - 1, most).round().astype(np.int64)


def _find(name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        raise UsageError("--features", f"{name!r} is no input", suggestion(name, names[:30]))
    return names.index(name)


def _pair(subject: Subject, across: int, up: int) -> Plane:
    inputs = np.asarray(subject.rows("train").inputs, np.float64)
    names, (means, scales) = subject.preprocessing.names, input_units(subject.preprocessing)
    origin = inputs.mean(axis=0)
    places = [across, up]
    offset = origin[places] * scales[places] + means[places]
    reading = np.zeros((len(names), 2))
    reading[places, [0, 1]] = scales[places]
    writing = np.zeros((2, len(names)))
    writing[[0, 1], places] = 1 / scales[places]
    shown = (style.name(names[across]), style.name(names[up]))
    plane = Plane(shown, shown, origin, reading, writing, offset)
    if len(names) == 2:
        return plane
    near = float(np.sqrt(np.square(inputs[:, places] - origin[places]).sum(axis=1).mean()))
    about = f"slice with the other {len(names) - 2} inputs at their mean over train; {OFF_THE_PLANE}"
    return replace(plane, near=near, slice=about)


def principal(inputs: NDArray[Any]) -> Plane:
    """The plane through the mean of rows [N, D] in the two directions in which they vary most."""
    chosen = np.asarray(inputs[spread(len(inputs), ROWS)], np.float64)
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
        near=float(np.sqrt(total * sum(shares) / len(chosen))),
        share=sum(shares),
        about=f"plane of the first two principal components (PC) of {chosen.shape[1]} inputs",
        slice=f"slice through the mean in the plane of the first two principal components (PC) of "
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
