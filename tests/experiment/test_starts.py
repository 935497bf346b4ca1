"""Initial weights drawn in a module that is used again are those of a module that is built anew."""

import glob
from pathlib import Path

import numpy as np
import pytest
import torch

from mlprun import schema
from mlprun.experiment import Experiment, InitialWeightCache
from mlprun.parts.network import Network

CONFIGS = sorted(glob.glob(str(Path(__file__).parents[2] / "configs" / "*.yaml")))


def seeded(config, seed):
    return config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})


def same(first, second):
    return first.keys() == second.keys() and all(
        first[name].tobytes() == second[name].tobytes() for name in first
    )


def built(experiment):
    return {name: tensor.numpy() for name, tensor in experiment.network().state_dict().items()}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: Path(path).stem)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_config_starts_the_same_in_a_module_that_is_used_again(path, dtype):
    config = schema.load(path, [f"training.dtype={dtype}"], allow_code=True)
    experiment, starts = Experiment.of(config), InitialWeightCache()
    for seed in (3, 4, 3):
        one = Experiment(seeded(config, seed), experiment.preprocessing, experiment.width, {})
        assert same(starts.model(one), built(one))
        assert same(one.initial(), built(one))


@pytest.mark.parametrize(
    "architecture",
    [
        {"hidden": [4, 3], "norm": "batch"},
        {"hidden": [4], "norm": "layer", "dropout": 0.5, "bias": False},
        {"hidden": [4], "activation": ["relu", "tanh"], "init": "orthogonal"},
        {"hidden": [4], "init": {"weight": "xavier", "bias": {"name": "uniform", "low": -1, "high": 1}}},
    ],
    ids=str,
)
def test_layers_of_every_kind_are_drawn_again(architecture):
    mapping = {"dataset": "moons", "architecture": architecture}
    from mlprun.config.document import from_mapping

    config = schema.parse(from_mapping(mapping, "", "test"))
    experiment, starts = Experiment.of(config), InitialWeightCache()
    for seed in (1, 2):
        one = Experiment(seeded(config, seed), experiment.preprocessing, experiment.width, {})
        assert same(starts.model(one), built(one))


def test_a_network_that_does_not_know_how_is_built_anew(monkeypatch):
    monkeypatch.setattr("mlprun.parts.network.StepNetwork.reset_parameters", Network.reset_parameters)
    experiment, starts = Experiment.of(schema.load(CONFIGS[0])), InitialWeightCache()
    assert same(starts.model(experiment), starts.model(experiment))
    assert same(starts.model(experiment), built(experiment))


def test_drawing_leaves_every_generator_as_it_was():
    experiment = Experiment.of(schema.load(CONFIGS[0]))
    torch.manual_seed(11)
    before = torch.get_rng_state()
    InitialWeightCache().model(experiment)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.initial_seed() == 11


def test_weights_are_copies():
    experiment, starts = Experiment.of(schema.load(CONFIGS[0])), InitialWeightCache()
    first = starts.model(experiment)
    kept = {name: array.copy() for name, array in first.items()}
    starts.model(Experiment(seeded(experiment.config, 9), experiment.preprocessing, experiment.width, {}))
    assert all(np.array_equal(first[name], kept[name]) for name in first)
