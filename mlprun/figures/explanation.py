"""What predictions depend on: the importance of features, and predictions over the values of one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from mlprun.analysis import explanation
from mlprun.figures import chart, style
from mlprun.figures.chart import Axis, Bars, Chart, Line, Panel
from mlprun.figures.curves import label_of
from mlprun.figures.figure import NetworkFigure, run_figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.analysis.explanation import Dependence, Importances
    from mlprun.evaluation import TrainedModel
    from mlprun.figures.run_data import RunData
    from mlprun.parts.data import Ints

FEATURES = 20
"""features of which the importance is drawn"""
PANELS = 4
"""features of which the partial dependence is drawn unless they are named"""
REPEATS = 3
"""permutations by which these are chosen"""
CURVES = 50
"""rows that have a curve of their own"""


class ExplanationFigure(NetworkFigure):
    """Base of the figures of what predictions depend on."""

    is_default = False

    split: Literal["train", "dev", "test"] = Field("dev", description="split whose rows are changed")

    def check(self, data: RunData) -> str | None:
        return None if data.experiment.has(self.split) else f"there are no {self.split} rows"

    def model(self, data: RunData) -> TrainedModel:
        """The network of the epoch."""
        epoch = self.epoch_of(data)
        return replace(data.trained, model=data.models[epoch], epoch=epoch)


@run_figures.register
class ImportanceFigure(ExplanationFigure):
    """By how much the metric gets worse when the values of a feature are exchanged between rows.

    Bars are means over 10 permutations, with 95% intervals; the metric is the first of the config, or the
    loss. Source: Breiman (2001), doi.org/10.1023/A:1010933404324
    """

    name: Literal["importance"] = "importance"

    def compute(self, data: RunData) -> Chart:
        importances = explanation.permutation_importances(self.model(data), split=self.split)
        return importance_chart(data.name, importances)


@run_figures.register
class PartialDependence(ExplanationFigure):
    """Predictions when a feature is set to each of its values in all rows: the mean, and for single rows.

    Without names, the four features with the highest permutation importance. Thin lines are single rows
    (individual conditional expectation), where there is one output. Source: Friedman (2001),
    doi.org/10.1214/aos/1013203451; Goldstein et al. (2015), doi.org/10.1080/10618600.2014.907095
    """

    name: Literal["partial_dependence"] = "partial_dependence"
    features: tuple[str, ...] | None = Field(None, description="features (default: the most important)")

    def check(self, data: RunData) -> str | None:
        return (
            "inputs are symbols, which have no order" if data.preprocessing.symbols else super().check(data)
        )

    def compute(self, data: RunData) -> Chart:
        model, features = self.model(data), self.features
        if features is None:
            importances = explanation.permutation_importances(model, split=self.split, repeats=REPEATS)
            features = tuple(one.feature for one in importances.features[:PANELS])
        every = explanation.partial_dependences(model, features, split=self.split)
        return dependence_chart(data.name, self.split, list(every))


def importance_chart(name: str, importances: Importances) -> Chart:
    """A bar for each feature, the most important on top."""
    shown = importances.features[:FEATURES]
    stats = [one.stats for one in shown]
    means = np.array([one.mean or 0.0 for one in stats])
    ends = np.array([one.interval or (mean, mean) for one, mean in zip(stats, means, strict=True)])
    rows = np.arange(len(shown), dtype=np.float64)
    marks = (
        Bars(rows - 0.31, rows + 0.31, means, along="y"),
        chart.intervals(rows, ends[:, 0], ends[:, 1], along="y", width=1.8),
    )
    metric = label_of(importances.metric)
    x = Axis(f"by how much {metric} gets worse")
    names = tuple(style.name(one.feature) for one in shown)
    y = Axis("", "category", (len(names) - 0.4, -0.6), tuple(range(len(names))), names)
    hidden = len(importances.features) - len(shown)
    of_rows = style.format_count(importances.rows, f"{importances.split} row")
    details = chart.joined(
        f"{metric} of {of_rows}: {style.number(importances.baseline)}",
        f"means over {len(shown[0].values)} permutations, 95% intervals",
        f"{style.format_count(hidden, 'less important feature')} not shown" if hidden else "",
    )
    height = float(np.clip(1.6 + 0.3 * len(shown), 2.6, 7.5))
    return Chart(f"Permutation importance: {name}", details, (Panel(marks, x, y),), height=height)


def dependence_chart(name: str, split: str, dependences: Sequence[Dependence]) -> Chart:
    """A panel for each feature: its values across, predictions upward."""
    rows = len(dependences[0].curves)
    drawn = chart.evenly_spaced(rows, CURVES)
    single = len(dependences[0].outputs) == 1
    panels = [_dependence_panel(one, drawn if single else drawn[:0]) for one in dependences]
    details = chart.joined(
        f"mean over {style.format_count(rows, f'{split} row')}",
        f"thin lines: {len(drawn)} of the rows" if single else "",
    )
    return chart.grid_of(f"Partial dependence: {name}", details, panels, columns=2, height=2.3, share="y")


def _dependence_panel(one: Dependence, rows: Ints) -> Panel:
    x, labels = Axis(style.name(one.feature)), one.labels
    at = one.values
    if one.categories is not None:
        at = np.arange(len(at), dtype=np.float64)
        x = replace(
            x, scale="category", ticks=tuple(at), tick_labels=tuple(style.name(str(k), 14) for k in labels)
        )
    elif one.is_date:
        ticks = at[chart.evenly_spaced(len(at), 3)]
        x = replace(x, ticks=tuple(ticks), tick_labels=tuple(map(explanation.date, ticks)))
    marks: list[chart.Mark] = []
    if len(rows):
        curves = one.curves[rows, :, 0]
        marks.append(Line(at, curves, color=style.GREY, width=0.5, opacity=0.35))
    for index, output in enumerate(one.outputs):
        look = style.LineStyle.of(index)
        marker = "o" if one.categories is not None else ""
        label = "" if len(one.outputs) == 1 else style.name(output)
        marks.append(Line(at, one.mean[:, index], label, look.color, look.dashes, marker, width=2.0))
    y = Axis(style.name(one.outputs[0]) if len(one.outputs) == 1 else "prediction")
    return Panel(tuple(marks), x, y)
