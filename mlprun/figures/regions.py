"""Which class a network chooses where, or which number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import style
from mlprun.figures.data import draw_numbers, handles_of
from mlprun.figures.plane import plane_of
from mlprun.figures.plot import NetworkPlot, kinds
from mlprun.figures.points import NAMED, Points, draw_classes, limits, points_of, thinning
from mlprun.figures.surface import Surface, compute_surface, draw_surface
from mlprun.parts import SplitName

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.figures.subject import Subject

SHARE = 0.5
"""of the variance of the train rows, what a plane must hold to be drawn unasked"""


@dataclass(frozen=True)
class Regions:
    """Surfaces at some epochs with the rows over them."""

    title: str
    details: tuple[str, ...]
    axes: tuple[str, str]
    short: tuple[str, str]
    """names of the axes where there is little room"""
    surfaces: tuple[Surface, ...]
    points: tuple[Points, ...]
    classes: tuple[str, ...] | None
    output: str
    """what one output is: a probability, a number"""
    levels: NDArray[np.float64]
    """of a surface of one output: from the smallest value to the largest"""


@kinds.register
class DecisionRegions(NetworkPlot):
    """Where the network chooses which class, or its output as a surface, with the rows over it.

    Two inputs are the axes; of more, `features` names a pair (all others stay at their mean), or the plane
    through the mean in which the train rows vary most is drawn, if half of their variance lies in it. Rows
    off the plane are drawn fainter. The grid has 200 x 200 points.
    """

    name: Literal["regions"] = "regions"
    features: tuple[str, str] | None = Field(
        None, description="two inputs for the axes; by default the principal components of more than two"
    )
    split: SplitName | None = Field(None, description="only this split's rows; by default all")

    def refuses(self, subject: Subject) -> str | None:
        return refuses_plane(subject, self.features)

    def compute(self, subject: Subject) -> Regions:
        epoch = self.moment(subject)
        return regions(subject, (epoch,), self.features, self.split, subject.call(epoch))

    def draw(self, values: Regions) -> Figure:
        from mlprun.figures import canvas

        figure = canvas.picture(height=4.9)
        axes = figure.subplots()
        draw_panel(axes, values, values.surfaces[0])
        axes.set_xlabel(values.axes[0])
        axes.set_ylabel(values.axes[1])
        canvas.entitle(figure, values.title, *values.details)
        show_handles(figure, values)
        return figure


def refuses_plane(subject: Subject, features: tuple[str, str] | None) -> str | None:
    """Why inputs span no plane, or none that would say much of what the network does."""
    if subject.symbols:
        return "inputs are symbols, which have no place on an axis"
    width = subject.preprocessing.width
    if width < 2:
        return "there is only one input; see fit"
    if width > 2 and features is None and subject.principal.share < SHARE:
        share = f"{subject.principal.share:.0%} of the variance of {width} inputs"
        return f"any plane holds at most {share}; name two of them with --features A,B"
    return None


def regions(
    subject: Subject,
    epochs: tuple[int, ...],
    features: tuple[str, str] | None,
    split: str | None,
    *details: str,
    manner: str = "",
) -> Regions:
    """Surfaces of the network at some epochs, all in the same plane and on the same scale."""
    plane = plane_of(subject, features)
    splits = subject.splits if split is None else tuple(name for name in subject.splits if name == split)
    opacity = plane.opacity if plane.slice else None
    points = points_of(subject, plane.show, splits or subject.splits, epochs[-1], opacity)
    area = limits(points)
    surfaces = tuple(compute_surface(subject, plane, area, epoch) for epoch in epochs)
    output, levels = _scale(subject, surfaces, points)
    several = surfaces[0].outputs.shape[2] > 1
    classes = subject.classes
    target = subject.preprocessing.target_names
    what = "Decision regions" if classes is not None else f"Predicted {style.name(target[0])}"
    parts = (
        *details,
        plane.slice,
        thinning(points),
        f"the first of {len(target)} targets" if classes is None and several else "",
        "bold line: where the class changes" if classes is not None and not several else "",
        "large hollow markers name the regions"
        if classes is not None and several and len(classes) <= NAMED
        else "",
        f"{len(classes)} classes, dark to light" if classes is not None and len(classes) > NAMED else "",
    )
    about = "; ".join(part for part in parts if part)
    return Regions(
        f"{what} of {subject.name}{manner}",
        (about,),
        plane.names,
        plane.short,
        surfaces,
        points,
        classes,
        output,
        levels,
    )


def _scale(
    subject: Subject, surfaces: tuple[Surface, ...], points: tuple[Points, ...]
) -> tuple[str, NDArray[np.float64]]:
    """What one output is, and the levels at which lines are drawn."""
    classes = subject.classes
    values = np.concatenate([surface.outputs[:, :, 0].ravel() for surface in surfaces])
    low, high = float(values.min()), float(values.max())
    if classes is None:
        truth = np.concatenate([one.truth for one in points])
        low, high = min(low, float(truth.min())), max(high, float(truth.max()))
        return style.name(subject.preprocessing.target_names[0]), _round_levels(low, high)
    if subject.predictions(subject.splits[0], surfaces[-1].epoch).probabilistic:
        return f"probability of class {style.name(classes[-1])}", np.array(
            [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]
        )
    return f"output (class {style.name(classes[-1])} above {surfaces[0].threshold:g})", _round_levels(
        low, high
    )


def _round_levels(low: float, high: float) -> NDArray[np.float64]:
    from matplotlib.ticker import MaxNLocator

    if low == high:
        return np.array([low - 0.5, high + 0.5])
    inner = [level for level in MaxNLocator(8).tick_values(low, high) if low < level < high]
    return np.array([low, *inner, high])


def bar_ticks(values: Regions) -> NDArray[np.float64]:
    """The levels that a colour bar names: of probabilities all, otherwise the round ones."""
    return values.levels if values.levels[0] == 0 and values.levels[-1] == 1 else values.levels[1:-1]


def draw_panel(axes: Any, values: Regions, surface: Surface, *, small: bool = False) -> None:
    """One surface with the rows over it; a small one without a colour bar of its own."""
    image = draw_surface(axes, surface, values.classes, values.levels)
    if image is not None and not small:
        axes.figure.colorbar(image, ax=axes, label=values.output, ticks=bar_ticks(values), format="%.4g")
    if values.classes is not None:
        draw_classes(axes, values.points, values.classes, small=small)
    else:
        draw_numbers(
            axes, values.points, values.output, limits=(values.levels[0], values.levels[-1]), bar=False
        )


def show_handles(figure: Figure, values: Regions) -> None:
    """The legend of classes and splits."""
    from mlprun.figures import canvas

    canvas.show_legend(figure, *handles_of(values.points, values.classes))
