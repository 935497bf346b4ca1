"""The plan of `mlprun train --dry-run`: rows per split and the layers of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun import engines, evaluation
from mlprun.cli.metrics import layers_table
from mlprun.cli.terminal import Table
from mlprun.engines import device
from mlprun.experiment import SPLITS, Experiment

if TYPE_CHECKING:
    from mlprun.schema import Config


def plan(config: Config) -> tuple[dict[str, Any], list[Table]]:
    """Return the JSON document and the tables of the plan. Raises what training would raise."""
    experiment = evaluation.check_initial_weights(Experiment.of(config))
    engine, why = engines.choose(experiment, config.engine)
    where = device.resolve(config.device)
    engine.initial_state(experiment)  # fails as training would, as for a weights file of other shapes
    counts = {split: len(experiment.rows(split, epoch=0)) for split in SPLITS}
    described, table = layers_table(experiment.layers())
    document = {
        "config": config.model_dump(mode="json"),
        "engine": {"name": engine.name, "why": why},
        "device": where,
        "rows": counts,
        "layers": described,
        "parameters": sum(row["parameters"] for row in described),
    }
    rows = Table(("split", "rows"), list(counts.items()), f"data: {config.dataset.name}")
    return document, [rows, table]
