"""The network as a drawing: units in columns, weights as lines between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.figures import chart, style
from mlprun.figures.chart import Array, Axis, Chart, ColorScale, Mark, Panel, Points, Segments, Text
from mlprun.figures.figure import NetworkFigure, run_figures
from mlprun.figures.rows import class_label
from mlprun.parts.activations import each
from mlprun.parts.architectures import Mlp

if TYPE_CHECKING:
    from mlprun.figures.run_data import RunData

WIDEST = 100
"""units of a layer that can be drawn, at most"""
EDGES = 600
"""weights drawn, at most: the largest"""
NAMED = 20
"""inputs or outputs whose names are beside them, at most"""
WIDTHS = 0.1, 4.5
"""points of a line for a weight of 0 and for the largest"""
LAYERED = 8
"""groups of lines by size, so that no sign covers the other"""
SIGNS = ("negative weight", style.BLUE), ("positive weight", style.ORANGE)


@run_figures.register
class NetworkDrawing(NetworkFigure):
    """The network: lines as wide as weights are large, coloured by sign, and units coloured by bias."""

    is_default = False
    needs_data = False

    name: Literal["network"] = "network"

    def check(self, data: RunData) -> str | None:
        architecture = data.config.architecture
        if not isinstance(architecture, Mlp) or not architecture.is_built_in:
            return f"{architecture.name} is no stack of layers"
        if data.has_tokens:
            return "inputs are symbols, which have no unit of their own"
        if data.config.dataset.embedded:
            return "categories are embedded, which no line shows"
        most = max(_widths(data))
        return f"a layer has {most:,} units; {WIDEST} can be told apart" if most > WIDEST else None

    def compute(self, data: RunData) -> Chart:
        epoch, widths = self.epoch_of(data), _widths(data)
        model, heights = data.models[epoch], [1 - (np.arange(count) + 0.5) / count for count in widths]
        weights = [np.asarray(model[f"layers.{k}.weight"], np.float64) for k in range(len(widths) - 1)]
        largest = max(float(np.abs(one).max()) for one in weights) or 1.0
        widest = WIDTHS[1] * min(1.0, 32 / max(widths))
        edges, size = _edges(weights, heights), float(np.clip(2600 / max(widths), 14, 150))
        marks: list[Mark] = []
        for group in np.array_split(edges, LAYERED, axis=1):
            for is_positive, (label, color) in enumerate(SIGNS):
                x0, y0, x1, y1, weight = group[:, (group[4] > 0) == bool(is_positive)]
                width = WIDTHS[0] + (widest - WIDTHS[0]) * np.abs(weight) / largest
                marks.append(Segments(x0, y0, x1, y1, label, color, width, opacity=0.75))
        biases = [np.zeros(widths[0])] + [
            np.asarray(model.get(f"layers.{k}.bias", np.zeros(count)), np.float64)
            for k, count in enumerate(widths[1:])
        ]
        for column, (places, bias) in enumerate(zip(heights, biases, strict=True)):
            x = np.full(len(places), float(column))
            look: Any = {"values": bias} if column else {"color": "#dddddd"}
            marks.append(Points(x, places, size=size, edge=style.BLACK, **look))
        names = _names(data, heights)
        most = max(float(np.abs(bias).max(initial=0.0)) for bias in biases)
        colors = ColorScale("bias" if most else "", -most or -1.0, most or 1.0, palette="signed")
        count = sum(one.size for one in weights)
        details = chart.joined(
            data.describe(epoch),
            f"widest line: a weight of ±{style.number(largest)}",
            f"the {EDGES:,} largest of {count:,} weights" if count > EDGES else "",
        )
        ticks, labels = tuple(range(len(widths))), tuple(_layers(data, widths))
        longest = [max((len(text) for text in mark.texts), default=6) for mark in names]
        ends = (-0.2 - room * len(widths) for room in (0.02 * longest[0], 0.02 * longest[-1]))
        limits = next(ends), len(widths) - 1 - next(ends)
        x_axis = Axis("", "category", limits, ticks, labels)
        panel = Panel((*marks, *names), x_axis, Axis(limits=(-0.08, 1.08), is_hidden=True))
        height = float(np.clip(1.4 + 0.22 * max(widths), 3.2, 5.6))
        return Chart(f"Network: {data.name}", details, (panel,), height=height, colors=colors)


def _widths(data: RunData) -> list[int]:
    """Units of each layer, inputs and outputs included."""
    architecture = data.config.architecture
    assert isinstance(architecture, Mlp)
    return [
        data.preprocessing.width,
        *(layer.units for layer in architecture.hidden_layers),
        architecture.outputs or 1,
    ]


def _edges(weights: list[Array], heights: list[Array]) -> Array:
    """[5, E]: both ends of each line and its weight, the largest last, so that they are on top."""
    every = []
    for column, (weight, left, right) in enumerate(zip(weights, heights, heights[1:], strict=False)):
        to, start = np.indices(weight.shape).reshape(2, -1)
        x = np.full(weight.size, float(column))
        every.append(np.stack([x, left[start], x + 1, right[to], weight.ravel()]))
    edges = np.concatenate(every, axis=1)
    return edges[:, np.argsort(np.abs(edges[4]), kind="stable")[-EDGES:]]


def _names(data: RunData, heights: list[Array]) -> list[Text]:
    """The names of inputs and of outputs, where they are few."""
    classes, outputs = data.classes, len(heights[-1])
    ends = data.preprocessing.target_names if classes is None else tuple(map(class_label, classes))
    ends = tuple(f"{level:g} quantile" for level in data.config.loss.levels) or ends
    marks = []
    for column, names, side in (
        (0, data.preprocessing.names, -9.0),
        (len(heights) - 1, ends[-outputs:], 9.0),
    ):
        places = heights[column]
        known = names if len(places) <= NAMED and len(names) == len(places) else ()
        x, y = np.full(len(known), float(column)), places[: len(known)]
        texts = tuple(style.name(name, 18) for name in known)
        marks.append(Text(x, y, texts, offset=(side, 0), size=style.SIZE - 1))
    return marks


def _layers(data: RunData, widths: list[int]) -> list[str]:
    """What is written under each column."""
    architecture = data.config.architecture
    assert isinstance(architecture, Mlp)
    hidden = [
        f"{layer.units} {' + '.join(one.name for one in each(layer.activation or ()))}{' + input' * skips}"
        for layer, skips in zip(architecture.hidden_layers, architecture.skips, strict=True)
    ]
    last = architecture.output_activation
    output = f"{widths[-1]} {'identity' if last is None else last.name}"
    return [f"{style.format_count(widths[0], 'input')}", *hidden, output]
