"""Weight matrices before and after training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.plane import spread
from mlprun.figures.plot import NetworkPlot, kinds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.figures.subject import Subject

MATRICES = 12
DENSITY = 3000
"""weights that a violin's outline is computed from, at most: evenly spread ones of the sorted weights"""
DOTS = 120
"""a matrix with at most so many weights shows each as a dot"""


@dataclass(frozen=True)
class Weights:
    """The weights [P] of each matrix, before and after, by its name."""

    title: str
    details: tuple[str, ...]
    epochs: tuple[int, int]
    matrices: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]


@kinds.register
class WeightViolins(NetworkPlot):
    """The distribution of the weights of each matrix before training and after, as violins."""

    needs_data: ClassVar[bool] = False

    name: Literal["weights"] = "weights"

    def refuses(self, subject: Subject) -> str | None:
        return refuses_weights(subject, self.moment(subject))

    def compute(self, subject: Subject) -> Weights:
        return weights(subject, min(subject.networks), self.moment(subject), "Weights")

    def draw(self, values: Weights) -> Figure:
        from matplotlib.patches import Patch

        from mlprun.figures import canvas

        figure = canvas.picture(height=3.9)
        axes = figure.subplots()
        for place, pair in enumerate(values.matrices.values()):
            for side, (numbers, color, hatch) in enumerate(
                zip(pair, (style.SKY, style.ORANGE), ("", "/////"), strict=True)
            ):
                _draw_violin(axes, numbers, place, side, color, hatch)
        axes.axhline(0, color=style.GREY, linewidth=0.8, zorder=1)
        names = [f"{style.name(name)}\n{len(pair[0]):,} weights" for name, pair in values.matrices.items()]
        axes.set_xticks(range(len(names)), names, fontsize=style.SIZE - (1 if len(names) <= 4 else 3))
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("weight matrix")
        axes.set_ylabel("weight")
        canvas.entitle(figure, values.title, *values.details, "white dots are medians, thick bars quartiles")
        before, after = (f"epoch {epoch:,}" for epoch in values.epochs)
        handles = {
            f"{before} (left)": Patch(facecolor=style.SKY, edgecolor="black"),
            f"{after} (right)": Patch(facecolor=style.ORANGE, edgecolor="black", hatch="/////"),
        }
        canvas.show_legend(figure, handles)
        return figure


def refuses_weights(subject: Subject, moment: int) -> str | None:
    """Why there is nothing to compare."""
    if moment == min(subject.networks):
        return "the network drawn is that of epoch 0"
    return None if next(iter(subject.networks.values())).weights() else "the network has no weight matrix"


def weights(subject: Subject, before: int, after: int, what: str) -> Weights:
    """The weight matrices and embeddings of two epochs."""
    networks = [subject.networks[before], subject.networks[after]]
    wanted = {id(matrix) for matrix in networks[0].weights()}
    names = [name for name, parameter in networks[0].named_parameters() if id(parameter) in wanted]
    values = [dict(network.named_parameters()) for network in networks]
    matrices = {name: tuple(_flat(every[name]) for every in values) for name in names[:MATRICES]}
    fewer = f"the first {MATRICES} of {len(names)} matrices" if len(names) > MATRICES else ""
    details = "; ".join(part for part in (f"epoch {before:,} and {subject.call(after)}", fewer) if part)
    return Weights(f"{what} of {subject.name}", (details,), (before, after), matrices)  # type: ignore[arg-type]


def _flat(parameter: Any) -> NDArray[np.float64]:
    return np.asarray(parameter.detach().numpy(), np.float64).ravel()


def _draw_violin(
    axes: Axes, numbers: NDArray[np.float64], place: int, side: int, color: str, hatch: str
) -> None:
    """Half a violin on its side of `place`, with the quartiles, and single weights where they are few."""
    finite = np.sort(numbers[np.isfinite(numbers)])
    if not len(finite):
        return
    sign = 1 if side else -1
    if finite[0] < finite[-1]:
        chosen = finite[spread(len(finite), DENSITY)]
        body = axes.violinplot(
            [chosen], [place], widths=0.86, showextrema=False, side="high" if side else "low", points=120
        )["bodies"]
        for half in body:  # type: ignore[attr-defined]
            half.set(facecolor=color, edgecolor="black", linewidth=0.8, alpha=0.85, hatch=hatch)
    else:
        axes.plot([place, place + sign * 0.4], [finite[0]] * 2, color=color, linewidth=2.5)
    low, middle, high = np.quantile(finite, [0.25, 0.5, 0.75])
    axes.plot(
        [place + sign * 0.03] * 2, [low, high], color="black", linewidth=2.2, solid_capstyle="butt", zorder=4
    )
    axes.plot(
        [place + sign * 0.03],
        [middle],
        color="white",
        marker="o",
        markersize=3.2,
        markeredgecolor="black",
        zorder=5,
    )
    if len(finite) <= DOTS:
        axes.scatter(
            np.full(len(finite), place + sign * 0.1),
            finite,
            s=7,
            color="black",
            linewidths=0,
            alpha=0.7,
            zorder=3,
        )
