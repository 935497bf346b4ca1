"""The loss over two directions from the trained weights, and the way that training took through it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlprun.engines.device import compute_context
from mlprun.figures import chart, style
from mlprun.figures.chart import Array, Axis, Chart, ColorScale, Line, Mark, Panel, Points, Region, Text
from mlprun.figures.figure import NetworkFigure, run_figures
from mlprun.figures.regions import cells
from mlprun.parts.part import NonNegativeInt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlprun.figures.run_data import RunData

    Model = Mapping[str, Any]

Ends = tuple[tuple[float, float], tuple[float, float]]
"""(left, right) and (bottom, top)"""
LINE, TITLES = "#555555", ("random directions", "path of training")
GRID = 31
ROWS = 2000
"""train rows that the loss is of, at most: evenly spread ones"""
LARGEST = 100_000
"""parameters of a network whose surface is computed, at most"""
ROOM = 0.35
"""what is shown around the way of training, in its own size"""
LEVELS = 9


@run_figures.register
class LossLandscape(NetworkFigure):
    """The train loss over two random directions of weight space and over the plane of the training's path.

    Random directions are filter-normalised: what leads into a unit is as long as the unit's weights, so that
    surfaces of different networks can be compared; biases stay. The second plane goes through the last
    network in the two principal directions of the kept ones; the path is projected onto it.
    Source: Li et al. (2018), arxiv.org/abs/1712.09913
    """

    is_default = False

    name: Literal["landscape"] = "landscape"
    seed: NonNegativeInt = Field(0, description="seed of the random directions")

    def check(self, data: RunData) -> str | None:
        count = sum(np.size(array) for array in data.models[data.last].values())
        return f"{count:,} parameters are too many for a surface" if count > LARGEST else None

    def compute(self, data: RunData) -> Chart:
        epoch, loss = self.epoch_of(data), train_loss(data)
        model = data.models[epoch]
        draw = np.random.default_rng(self.seed)
        pair = [filter_normalized(model, draw) for _ in range(2)]
        ends = ((-1.0, 1.0), (-1.0, 1.0))
        middle = Points(np.zeros(1), np.zeros(1), color=style.WHITE, edge=style.BLACK, marker="*", size=90)
        planes: list[tuple[Array, Ends, list[str], tuple[Mark, ...]]]
        planes = [(surface(loss, model, pair, ends), ends, ["direction 1", "direction 2"], (middle,))]
        if len(data.snapshots) > 2:
            path = Path(data.snapshots)
            names = [f"PC {k + 1} ({share:.0%})" for k, share in enumerate(path.shares)]
            values = surface(loss, path.models[-1], path.directions, path.ends)
            planes.append((values, path.ends, names, path.marks))
        surfaces = [one[0] for one in planes]
        known = np.concatenate([one[np.isfinite(one)] for one in surfaces])
        low, high = float(known.min()), float(np.quantile(known, 0.95))
        is_log = low > 0 and high > low
        levels = tuple(np.geomspace(low, high, LEVELS)[1:] if is_log else np.linspace(low, high, LEVELS)[1:])
        labels = tuple(style.number(float(f"{level:.2g}")) for level in levels)
        colors = ColorScale("train loss", low, high if high > low else low + 1, is_log, palette="surface")
        panels = []
        for (values, (across, up), names, marks), title in zip(planes, TITLES, strict=False):
            extent, x, y = (*across, *up), Axis(names[0], limits=across), Axis(names[1], limits=up)
            lines = Region(np.nan_to_num(values, nan=high), extent, levels, LINE, width=0.6, labels=labels)
            panels.append(Panel((cells(values, extent), lines, *marks), x, y, title))
        rows = len(data.rows("train"))
        details = chart.joined(
            f"around {data.describe(epoch)} (star), filter-normalised",
            f"{ROWS:,} of {rows:,} train rows" if rows > ROWS else "",
        )
        title = f"Loss landscape: {data.name}"
        return chart.grid_of(title, details, panels, height=2.5, alone=4.4, colors=colors)


class Path:
    """Networks of a run in the plane through the last that holds most of their differences from it."""

    def __init__(self, models: Mapping[int, Model]) -> None:
        self.epochs, self.models = list(models), list(models.values())
        last = self.models[-1]
        names = [name for name, array in last.items() if np.issubdtype(array.dtype, np.floating)]
        flat = np.array(
            [np.concatenate([np.ravel(one[name]) for name in names]) for one in self.models], float
        )
        apart = flat - flat[-1]
        _, sizes, axes = np.linalg.svd(apart, full_matrices=False)
        axes = axes[:2] * np.where(apart[0] @ axes[:2].T < 0, -1.0, 1.0)[:, None]
        self.shares = np.square(sizes[:2]) / (np.square(sizes).sum() or 1.0)
        self.places = apart @ axes.T
        parts = np.cumsum([np.size(last[name]) for name in names])[:-1]
        self.directions = [
            {
                name: part.reshape(last[name].shape)
                for name, part in zip(names, np.split(axis, parts), strict=True)
            }
            for axis in axes
        ]

    @property
    def ends(self) -> Ends:
        """(left, right) and (bottom, top) around the path."""
        low, high = self.places.min(axis=0), self.places.max(axis=0)
        room = np.maximum((high - low) * ROOM, 0.3 * float(np.ptp(self.places, axis=0).max()) or 1.0)
        (left, bottom), (right, top) = (low - room).tolist(), (high + room).tolist()
        return (left, right), (bottom, top)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The path with its networks, and the epochs of the first and the last."""
        x, y = self.places.T
        text = Text(
            x[[0, -1]], y[[0, -1]], (f"epoch {self.epochs[0]:,}", f"{self.epochs[-1]:,}"), offset=(5, 4)
        )
        return Line(x, y, width=1.2), Points(x, y, color=style.VERMILLION, size=16), text


def train_loss(data: RunData) -> Callable[[Model], float]:
    """The loss on train rows of any weights, computed by the engine that trained the run."""
    trained, rows = data.trained, data.rows("train")
    few = replace(rows.take(chart.evenly_spaced(len(rows), ROWS)), extra=())
    experiment = replace(trained.alone, config=trained.config.model_copy(update={"metrics": ()}))

    def loss(model: Model) -> float:
        return float(
            trained.engine.evaluate(experiment, model, {"train": few}, device="cpu")["train"]["loss"]
        )

    return loss


def filter_normalized(model: Model, draw: np.random.Generator) -> dict[str, Array]:
    """A random direction [as the parameter] whose every row is as long as the parameter's; matrices only."""
    found = {}
    for name, array in model.items():
        if np.ndim(array) == 2:
            direction = draw.normal(size=array.shape)
            lengths = np.linalg.norm(direction, axis=1, keepdims=True)
            found[name] = direction / lengths * np.linalg.norm(array, axis=1, keepdims=True)
    return found


def surface(
    loss: Callable[[Model], float], model: Model, directions: list[dict[str, Array]], ends: Ends
) -> Array:
    """[GRID, GRID] losses of the model moved along two directions; nan where it is not a finite number."""
    xs, ys = (np.linspace(*side, GRID) for side in ends)
    values = np.empty((GRID, GRID))
    with compute_context(1, "cpu"), np.errstate(all="ignore"):
        for (row, column), _ in np.ndenumerate(values):
            shifts = (xs[column], directions[0]), (ys[row], directions[1])
            moved = {
                name: (array + sum(step * one[name] for step, one in shifts)).astype(array.dtype)
                if name in directions[0]
                else array
                for name, array in model.items()
            }
            values[row, column] = loss(moved)
    return np.where(chart.is_drawable(values), values, np.nan)
