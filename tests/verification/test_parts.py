"""Every part that a config can name, verified by itself: in float64 engines agree to the last digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlprun import api
from mlprun.parts.activations import activations
from mlprun.parts.losses import losses
from mlprun.parts.optimizers import optimizers
from mlprun.parts.schedules import schedules

NEEDED = {
    "cosine_restarts": {"t_0": 3},
    "step": {"step_size": 3},
    "multi_step": {"milestones": [2, 5]},
    "exponential": {"gamma": 0.9},
}
"""options that have no default"""
MOONS = {"name": "moons", "noise": 0.3, "split": {"train": 45, "dev": 20, "test": 15}}
SYMBOLS = {"name": "inline", "inputs": [[1, 2], [0, 1], [2, 2]], "targets": [0, 1, 1], "split": "same"}


def names(registry: Any) -> list[str]:
    return [part.names()[0] for part in registry]


def verified(*, steps: int = 12, **sections: Any) -> None:
    """Verify a small network on moons with these sections, over epochs of three batches."""
    config = {
        "dataset": MOONS,
        "architecture": {"hidden": [4], "activation": "tanh"},
        "training": {"epochs": 60, "batch_size": 16, "dtype": "float64"},
    }
    found = api.verify({**config, **sections}, steps=steps)
    assert found.problems == ()
    assert {one.engine for one in found.checks} == set(found.engines)


@pytest.mark.parametrize("name", names(optimizers))
def test_optimizers(name: str) -> None:
    sections: dict[str, Any] = {"optimizer": {"name": name}}
    if name == "sparseadam":
        sections |= {"dataset": SYMBOLS, "architecture": {"embedding": {"vocabulary": 3, "dim": 2}}}
    verified(steps=3 if name == "lbfgs" else 12, **sections)  # one step of L-BFGS is up to 20


@pytest.mark.parametrize("name", [name for name in names(optimizers) if name != "lbfgs"])
def test_optimizers_with_groups_and_frozen_parameters(name: str) -> None:
    decay = {"weight_decay": 0.1} if "weight_decay" in optimizers[name].model_fields else {}
    rate = {} if name == "asgd" else {"lr": 0.003}  # which fused refuses
    sparse = optimizers[name].sparse
    first = {"parameters": "embedding*" if sparse else "*.1.bias", **rate}
    groups = [first, {"parameters": "layers.1.*", **decay, **rate}]
    sections: dict[str, Any] = {"dataset": SYMBOLS if sparse else MOONS}
    embedding = {"embedding": {"vocabulary": 3, "dim": 3}} if sparse else {}
    verified(
        architecture={"hidden": [4, 5, 4], **embedding},
        training={"epochs": 60, "batch_size": 16, "dtype": "float64"}
        | ({} if sparse else {"clip_norm": 0.2}),
        optimizer={"name": name, "groups": groups},
        freeze=["layers.0.*"],
        **sections,
    )


@pytest.mark.parametrize(
    "sections",
    [
        {"loss": {"name": "bce", "reduction": "sum", "scale": 0.2}, "penalty": {"l2": 0.1}},
        {"loss": {"name": "cross_entropy", "class_weights": [1, 3]}},
        {"architecture": {"hidden": [9, 5], "dropout": 0.3, "norm": "layer"}, "optimizer": "adam"},
    ],
)
def test_accumulated_batches(sections: dict[str, Any]) -> None:
    training = {"epochs": 60, "batch_size": 8, "dtype": "float64", "accumulate": 4, "clip_norm": 0.3}
    verified(training=training, **sections)


@pytest.mark.parametrize("average", [{"name": "ema", "decay": 0.8}, {"name": "swa", "start": 2}])
def test_averages(average: dict[str, Any]) -> None:
    training = {"epochs": 60, "batch_size": 16, "dtype": "float64", "average": average}
    verified(training=training, **({"architecture": {"norm": "batch"}} if average["name"] == "ema" else {}))


@pytest.mark.parametrize(
    "options",
    [{}, {"activation": "relu", "dropout": 0.3}, {"norm": "batch"}, {"activation": ["tanh", "gelu"]}],
)
def test_residual_connections(options: dict[str, Any]) -> None:
    verified(architecture={"hidden": [5, 5, 5, 3, 3], "activation": "tanh", "residual": True, **options})


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_frozen_norms(norm: str) -> None:
    verified(architecture={"hidden": [4, 5], "norm": norm}, freeze=["norms.0.*", "layers.1.bias"])


@pytest.mark.parametrize("name", [part.names()[0] for part in activations if part.elementwise])
def test_activations(name: str) -> None:
    verified(architecture={"hidden": [4], "activation": name})


@pytest.mark.parametrize("name", names(schedules))
def test_schedules(name: str) -> None:
    verified(steps=30, schedule={"name": name, **NEEDED.get(name, {})})


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", names(losses))
def test_losses(name: str, reduction: str) -> None:
    generator = np.random.default_rng(0)
    targets: Any = generator.uniform(0.1, 0.9, size=(20, 2)).tolist()
    if name in ("cross_entropy", "nll", "hinge", "focal"):
        targets = [row % 3 for row in range(20)]
    elif name == "quantile":
        targets = [row[:1] for row in targets]
    elif name == "kl_div":
        targets = generator.dirichlet([1.0, 1.0], size=20).tolist()
    dataset = {"name": "inline", "inputs": generator.normal(size=(20, 3)).tolist(), "targets": targets}
    verified(
        dataset=dataset, loss={"name": name, "reduction": reduction}, optimizer={"name": "sgd", "lr": 0.01}
    )
