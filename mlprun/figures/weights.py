"""Weight matrices before and after training: their distributions, and every weight as a point."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun.errors import UsageError
from mlprun.figures import style
from mlprun.figures.chart import (
    Axis,
    Band,
    Chart,
    Interval,
    Line,
    Mark,
    Panel,
    Points,
    evenly,
    grid_of,
    horizontal,
    joined,
)
from mlprun.figures.figure import NetworkFigure, RunFigure, run_figures
from mlprun.parts.part import NonNegativeInt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.figures.run_data import RunData

MATRICES = 12
DENSITY_WEIGHTS = 3000
"""weights that a violin's outline is computed from, at most: evenly spread ones of the sorted weights"""
DENSITY_POINTS = 120
DOTS = 120
"""a matrix with at most so many weights shows each as a dot"""
POINTS = 5000
HALF_WIDTH = 0.43


@dataclass(frozen=True)
class Weights:
    """The weights [P] of each matrix before and after, by its name."""

    epochs: tuple[int, int]
    matrices: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    details: tuple[str, ...]

    @classmethod
    def of(cls, data: RunData, before: int, after: int) -> Weights:
        """The weight matrices and embeddings of two epochs."""
        first, second = data.networks[before], data.networks[after]
        wanted = {id(matrix) for matrix in first.weights()}
        names = [name for name, parameter in first.named_parameters() if id(parameter) in wanted]
        values = [dict(network.named_parameters()) for network in (first, second)]
        matrices = {name: (_flat(values[0][name]), _flat(values[1][name])) for name in names[:MATRICES]}
        fewer = f"the first {MATRICES} of {len(names)} matrices" if len(names) > MATRICES else ""
        return cls((before, after), matrices, joined(f"epoch {before:,} and {data.describe(after)}", fewer))


def _flat(parameter: Any) -> NDArray[np.float64]:
    return np.asarray(parameter.detach().numpy(), np.float64).ravel()


def _unchanged_reason(data: RunData, epoch: int) -> str | None:
    if epoch == min(data.networks):
        return "the network drawn is that of epoch 0"
    return None if next(iter(data.networks.values())).weights() else "the network has no weight matrix"


@run_figures.register
class WeightViolins(NetworkFigure):
    """The distribution of the weights of each matrix before training and after, as violins."""

    needs_data: ClassVar[bool] = False

    name: Literal["weights"] = "weights"

    def check(self, data: RunData) -> str | None:
        return _unchanged_reason(data, self.epoch_of(data))

    def compute(self, data: RunData) -> Chart:
        weights = Weights.of(data, min(data.networks), self.epoch_of(data))
        before, after = weights.epochs
        looks = (
            (f"epoch {before:,} (left)", style.SKY, ""),
            (f"epoch {after:,} (right)", style.ORANGE, "/////"),
        )
        marks: list[Mark] = [horizontal(0, width=0.8, dashes=())]
        for position, pair in enumerate(weights.matrices.values()):
            for sign, values, look in zip((-1, 1), pair, looks, strict=True):
                marks += _violin(values, position, sign, *look)
        count = len(weights.matrices)
        names = tuple(
            f"{style.name(name)}\n{len(pair[0]):,} weights" for name, pair in weights.matrices.items()
        )
        x = Axis(
            "weight matrix", "category", (-0.6, count - 0.4), tuple(range(count)), names,
            style.SIZE - (1 if count <= 4 else 3),
        )  # fmt: skip
        panel = Panel(tuple(marks), x, Axis("weight"), grid="y")
        details = (*weights.details, "white dots are medians, thick bars quartiles")
        return Chart(f"Weights of {data.name}", details, (panel,))


def _violin(
    values: NDArray[np.float64], position: int, sign: int, label: str, color: str, hatch: str
) -> list[Mark]:
    """Half a violin on its side of `position`, with the quartiles, and single weights where they are few."""
    finite = np.sort(values[np.isfinite(values)])
    if not len(finite):
        return []
    marks: list[Mark] = []
    if finite[0] < finite[-1]:
        grid, density = _density(finite[evenly(len(finite), DENSITY_WEIGHTS)])
        sides = [np.full(len(grid), float(position)), position + sign * HALF_WIDTH * density / density.max()]
        low, high = sides[::sign]
        marks.append(
            Band(
                grid, low, high, label, color, 0.85, edge=style.BLACK, edge_width=0.8, hatch=hatch, along="y"
            )
        )
    else:
        ends = np.array([position, position + sign * 0.4])
        marks.append(Line(ends, np.repeat(finite[0], 2), label, color, width=2.5))
    low, median, high = np.quantile(finite, [0.25, 0.5, 0.75])[:, None]
    x = np.array([position + sign * 0.03])
    if len(finite) <= DOTS:
        marks.append(Points(np.full(len(finite), position + sign * 0.1), finite, size=7, opacity=0.7))
    marks.append(Interval(x, low, high, width=2.2))
    marks.append(Points(x, median, color=style.WHITE, size=10, edge=style.BLACK, edge_width=1.0))
    return marks


def _density(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A Gaussian kernel density with Scott's bandwidth, between the smallest and the largest value."""
    grid = np.linspace(values[0], values[-1], DENSITY_POINTS)
    bandwidth = float(np.std(values, ddof=1)) * len(values) ** -0.2
    return grid, np.exp(-0.5 * ((grid[:, None] - values) / bandwidth) ** 2).sum(axis=1)


@run_figures.register
class WeightChanges(RunFigure):
    """Each weight after training (or some epochs) against itself before; unchanged ones on the diagonal."""

    needs_data: ClassVar[bool] = False

    name: Literal["weight_changes"] = "weight_changes"
    epochs: tuple[NonNegativeInt, NonNegativeInt] | None = Field(
        None, description="two epochs of which the networks were kept; by default 0 and the best"
    )

    def check(self, data: RunData) -> str | None:
        return _unchanged_reason(data, data.best_or_last if self.epochs is None else self.epochs[1])

    def compute(self, data: RunData) -> Chart:
        before, after = self.epochs or (min(data.networks), data.best_or_last)
        for epoch in (before, after):
            if epoch not in data.networks:
                kept = ", ".join(map(str, list(data.networks)[:20]))
                raise UsageError(
                    "--epochs",
                    f"no network was kept of epoch {epoch}",
                    f"there are {kept}; `snapshots:` keeps others",
                )
        weights = Weights.of(data, before, after)
        x, y = (Axis(f"weight at epoch {epoch:,}") for epoch in (before, after))
        panels = [
            _change_panel(name, pair, index, x, y)
            for index, (name, pair) in enumerate(weights.matrices.items())
        ]
        is_wide = len(panels) in (2, 4)
        return grid_of(
            f"Changes of weights of {data.name}", weights.details, panels, columns=2 if is_wide else 3,
            height=3.0 if is_wide else 2.3, alone=4.6, heading=0.8,
        )  # fmt: skip


def _change_panel(
    name: str, pair: tuple[NDArray[np.float64], NDArray[np.float64]], index: int, x: Axis, y: Axis
) -> Panel:
    before, after = pair
    chosen = evenly(len(before), POINTS)
    x, y = (replace(axis, limits=_limits(values)) for axis, values in ((x, before), (y, after)))
    ends = np.array([min(before.min(), after.min()) - 1, max(before.max(), after.max()) + 1])
    diagonal = Line(ends, ends, "unchanged", **style.GUIDE)
    points = Points(
        before[chosen], after[chosen], color=style.COLORS[index % 3], marker=style.MARKERS[index % 3],
        size=float(np.clip(2000 / len(chosen), 4, 26)), opacity=0.8,
    )  # fmt: skip
    fewer = f", {len(chosen):,} shown" if len(chosen) < len(before) else ""
    title = f"{style.name(name)} ({len(before):,}{fewer})"
    return Panel((diagonal, points), x, y, title, aspect="square")


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """The smallest and the largest value with a margin of a tenth."""
    low, high = float(values.min()), float(values.max())
    room = (high - low) * 0.1 or 0.1
    return low - room, high + room
