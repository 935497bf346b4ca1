"""What a config would train, without training it: rows of each split and the network's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun import engines, evaluation
from mlprun.cli.terminal import Table
from mlprun.engines import device
from mlprun.experiment import SPLITS, Experiment
from mlprun.parts.architectures.network import summary

if TYPE_CHECKING:
    from mlprun.parts.architectures.network import Network
    from mlprun.schema import Config


def layers(experiment: Experiment, network: Network | None = None) -> tuple[list[dict[str, Any]], Table]:
    """The network's layers as JSON and as a table, with the number of parameters in its title."""
    rows = summary(network or experiment.blank_network(), experiment.width)
    total = sum(row.parameters for row in rows)
    described = [row._asdict() for row in rows]
    cells = [(row.name, row.kind, "×".join(map(str, row.shape)), row.parameters) for row in rows]
    return described, Table(("layer", "kind", "output", "parameters"), cells, f"network: {total} parameters")


def plan(config: Config) -> tuple[dict[str, Any], list[Table]]:
    """The document and the tables of `mlprun train --dry-run`. Raises what training would."""
    experiment = evaluation.check_initial_weights(Experiment.of(config))
    engine, why = engines.choose(experiment, config.engine)
    where = device.resolve(config.device)
    counts = {split: len(experiment.rows(split, epoch=0)) for split in SPLITS}
    described, table = layers(experiment, experiment.network())
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
