"""The pictures that need no run: a dataset's rows, and the activation functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlprun import figures, schema
from mlprun.config import from_mapping
from mlprun.errors import ConfigError, UsageError
from mlprun.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def of_dataset(name: str) -> Figure:
    """The rows of a dataset with its default options."""
    document: dict[str, object] = {"dataset": name}
    try:
        config = schema.parse(from_mapping(document, "", name))
        symbols = config.dataset.info().tokens
        if symbols is not None:  # shown as they stand, as a network with a table in front reads them
            document["architecture"] = {"embedding": {"vocabulary": symbols, "dim": 1}}
            config = schema.parse(from_mapping(document, "", name))
    except ConfigError as error:
        raise UsageError(
            name, "has no rows without options", "draw a run of it with mlprun plot RUN"
        ) from error
    experiment = Experiment.of(config)
    network = {0: experiment.network()}  # untrained: the rows are drawn, not what it makes of them
    subject = figures.Subject(name, config, {}, experiment.preprocessing, lambda: experiment, network, None)
    return figures.draw("data", subject)


def of_activations() -> Figure:
    """Every activation and its derivative."""
    from mlprun.figures import canvas
    from mlprun.figures.catalogue import draw_catalogue, shapes

    return canvas.finished(draw_catalogue, shapes())
