"""Central differences against gradients that are right, wrong, and at kinks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlprun import api, engines
from mlprun.experiment import Experiment
from mlprun.verification import gradcheck

TORCH = engines.every()[0]


def made(**sections: Any) -> tuple[Experiment, Any, dict[str, np.ndarray]]:
    """An experiment in float64, its start, and autograd's gradient."""
    config = {
        "dataset": {"name": "moons", "noise": 0.3, "split": {"train": 45, "dev": 20, "test": 15}},
        "architecture": {"hidden": [4], "activation": "tanh"},
        "training": {"dtype": "float64"},
    }
    experiment = Experiment.of(api.load_config({**config, **sections}))
    state = TORCH.initial_state(experiment)
    return experiment, state, dict(TORCH.gradients(experiment, state, device="cpu"))


def checked(
    experiment: Experiment, state: Any, gradient: Any, *, limit: int = 2000
) -> gradcheck.GradientCheck:
    (found,) = gradcheck.check_gradients(experiment, state, {"torch": gradient}, limit=limit)
    return found


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"penalty": {"l2": 0.1, "l1": 0.01}},
        {"loss": {"name": "mse", "reduction": "sum"}},
        {"architecture": {"hidden": [4], "dropout": 0.5, "norm": "batch"}},
        {"training": {"dtype": "float64", "batch_size": 7}},
    ],
    ids=["plain", "penalties", "sum", "dropout and norm", "batches"],
)
def test_autograd_is_right(sections: dict[str, Any]) -> None:
    found = checked(*made(**sections))
    assert found.agrees
    assert (found.checked, found.kinks) == (found.parameters, 0)
    assert found.difference < 1e-8 * found.largest


@pytest.mark.parametrize("name", ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"])
def test_one_wrong_coordinate_is_found_where_it_is(name: str) -> None:
    experiment, state, gradient = made()
    wrong = gradient[name].copy()
    wrong.flat[-1] += 1e-5 * max(np.abs(array).max() for array in gradient.values())
    found = checked(experiment, state, {**gradient, name: wrong})
    assert not found.agrees
    assert found.wrong == 1
    at = ", ".join(str(size - 1) for size in wrong.shape)
    assert found.where == f"{name}[{at}]"


def test_a_missing_penalty_and_a_nan_are_found() -> None:
    experiment, state, gradient = made(penalty={"l2": 0.1})
    _, _, without = made()
    assert not checked(experiment, state, without).agrees
    gradient["layers.1.bias"][0] = np.nan
    assert checked(experiment, state, gradient).wrong == 1


def at_a_kink() -> tuple[Experiment, Any, dict[str, np.ndarray]]:
    """A row at the origin and biases of 0: all hidden units stand at the kink of relu."""
    return made(
        dataset={"name": "inline", "inputs": [[0, 0], [1, 2], [-1, 1]], "targets": [1, 0, 1]},
        architecture={"hidden": [4], "activation": "relu", "init": {"weight": "default", "bias": "zeros"}},
    )


def test_coordinates_at_a_kink_are_told_and_not_counted() -> None:
    found = checked(*at_a_kink())
    assert found.agrees
    assert found.kinks == 4
    assert found.checked == found.parameters - 4


def test_a_wrong_gradient_beside_a_kink_is_not_excused() -> None:
    experiment, state, gradient = at_a_kink()
    gradient["layers.1.weight"] *= 1.001
    found = checked(experiment, state, gradient)
    assert found.wrong > 0
    assert found.kinks == 4


def test_of_a_large_network_coordinates_of_every_array_are_looked_at() -> None:
    experiment, state, gradient = made(architecture={"hidden": [200]})
    found = checked(experiment, state, gradient, limit=40)
    assert found.agrees
    assert (found.parameters, found.checked) == (801, 31)  # ten of each array, and the one output's bias
    gradient["layers.1.bias"] += 1e-3
    assert checked(experiment, state, gradient, limit=40).where == "layers.1.bias[0]"
