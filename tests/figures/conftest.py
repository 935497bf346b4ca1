"""Tiny trained runs of every shape that figures treat differently."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlprun.api as mlprun

if TYPE_CHECKING:
    from pathlib import Path

    from mlprun.figures import RunData

ODD = {"formula": r"$\frac{a}{b$", "markup": "[/x] \x1b[31m\nred", "direction": "\u202e אבג 中文 😀"}
"""names of columns that mean something to matplotlib, rich, a terminal or a reader's direction"""
CLASSES = (r"yes $\alpha$", "no [/red]\x1b", "\u202eevil and a very long name that no legend has room for")


def write_tables(folder: Path) -> None:
    draw = np.random.default_rng(0)
    with (folder / "odd.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*ODD.values(), "target $x_1$"])
        for a, b in draw.normal(size=(60, 2)):
            category = draw.choice([r"$\beta$", "[/b]", "日本"])
            table.writerow([a, b, category, CLASSES[int(a > 0) + int(a > 0.6)]])
    inputs = draw.uniform(-3, 3, 60)
    lines = [f"{x:.17g},{50 + 10 * np.sin(x):.17g}" for x in inputs]
    (folder / "line.csv").write_text("\n".join(["x [m],y [kg]", *lines]))
    labels = [f"{a:.3f},{b:.3f},{int(a > 0)},{int(a + b > 0)}" for a, b in draw.normal(size=(60, 2))]
    (folder / "labels.csv").write_text("\n".join(["a,b,high,far", *labels]))


def configs(folder: Path) -> dict[str, dict[str, Any]]:
    adam = {"name": "adam", "lr": 0.05}
    split = {"train": 60, "dev": 20, "test": 20}
    return {
        "moons": {
            "dataset": {"name": "moons", "noise": 0.3, "split": {**split, "test": 60}},
            "architecture": {"hidden": [4], "activation": "tanh"},
            "optimizer": {"name": "sgd", "lr": 0.5},
            "schedule": {"name": "exponential", "gamma": 0.9},
            "penalty": {"l2": 1e-3},
            "metrics": ["accuracy", {"name": "mse", "reduction": "mean"}, "roc_auc"],
            "snapshots": [1, 2, 5],
            "training": {"epochs": 8, "evaluate_every": 2},
        },
        "hinge": {"dataset": {"name": "moons", "split": split}, "loss": "hinge", "training": {"epochs": 3}},
        "odd": {
            "dataset": {"name": "table", "path": str(folder / "odd.csv"), "target": "target $x_1$"},
            "optimizer": adam,
            "snapshots": [2],
            "training": {"epochs": 5},
        },
        "line": {
            "dataset": {"name": "table", "path": str(folder / "line.csv"), "target": "y [kg]"},
            "architecture": {"hidden": [6], "activation": "tanh"},
            "optimizer": adam,
            "training": {"epochs": 20, "dtype": "float64"},
        },
        "quantiles": {
            "dataset": {"name": "table", "path": str(folder / "line.csv"), "target": "y [kg]"},
            "loss": {"name": "quantile", "quantiles": [0.1, 0.3, 0.5, 0.9]},
            "optimizer": adam,
            "training": {"epochs": 20},
        },
        "labels": {
            "dataset": {"name": "table", "path": str(folder / "labels.csv"), "target": ["high", "far"]},
            "loss": "bce",
            "optimizer": adam,
            "training": {"epochs": 20},
        },
        "two_targets": {
            "dataset": {
                "name": "inline",
                "inputs": [[float(k), float(k * k % 7)] for k in range(12)],
                "targets": [[k * 0.5, 100.0 - k] for k in range(12)],
            },
            "optimizer": adam,
            "training": {"epochs": 5},
        },
        "symbols": {
            "dataset": {"name": "sequences", "symbols": 4, "length": 3},
            "architecture": {"name": "rnn", "embedding": {"vocabulary": 4, "dim": 3}, "hidden": 4},
            "training": {"epochs": 5},
        },
        "fresh": {
            "dataset": {
                "name": "parity",
                "bits": 2,
                "split": {"train": 32, "dev": {"fresh": 20}, "test": {"fresh": 30}},
            },
            "snapshots": [1],
            "training": {"epochs": 3},
        },
        "untrained": {"dataset": {"name": "moons", "split": split}, "training": {"epochs": 0}},
        "no_dev": {
            "dataset": {"name": "moons", "samples": 40, "split": {"train": 0.8, "dev": 0, "test": 0.2}},
            "training": {"epochs": 3},
        },
    }


SHAPES = (
    "moons",
    "hinge",
    "odd",
    "line",
    "quantiles",
    "labels",
    "two_targets",
    "symbols",
    "fresh",
    "untrained",
    "no_dev",
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, mlprun.Run]:
    folder = tmp_path_factory.mktemp("figures")
    write_tables(folder)
    named = {name: {"name": name, **config} for name, config in configs(folder).items()}
    return {name: mlprun.train(config, out=str(folder / "runs")) for name, config in named.items()}


@pytest.fixture(scope="session")
def run_data(trained: dict[str, mlprun.Run]) -> dict[str, RunData]:
    assert tuple(trained) == SHAPES
    return {name: run.figure_data for name, run in trained.items()}
