"""Layers over training: how large gradients are, and how many units are dead."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.engines.contract import State
from mlprun.engines.device import compute_context
from mlprun.figures import chart
from mlprun.figures.chart import Axis, Chart, Line, Panel
from mlprun.figures.figure import RunFigure, run_figures
from mlprun.figures.style import LineStyle, name
from mlprun.figures.units import dead_units, hidden_outputs, hidden_reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.figures.chart import Array
    from mlprun.figures.run_data import RunData

LAYERS = 10
ROWS = 5000
"""train rows by which units are known to be dead, at most"""


@run_figures.register
class LayersOverTraining(RunFigure):
    """Root mean square of each layer's gradient over epochs, and the share of its units that are dead.

    Gradients are of the train objective over all train rows, for the networks kept in snapshots.safetensors.
    A dead unit has one activation for all train rows: it passes no gradient on and learns no more.
    """

    is_default = False

    name: Literal["gradients"] = "gradients"

    def check(self, data: RunData) -> str | None:
        return "there are networks of fewer than three epochs" if len(data.snapshots) < 3 else None

    def compute(self, data: RunData) -> Chart:
        epochs = np.array(list(data.snapshots), np.float64)
        sizes = [gradients(data, epoch, model) for epoch, model in data.snapshots.items()]
        x = np.where(epochs > 0, epochs, START)
        axis = _axis(epochs)
        marks = _lines(x, sizes)
        positive = all((mark.y > 0).all() for mark in marks)
        size = Axis("gradient (root mean square)", "log" if positive else "linear")
        panels, note = [Panel(tuple(marks), axis, size)], ""
        if hidden_reason(data.config) is None:
            lines = _lines(x, [_dead(data, model) for model in data.snapshots.values()])
            if any(line.y.any() for line in lines):
                panels.append(Panel(tuple(lines), axis, Axis("share of dead units", limits=(-0.03, 1.03))))
            else:
                note = "no dead units"
        count = len(sizes[0])
        details = chart.joined(
            f"{len(sizes)} snapshots", note, f"the first {LAYERS} of {count} layers" if count > LAYERS else ""
        )
        return chart.grid_of(f"Gradients and dead units: {data.name}", details, panels, height=2.6, alone=3.7)


def _lines(x: Array, values: list[dict[str, float]]) -> list[Line]:
    """A curve of each layer's number."""
    return [
        Line(x, np.array([one[layer] for one in values]), name(layer, 18), *LineStyle.of(k))
        for k, layer in enumerate(list(values[0])[:LAYERS])
    ]


START = 0.5
"""where epoch 0 is on a logarithmic axis"""


def gradients(data: RunData, epoch: int, model: Mapping[str, Any]) -> dict[str, float]:
    """The root mean square of the gradient of the train objective by layer, weights and biases together."""
    config = data.experiment.config
    training = config.training.model_copy(update={"batch_size": "full"})
    config = config.model_copy(update={"training": training})
    experiment = replace(data.experiment, config=config)
    with compute_context(config.training.threads, "cpu"):
        by_parameter = data.trained.engine.gradients(experiment, State(epoch, model), device="cpu")
    layers: dict[str, list[Array]] = {}
    for parameter, gradient in by_parameter.items():
        layers.setdefault(parameter.rpartition(".")[0], []).append(np.asarray(gradient, np.float64).ravel())
    return {layer: float(np.sqrt(np.mean(np.concatenate(some) ** 2))) for layer, some in layers.items()}


def _dead(data: RunData, model: Mapping[str, Any]) -> dict[str, float]:
    rows = data.rows("train").inputs[chart.evenly_spaced(len(data.rows("train")), ROWS)]
    return {name: float(dead_units(one).mean()) for name, one in hidden_outputs(data, model, rows).items()}


def _axis(epochs: Array) -> Axis:
    """Epochs on a logarithmic axis, with 0 at its left."""
    last = int(np.log10(max(1.0, epochs.max())))
    ticks = [START, *(10.0**k for k in range(last + 1))]
    labels = ["0", *(f"{10**k:,}" for k in range(last + 1))]
    return Axis("epoch", "log", (START * 0.8, float(epochs.max()) * 1.2), tuple(ticks), tuple(labels))
