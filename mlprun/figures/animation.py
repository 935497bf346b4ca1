"""How a network learns: what it predicts, beside its loss, at each epoch that has a snapshot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.figures import chart, style
from mlprun.figures.chart import Axis, Chart, Panel, Points
from mlprun.figures.classification import ConfusionMatrix, RocCurve
from mlprun.figures.curves import label_of, loss_curves
from mlprun.figures.figure import Features, NetworkFigure, RunFigure, run_figures
from mlprun.figures.regions import PlaneFigure, surfaces
from mlprun.figures.regression import PredictedAgainstTrue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.figures.run_data import RunData

FEWEST, MOST = 3, 60
"""frames"""
METRICS = 2
"""metrics that a frame names, at most"""


@run_figures.register
class Animation(RunFigure):
    """Decision regions and loss at about 24 log-spaced epochs, as an animated GIF (or APNG).

    Of a network whose inputs no plane shows, the confusion matrix or the predictions take the place of the
    regions.
    """

    name: Literal["animation"] = "animation"
    formats = ("gif", "apng")
    is_default = False
    features: Features = None

    def check(self, data: RunData) -> str | None:
        if len(data.snapshots) < FEWEST:
            return "there are too few snapshots; set checkpoint.snapshots in the config"
        return None

    def compute(self, data: RunData) -> Chart:
        epochs = tuple(data.snapshots)
        epochs = tuple(epochs[index] for index in chart.evenly_spaced(len(epochs), MOST))
        kept = replace(data, models=data.snapshots)
        pictures = _pictures(kept, epochs, self.features)
        panels: list[Panel] = []
        for epoch, picture in zip(epochs, pictures.panels, strict=True):
            panels += [replace(picture, title=""), _loss(data, epoch)]
        return replace(
            pictures,
            title=f"Training of {data.name}",
            details=(*(_metrics(data, epoch) for epoch in epochs), *pictures.details),
            panels=tuple(panels),
            columns=2,
            widths=(1.0, 0.8),
            width=style.PAGE * 1.15,
            height=3.6,
            colors=None,
            frames=len(epochs),
        )


def _pictures(data: RunData, epochs: Sequence[int], features: tuple[str, str] | None) -> Chart:
    """A panel for each epoch: regions of two inputs, else confusion, ROC curves, or predicted numbers."""
    if PlaneFigure(name="plane", features=features).check(data) is None:
        found = surfaces(data, tuple(epochs), features, "train", scale=0.5)
        return replace(found, panels=tuple(replace(one, colors=found.colors) for one in found.panels))
    kind: NetworkFigure = PredictedAgainstTrue() if data.classes is None else ConfusionMatrix()
    if data.preprocessing.multilabel:
        kind = RocCurve()
    every = []
    for epoch in epochs:
        of_epoch = replace(data, models={epoch: data.models[epoch]}, best=None)
        every.append(kind.compute(of_epoch))
    last = every[-1].panels[-1]  # its axes are those of all
    panels = tuple(replace(one.panels[-1], x=last.x, y=last.y) for one in every)
    return replace(every[-1], details=(), panels=panels)


def _loss(data: RunData, epoch: int) -> Panel:
    """The whole curves, faint, and what of them is reached at this epoch."""
    curves, marks = [replace(line, marker="") for line in loss_curves(data)], list[chart.Mark]()
    for line in curves:
        reached = line.x <= epoch
        x, y = line.x[reached], line.y[reached]
        marks += [replace(line, opacity=0.25, label=""), replace(line, x=x, y=y)]
        marks.append(Points(x[-1:], y[-1:], color=line.color, size=40))
    epochs = np.asarray(data.history.get("epoch", ()))
    limits = (1.0, max(2.0, float(epochs[-1]))) if len(epochs) else None
    y_axis = Axis(f"loss ({data.config.loss.name})", chart.scale_of(*(line.y for line in curves)))
    return Panel(tuple(marks), Axis("epoch", "log", limits), y_axis)


def _metrics(data: RunData, epoch: int) -> str:
    """An epoch with the losses and the first metrics that were last logged."""
    epochs = np.asarray(data.history.get("epoch", ()))
    names = {"train_loss": "train", "dev_loss": "dev"}
    names |= {f"dev_{metric.name}": label_of(metric.name) for metric in data.config.metrics[:METRICS]}
    words = [f"epoch {epoch:,}"]
    for row in np.flatnonzero(epochs <= epoch)[-1:]:
        for column, name in names.items():
            if column in data.history and np.isfinite(value := data.history[column][row]):
                words.append(f"{name} {style.number(value)}")
    return "  ·  ".join(words)
