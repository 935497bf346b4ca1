"""Figures of runs and sweeps: charts computed as data, drawn with matplotlib or given as JSON.

A figure of one's own is a class in a file that a config names under `extend:`:

    from mlprun.figures import Chart, Line, Panel, RunFigure, run_figures

    @run_figures.register
    class DevLoss(RunFigure):
        name: Literal["dev_loss"] = "dev_loss"

        def check(self, data):
            return None if "dev_loss" in data.history else "there are no dev rows"

        def compute(self, data):
            line = Line(data.history["epoch"], data.history["dev_loss"])
            return Chart(f"Dev loss of {data.name}", (), (Panel((line,)),))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlprun.figures.chart import Axis, Bars, Chart, Line, Panel, Points
    from mlprun.figures.curves import OVERLAYS, agreement, overlay, rate_range_chart
    from mlprun.figures.explanation import dependence_chart, importance_chart
    from mlprun.figures.figure import Figure, RunFigure, SweepFigure, charts_of
    from mlprun.figures.parts import activation_grid, dataset_chart
    from mlprun.figures.registry import FORMATS, compute, format_of, make, run_figures
    from mlprun.figures.render import draw, encode, save
    from mlprun.figures.run_data import RunData
    from mlprun.figures.style import without_titles
    from mlprun.figures.sweeps import SweepData, sweep_figures

_MODULES = {
    "chart": ("Axis", "Bars", "Chart", "Line", "Panel", "Points"),
    "curves": ("OVERLAYS", "agreement", "overlay", "rate_range_chart"),
    "explanation": ("dependence_chart", "importance_chart"),
    "figure": ("Figure", "RunFigure", "SweepFigure", "charts_of"),
    "parts": ("activation_grid", "dataset_chart"),
    "registry": ("FORMATS", "compute", "format_of", "make", "run_figures"),
    "render": ("draw", "encode", "save"),
    "run_data": ("RunData",),
    "style": ("without_titles",),
    "sweeps": ("SweepData", "sweep_figures"),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: importing this package alone loads no figure."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
