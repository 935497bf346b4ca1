"""What `mlprun bench` measures: workloads, networks that grow, and any config made endless."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun.experiment import Experiment
from mlprun.schema import parse

if TYPE_CHECKING:
    from mlprun.schema import Config

EVERY = 100
"""steps between two evaluations of dev, each with a row of history"""
LONG = 10**9
"""epochs of a run that is never at its end"""
_SGD, _ADAM = {"name": "sgd", "lr": 0.1}, {"name": "adam", "lr": 0.001}
_HIDDEN = {"name": "mlp", "activation": "logistic"}


def moons(rows: int, *, seed: int = 0) -> dict[str, Any]:
    """A network 2-5-1 on so many rows of two interleaving arcs."""
    split = {"train": rows, "dev": rows // 4, "test": rows // 4}
    return {
        "dataset": {"name": "moons", "split": split},
        "architecture": {**_HIDDEN, "hidden": [5]},
        "optimizer": _SGD,
        "training": {"seed": seed},
    }


def wide(units: int) -> dict[str, Any]:
    """Two hidden layers of so many units behind 20 inputs, on 32 rows, with Adam."""
    split = {"train": 32, "dev": 80, "test": 80}
    return {
        "dataset": {"name": "classification", "features": 20, "informative": 10, "split": split},
        "architecture": {"name": "mlp", "hidden": [units, units], "activation": "relu"},
        "optimizer": _ADAM,
    }


WORKLOADS: dict[str, dict[str, Any]] = {
    "xor, 4 rows, 2-5-1": {"dataset": "xor", "architecture": {**_HIDDEN, "hidden": [5]}, "optimizer": _SGD},
    "moons, 640 rows, 2-5-1": moons(640),
    "parity, 1024 rows, 3-4-1": {
        "dataset": {"name": "parity", "bits": 3, "split": {"train": 1024, "dev": 512, "test": 512}},
        "architecture": {**_HIDDEN, "hidden": [4], "bias": False},
        "optimizer": {"name": "sgd", "lr": 0.01},
        "penalty": {"l2": 1e-4},
    },
    "1000 rows, 5-8-4-1 ReLU": {
        "dataset": {
            "name": "classification",
            "features": 5,
            "informative": 3,
            "split": {"train": 1000, "dev": 200, "test": 200},
        },
        "architecture": {"name": "mlp", "hidden": [8, 4], "activation": "relu"},
        "optimizer": _SGD,
    },
    "32 rows, 20-64-64-1 ReLU, Adam": wide(64),
}


def workload(settings: dict[str, Any]) -> Config:
    """A workload as a config."""
    from mlprun import config as reading

    return parse(reading.from_mapping({"loss": "bce", **settings}, "", "workload"))


def steps_of(experiment: Experiment) -> int:
    """Batches of an epoch."""
    size, rows = experiment.config.training.batch_size, len(experiment.fixed["train"])
    return 1 if size == "full" else -(-rows // size)


def endless(config: Config) -> tuple[Experiment, int]:
    """The experiment as it is measured, and the epochs between two of its evaluations.

    It trains on the CPU and never ends; a schedule that needs to know the end is replaced by none.
    """
    every = max(1, EVERY // steps_of(Experiment.of(config)))
    training = config.training.model_copy(
        update={"epochs": LONG, "evaluate_every": every, "log_every": every}
    )
    changed: dict[str, Any] = {"training": training, "early_stopping": None, "device": "cpu", "snapshots": ()}
    if config.schedule.depends_on_total:
        changed["schedule"] = workload(moons(4)).schedule
    return Experiment.of(config.model_copy(update=changed)), every
