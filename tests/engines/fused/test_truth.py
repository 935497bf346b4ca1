"""The kernels against the torch engine, on random shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlprun import randomness

SMOOTH = ("logistic", "tanh", "softplus", "swish", "gelu")
KINKED = ("relu", "leaky_relu", "hard_tanh", "hard_logistic")
SHAPES = {
    "count": st.integers(1, 70),
    "inputs": st.integers(1, 40),
    "hidden": st.lists(st.integers(1, 40), max_size=3),
    "outputs": st.integers(1, 5),
    "batch": st.sampled_from(["full", 7, 1, 16]),
    "bias": st.booleans(),
    "loss": st.sampled_from(["mse", "bce", "cross_entropy"]),
    "seed": st.integers(0, 1000),
    "norm": st.sampled_from(["none", "layer", "batch"]),
    "dropout": st.sampled_from([0.0, 0.3]),
    "symbols": st.sampled_from([0, 6]),
}
PLAIN = {"norm": "none", "dropout": 0.0, "symbols": 0}
LARGE: dict[str, Any] = {"count": 300, "inputs": 33, "hidden": [70, 17, 16], "outputs": 3, "batch": "full",
                         "bias": True, "loss": "cross_entropy", "seed": 1, "activation": "tanh"}  # fmt: skip
BOUND = {"float32": 1e-5, "float64": 1e-12}
odd = pytest.mark.parametrize("dtype", ["float32", "float64"])


def settings_of(lab: Any, shape: dict[str, Any], activation: str, **training: Any) -> dict[str, Any]:
    """The config of a drawn shape."""
    loss, outputs = shape["loss"], shape["outputs"]
    if loss == "cross_entropy":
        outputs = max(2, outputs)
        shape = {**shape, "count": max(shape["count"], outputs)}
    count, batch, symbols = shape["count"], shape["batch"], shape["symbols"]
    if shape["norm"] == "batch" and shape["hidden"]:  # no batch may have one row
        count = max(2, count)
        batch = batch if batch in (7, 16) and count % batch != 1 else "full"
    dataset = lab.rows(count, shape["inputs"], outputs, loss, shape["seed"])
    embedding = {"vocabulary": symbols, "dim": 3, "activation": activation} if symbols else None
    if symbols:
        dataset["inputs"] = np.random.default_rng(1).integers(0, symbols, (count, shape["inputs"])).tolist()
    return {
        "dataset": dataset,
        "architecture": {
            "name": "mlp", "hidden": shape["hidden"], "activation": activation, "bias": shape["bias"],
            "norm": shape["norm"], "dropout": shape["dropout"], "embedding": embedding,
        },
        "loss": loss,
        "optimizer": {"name": "sgd", "lr": 0.05},
        "training": {"batch_size": batch, "seed": shape["seed"], **training},
        "penalty": {"l2": 0.01, "l1": 0.001},
    }  # fmt: skip


def torch_gradient(experiment: Any) -> dict[str, Any]:
    """The gradient of the first batch by autograd."""
    config, network, data = experiment.config, experiment.network(), experiment.fixed["train"]
    size = config.training.batch_size
    order = np.arange(len(data))
    if size != "full" and size < len(data):
        order = randomness.order(config.training.seed, randomness.Purpose.ORDER, len(data), epoch=0)[:size]
    widths = [layer.width for layer in network.dropouts]
    drawn = randomness.uniforms(
        config.training.seed, randomness.Purpose.DROPOUT, len(order) * sum(widths), epoch=0
    )
    for layer, first in zip(network.dropouts, np.cumsum([0, *widths]) * len(order), strict=False):
        part = drawn[first : first + layer.width * len(order)].reshape(len(order), layer.width)
        layer.keep = torch.from_numpy((part >= layer.probability).astype(experiment.dtype))
    values = network.preactivation(torch.from_numpy(data.inputs[order]))
    values = values if config.loss.activation else network.output_activation(values)
    objective = config.loss.build()(values, torch.from_numpy(data.targets[order]))
    for penalty in config.penalties:
        objective = objective + penalty.value(network.weights())
    objective.backward()
    return {name: parameter.grad.numpy() for name, parameter in network.named_parameters()}


@odd
@given(**SHAPES, activation=st.sampled_from(SMOOTH + KINKED))
@example(
    count=1,
    inputs=1,
    hidden=[1],
    outputs=1,
    batch="full",
    bias=True,
    loss="mse",
    seed=0,
    activation="relu",
    **PLAIN,
)
@example(**LARGE, **PLAIN)
@example(**LARGE, norm="batch", dropout=0.3, symbols=6)
@example(
    count=50,
    inputs=16,
    hidden=[16, 4],
    outputs=1,
    batch=7,
    bias=False,
    loss="bce",
    seed=2,
    activation="elu",
    norm="layer",
    dropout=0.3,
    symbols=0,
)
@settings(max_examples=25)
def test_the_first_gradient_is_autograds(lab: Any, dtype: str, activation: str, **shape: Any) -> None:
    experiment = lab.make(settings_of(lab, shape, activation, dtype=dtype, epochs=1))
    engine = lab.engines["fused"]
    expected = torch_gradient(experiment)
    found = engine.gradients(experiment, engine.initial_state(experiment), device="cpu")
    assert lab.distance(expected, found) <= BOUND[dtype] * max(lab.largest(expected), 1e-30)


def rounds_like_torch(lab: Any, config: dict[str, Any]) -> None:
    """Demand that the trained model is as near as torch's to that of torch in float64."""
    exact = lab.model("torch", config, "float64")
    theirs = lab.distance(exact, lab.model("torch", config, "float32"))
    assert lab.distance(exact, lab.model("fused", config, "float32")) <= 4 * theirs + 1e-6
    assert lab.distance(exact, lab.model("fused", config, "float64")) <= 1e-9


@given(**SHAPES, activation=st.sampled_from(SMOOTH))
@settings(max_examples=10)
def test_after_a_hundred_steps_rounding_has_grown_as_little_as_in_torch(
    lab: Any, activation: str, **shape: Any
) -> None:
    config = settings_of(lab, shape, activation, epochs=1)
    steps = 1 if shape["batch"] == "full" else -(-len(config["dataset"]["inputs"]) // shape["batch"])
    config["training"]["epochs"] = max(1, 100 // steps)
    config["penalty"] = {"l2": 0.01}  # with l1 a weight jumps where rounding decides on its sign
    rounds_like_torch(lab, config)


@given(**{**SHAPES, "batch": st.just("full")}, activation=st.sampled_from(KINKED))
@settings(max_examples=10)
def test_activations_with_kinks_agree_over_ten_steps(lab: Any, activation: str, **shape: Any) -> None:
    rounds_like_torch(lab, settings_of(lab, shape, activation, epochs=10))
