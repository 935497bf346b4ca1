"""Weight matrices before and after training: their distributions, and every weight as a point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlprun.errors import UsageError
from mlprun.figures import chart, style
from mlprun.figures.chart import Axis, Band, Chart, Interval, Line, Mark, Panel, Points
from mlprun.figures.figure import NetworkFigure, RunFigure, run_figures
from mlprun.parts.part import NonNegativeInt

if TYPE_CHECKING:
    from mlprun.figures.chart import Array
    from mlprun.figures.run_data import RunData

MATRICES = 12
DENSITY_WEIGHTS = 3000
"""weights that a violin's outline is computed from, at most: evenly spread ones of the sorted weights"""
DENSITY_POINTS = 120
DOTS = 120
"""a matrix with at most so many weights shows each as a dot"""
POINTS = 5000
HALF_WIDTH = 0.43


def weights_of(data: RunData, *epochs: int) -> dict[str, list[Array]]:
    """The weights [P] of the first matrices and embeddings by name, after each of the epochs."""
    networks = [data.networks[epoch] for epoch in epochs]
    wanted = {id(matrix) for matrix in networks[0].weights()}
    names = [name for name, parameter in networks[0].named_parameters() if id(parameter) in wanted]
    values = [dict(network.named_parameters()) for network in networks]
    return {name: [_flat(one[name]) for one in values] for name in names[:MATRICES]}


def _flat(parameter: Any) -> Array:
    return np.asarray(parameter.detach().numpy(), np.float64).ravel()


def _details(data: RunData, before: int, after: int) -> tuple[str, ...]:
    count = len(data.networks[before].weights())
    fewer = f"the first {MATRICES} of {count} matrices" if count > MATRICES else ""
    return chart.joined(f"epoch {before:,} and {data.describe(after)}", fewer)


def _unchanged_reason(data: RunData, epoch: int) -> str | None:
    if epoch == min(data.models):
        return "the network drawn is that of epoch 0"
    return None if next(iter(data.networks.values())).weights() else "the network has no weight matrix"


@run_figures.register
class WeightViolins(NetworkFigure):
    """The distribution of the weights of each matrix before training and after, as violins."""

    needs_data = False

    name: Literal["weights"] = "weights"

    def check(self, data: RunData) -> str | None:
        return _unchanged_reason(data, self.epoch_of(data))

    def compute(self, data: RunData) -> Chart:
        before, after = min(data.models), self.epoch_of(data)
        weights = weights_of(data, before, after)
        looks = (f"epoch {before:,} (left)", style.SKY), (f"epoch {after:,} (right)", style.ORANGE)
        marks: list[Mark] = [chart.horizontal(0, width=0.8, dashes=())]
        for position, pair in enumerate(weights.values()):
            for sign, values, look in zip((-1, 1), pair, looks, strict=True):
                marks += _violin(values, position, sign, *look)
        count = len(weights)
        names = tuple(f"{style.name(name)}\n{len(pair[0]):,} weights" for name, pair in weights.items())
        x = Axis("weight matrix", "category", (-0.6, count - 0.4), tuple(range(count)), names)
        details = (*_details(data, before, after), "white dots are medians, thick bars quartiles")
        return Chart(f"Weights of {data.name}", details, (Panel(tuple(marks), x, Axis("weight")),))


def _violin(values: Array, position: int, sign: int, label: str, color: str) -> list[Mark]:
    """Half a violin on its side of `position`, with the quartiles, and single weights where they are few."""
    finite = np.sort(values[np.isfinite(values)])
    if not len(finite):
        return []
    if finite[0] < finite[-1]:
        from scipy.stats import gaussian_kde

        grid = np.linspace(finite[0], finite[-1], DENSITY_POINTS)
        density = gaussian_kde(finite[chart.evenly_spaced(len(finite), DENSITY_WEIGHTS)])(grid)
        rim = position + sign * HALF_WIDTH * density / density.max()
        marks: list[Mark] = [Band(grid, np.full(len(grid), float(position)), rim, label, color, along="y")]
    else:
        ends = np.array([position, position + sign * HALF_WIDTH])
        marks = [Line(ends, np.repeat(finite[0], 2), label, color, width=2.5)]
    if len(finite) <= DOTS:
        marks.append(Points(np.full(len(finite), position + sign * 0.1), finite, size=7, opacity=0.7))
    low, median, high = np.quantile(finite, [0.25, 0.5, 0.75])[:, None]
    x = np.array([position + sign * 0.03])
    marks.append(Interval(x, low, high, width=2.2))
    marks.append(Points(x, median, color=style.WHITE, size=10, edge=style.BLACK))
    return marks


@run_figures.register
class WeightChanges(RunFigure):
    """Each weight after training (or some epochs) against itself before; unchanged ones on the diagonal."""

    needs_data = False

    name: Literal["weight_changes"] = "weight_changes"
    epochs: tuple[NonNegativeInt, NonNegativeInt] | None = Field(
        None, description="two epochs of which the networks were kept; by default 0 and the best"
    )

    def check(self, data: RunData) -> str | None:
        return _unchanged_reason(data, data.best_or_last if self.epochs is None else self.epochs[1])

    def compute(self, data: RunData) -> Chart:
        before, after = self.epochs or (min(data.models), data.best_or_last)
        for epoch in (before, after):
            if epoch not in data.networks:
                kept = ", ".join(map(str, list(data.networks)[:20]))
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
            chosen = chart.evenly_spaced(len(first), POINTS)
            size = float(np.clip(2000 / len(chosen), 4, 26))
            points = Points(first[chosen], second[chosen], color=style.BLUE, size=size, opacity=0.8)
            fewer = f", {len(chosen):,} shown" if len(chosen) < len(first) else ""
            panels.append(
                Panel(
                    (chart.diagonal(*limits, "unchanged"), points),
                    Axis(x, limits=limits),
                    Axis(y, limits=limits),
                    f"{style.name(name)} ({len(first):,}{fewer})",
                    aspect="equal",
                )
            )
        title = f"Changes of weights of {data.name}"
        return chart.grid_of(title, _details(data, before, after), panels, alone=4.6)
