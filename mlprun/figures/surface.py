"""What a network says all over a plane, and how that is drawn under the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.figures import style
from mlprun.figures.points import NAMED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlprun.figures.plane import Plane
    from mlprun.figures.subject import Subject

GRID = 200
"""points of the grid on each side"""


@dataclass(frozen=True)
class Surface:
    """Outputs [GRID, GRID, K] of the network after `epoch` on a grid (rows go up), in the user's units."""

    epoch: int
    extent: tuple[float, float, float, float]
    """left, right, bottom, top: the first and last points of the grid"""
    outputs: NDArray[np.float64]
    threshold: float
    """with one output, class 1 lies above it"""

    @property
    def classes(self) -> NDArray[np.int64]:
        """[GRID, GRID] the class that the network chooses, of several outputs."""
        return np.asarray(self.outputs.argmax(axis=2), np.int64)

    def margin(self, index: int) -> NDArray[np.float64]:
        """[GRID, GRID] by how much a class's output lies above all others: 0 on the rim of its region."""
        others = np.delete(self.outputs, index, axis=2).max(axis=2)
        return np.asarray(self.outputs[:, :, index] - others, np.float64)


def compute_surface(subject: Subject, plane: Plane, limits: NDArray[np.float64], epoch: int) -> Surface:
    """The network's outputs on the grid between `limits`, [[left, right], [bottom, top]]."""
    (left, right), (bottom, top) = limits
    across, up = np.meshgrid(np.linspace(left, right, GRID), np.linspace(bottom, top, GRID))
    inputs = plane.inputs(np.column_stack([across.ravel(), up.ravel()]))
    said = subject.answers(epoch, inputs.astype(subject.rows("train").inputs.dtype))
    outputs = np.asarray(said.outputs, np.float64).reshape(GRID, GRID, -1)
    return Surface(epoch, (left, right, bottom, top), outputs, said.threshold)


def draw_surface(
    axes: Axes, surface: Surface, classes: tuple[str, ...] | None, levels: NDArray[np.float64]
) -> Any:
    """Regions of classes, or one output's surface with lines at `levels`; returns what a colour bar needs."""
    axes.grid(visible=False)
    if classes is not None and surface.outputs.shape[2] > 1:
        return _draw_regions(axes, surface, len(classes))
    values = surface.outputs[:, :, 0]
    image = _show(axes, surface, values, cmap=style.surface_colors(), vmin=levels[0], vmax=levels[-1])
    places = _places(surface)
    thin = (
        levels[1:-1] if classes is None else [level for level in levels[1:-1] if level != surface.threshold]
    )
    _contour(
        axes,
        places,
        values,
        thin,
        linewidths=0.6,
        colors="#555555",
        linestyles="-" if classes is None else ":",
    )
    if classes is not None:
        _contour(axes, places, values, [surface.threshold], linewidths=1.6, colors="black")
    return image


def _draw_regions(axes: Axes, surface: Surface, count: int) -> None:
    from matplotlib.colors import to_rgb

    palette = np.array([to_rgb(style.lighter(style.color_of(index, count), 0.62)) for index in range(count)])
    chosen = surface.classes
    _show(axes, surface, palette[chosen])
    places = _places(surface)
    for index in np.unique(chosen):
        _contour(axes, places, surface.margin(int(index)), [0.0], linewidths=0.9, colors="black")
        if count <= NAMED and (chosen == index).mean() > 0.01:
            _name_region(axes, surface, int(index))


def _name_region(axes: Axes, surface: Surface, index: int) -> None:
    """The class's marker, large and hollow, in its region: colours alone would not say whose it is."""
    inside = surface.classes == index
    # the place farthest from the region's rim, found by wearing the rim away
    while True:
        worn = inside.copy()
        worn[1:-1, 1:-1] &= inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        worn[[0, -1]] = worn[:, [0, -1]] = False
        if not worn.any():
            break
        inside = worn
    rows, columns = np.nonzero(inside)
    across, up = _places(surface)
    place = (across[columns[len(columns) // 2]], up[rows[len(rows) // 2]])
    look = {"facecolors": "white", "edgecolors": "black", "linewidths": 1.3, "alpha": 0.9, "zorder": 4}
    axes.scatter(*place, marker=style.marker_of(index), s=85, **look)  # type: ignore[arg-type]


def _show(axes: Axes, surface: Surface, values: NDArray[Any], **options: Any) -> Any:
    left, right, bottom, top = surface.extent
    across, up = (right - left) / (GRID - 1) / 2, (top - bottom) / (GRID - 1) / 2
    extent = (left - across, right + across, bottom - up, top + up)
    image = axes.imshow(
        values, origin="lower", extent=extent, aspect="auto", interpolation="nearest", zorder=0, **options
    )
    axes.set(xlim=(left, right), ylim=(bottom, top))
    return image


def _places(surface: Surface) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    left, right, bottom, top = surface.extent
    return np.linspace(left, right, GRID), np.linspace(bottom, top, GRID)


def _contour(
    axes: Axes,
    places: tuple[NDArray[np.float64], NDArray[np.float64]],
    values: NDArray[np.float64],
    levels: Any,
    **look: Any,
) -> None:
    """Contour lines at those levels that the surface crosses; matplotlib warns of the others."""
    crossed = [level for level in levels if values.min() < level < values.max()]
    if crossed:
        axes.contour(*places, values, levels=crossed, zorder=2, **look)
