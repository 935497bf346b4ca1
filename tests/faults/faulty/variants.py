"""Small runs that between them use every kind of state that a resume must bring back."""

from __future__ import annotations

from typing import Any

EPOCHS = 12
EVERY_EPOCH = {"epochs": 1}
BATCHES = {"batch_size": 16, "shuffle": True}

BASE: dict[str, Any] = {
    "engine": "torch",
    "name": "run",
    "dataset": {"name": "moons", "noise": 0.3, "split": {"train": 45, "dev": 20, "test": 15}},
    "architecture": {"hidden": [4], "activation": "tanh"},
    "optimizer": {"name": "sgd", "lr": 0.5},
    "training": {"epochs": EPOCHS},
    "checkpoint": EVERY_EPOCH,
}
FRESH = {"name": "circles", "split": {"train": 45, "dev": {"fresh": 30}, "test": {"fresh": 10}}}

VARIANTS: dict[str, dict[str, Any]] = {
    "momentum": {
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3},
        "training": BATCHES,
    },
    "adam with dropout": {
        "architecture": {"hidden": [8, 6], "dropout": 0.3},
        "optimizer": {"name": "adam", "lr": 0.02},
        "schedule": "cosine",
        "training": {**BATCHES, "dtype": "float64"},
    },
    "lbfgs": {"optimizer": {"name": "lbfgs", "lr": 0.1, "max_iter": 4}, "training": {"dtype": "float64"}},
    "plateau": {
        "optimizer": {"lr": 8.0},
        "schedule": {"name": "reduce_on_plateau", "patience": 1, "factor": 0.5, "cooldown": 1},
    },
    "early stopping": {"optimizer": {"lr": 20.0}, "early_stopping": {"patience": 6}},
    "fresh dev data": {"dataset": FRESH, "optimizer": {"name": "adam", "lr": 0.05}},
    "one cycle": {"optimizer": {"name": "adamw", "lr": 0.05}, "schedule": "one_cycle", "training": BATCHES},
    "warm restarts": {
        "schedule": {"name": "warmup", "epochs": 4, "then": {"name": "cosine_restarts", "t_0": 5}},
        "training": {"dtype": "float64"},
    },
    "batch norm and snapshots": {
        "architecture": {"hidden": [6], "norm": "batch"},
        "training": BATCHES,
        "snapshots": [3, 10, 11],
    },
    "muon, clipped": {
        "optimizer": {"name": "muon", "lr": 0.01},
        "training": {**BATCHES, "clip_norm": 0.5},
    },
    "seldom": {
        "training": {**BATCHES, "evaluate_every": 3, "log_every": 7},
        "best": {"metric": "dev_accuracy", "mode": "max"},
        "checkpoint": {"epochs": 5},
    },
    "fused": {
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        "training": BATCHES,
        "engine": "fused",
    },
    "fused, adam, float64": {
        "optimizer": {"name": "adam", "lr": 0.02},
        "early_stopping": {"patience": 15},
        "training": {**BATCHES, "dtype": "float64"},
        "engine": "fused",
    },
    "scratch": {
        "optimizer": {"name": "adam", "lr": 0.02, "amsgrad": True},
        "schedule": "cosine",
        "training": {**BATCHES, "dtype": "float64"},
        "engine": "scratch",
    },
    "scratch, momentum, plateau": {
        "optimizer": {"name": "sgd", "lr": 0.5, "momentum": 0.9},
        "schedule": {"name": "reduce_on_plateau", "patience": 1, "factor": 0.5},
        "training": {"dtype": "float64"},
        "engine": "scratch",
    },
    "default interval": {
        "optimizer": {"name": "adam", "lr": 0.02},
        "training": {**BATCHES, "epochs": 60},
        "checkpoint": {},
    },
}


def config_of(variant: str, **sections: Any) -> dict[str, Any]:
    """The config of a variant, with more sections laid over it."""
    config = BASE
    for layer in (VARIANTS[variant], sections):
        config = _over(config, layer)
    return config


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        former = below.get(name)
        both = isinstance(value, dict) and isinstance(former, dict) and value and name != "checkpoint"
        another = both and "name" in value and value["name"] != former.get("name")
        merged[name] = {**former, **value} if both and not another else value
    return merged
