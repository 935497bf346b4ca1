"""Figures of what a config can name: the rows of a dataset, and the activation functions."""

from __future__ import annotations

import numpy as np

from mlprun import schema
from mlprun.config.document import from_mapping
from mlprun.errors import ConfigError, UsageError
from mlprun.evaluation import TrainedModel
from mlprun.experiment import Experiment
from mlprun.figures import style
from mlprun.figures.chart import Array, Axis, Chart, Line, Panel, grid_of, horizontal, vertical
from mlprun.figures.rows import DataFigure
from mlprun.figures.run_data import RunData
from mlprun.parts.activations import Activation, activations

REACH = 4.0
POINTS = 801
VARIANTS = {"hard_logistic": {"slope": 0.25}, "leaky_relu": {"slope": 0.1}, "swish": {"beta": 3.0}}
"""options beside the defaults that are worth seeing"""


def dataset_chart(name: str) -> Chart:
    """The rows of a dataset with its default options. Raises UsageError for one that needs options."""
    document: dict[str, object] = {"dataset": name}
    try:
        config = schema.parse(from_mapping(document, "", name))
        tokens = config.dataset.info().tokens
        if tokens is not None:  # shown as they are, as a network with an embedding reads them
            document["architecture"] = {"embedding": {"vocabulary": tokens, "dim": 1}}
            config = schema.parse(from_mapping(document, "", name))
    except ConfigError as error:
        remedy = "draw a run of it with mlprun plot RUN"
        raise UsageError(name, "has no rows without options", remedy) from error
    experiment = Experiment.of(config)
    untrained = TrainedModel(name, config, experiment.preprocessing, {}, 0, experiment.digest(), None)
    return DataFigure().compute(RunData(name, untrained, {}, {0: {}}, None))


def activation_grid() -> Chart:
    """Every registered activation that works on single numbers, with its defaults and with variants."""
    panels = []
    for part in activations:
        if not part.elementwise:
            continue
        plain = part(name=part.names()[0])
        panels.append(_panel(plain))
        if plain.name in VARIANTS:
            panels.append(_panel(part.model_validate({"name": plain.name, **VARIANTS[plain.name]})))
    title = "Activation functions and their derivatives"
    details = ("z runs from −4 to 4; softmax and log_softmax look at a whole row and are not drawn",)
    return grid_of(title, details, panels, columns=4, height=1.8, share="both")


def _panel(activation: Activation) -> Panel:
    """One activation and its derivative as autograd gives it, on axes that cross at 0."""
    import torch

    inputs = torch.linspace(-REACH, REACH, POINTS, dtype=torch.float64, requires_grad=True)
    values = activation.build()(inputs)
    slopes = torch.autograd.grad(values.sum(), inputs)[0]
    z, f, slope = (side.detach().numpy() for side in (inputs, values, slopes))
    options = [
        f"{name} {style.number(value) if isinstance(value, float) else value}"
        for name, value in activation
        if name not in ("name", "threshold")
    ]
    marks = (
        horizontal(0, dashes=()),
        vertical(0, dashes=()),
        Line(z, f, "f(z)", style.BLUE, width=1.7),
        Line(z, _broken(slope), "f′(z)", style.VERMILLION, style.DASHES[1], width=1.3),
    )
    x, y = (
        Axis("z", limits=(-REACH, REACH), ticks=(-4, 0, 4)),
        Axis("", limits=(-1.6, 2.6), ticks=(-1, 0, 1, 2)),
    )
    return Panel(marks, x, y, "\n".join([activation.names()[0], *options]))


def _broken(slopes: Array) -> Array:
    """The derivative with a gap where it jumps, instead of a line that it does not have."""
    broken = slopes.copy()
    broken[1:][np.abs(np.diff(slopes)) > 0.1] = np.nan
    return broken
