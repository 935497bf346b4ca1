"""Small trained models that together use everything an export has to write, and a table of hostile names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlprun.api as mlprun
from mlprun.parts.activations import activations

if TYPE_CHECKING:
    from pathlib import Path

ELEMENTWISE = [part.names()[0] for part in activations if part.elementwise]
OTHER_OPTIONS: list[Any] = [
    {"name": "leaky_relu", "slope": 0.3},
    {"name": "elu", "alpha": 0.5},
    {"name": "gelu", "approximate": "tanh"},
    {"name": "softplus", "beta": 2.5, "threshold": 1.0},
    {"name": "swish", "beta": 1.7},
    {"name": "hard_logistic", "slope": 0.25, "offset": 0.4},
]
"""activations with options other than the default"""

COLOURS, KINDS, PLACES = ("red", "blue", "", "grey"), ("a", "b"), ("oslo", "rome", "bern", "kyiv", "lima")
TABLE = "size,colour,age,place,seen,flag,kind,price,weight,soft,loud\n" + "".join(
    f"{k * 1.37 % 7:.3f},{COLOURS[k % 4]},{k * 7 % 11 or ''},{PLACES[k * k % 11 % 5]},"
    f"{1960 + k * 3}-{k % 12 + 1:02d}-{k % 28 + 1:02d},{'true' if k % 3 else 'false'},"
    f"{KINDS[(k + k // 5) % 3 % 2]},{k * k % 13}.5,{k % 9 / 4 + 0.5},{k % 3 % 2},{(k * 5 + 2) % 7 % 2}\n"
    for k in range(40)
)
"""rows of every type of cell, some of them missing"""
NUMBERS = {"name": "regression", "features": 3, "scale": "max"}
MOONS, BLOBS = {"name": "moons", "noise": 0.2}, {"name": "blobs", "standardize": True}
SYMBOLS = {"name": "sequences"}
FRONT = {"vocabulary": 5, "dim": 2, "activation": "tanh"}


def table(target: Any, features: list[str], **options: Any) -> dict[str, Any]:
    return {"name": "table", "target": target, "features": features, **options}


FEATURES = ["size", "colour", "age", "place", "seen", "flag"]
PREPARED = {
    "age": {"missing": "median", "indicator": True, "scale": "log"},
    "size": {"scale": "quantile"},
    "colour": {"missing": "none", "indicator": True, "max_categories": 3},
    "place": {"encode": "ordinal", "scale": "robust"},
    "seen": {"as": "date"},
}
MODELS: dict[str, dict[str, Any]] = {
    "activations": {"dataset": NUMBERS, "architecture": {"hidden": [4], "activation": ELEMENTWISE}},
    "options": {"dataset": NUMBERS, "architecture": {"hidden": [4], "activation": OTHER_OPTIONS}},
    "batch_norm": {"dataset": MOONS, "architecture": {"hidden": [4, 3], "norm": "batch"}, "loss": "bce"},
    "layer_norm": {"dataset": NUMBERS, "architecture": {"hidden": [4, 3], "norm": "layer"}},
    "residual": {
        "dataset": BLOBS,
        "architecture": {
            "hidden": [4, 4, 4],
            "residual": True,
            "norm": "layer",
            "dropout": 0.2,
            "bias": False,
        },
    },
    "linear": {"dataset": MOONS, "architecture": {"hidden": []}, "loss": "bce", "threshold": 0.35},
    "embedding": {"dataset": SYMBOLS, "architecture": {"hidden": [3], "embedding": FRONT}},
    "recurrent": {"dataset": SYMBOLS, "architecture": {"name": "rnn", "hidden": 3, "embedding": FRONT}},
    "recurrent_numbers": {
        "dataset": NUMBERS,
        "architecture": {"name": "rnn", "hidden": 3, "activation": ["tanh", "relu"], "bias": False},
    },
    "two_classes": {
        "dataset": table("kind", FEATURES, missing="impute", columns={"seen": {"as": "date"}}),
        "loss": "bce",
        "threshold": {"metric": "f1"},
        "calibrate": "temperature",
    },
    "categories": {
        "dataset": table(
            "price",
            FEATURES,
            missing="impute",
            columns={
                "seen": {"as": "date"},
                "colour": {"encode": "embedding", "max_categories": 3},
                "place": {"encode": "embedding", "dim": 2},
            },
        ),
        "architecture": {"hidden": [4]},
    },
    "two_outputs": {"dataset": MOONS, "loss": "cross_entropy", "threshold": 0.4},
    "hinge": {"dataset": MOONS, "loss": "hinge"},
    "multi_class": {
        "dataset": table("place", ["size", "age", "colour"], missing="impute"),
        "loss": "cross_entropy",
        "calibrate": "temperature",
    },
    "scores": {"dataset": BLOBS, "loss": "mse"},
    "log_softmax": {"dataset": BLOBS, "loss": "nll"},
    "labels": {"dataset": table(["soft", "loud"], ["size", "place"]), "loss": "bce"},
    "prepared": {
        "dataset": table("price", FEATURES, target_transform="sqrt", columns=PREPARED),
    },
    "target_encoded": {
        "dataset": table(
            "price",
            ["size", "colour", "place"],
            target_transform="log1p",
            missing="impute",
            columns={"colour": {"encode": "target", "max_categories": 3}, "place": {"encode": "target"}},
        ),
    },
    "several_targets": {
        "dataset": table(["weight", "price"], ["size", "colour"], missing="impute", target_transform="log"),
        "training": {"dtype": "float64"},
    },
    "quantile_target": {"dataset": table("price", ["size"], target_transform="quantile")},
    "raw": {"dataset": table("price", ["size", "flag"], standardize=False), "training": {"dtype": "float64"}},
    "quantiles": {
        "dataset": table("price", ["size", "place"], target_transform="log1p"),
        "loss": {"name": "quantile", "quantiles": [0.1, 0.5, 0.9]},
    },
    "quantiles_by_rank": {
        "dataset": table("price", ["size"], target_transform="quantile"),
        "loss": {"name": "quantile", "quantiles": [0.25, 0.75]},
    },
    "counts": {"dataset": table("price", ["size"]), "loss": "poisson_nll"},
}
"""configs by name"""


def train(name: str, folder: Path) -> mlprun.Run:
    """Train a model of MODELS in `folder`, a few epochs on few rows."""
    config = MODELS[name]
    dataset = {"split": {"train": 24, "dev": 8, "test": 8}, **config["dataset"]}
    if dataset["name"] == "table":
        path = folder / "rows.csv"
        path.write_text(TABLE)
        dataset["path"] = str(path)
    training = {"epochs": 2, **config.get("training", {})}
    defaults = {"name": name, "loss": "mse", "engine": "torch", "optimizer": {"name": "adam", "lr": 0.05}}
    architecture = config.get("architecture", {"hidden": [3], "activation": "tanh"})
    changed = {"dataset": dataset, "training": training, "architecture": architecture}
    return mlprun.train({**defaults, **config, **changed}, out=str(folder))
