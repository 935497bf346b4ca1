"""How probabilities of a class are distributed over rows of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import style
from mlprun.figures.frames import chosen_epochs
from mlprun.figures.panels import Panels, head
from mlprun.figures.plot import NetworkPlot, kinds
from mlprun.figures.scores import frequent, refuses_probabilities, tested
from mlprun.parts import SplitName

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.figures.subject import Subject
    from mlprun.parts.metrics import Predictions

BINS = 20
PANELS = 12


@dataclass(frozen=True)
class Panel:
    """Counts [BINS] of rows by the probability of one class: of that class, and of all others."""

    heading: str
    inside: NDArray[np.int64]
    outside: NDArray[np.int64]


@dataclass(frozen=True)
class Histograms:
    """A panel for each epoch (of two classes) or for each class (of more)."""

    title: str
    details: tuple[str, ...]
    axis: str
    labels: tuple[str, str]
    """what the counts inside and outside are of"""
    panels: tuple[Panel, ...]


@kinds.register
class ProbabilityHistograms(NetworkPlot):
    """Histograms of probabilities by true class, of two classes at each epoch of `snapshots:`."""

    name: Literal["probabilities"] = "probabilities"
    split: SplitName | None = Field(
        None, description="whose rows; by default test, or dev where there is no test"
    )

    def refuses(self, subject: Subject) -> str | None:
        return refuses_probabilities(subject)

    def compute(self, subject: Subject) -> Histograms:
        assert subject.classes is not None
        epoch, split = self.moment(subject), tested(subject, self.split)
        title = f"Probabilities by class of {subject.name}"
        if len(subject.classes) > 2:
            said = subject.predictions(split, epoch)
            panels = tuple(
                _panel(said, k, f"class {style.name(said.classes[k])}")
                for k in frequent(said)
                if said.classes
            )
            details = f"{split}, {len(said.targets):,} rows; {subject.call(epoch)}"
            return Histograms(
                title,
                (details,),
                "probability of the class above",
                ("rows of that class", "rows of all others"),
                panels,
            )
        epochs = chosen_epochs(subject, PANELS)
        every = {moment: subject.predictions(split, moment) for moment in epochs}
        panels = tuple(_panel(said, 1, subject.call(moment)) for moment, said in every.items())
        second, first = (f"class {style.name(name)}" for name in (subject.classes[-1], subject.classes[0]))
        details = f"{split}, {len(every[epochs[0]].targets):,} rows"
        return Histograms(title, (details,), f"probability of {second}", (second, first), panels)

    def draw(self, values: Histograms) -> Figure:
        from mlprun.figures import canvas

        count = len(values.panels)
        panels = Panels(count, columns=2 if count <= 4 else 3, height=1.9, alone=3.9, heading=1.3, share=True)
        edges = np.linspace(0, 1, BINS + 1)
        for axes, panel in zip(panels.axes, values.panels, strict=True):
            for counts, label, color, hatch in (
                (panel.outside, values.labels[1], style.BLUE, ""),
                (panel.inside, values.labels[0], style.ORANGE, "/////"),
            ):
                axes.stairs(
                    counts,
                    edges,
                    fill=True,
                    facecolor=style.lighter(color, 0.35),
                    edgecolor=color,
                    hatch=hatch,
                    alpha=0.75,
                    label=label,
                )
                axes.stairs(counts, edges, color=color, linewidth=1.2)
            axes.set_xlim(0, 1)
            head(axes, panel.heading)
        if _spans_much(values):
            for axes in panels.axes:
                axes.set_yscale("symlog", linthresh=1)
                axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
                axes.set_ylim(0, None)
        panels.label(below=values.axis, left="rows")
        canvas.entitle(panels.figure, values.title, *values.details)
        canvas.legend_below(panels.figure)
        return panels.figure


def _panel(said: Predictions, index: int, heading: str) -> Panel:
    edges = np.linspace(0, 1, BINS + 1)
    scores = np.clip(said.probabilities[:, index], 0, 1)  # the last bin takes 1 itself
    inside = np.asarray(said.targets) == index
    return Panel(heading, np.histogram(scores[inside], edges)[0], np.histogram(scores[~inside], edges)[0])


def _spans_much(values: Histograms) -> bool:
    """Whether one bar is so high that the others would vanish."""
    inside = max(int(panel.inside.max()) for panel in values.panels)
    outside = max(int(panel.outside.max()) for panel in values.panels)
    return max(inside, outside) > 6 * max(1, min(inside, outside))
