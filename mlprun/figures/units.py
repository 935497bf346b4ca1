"""What hidden units compute: their activations for any rows, and all over a plane as maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.engines.capabilities import first_name
from mlprun.engines.scratch.engine import activation
from mlprun.engines.scratch.functions import ACTIVATIONS
from mlprun.engines.scratch.tensor import Tensor
from mlprun.figures import chart
from mlprun.figures.chart import Axis, Chart, ColorScale, Panel
from mlprun.figures.figure import NetworkFigure, run_figures
from mlprun.figures.regions import PlaneFigure, boundaries, cells
from mlprun.figures.rows import limits_of, shown_rows
from mlprun.parts.activations import each
from mlprun.parts.architectures import Mlp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.figures.chart import Array
    from mlprun.figures.run_data import RunData
    from mlprun.schema import Config

GRID = 60
UNITS = 48
"""units that have a map, at most"""
COLUMNS = 8
STILL = 1e-6
"""a unit whose activations for all rows differ by less, relative to the largest, is dead"""
NORM_EPSILON = 1e-5
"""added to variances, as torch's layers do by default"""


def hidden_reason(config: Config) -> str | None:
    """Return why the activations of hidden units are not known; None if they are."""
    architecture = config.architecture
    if not isinstance(architecture, Mlp) or not architecture.is_built_in:
        return f"the units of {architecture.name} have no layers of their own"
    if not architecture.hidden_layers:
        return "there is no hidden layer"
    own = (one for layer in architecture.hidden_layers for one in each(layer.activation or ()))
    unknown = next((one.name for one in own if first_name(one) not in ACTIVATIONS), None)
    return None if unknown is None else f"the activation {unknown} is not known without torch"


def hidden_values(config: Config, model: Mapping[str, Any], inputs: Array) -> list[Array]:
    """Activations [N, H] of each hidden layer for inputs as the network reads them, in float64."""
    architecture, values, found = config.architecture, inputs, list[Any]()
    assert isinstance(architecture, Mlp)
    if architecture.embedding is not None:
        table = np.asarray(model["embedding.weight"], np.float64)[inputs].reshape(len(inputs), -1)
        values = activation(architecture.embedding.activation)(Tensor(table)).data
    for number, layer in enumerate(architecture.hidden_layers):
        values = values @ np.asarray(model[f"layers.{number}.weight"], np.float64).T
        values = values + model.get(f"layers.{number}.bias", 0.0)
        if layer.norm != "none":
            values = _normalized(values, {name: model.get(f"norms.{number}.{name}") for name in _NORM})
        values = activation(layer.activation)(Tensor(values)).data
        found.append(values)
    return found


_NORM = ("weight", "bias", "running_mean", "running_var")


def _normalized(values: Array, norm: Mapping[str, Any]) -> Array:
    """Batch norm with its running statistics, or layer norm, which has none."""
    mean, variance = norm["running_mean"], norm["running_var"]
    if mean is None:
        mean, variance = values.mean(axis=1, keepdims=True), values.var(axis=1, keepdims=True)
    return np.asarray((values - mean) / np.sqrt(variance + NORM_EPSILON) * norm["weight"] + norm["bias"])


def dead_units(values: Array) -> Array:
    """Which units [H] have one activation for all rows [N, H]."""
    return np.asarray(np.ptp(values, axis=0) <= STILL * np.maximum(np.abs(values).max(axis=0), 1e-300))


@run_figures.register
class UnitMaps(PlaneFigure, NetworkFigure):
    """What each hidden unit answers all over the plane of the inputs, and where the class changes.

    Maps are called by layer and unit. A dead unit has one activation for all train rows.
    """

    is_default = False

    name: Literal["units"] = "units"

    def check(self, data: RunData) -> str | None:
        return hidden_reason(data.config) or super().check(data)

    def compute(self, data: RunData) -> Chart:
        epoch, plane = self.epoch_of(data), data.plane(self.features)
        model, ends = data.models[epoch], limits_of(shown_rows(data, plane, data.splits, epoch))
        extent = (*ends[0], *ends[1])
        grid = np.meshgrid(*(np.linspace(*side, GRID) for side in ends))
        inputs = plane.unproject(np.column_stack([side.ravel() for side in grid]))
        layers = hidden_values(data.config, model, inputs)
        dead = [dead_units(one) for one in hidden_values(data.config, model, data.rows("train").inputs)]
        outputs = np.asarray(data.predict(epoch, inputs.astype(data.experiment.dtype)).outputs, np.float64)
        lines = boundaries(outputs.reshape(GRID, GRID, -1), data, extent) if data.classes else []
        x, y = (Axis(limits=side, is_hidden=True) for side in ends)
        aspect: Any = "equal" if plane.has_equal_units else "auto"
        panels = []
        for number, (layer, still) in enumerate(zip(layers, dead, strict=True), start=1):
            shown = layer / np.maximum(np.abs(layer).max(axis=0), 1e-300)
            for unit, values in enumerate(shown.T):
                title = f"{number}.{unit + 1}{' dead' if still[unit] else ''}"
                panels.append(Panel((cells(values.reshape(GRID, GRID), extent), *lines), x, y, title, aspect))
        count = sum(map(np.count_nonzero, dead))
        details = chart.joined(
            data.describe(epoch),
            f"slice: {plane.note}" if plane.note else "",
            f"{count} of {len(panels)} units dead" if count else "",
            f"the first {UNITS} of {len(panels)} units" if len(panels) > UNITS else "",
            "line: where the class changes" if lines else "",
        )
        colors = ColorScale("relative activation", -1, 1, palette="signed")
        height = 0.3 + chart.height_of(panels[0], columns=COLUMNS, side=1.6)
        title = f"Hidden units: {data.name}"
        return chart.grid_of(title, details, panels[:UNITS], columns=COLUMNS, height=height, colors=colors)
