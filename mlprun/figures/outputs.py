"""Every output of every row at chosen epochs: how classes part, how predictions find their targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import style
from mlprun.figures.frames import chosen_epochs
from mlprun.figures.panels import Panels, head
from mlprun.figures.plane import spread
from mlprun.figures.plot import Plot, kinds
from mlprun.figures.points import NAMED, class_label
from mlprun.parts import SplitName

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.figures.subject import Subject

PANELS = 12
ROWS = 200
"""rows drawn, at most"""


@dataclass(frozen=True)
class Outputs:
    """Outputs [N, K] by epoch, rows sorted by class (or true number), with their truth [N] or [N, K]."""

    title: str
    details: tuple[str, ...]
    axis: str
    outputs: dict[int, NDArray[np.float64]]
    truth: NDArray[Any]
    classes: tuple[str, ...] | None
    threshold: float
    names: tuple[str, ...]


@kinds.register
class OutputBars(Plot):
    """A bar for every output at epoch 0, those of `snapshots:`, the best and the last, sorted by truth.

    Several outputs are shades in a grid of rows and outputs instead.
    """

    name: Literal["outputs"] = "outputs"
    split: SplitName = Field("train", description="whose rows")

    def refuses(self, subject: Subject) -> str | None:
        return (
            None
            if self.split in subject.splits or self.split == "train"
            else f"there are no {self.split} rows"
        )

    def compute(self, subject: Subject) -> Outputs:
        epochs = chosen_epochs(subject, PANELS)
        every_row = subject.rows(self.split)
        chosen, rows = _sorted(every_row.truth), len(every_row)
        every = {epoch: subject.answers(epoch, every_row.inputs[chosen]) for epoch in epochs}
        said = every[epochs[-1]]
        names = subject.preprocessing.target_names
        details = (
            f"{self.split} rows sorted by their {'class' if said.classes else 'true value'}",
            f"{len(chosen)} of {rows:,} rows shown" if len(chosen) < rows else "",
            f"{len(epochs)} of {len(subject.networks)} epochs shown"
            if len(epochs) < len(subject.networks)
            else "",
            f"the first of {len(names)} targets" if said.classes is None and len(names) > 1 else "",
            f"outputs of {said.outputs.shape[1]} classes, the first on top"
            if said.classes is not None and said.outputs.shape[1] > NAMED
            else "",
        )
        # targets have scales of their own, which one axis cannot show together
        shown = said.outputs.shape[1] if said.classes else 1
        kind = "probability" if said.probabilistic else "output"
        if said.classes is None:
            axis = style.name(names[0])
        elif said.outputs.shape[1] == 1:
            axis = f"{kind} of class {style.name(said.classes[-1])}" if said.probabilistic else kind
        else:
            axis = kind
        return Outputs(
            f"Outputs of {subject.name}",
            ("; ".join(part for part in details if part),),
            axis,
            {epoch: np.asarray(one.outputs[:, :shown], np.float64) for epoch, one in every.items()},
            every_row.truth[chosen],
            said.classes,
            said.threshold,
            said.classes or names[:1],
        )

    def draw(self, values: Outputs) -> Figure:
        from mlprun.figures import canvas

        count = len(values.outputs)
        width = next(iter(values.outputs.values())).shape[1]
        panels = Panels(
            count,
            columns=1 if count == 1 else 2 if count <= 4 else 3,
            height=1.75,
            alone=3.4,
            heading=1.4,
            share=True,
        )
        for axes, (epoch, outputs) in zip(panels.axes, values.outputs.items(), strict=True):
            if width == 1:
                _draw_bars(axes, outputs[:, 0], values)
            else:
                image = _draw_grid(axes, outputs, values)
            head(axes, f"epoch {epoch:,}")
        if width > 1:
            panels.figure.colorbar(image, ax=panels.axes, label=values.axis, aspect=40)
            panels.label(below="row", left="" if width > NAMED else "output of")
        else:
            panels.label(below="row", left=values.axis if len(values.axis) < 30 else "output")
        canvas.entitle(panels.figure, values.title, *values.details)
        canvas.legend_below(panels.figure, panels.axes[0])
        return panels.figure


def _sorted(truth: NDArray[Any]) -> NDArray[np.int64]:
    """Evenly spread rows in the order of their truth, those of equal truth as they come."""
    first = truth if truth.ndim == 1 else truth[:, 0]
    order = np.argsort(first, kind="stable")
    return order[spread(len(order), ROWS)]


def _draw_bars(axes: Axes, outputs: NDArray[np.float64], values: Outputs) -> None:
    rows = np.arange(len(outputs))
    if values.classes is None:
        _bars(axes, rows, outputs, facecolor=style.SKY, label="predicted")
        truth = values.truth if values.truth.ndim == 1 else values.truth[:, 0]
        size = float(np.clip(400 / max(1, len(rows)), 1.5, 12))
        axes.scatter(rows, truth, s=size, color=style.BLACK, marker="o", linewidths=0, label="true", zorder=3)
    else:
        for index, name in enumerate(values.classes):
            color, chosen = style.color_of(index, len(values.classes)), values.truth == index
            if not chosen.any():
                continue
            hatch = style.HATCHES[index % len(style.HATCHES)] if len(rows) <= 60 else ""
            _bars(axes, rows[chosen], outputs[chosen], facecolor=color, hatch=hatch, label=class_label(name))
        axes.axhline(
            values.threshold,
            color=style.BLACK,
            linewidth=0.8,
            linestyle=(0, (4, 3)),
            label=f"threshold {values.threshold:g}",
        )
        edges = np.flatnonzero(np.diff(values.truth)) + 0.5
        for edge in edges:
            axes.axvline(edge, color=style.BLACK, linewidth=0.6)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.grid(visible=False, axis="x")


def _bars(axes: Axes, places: NDArray[Any], heights: NDArray[np.float64], **look: Any) -> None:
    """Bars from 0 as one collection, since `Axes.bar` takes seconds; many are one outline."""
    from matplotlib.collections import PolyCollection

    # bars and gaps narrower than a dot would make patterns that are not in the data
    half = 0.42 if len(places) <= 25 else 0.5
    left, right, zero = places - half, places + half, np.zeros(len(places))
    if half < 0.5:
        corners = [
            np.stack([left, zero]),
            np.stack([left, heights]),
            np.stack([right, heights]),
            np.stack([right, zero]),
        ]
        shapes = list(np.stack(corners).transpose(2, 0, 1))
    else:
        outline = np.column_stack([np.stack([left, right]).T.ravel(), np.repeat(heights, 2)])
        shapes = [np.vstack([[left[0], 0], outline, [right[-1], 0]])]
    axes.add_collection(PolyCollection(shapes, linewidths=0, **look))
    axes.autoscale_view()


def _draw_grid(axes: Axes, outputs: NDArray[np.float64], values: Outputs) -> Any:
    low = min(0.0, *(float(one.min()) for one in values.outputs.values()))
    high = max(float(one.max()) for one in values.outputs.values())
    image = axes.imshow(
        outputs.T, aspect="auto", cmap="cividis", vmin=low, vmax=high, interpolation="nearest"
    )
    axes.grid(visible=False)
    if values.classes is not None and len(values.classes) <= NAMED:
        for edge in np.flatnonzero(np.diff(values.truth)) + 0.5:
            axes.axvline(edge, color="white", linewidth=0.8)
    if outputs.shape[1] <= NAMED:
        axes.set_yticks(range(outputs.shape[1]), [style.name(name, 12) for name in values.names])
    return image
