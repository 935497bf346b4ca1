"""Weight matrices before and after training: their distributions, and every weight as a point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlprun.errors import UsageError
from mlprun.figures import chart, style
from mlprun.figures.chart import Array, Axis, Band, Chart, Line, Mark, Panel, Points
from mlprun.figures.figure import NetworkFigure, RunFigure, run_figures
from mlprun.parts.part import NonNegativeInt

if TYPE_CHECKING:
    from mlprun.figures.run_data import RunData

MATRICES = 12
DENSITY_WEIGHTS = 3000
"""weights that a violin's outline is computed from, at most: evenly spread ones of the sorted weights"""
DENSITY_POINTS = 120
DOTS = 50
"""weights that are dots; more are violins"""
POINTS = 5000
HALF_WIDTH = 0.43


def weights_of(data: RunData, *epochs: int) -> dict[str, list[Array]]:
    """The weights [P] of the first matrices and embeddings by name, after each of the epochs."""
    models = [data.models[epoch] for epoch in epochs]
    return {name: [_flat(one[name]) for one in models] for name in _matrices(data)[:MATRICES]}


def _matrices(data: RunData) -> list[str]:
    """The names of weight matrices and embeddings in the order of layers."""
    tensors = data.trained.alone.tensors()
    return [name for name, (_, shape) in tensors.items() if name.endswith("weight") and len(shape) == 2]


def short_name(parameter: str) -> str:
    """A weight matrix as axes call it: its layer."""
    return style.name(parameter.removesuffix(".weight"), 18)


def _flat(parameter: Any) -> Array:
    return np.asarray(parameter, np.float64).ravel()


def _details(data: RunData, before: int, after: int) -> tuple[str, ...]:
    count = len(_matrices(data))
    fewer = f"the first {MATRICES} of {count} matrices" if count > MATRICES else ""
    return chart.joined(f"epoch {before:,} and {data.describe(after)}", fewer)


def _unchanged_reason(data: RunData, epoch: int) -> str | None:
    if epoch == min(data.models):
        return "the network drawn is that of epoch 0"
    return None if _matrices(data) else "the network has no weight matrix"


@run_figures.register
class WeightViolins(NetworkFigure):
    """The weights of each matrix before training and after: dots, or violins of 50 and more."""

    needs_data = False

    name: Literal["weights"] = "weights"

    def check(self, data: RunData) -> str | None:
        return _unchanged_reason(data, self.epoch_of(data))

    def compute(self, data: RunData) -> Chart:
        before, after = min(data.models), self.epoch_of(data)
        weights = weights_of(data, before, after)
        looks = (f"epoch {before:,}", style.GREY), (data.describe(after), style.BLUE)
        marks: list[Mark] = [chart.horizontal(0, width=0.8, dashes=())]
        for position, pair in enumerate(weights.values()):
            for sign, values, look in zip((-1, 1), pair, looks, strict=True):
                marks += _side(values, position, sign, *look)
        count = len(weights)
        names = tuple(f"{short_name(name)}\n{len(pair[0]):,} weights" for name, pair in weights.items())
        x = Axis("weight matrix", "category", (-0.6, count - 0.4), tuple(range(count)), names)
        return Chart(
            f"Weights: {data.name}", _details(data, before, after), (Panel(tuple(marks), x, Axis("weight")),)
        )


def _side(values: Array, position: int, sign: int, label: str, color: str) -> list[Mark]:
    """The weights on one side of `position` as dots, or as half a violin with its quartiles."""
    finite = np.sort(values[np.isfinite(values)])
    if not len(finite):
        return []
    if len(finite) < DOTS:
        x = position + sign * (0.2 + 0.22 * chart.jitter(len(finite)))
        dots = Points(x, finite, label, color, size=16, opacity=0.9)
        ends, median = position + sign * np.array([0.06, 0.34]), float(np.median(finite))
        return [dots, Line(ends, np.repeat(median, 2), color=style.BLACK, width=1.2)]
    if finite[0] < finite[-1]:
        from scipy.stats import gaussian_kde

        grid = np.linspace(finite[0], finite[-1], DENSITY_POINTS)
        density = gaussian_kde(finite[chart.evenly_spaced(len(finite), DENSITY_WEIGHTS)])(grid)
        rim = position + sign * HALF_WIDTH * density / density.max()
        fill = style.lighter(color, 0.35)
        marks: list[Mark] = [Band(grid, np.full(len(grid), float(position)), rim, label, fill, along="y")]
    else:
        ends = np.array([position, position + sign * HALF_WIDTH])
        marks = [Line(ends, np.repeat(finite[0], 2), label, color, width=2.5)]
    low, median, high = np.quantile(finite, [0.25, 0.5, 0.75])[:, None]
    x = np.array([position + sign * 0.03])
    return [
        *marks,
        chart.intervals(x, low, high, width=2.2),
        Points(x, median, color=style.WHITE, size=10, edge=style.BLACK),
    ]


@run_figures.register
class WeightChanges(RunFigure):
    """Each weight after training (or some epochs) against itself before; unchanged ones on the diagonal."""

    needs_data = False
    is_default = False

    name: Literal["weight_changes"] = "weight_changes"
    epochs: tuple[NonNegativeInt, NonNegativeInt] | None = Field(
        None, description="two epochs of which the networks were kept; by default 0 and the best"
    )

    def check(self, data: RunData) -> str | None:
        return _unchanged_reason(data, data.best_or_last if self.epochs is None else self.epochs[1])

    def compute(self, data: RunData) -> Chart:
        before, after = self.epochs or (min(data.models), data.best_or_last)
        for epoch in (before, after):
            if epoch not in data.models:
                kept = ", ".join(map(str, list(data.models)[:20]))
                raise UsageError(
                    "--epochs",
                    f"no network was kept of epoch {epoch}",
                    f"there are {kept}; `snapshots:` keeps others",
                )
        x, y = f"weight at epoch {before:,}", f"weight at epoch {after:,}"
        panels = []
        for name, (first, second) in weights_of(data, before, after).items():
            low, high = min(first.min(), second.min()), max(first.max(), second.max())
            room = 0.1 * (high - low) or 0.1
            limits = float(low - room), float(high + room)
            ticks = tuple(style.round_ticks(*limits, 4))
            chosen = chart.evenly_spaced(len(first), POINTS)
            size = float(np.clip(2000 / len(chosen), 4, 26))
            points = Points(first[chosen], second[chosen], color=style.BLUE, size=size, opacity=0.8)
            fewer = f", {len(chosen):,} shown" if len(chosen) < len(first) else ""
            panels.append(
                Panel(
                    (chart.diagonal(*limits, ""), points),
                    Axis(x, limits=limits, ticks=ticks),
                    Axis(y, limits=limits, ticks=ticks),
                    f"{short_name(name)} ({len(first):,}{fewer})",
                    aspect="equal",
                )
            )
        details = (*_details(data, before, after), "unchanged weights lie on the dashed line")
        return chart.grid_of(f"Changes of weights: {data.name}", details, panels, height=2.1, alone=4.4)
