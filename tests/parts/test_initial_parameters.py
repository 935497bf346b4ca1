"""Initial parameters without torch are those of the module that torch builds, bit for bit."""

from __future__ import annotations

import itertools
import json
import os
import stat
import subprocess
import sys
from typing import Annotated

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from mlprun.errors import UsageError
from mlprun.parts import initial_parameters as initial
from mlprun.parts import torch_random
from mlprun.parts.architectures import Architecture, architectures
from mlprun.parts.initial_parameters import initial_parameters, matches_torch
from mlprun.parts.initializers import GivenValues, Normal, initializers
from mlprun.parts.part import Named

pytestmark = pytest.mark.skipif(
    torch_random.cpu_capability() is None, reason="torch's draws are known for Linux on x86-64 only"
)
ARCHITECTURE: TypeAdapter[Architecture] = TypeAdapter(Annotated[Architecture, Named(architectures)])
NEEDS_TORCH = ("orthogonal", "truncated_normal")
OUTPUT = {"outputs": 3, "output_activation": {"name": "identity"}}


def as_tuples(value):
    if isinstance(value, dict):
        return {key: as_tuples(entry) for key, entry in value.items()}
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def parsed(**options):
    return ARCHITECTURE.validate_python(as_tuples({"name": "mlp", **OUTPUT, **options}))


def built(architecture, inputs, seed, dtype):
    with torch_random.drawing(seed):
        state = architecture.build(inputs, dtype=dtype).state_dict()
    return {name: tensor.numpy() for name, tensor in state.items()}


def assert_equal(drawn, expected):
    assert drawn.keys() == expected.keys()
    for name, array in expected.items():
        assert drawn[name].dtype == array.dtype
        assert drawn[name].shape == array.shape
        assert drawn[name].tobytes() == array.tobytes(), name
        assert drawn[name].flags.writeable


def variants():
    """Every initialiser that is drawn, with each value of its options that are choices."""
    for part in initializers:
        name = part.names()[0]
        choices = {
            "distribution": ["uniform", "normal"],
            "mode": ["fan_in", "fan_out"],
            "nonlinearity": ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"],
            "bounds": ["absolute", "fan_in", "sqrt_fan_in"],
            "value": [0.1],
            "gain": [1.0, 0.3],
            "mean": [0.0, 0.7],
        }
        used = {key: values for key, values in choices.items() if key in part.model_fields}
        if name not in NEEDS_TORCH:
            for values in itertools.product(*used.values()):
                yield {"name": name, **dict(zip(used, values, strict=True))}


ARCHITECTURES = [
    {"hidden": [8]},
    {"hidden": []},
    {"hidden": [30, 7], "bias": False, "output": {"bias": True}},
    {"hidden": [5], "norm": "layer", "dropout": 0.5, "embedding": {"vocabulary": 6, "dim": 4}},
    {
        "hidden": [3],
        "embedding": {"vocabulary": 6, "dim": 4, "init": {"name": "uniform", "bounds": "fan_in"}},
    },
    {"hidden": [5, 20], "norm": "batch"},
    {"layers": [{"units": 4, "init": "xavier"}, {"units": 20, "bias": False, "norm": "layer"}]},
    {"hidden": [6], "output": {"init": {"weight": "zeros", "bias": {"name": "constant", "value": 0.1}}}},
    {"hidden": [2], "init": {"name": "values", "parameters": {"layers.0.bias": [0.1, -0.2]}}},
    {"name": "rnn", "hidden": 9},
    {"name": "rnn", "hidden": 5, "bias": False, "embedding": {"vocabulary": 6, "dim": 4}, "init": "kaiming"},
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", ARCHITECTURES, ids=json.dumps)
def test_networks_of_all_kinds_start_as_torch_builds_them(options, dtype):
    architecture = parsed(**options)
    for seed in (0, 1, 2**31, 2**32 - 1, 2**32, 2**40 + 17):
        drawn = initial_parameters(architecture, 5, seed=seed, dtype=dtype)
        assert_equal(drawn, built(architecture, 5, seed, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("init", list(variants()), ids=json.dumps)
def test_every_initializer_draws_as_torch_does(init, dtype):
    biases = [{"name": "normal", "mean": 0.2, "std": 0.4}, {"name": "uniform", "low": -2, "high": 0.5}]
    for hidden, bias in itertools.product(([3], [9, 20]), biases):
        architecture = parsed(hidden=hidden, init={"weight": init, "bias": bias})
        for seed in (4, 5):
            drawn = initial_parameters(architecture, 3, seed=seed, dtype=dtype)
            assert_equal(drawn, built(architecture, 3, seed, dtype))


@pytest.mark.parametrize(
    "options",
    [
        {"init": "orthogonal"},
        {"init": "truncated_normal"},
        {"hidden": [1000, 2000]},
        {"init": {"name": "normal", "std": 1e-30}},
        {"init": {"name": "file", "path": "weights.safetensors"}},
    ],
    ids=json.dumps,
)
def test_torch_is_needed_for_the_rest(options):
    assert initial_parameters(parsed(**options), 3, seed=1, dtype="float32") is None


def test_what_users_write_is_left_to_torch():
    class Halved(Normal):
        def fill(self, tensor):
            super().fill(tensor)
            tensor.mul_(0.5)

    architecture = parsed(hidden=[4])
    init = architecture.init.model_copy(update={"weight": Halved()})
    halved = architecture.model_copy(update={"init": init})
    assert initial_parameters(halved, 3, seed=1, dtype="float32") is None

    class Scaled(GivenValues):
        def assign(self, module):
            super().assign(module)
            module.layers[0].bias.data.mul_(2.0)

    scaled = architecture.model_copy(update={"init": Scaled(parameters={"layers.0.bias": [1, 2, 3, 4]})})
    assert initial_parameters(scaled, 3, seed=1, dtype="float32") is None

    class Own(type(architecture)):
        pass

    own = Own.model_construct(**dict(architecture))
    assert initial_parameters(own, 3, seed=1, dtype="float32") is None


def test_given_values_must_fit_the_network():
    parameters = {"layers.0.bias": [0.1], "layer.0.weight": [[1.0]]}
    architecture = parsed(hidden=[2], init={"name": "values", "parameters": parameters})
    messages = []
    for attempt in (initial_parameters, lambda *_, **options: built(architecture, 3, **options)):
        with pytest.raises(UsageError) as caught:
            attempt(architecture, 3, seed=1, dtype="float32")
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_drawing_leaves_the_generators_of_numpy_and_torch_as_they_were():
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    initial_parameters(parsed(hidden=[4]), 3, seed=1, dtype="float32")
    drawn = np.random.random()  # noqa: NPY002
    assert torch.initial_seed() == 3
    np.random.seed(3)  # noqa: NPY002
    assert drawn == np.random.random()  # noqa: NPY002


# Says whether NumPy draws as torch does, and whether torch was imported to find out.
PROBE = """
import sys
from mlprun.parts.initial_parameters import matches_torch
print(matches_torch(), "torch" in sys.modules)
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    matches_torch.cache_clear()
    yield tmp_path / "cache/mlprun/weights"
    matches_torch.cache_clear()


def probe(**variables):
    others = {name: value for name, value in os.environ.items() if name != "ATEN_CPU_CAPABILITY"}
    environment = {**others, **variables}
    command = [sys.executable, "-c", PROBE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_torch_is_asked_once_for_each_machine_and_instruction_set(cache):
    assert probe() == ["True", "True"]
    assert probe() == ["True", "False"]
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert probe(ATEN_CPU_CAPABILITY="default") == ["True", "True"]
    assert sorted(path.read_bytes() for path in cache.iterdir()) == [initial.EQUAL, initial.EQUAL]


def test_a_difference_is_remembered_and_torch_is_used(cache, monkeypatch):
    def shifted(self, shape, low=0.0, high=1.0):
        return np.zeros(shape, np.float32)

    with monkeypatch.context() as patch:
        patch.setattr(torch_random.TorchGenerator, "uniform", shifted)
        assert not matches_torch()
    (path,) = cache.iterdir()
    assert path.read_bytes() == initial.DIFFERENT
    matches_torch.cache_clear()
    assert not matches_torch()
    assert initial_parameters(parsed(hidden=[4]), 3, seed=1, dtype="float32") is None


@pytest.mark.parametrize("content", [b"", b"equa", b"equal\nand more than that"])
def test_a_damaged_result_is_replaced(cache, content):
    assert matches_torch()
    (path,) = cache.iterdir()
    path.write_bytes(content)
    matches_torch.cache_clear()
    assert matches_torch()
    assert path.read_bytes() == initial.EQUAL


def test_without_a_folder_the_result_is_for_this_process(cache, monkeypatch):
    monkeypatch.setattr("mlprun.files.private_cache", lambda name: None)
    assert matches_torch()
    assert not cache.exists()


def test_on_other_platforms_torch_draws(cache, monkeypatch):
    monkeypatch.setattr(torch_random, "cpu_capability", lambda: None)
    assert not matches_torch()
    assert not cache.exists()
