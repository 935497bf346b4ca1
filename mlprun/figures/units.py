"""What hidden units compute: their activations for any rows, and all over a plane as maps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.figures import chart
from mlprun.figures.chart import Axis, Chart, ColorScale, Panel
from mlprun.figures.figure import NetworkFigure, run_figures
from mlprun.figures.regions import PlaneFigure, boundaries, cells
from mlprun.figures.rows import limits_of, shown_rows
from mlprun.parts.architectures import Mlp

if TYPE_CHECKING:
    from mlprun.engines.contract import Arrays
    from mlprun.figures.chart import Array
    from mlprun.figures.run_data import RunData
    from mlprun.schema import Config

GRID = 60
UNITS = 48
"""units that have a map, at most"""
COLUMNS = 8
STILL = 1e-6
"""a unit whose activations for all rows differ by less, relative to the largest, is dead"""


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
        grid = np.meshgrid(*(np.linspace(*side, GRID) for side in ends))
        inputs = plane.unproject(np.column_stack([side.ravel() for side in grid])).astype(
            data.experiment.dtype
        )
        layers = hidden_outputs(data, model, inputs)
        known = hidden_outputs(data, model, data.rows("train").inputs)
        dead = {name: dead_units(one) for name, one in known.items()}
        outputs = np.asarray(data.predict(epoch, inputs).outputs, np.float64)
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
        height = 0.3 + chart.height_of(panels[0], columns=COLUMNS, side=1.6)
        title = f"Hidden units: {data.name}"
        return chart.grid_of(title, details, panels[:UNITS], columns=COLUMNS, height=height, colors=colors)
