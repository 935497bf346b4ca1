"""What a network with one input has learnt, as a curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.data import over_input, split_handles
from mlprun.figures.plane import input_units
from mlprun.figures.plot import NetworkPlot, kinds
from mlprun.figures.points import Points, marker_size, thinning

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.figures.subject import Subject

GRID = 500
CURVES = 6


@dataclass(frozen=True)
class Fit:
    """Outputs [GRID, K] over the input [GRID], both in the user's units, with the rows."""

    title: str
    details: tuple[str, ...]
    axes: tuple[str, str]
    inputs: NDArray[np.float64]
    outputs: NDArray[np.float64]
    names: tuple[str, ...]
    points: tuple[Points, ...]
    probable: bool


@kinds.register
class FittedLine(NetworkPlot):
    """The network's outputs over its only input, with the rows it learnt from."""

    name: Literal["fit"] = "fit"

    def refuses(self, subject: Subject) -> str | None:
        if subject.symbols:
            return "inputs are symbols, which have no place on an axis"
        return "there is more than one input" if subject.preprocessing.width > 1 else None

    def compute(self, subject: Subject) -> Fit:
        epoch = self.moment(subject)
        points = over_input(subject, epoch)
        places = np.concatenate([one.places[:, 0] for one in points])
        room = (places.max() - places.min()) * 0.05 or 1.0
        shown = np.linspace(places.min() - room, places.max() + room, GRID)
        means, scales = input_units(subject.preprocessing)
        inputs = ((shown - means[0]) / scales[0])[:, None].astype(subject.experiment.dtype)
        said = subject.answers(epoch, inputs)
        names = subject.preprocessing.target_names
        if subject.classes is not None:
            names = subject.classes if said.outputs.shape[1] > 1 else subject.classes[-1:]
        left = style.name(subject.preprocessing.target_names[0])
        if subject.classes is not None:
            left = "probability" if said.probabilistic else "output"
        elif len(names) > 1:
            left = "target"
        details = (
            subject.call(epoch),
            thinning(points),
            f"the first {CURVES} of {len(names)} outputs" if len(names) > CURVES else "",
        )
        about = "; ".join(part for part in details if part)
        outputs = np.asarray(said.outputs, np.float64)[:, :CURVES]
        axes = (style.name(subject.preprocessing.names[0]), left)
        title = f"Fit of {subject.name}"
        return Fit(title, (about,), axes, shown, outputs, names[:CURVES], points, subject.classes is not None)

    def draw(self, values: Fit) -> Figure:
        from mlprun.figures import canvas

        figure = canvas.picture()
        axes = figure.subplots()
        single = len(values.names) == 1
        handles = split_handles(values.points)
        for one in values.points:
            # class ids stand at 0 and 1, where a probability ends; of more classes they would stand nowhere
            if single:
                look = style.SPLIT_LINES[one.split]
                axes.scatter(
                    one.places[:, 0],
                    one.places[:, 1],
                    s=marker_size(values.points),
                    marker=look.marker,
                    color=style.lighter(look.color, 0.35),
                    linewidths=0,
                )
                handles[f"{one.split} ({one.rows:,} rows)"].set_color(style.lighter(look.color, 0.35))
        for index, name in enumerate(values.names):
            color = style.BLACK if single else style.COLORS[index]
            (line,) = axes.plot(
                values.inputs,
                values.outputs[:, index],
                color=color,
                linestyle=style.dashes_of(index),
                linewidth=1.8,
            )
            what = (
                f"probability of class {style.name(name)}"
                if values.probable
                else f"prediction of {style.name(name)}"
            )
            handles = {what: line, **handles} if single else {**({} if index == 0 else handles), what: line}
        axes.set_xlabel(values.axes[0])
        axes.set_ylabel(values.axes[1])
        axes.set_xlim(values.inputs[0], values.inputs[-1])
        canvas.entitle(figure, values.title, *values.details)
        canvas.show_legend(figure, handles)
        return figure
