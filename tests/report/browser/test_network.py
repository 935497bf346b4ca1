"""Networks in the browser compute and train as those of mlprun do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import mlprun
from mlprun.figures import RunData
from mlprun.parts.activations import Activation, activations
from mlprun.report import playground
from mlprun.storage.runs import RunFolder
from tests.report.browser.conftest import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Evaluate = Callable[[str, Any], Any]

BLOBS = {"name": "blobs", "center_box": [-2, 2], "split": {"train": 30, "dev": 5, "test": 5}}
MOONS = {"name": "moons", "split": {"train": 30, "dev": 5, "test": 5}}
ELEMENTWISE = [
    part.names()[0] for part in activations if part.elementwise and part.__module__ == Activation.__module__
]
NUMBERS = {"name": "regression", "features": 3, "targets": 2, "samples": 40, "scale": "max"}


def trained(folder: Path, **values: Any) -> RunData:
    """A run of a small float64 network of the scratch engine."""
    config = {
        "architecture": {"hidden": [5, 4], "activation": "tanh"},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "engine": "scratch",
        "snapshots": [0],
        **values,
    }
    config["training"] = {"epochs": 100, "dtype": "float64", **values.get("training", {})}
    path = mlprun.train(config, out=str(folder)).path
    return RunData.of(RunFolder(path))


def forward(evaluate: Evaluate, data: RunData, epoch: int, inputs: Any) -> Any:
    value = {"network": playground.network_json(data, epoch), "inputs": np.ravel(inputs).tolist()}
    outputs = evaluate("Array.from(forwardPass(value.network, Float64Array.from(value.inputs)))", value)
    return np.reshape(outputs, (len(inputs), -1))


def names_in(script: str, table: str) -> list[str]:
    """The keys of an object literal at the top of a script."""
    body = re.search(
        rf"^const {table} = \{{$(.*?)^\}};$", (SCRIPTS / script).read_text(), re.MULTILINE | re.DOTALL
    )
    assert body is not None
    return re.findall(r"^  (\w+)[:,]", body[1], re.MULTILINE)


@pytest.mark.parametrize(
    ("table", "known"),
    [
        ("ACTIVATIONS", ELEMENTWISE),
        ("LOSSES", playground.LOSSES),
        ("OPTIMIZERS", playground.OPTIMIZERS),
    ],
)
def test_python_knows_what_the_browser_can_compute(table: str, known: Sequence[str]) -> None:
    assert sorted(names_in("network.js", table)) == sorted(known)


@pytest.mark.parametrize("activation", ELEMENTWISE)
def test_outputs_equal_torchs_for_every_activation(
    evaluate: Evaluate, tmp_path: Path, activation: str
) -> None:
    architecture = {
        "hidden": [6, 5],
        "activation": activation,
        "init": {"weight": {"name": "normal", "std": 2.0}},
    }
    data = trained(tmp_path, dataset=BLOBS, architecture=architecture, engine="torch", training={"epochs": 0})
    inputs = 3 * np.random.default_rng(0).standard_normal((50, 2))
    with torch.no_grad():
        expected = data.trained.alone.filled_network(data.models[0])(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(forward(evaluate, data, 0, inputs), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("dataset", "loss", "architecture"),
    [
        (MOONS, "bce", {}),
        (MOONS, "hinge", {"output": {"bias": False}}),
        (MOONS, "mse", {"output_activation": "logistic"}),
        (MOONS, "cross_entropy", {}),
        (BLOBS, "cross_entropy", {"activation": {"name": "leaky_relu", "slope": 0.2}}),
        (BLOBS, "mse", {"layers": [{"units": 3, "activation": "elu"}, {"units": 2, "bias": False}]}),
        (NUMBERS, "mse", {"hidden": []}),
        (NUMBERS, "mae", {"hidden": [7]}),
    ],
    ids=str,
)
def test_outputs_equal_torchs_for_every_loss(
    evaluate: Evaluate, tmp_path: Path, dataset: dict[str, Any], loss: str, architecture: dict[str, Any]
) -> None:
    data = trained(
        tmp_path,
        dataset=dataset,
        loss=loss,
        architecture=architecture,
        engine="torch",
        training={"epochs": 3},
    )
    inputs = data.rows("test").inputs
    with torch.no_grad():
        expected = data.trained.alone.filled_network(data.models[3])(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(forward(evaluate, data, 3, inputs), expected, rtol=0, atol=1e-12)


STEPS = """(() => {
  const table = readTable(value.table), network = readNetwork(value.network);
  const training = new Training({ ...value.settings }, table, network);
  for (let step = 0; step < 100; step++) training.step();
  return network.layers.map((layer) => layer.parameters.map((array) => Array.from(array)));
})()"""


@pytest.mark.parametrize(
    ("dataset", "values"),
    [
        (MOONS, {"loss": "bce", "optimizer": {"name": "sgd", "lr": 0.3}}),
        (
            MOONS,
            {"loss": "bce", "optimizer": {"name": "adam", "lr": 0.03}, "penalty": {"l1": 1e-3, "l2": 0.01}},
        ),
        (MOONS, {"loss": "hinge", "optimizer": {"name": "adamw", "lr": 0.03, "weight_decay": 0.1}}),
        (
            MOONS,
            {
                "loss": "mse",
                "architecture": {"hidden": [6], "activation": "relu", "output_activation": "logistic"},
                "optimizer": {
                    "name": "sgd",
                    "lr": 0.3,
                    "momentum": 0.9,
                    "dampening": 0.1,
                    "weight_decay": 0.01,
                },
            },
        ),
        (
            BLOBS,
            {
                "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True},
                "loss": "cross_entropy",
            },
        ),
        (
            BLOBS,
            {
                "architecture": {"hidden": [5], "activation": "elu"},
                "optimizer": {"name": "adam", "lr": 0.02},
            },
        ),
        (NUMBERS, {"architecture": {"hidden": [5], "activation": "swish"}, "loss": "mae"}),
        (NUMBERS, {"architecture": {"hidden": [4], "activation": "softplus", "bias": False}, "loss": "mse"}),
    ],
    ids=str,
)
def test_a_hundred_steps_equal_those_of_the_scratch_engine(
    evaluate: Evaluate, tmp_path: Path, dataset: dict[str, Any], values: dict[str, Any]
) -> None:
    data = trained(tmp_path, dataset=dataset, **values)
    section = playground.playground_section(data)
    assert section is not None
    value = dict(section.data["playground"])
    value["network"] = playground.network_json(data, 0)
    layers = evaluate(STEPS, value)
    arrays = [array for layer in layers for array in layer]
    expected = data.models[100]
    names = [name for name in expected if name.startswith("layers.")]
    assert len(names) == len(arrays)
    for name in names:
        _, number, kind = name.split(".")
        found = layers[int(number)][int(kind == "bias")]
        np.testing.assert_allclose(found, expected[name].ravel(), rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("activation", ELEMENTWISE)
def test_slopes_equal_differences(evaluate: Evaluate, activation: str) -> None:
    points = np.linspace(-4, 4, 33) + 0.01
    expression = """value.points.map((z) => {
      const [f, slope] = ACTIVATIONS[value.name]({}), step = 1e-5;
      return [slope(z, f(z)), (f(z + step) - f(z - step)) / (2 * step)];
    })"""
    pairs = np.array(evaluate(expression, {"name": activation, "points": points.tolist()}))
    np.testing.assert_allclose(pairs[:, 0], pairs[:, 1], atol=1e-8)


def test_dropout_keeps_the_mean_and_drops_its_share(evaluate: Evaluate) -> None:
    expression = """(() => {
      const y = new Float64Array(20000).fill(1), { factors, values } = drop(y, 0.25, new Random(3));
      const share = factors.filter((one) => one === 0).length / y.length;
      return [share, values.reduce((a, b) => a + b) / y.length];
    })()"""
    dropped, mean = evaluate(expression, None)
    assert dropped == pytest.approx(0.25, abs=0.02)
    assert mean == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"architecture": {"hidden": [4], "norm": "batch"}}, "batch or layer norm"),
        (
            {
                "architecture": {"hidden": [4], "output_activation": "softmax"},
                "dataset": BLOBS,
                "loss": "mse",
            },
            "no softmax activation",
        ),
        ({"architecture": {"hidden": [4], "activation": ["relu", "tanh"]}}, "several activations"),
        ({"loss": {"name": "bce", "reduction": "sum"}}, "bce loss"),
        ({"architecture": {"hidden": [200, 200]}}, "parameters"),
    ],
    ids=str,
)
def test_what_the_browser_lacks_is_said_in_a_line(
    tmp_path: Path, values: dict[str, Any], reason: str
) -> None:
    data = trained(tmp_path, **{"dataset": MOONS, "engine": "torch", "training": {"epochs": 1}, **values})
    section = playground.playground_section(data)
    assert section is not None
    assert reason in section.content.html
    assert section.scripts == ()
    assert reason in (playground.unsupported_reason(data.config, data.preprocessing.width) or "")
