"""A config made into an experiment: splits as arrays, the nn.Module with its initial weights, and figures."""

from mlprun.experiment.experiment import Experiment, Rows, source
from mlprun.experiment.figures import Meter, Tensors, columns, logged, measured, outputs_before
from mlprun.experiment.starts import Starts
from mlprun.parts.splits import SPLITS

__all__ = [
    "SPLITS",
    "Experiment",
    "Meter",
    "Rows",
    "Starts",
    "Tensors",
    "columns",
    "logged",
    "measured",
    "outputs_before",
    "source",
]
