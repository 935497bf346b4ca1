"""Hidden units and layers: activations all over a plane as maps, dead units, and gradients over training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.engines.contract import Arrays, State
from mlprun.engines.device import compute_context
from mlprun.figures import chart, style
from mlprun.figures.chart import Array, Axis, Chart, ColorScale, Line, Panel
from mlprun.figures.figure import NetworkFigure, RunFigure, run_figures
from mlprun.figures.regions import PlaneFigure, boundaries, cells
from mlprun.figures.rows import limits_of, shown_rows
from mlprun.parts.architectures import Mlp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.figures.run_data import RunData
    from mlprun.schema import Config

GRID = 60
UNITS = 48
"""units that have a map, at most"""
COLUMNS = 8
STILL = 1e-6
"""a unit whose activations for all rows differ by less, relative to the largest, is dead"""
LAYERS = 10
ROWS = 5000
"""train rows by which units are known to be dead, at most"""
START = 0.5
"""where epoch 0 is on a logarithmic axis"""


def hidden_reason(config: Config) -> str | None:
    """Return why the activations of hidden units are not known; None if some are."""
    architecture = config.architecture
    if not isinstance(architecture, Mlp) or not architecture.is_built_in:
        return f"the units of {architecture.name} have no layers of their own"
    layers = architecture.hidden_layers
    is_known = any(layer.norm == "none" and not isinstance(layer.activation, tuple) for layer in layers)
    return None if is_known else "no hidden layer has one activation and no norm"


def hidden_outputs(data: RunData, model: Arrays, inputs: Array) -> dict[str, Array]:
    """Activations [N, H] by hidden layer of one network of a run."""
    found = replace(data.trained, model=model).hidden_outputs(inputs)
    return {layer: np.asarray(values, np.float64) for layer, values in found.items()}


def dead_units(values: Array) -> Array:
    """Which units [H] have one activation for all rows [N, H]."""
    return np.asarray(np.ptp(values, axis=0) <= STILL * np.maximum(np.abs(values).max(axis=0), 1e-300))


@run_figures.register
class UnitMaps(PlaneFigure, NetworkFigure):
    """What each hidden unit answers all over the plane of the inputs, and where the class changes.

    Maps are called by layer and unit, both from 0 as parameters are; a layer with a norm or
    several activations has none. A dead unit has one activation for all train rows.
    """

    is_default = False

    name: Literal["units"] = "units"

    def check(self, data: RunData) -> str | None:
        return hidden_reason(data.config) or super().check(data)

    def compute(self, data: RunData) -> Chart:
        epoch, plane = self.epoch_of(data), data.plane(self.features)
        model, ends = data.models[epoch], limits_of(shown_rows(data, plane, data.splits, epoch))
        extent = (*ends[0], *ends[1])
        inputs = plane.grid(ends, GRID).astype(data.experiment.dtype)
        layers = hidden_outputs(data, model, inputs)
        known = hidden_outputs(data, model, data.rows("train").inputs)
        dead = {name: dead_units(one) for name, one in known.items()}
        outputs = np.asarray(data.predict(epoch, inputs).scores, np.float64)
        lines = boundaries(outputs.reshape(GRID, GRID, -1), data, extent) if data.classes else []
        x, y = (Axis(limits=side, is_hidden=True) for side in ends)
        aspect: Any = "equal" if plane.has_equal_units else "auto"
        panels = []
        for name, layer in layers.items():
            shown = layer / np.maximum(np.abs(layer).max(axis=0), 1e-300)
            for unit, values in enumerate(shown.T):
                title = f"{name.partition('.')[2]}.{unit}{' dead' if dead[name][unit] else ''}"
                panels.append(Panel((cells(values.reshape(GRID, GRID), extent), *lines), x, y, title, aspect))
        count = sum(map(np.count_nonzero, dead.values()))
        details = chart.joined(
            data.describe(epoch),
            f"slice: {plane.note}" if plane.note else "",
            f"{count} of {len(panels)} units dead" if count else "",
            f"the first {UNITS} of {len(panels)} units" if len(panels) > UNITS else "",
            "line: where the class changes" if lines else "",
        )
        colors = ColorScale("relative activation", -1, 1, palette="signed")
        # a single row is as high as the name of the colour bar is long
        lowest = 1.3 if len(panels) <= COLUMNS else 0.0
        height = max(0.3 + chart.height_of(panels[0], columns=COLUMNS, side=1.6), lowest)
        title = f"Hidden units: {data.name}"
        return chart.grid_of(title, details, panels[:UNITS], columns=COLUMNS, height=height, colors=colors)


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
        Line(x, np.array([one[layer] for one in values]), style.name(layer, 18), *style.LineStyle.of(k))
        for k, layer in enumerate(list(values[0])[:LAYERS])
    ]


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
