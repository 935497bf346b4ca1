"""Whether probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.plot import NetworkPlot, kinds
from mlprun.figures.scores import refuses_probabilities

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.figures.subject import Subject
    from mlprun.parts.metrics import Predictions

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Per bin with any rows: the mean probability, the share that came true, and the rows."""

    split: str
    said: NDArray[np.float64]
    true: NDArray[np.float64]
    rows: NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance between both, over rows."""
        return float(np.sum(np.abs(self.said - self.true) * self.rows) / max(1, self.rows.sum()))


@dataclass(frozen=True)
class Calibration:
    """A reliability curve for each split."""

    title: str
    details: tuple[str, ...]
    axes: tuple[str, str]
    curves: tuple[Reliability, ...]


@kinds.register
class CalibrationCurve(NetworkPlot):
    """How often what is given a probability comes true, in ten bins, with the rows of each bin below.

    Of two classes it is the probability of the second, of more that of the class which is chosen.
    Source: Guo et al. (2017), arxiv.org/abs/1706.04599
    """

    name: Literal["calibration"] = "calibration"

    def refuses(self, subject: Subject) -> str | None:
        return refuses_probabilities(subject)

    def compute(self, subject: Subject) -> Calibration:
        assert subject.classes is not None
        epoch = self.moment(subject)
        curves = tuple(reliability(split, subject.predictions(split, epoch)) for split in subject.splits)
        names = ("probability of the chosen class", "share of right choices")
        if len(subject.classes) <= 2:
            second = style.name(subject.classes[-1])
            names = (f"probability of class {second}", f"share of class {second}")
        return Calibration(f"Calibration of {subject.name}", (subject.call(epoch),), names, curves)

    def draw(self, values: Calibration) -> Figure:
        from mlprun.figures import canvas

        figure = canvas.picture(width=4.9, height=5.6)
        upper, lower = figure.subplots(2, 1, height_ratios=(3.2, 1), sharex=True)
        upper.plot([0, 1], [0, 1], label="perfectly calibrated", **style.GUIDE)
        edges = np.linspace(0, 1, BINS + 1)
        for one in values.curves:
            look = style.SPLIT_LINES[one.split]
            label = f"{one.split} (expected error {one.error:.3f})"
            upper.plot(
                one.said, one.true, color=look.color, linestyle=look.dashes, marker=look.marker, label=label
            )
            counts = np.histogram(one.said, edges, weights=one.rows)[0]
            lower.stairs(
                counts / max(1, one.rows.sum()), edges, color=look.color, linestyle=look.dashes, linewidth=1.4
            )
        upper.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel=values.axes[1])
        lower.set(xlabel=values.axes[0], ylabel="share of rows")
        canvas.entitle(figure, values.title, *values.details)
        canvas.legend_below(figure, upper)
        return figure


def reliability(split: str, said: Predictions) -> Reliability:
    """The curve of one split."""
    targets = np.asarray(said.targets, np.int64)
    if said.classes is not None and len(said.classes) <= 2:
        scores, came_true = said.probabilities[:, 1], targets == 1
    else:
        scores, came_true = said.probabilities.max(axis=1), targets == said.labels
    bins = np.clip((scores * BINS).astype(np.int64), 0, BINS - 1)
    rows = np.bincount(bins, minlength=BINS)
    present = rows > 0
    sums = [np.bincount(bins, weights=values, minlength=BINS)[present] for values in (scores, came_true)]
    return Reliability(split, sums[0] / rows[present], sums[1] / rows[present], rows[present])
