"""Predicted against true numbers, and what predictions leave over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.panels import Panels, head
from mlprun.figures.plane import spread
from mlprun.figures.plot import NetworkPlot, kinds
from mlprun.figures.points import POINTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.figures.subject import Subject

TARGETS = 6


@dataclass(frozen=True)
class Answers:
    """True and predicted numbers [N, K] of one split, in the user's units."""

    split: str
    true: NDArray[np.float64]
    predicted: NDArray[np.float64]
    rows: int


@dataclass(frozen=True)
class Numbers:
    """Answers on all splits for the first targets."""

    title: str
    details: tuple[str, ...]
    targets: tuple[str, ...]
    answers: tuple[Answers, ...]


def refuses_numbers(subject: Subject) -> str | None:
    """Why there are no predicted numbers."""
    return "targets are classes" if subject.classes is not None else None


def numbers(subject: Subject, epoch: int, title: str) -> Numbers:
    """What the network after `epoch` predicts for every split."""
    found = []
    for split in subject.splits:
        said = subject.predictions(split, epoch)
        chosen = spread(len(said.outputs), POINTS)
        true, predicted = (
            np.asarray(values[chosen], np.float64)[:, :TARGETS] for values in (said.targets, said.outputs)
        )
        found.append(Answers(split, true, predicted, len(said.outputs)))
    names = subject.preprocessing.target_names
    fewer = [
        f"{len(one.true):,} of {one.rows:,} {one.split} rows" for one in found if len(one.true) < one.rows
    ]
    cut = f"the first {TARGETS} of {len(names)} targets" if len(names) > TARGETS else ""
    about = "; ".join(part for part in (subject.call(epoch), *fewer, cut) if part)
    shown = tuple(style.name(name) for name in names[:TARGETS])
    return Numbers(f"{title} of {subject.name}", (about,), shown, tuple(found))


def draw_points(
    axes: Axes, one: Answers, across: NDArray[np.float64], up: NDArray[np.float64], total: int
) -> None:
    """One split's points."""
    look = style.SPLIT_LINES[one.split]
    size = float(np.clip(5000 / max(1, total), 6, 26))
    hollow = one.split == "dev"
    axes.scatter(
        across,
        up,
        s=size,
        marker=look.marker,
        facecolors="none" if hollow else look.color,
        edgecolors=look.color if hollow else "white",
        linewidths=0.9 if hollow else 0.2,
        label=f"{one.split} ({one.rows:,} rows)",
    )


@kinds.register
class PredictedAgainstTrue(NetworkPlot):
    """Predicted against true numbers on every split; a perfect prediction lies on the diagonal."""

    name: Literal["predictions"] = "predictions"

    def refuses(self, subject: Subject) -> str | None:
        return refuses_numbers(subject)

    def compute(self, subject: Subject) -> Numbers:
        return numbers(subject, self.moment(subject), "Predicted and true values")

    def draw(self, values: Numbers) -> Figure:
        from mlprun.figures import canvas

        panels = Panels(
            len(values.targets),
            columns=2,
            height=2.9,
            alone=5.4,
            width=4.9 if len(values.targets) == 1 else style.PAGE,
        )
        total = sum(len(one.true) for one in values.answers)
        for index, (axes, target) in enumerate(zip(panels.axes, values.targets, strict=True)):
            both = np.concatenate(
                [side[:, index] for one in values.answers for side in (one.true, one.predicted)]
            )
            low, high = float(both.min()), float(both.max())
            axes.axline((low, low), slope=1, label="predicted = true", zorder=1, **style.GUIDE)
            for one in values.answers:
                draw_points(axes, one, one.true[:, index], one.predicted[:, index], total)
            room = (high - low) * 0.04 or 1.0
            axes.set(xlim=(low - room, high + room), ylim=(low - room, high + room))
            axes.set_box_aspect(1)
            axes.set_xlabel(f"true {target}")
            axes.set_ylabel(f"predicted {target}")
            if len(values.targets) > 1:
                head(axes, target)
        canvas.entitle(panels.figure, values.title, *values.details)
        canvas.legend_below(panels.figure)
        return panels.figure


BINS = 24


@kinds.register
class Residuals(NetworkPlot):
    """Residuals (predicted minus true) against predictions, and how they are distributed on each split."""

    name: Literal["residuals"] = "residuals"

    def refuses(self, subject: Subject) -> str | None:
        return refuses_numbers(subject)

    def compute(self, subject: Subject) -> Numbers:
        return numbers(subject, self.moment(subject), "Residuals")

    def draw(self, values: Numbers) -> Figure:
        from mlprun.figures import canvas

        figure = canvas.picture(height=1.6 + 2.3 * len(values.targets))
        rows = figure.subplots(len(values.targets), 2, squeeze=False, sharey="row", width_ratios=(3, 1.3))
        total = sum(len(one.true) for one in values.answers)
        for index, (target, (left, right)) in enumerate(zip(values.targets, rows, strict=True)):
            over = [one.predicted[:, index] - one.true[:, index] for one in values.answers]
            edges = np.histogram_bin_edges(np.concatenate(over), BINS)
            for one, residuals in zip(values.answers, over, strict=True):
                draw_points(left, one, one.predicted[:, index], residuals, total)
                look = style.SPLIT_LINES[one.split]
                density = np.histogram(residuals, edges)[0] / max(1, len(residuals))
                right.stairs(
                    density,
                    edges,
                    orientation="horizontal",
                    color=look.color,
                    linestyle=look.dashes,
                    linewidth=1.5,
                )
            for axes in (left, right):
                axes.axhline(0, zorder=1, **style.GUIDE)
            left.set_xlabel(f"predicted {target}")
            left.set_ylabel(f"residual of {target}\n(predicted − true)")
            right.set_xlabel("share of rows")
        canvas.entitle(figure, values.title, *values.details)
        canvas.legend_below(figure, rows[0, 0])
        return figure
