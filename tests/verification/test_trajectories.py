"""Kinks are found where the derivative jumps, in built-in activations and in functions that have none."""

from __future__ import annotations

import pytest
import torch

from mlprun import api
from mlprun.experiment import Experiment
from mlprun.parts.activations import activations
from mlprun.verification.trajectories import has_kink, is_nonsmooth


def of_config(config) -> bool:
    return is_nonsmooth(Experiment.of(api.load_config(config)).blank_network())


KINKED = {"relu", "leaky_relu", "selu", "hard_logistic", "hard_sigmoid", "hard_tanh"}


@pytest.mark.parametrize("name", [part.names()[0] for part in activations if part.elementwise])
def test_activations_are_known_by_their_derivatives(name: str) -> None:
    config = {"dataset": "xor", "architecture": {"hidden": [3], "activation": name}}
    assert of_config(config) == (name in KINKED)


def test_one_kinked_activation_among_layers_and_in_parallel_is_enough() -> None:
    for layers in ([{"units": 3, "activation": "relu"}], [{"units": 3, "activation": ["tanh", "relu"]}]):
        layers = [{"units": 2, "activation": "tanh"}, *layers]
        assert of_config({"dataset": "xor", "architecture": {"layers": layers}})


def test_an_activation_that_no_layer_takes_is_no_kink() -> None:
    smooth = [{"units": 3, "activation": "tanh"}]
    for layers in ({"hidden": []}, {"layers": smooth}, {"layers": smooth, "activation": "relu"}):
        assert not of_config({"dataset": "xor", "architecture": layers})
    table = {"vocabulary": 2, "dim": 2, "activation": "relu"}
    symbols = {"name": "inline", "inputs": [0, 1], "targets": [0, 1]}
    assert of_config({"dataset": symbols, "architecture": {"hidden": [], "embedding": table}})
    output = {"hidden": [], "output_activation": "relu"}
    assert of_config({"dataset": "xor", "architecture": output, "loss": "mse"})


@pytest.mark.parametrize(
    ("function", "kink"),
    [(torch.exp, False), (torch.square, False), (torch.abs, True), (lambda x: torch.abs(x - 0.123), True)],
)
def test_steepness_is_no_kink(function: object, kink: bool) -> None:
    assert has_kink(function) is kink
