"""Figures of sweeps; importing it registers them, in the order in which they are listed and drawn."""

# isort: off
from mlprun.figures.sweeps import curves, parameter, heat_map, configurations, importance
from mlprun.figures.figure import sweep_figures
from mlprun.figures.sweeps.sweep_data import SweepData
