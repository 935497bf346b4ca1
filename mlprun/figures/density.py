"""Many points as hexagons, each with the number of points in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlprun.figures.chart import Array

ACROSS = 40
"""hexagons beside one another"""


class Hexagons(NamedTuple):
    """The hexagons of a tiling with any points in them."""

    corners: Array
    """[C, 6, 2]"""
    counts: NDArray[np.int64]
    """[C] points in each"""
    cells: NDArray[np.int64]
    """[N] the hexagon of each point"""


def hexagons(points: Array, ends: Sequence[tuple[float, float]], across: int = ACROSS) -> Hexagons:
    """Points [N, 2] in hexagons that are regular where (left, right) and (bottom, top) are of one length.

    The middles are two grids of rectangles, one shifted by half a cell; a point belongs to the nearest.
    Source: Carr et al. (1987), doi.org/10.1080/01621459.1987.10478445
    """
    low = np.array([side[0] for side in ends])
    cell = np.array([(right - left) for left, right in ends]) / (across, across / np.sqrt(3))
    places = (points - low) / cell
    one, other = np.rint(places), np.floor(places) + 0.5
    metric = np.array([1.0, 3.0])  # cells are sqrt(3) times as high as wide
    is_other = (metric * (places - other) ** 2).sum(axis=1) < (metric * (places - one) ** 2).sum(axis=1)
    middles = np.where(is_other[:, None], other, one)
    kept, cells, counts = np.unique(middles, axis=0, return_inverse=True, return_counts=True)
    corners = np.array([(0, 1 / 3), (0.5, 1 / 6), (0.5, -1 / 6), (0, -1 / 3), (-0.5, -1 / 6), (-0.5, 1 / 6)])
    return Hexagons((kept[:, None] + corners) * cell + low, counts, cells.ravel())
