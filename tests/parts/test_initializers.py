"""Initialisers against torch.nn.init, distribution tests of SciPy and NumPy, and files on disk."""

from __future__ import annotations

import math
import os
import pickle

import numpy as np
import pytest
import scipy.stats
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save
from torch import nn

from mlprun.errors import CheckpointError, FileError, UsageError
from mlprun.parts.initializers import (
    File,
    GivenValues,
    InitField,
    Initializer,
    InitializerField,
    LayerInit,
    LayerInitField,
    ModuleInitializer,
    initializers,
)

ONE: TypeAdapter[Initializer] = TypeAdapter(InitializerField)
INIT: TypeAdapter[LayerInit | ModuleInitializer] = TypeAdapter(InitField)
LAYER: TypeAdapter[LayerInit] = TypeAdapter(LayerInitField)
REQUIRED = {"constant": {"value": 0.3}}


def filled(name: str, shape: tuple[int, ...] = (200, 100), **options: object) -> torch.Tensor:
    torch.manual_seed(5)
    tensor = torch.full(shape, math.nan)
    ONE.validate_python({"name": name, **options}).fill(tensor)
    return tensor


@pytest.mark.parametrize(
    ("name", "options", "fill"),
    [
        ("normal", {"mean": 1, "std": 0.25}, lambda t: nn.init.normal_(t, 1, 0.25)),
        ("uniform", {"low": -0.5, "high": 2}, lambda t: nn.init.uniform_(t, -0.5, 2)),
        ("xavier", {}, nn.init.xavier_uniform_),
        ("glorot", {"distribution": "normal", "gain": 2.0}, lambda t: nn.init.xavier_normal_(t, 2.0)),
        ("kaiming", {}, lambda t: nn.init.kaiming_uniform_(t, nonlinearity="relu")),
        (
            "he",
            {"distribution": "normal", "mode": "fan_out", "nonlinearity": "leaky_relu", "slope": 0.2},
            lambda t: nn.init.kaiming_normal_(t, a=0.2, mode="fan_out", nonlinearity="leaky_relu"),
        ),
        ("orthogonal", {"gain": 3}, lambda t: nn.init.orthogonal_(t, 3)),
        ("zeros", {}, nn.init.zeros_),
        ("constant", {"value": 0.3}, lambda t: nn.init.constant_(t, 0.3)),
    ],
)
def test_the_same_seed_gives_the_numbers_of_torch(name, options, fill):
    torch.manual_seed(5)
    expected = fill(torch.empty(200, 100))
    assert torch.equal(filled(name, **options), expected)


def distribution_fits(values: torch.Tensor, distribution: object) -> bool:
    return scipy.stats.kstest(values.double().flatten().numpy(), distribution.cdf).pvalue > 1e-3


def test_he_normal_has_variance_two_over_inputs():
    weights = filled("kaiming", distribution="normal")
    assert distribution_fits(weights, scipy.stats.norm(0, math.sqrt(2 / 100)))


def test_an_embedding_can_start_centred_and_divided_by_its_dimension():
    table = filled("uniform", (500, 40), low=-0.5, high=0.5, bounds="fan_in")
    assert distribution_fits(table, scipy.stats.uniform(-0.5 / 40, 1 / 40))


def test_uniform_over_the_root_of_the_inputs_is_the_start_of_a_linear_layer():
    torch.manual_seed(5)
    expected = nn.Linear(100, 200).weight.detach()
    drawn = filled("uniform", low=-1, high=1, bounds="sqrt_fan_in")
    torch.testing.assert_close(drawn, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("options", "mean", "std", "low", "high"),
    [
        ({}, 0, 1, -2, 2),
        ({"mean": 0.5, "std": 2, "low": 0, "high": 0.75}, 0.5, 2, 0, 0.75),
        ({"low": -1, "high": 1, "bounds": "sqrt_fan_in"}, 0, 1, -0.1, 0.1),
        ({"low": 3, "high": 9}, 0, 1, 3, 9),
        ({"low": -9, "high": -4.5}, 0, 1, -9, -4.5),
    ],
)
def test_a_truncated_normal_variable_has_the_distribution_of_scipy(options, mean, std, low, high):
    values = filled("truncated_normal", **options)
    edge = 1e-6 * max(abs(low), abs(high))
    assert low - edge <= values.min()
    assert values.max() <= high + edge
    frozen = scipy.stats.truncnorm((low - mean) / std, (high - mean) / std, mean, std)
    assert distribution_fits(values, frozen)


@pytest.mark.parametrize("part", list(initializers), ids=lambda part: part.names()[0])
def test_every_initializer_gives_finite_numbers_and_repeats_them(part):
    name = part.names()[0]
    options = REQUIRED.get(name, {})
    initializer = ONE.validate_python({"name": name, **options})
    layers = []
    for _ in range(2):
        torch.manual_seed(3)
        layer = nn.Linear(6, 4)
        with torch.no_grad():
            initializer.fill(layer.weight)
            if not initializer.needs_matrix:
                initializer.fill(layer.bias)
        layers.append(layer)
    assert torch.equal(layers[0].weight, layers[1].weight)
    assert all(parameter.isfinite().all() for parameter in layers[0].parameters())
    assert ONE.validate_python(ONE.dump_python(initializer)) == initializer


@pytest.mark.parametrize("part", list(initializers), ids=lambda part: part.names()[0])
def test_an_initializer_that_says_it_draws_nothing_leaves_the_generator_alone(part):
    name = part.names()[0]
    initializer = ONE.validate_python({"name": name, **REQUIRED.get(name, {})})
    torch.manual_seed(3)
    before = torch.get_rng_state()
    initializer.fill(torch.zeros(6, 4))
    assert torch.equal(torch.get_rng_state(), before) != initializer.is_random


@pytest.mark.parametrize(
    "value", ["xavier", "kaiming", "orthogonal", {"name": "uniform", "bounds": "fan_in"}]
)
def test_a_bias_refuses_what_needs_a_matrix(value):
    with pytest.raises(ValidationError, match="a bias is a vector; use zeros"):
        LAYER.validate_python({"bias": value})
    with pytest.raises(UsageError, match="needs a matrix"):
        ONE.validate_python(value).fill(torch.zeros(4))


@pytest.mark.parametrize(
    ("value", "weight", "bias"),
    [
        ("xavier", "xavier", "default"),
        ({"name": "normal", "std": 0.5}, "normal", "default"),
        ({"bias": "zeros"}, "default", "zeros"),
        ({"weight": {"name": "normal"}, "bias": {"name": "constant", "value": 1}}, "normal", "constant"),
        ({}, "default", "default"),
    ],
)
@pytest.mark.parametrize("field", [INIT, LAYER])
def test_short_forms_speak_of_the_weights(field, value, weight, bias):
    init = field.validate_python(value)
    assert (init.weight.name, init.bias.name) == (weight, bias)
    assert field.validate_python(field.dump_python(init)) == init


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("xavierr", "unknown initializer 'xavierr'; did you mean xavier"),
        ("valuse", "did you mean values"),
        ("file", "Field required"),
        ({"weigth": "zeros"}, "Extra inputs"),
        ({"name": "uniform", "low": 1}, "low .1.0. must lie below high .1.0."),
        ({"name": "normal", "std": -1}, "greater than or equal to 0"),
        ({"name": "truncated_normal", "std": 0.1, "low": 1}, "more than 5 standard deviations"),
        ({"name": "values", "parameters": {"a": ((1, 2), (3,))}}, "rows differ in length"),
        ({"name": "values", "parameters": {"a": ("1",)}}, "'1' is not"),
        ({"name": "values", "parameters": {"a": (True,)}}, "True is not"),
        ({"name": "values", "parameters": {"a": (math.inf,)}}, "finite"),
    ],
)
def test_a_mistake_in_init_is_reported_once(value, message):
    with pytest.raises(ValidationError, match=message) as caught:
        INIT.validate_python(value)
    assert caught.value.error_count() == 1


@pytest.mark.parametrize("name", ["values", "file"])
def test_a_layer_refuses_what_speaks_of_the_whole_network(name):
    with pytest.raises(ValidationError, match=r"give it as architecture\.init"):
        LAYER.validate_python({"name": name})


def test_given_values_keep_every_digit_and_the_rest_stays():
    module = nn.Linear(2, 3).double()
    bias = module.bias.detach().clone()
    rows = ((0.1, -2), (1 / 3, 4), (5, 0.7415917408091613))
    GivenValues(parameters={"weight": rows}).assign(module)
    assert module.weight.tolist() == [list(row) for row in rows]
    assert torch.equal(module.bias, bias)


def test_all_problems_of_given_values_are_named_and_nothing_is_assigned():
    module = nn.Sequential(nn.Linear(2, 3))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    given = {"0.weight": ((1, 2, 3), (4, 5, 6)), "0.bais": (1,), "0.bias": (1, 2, 3)}
    with pytest.raises(UsageError) as caught:
        GivenValues(parameters=given).assign(module)
    message = str(caught.value)
    assert "0.weight has shape [2, 3] where the network has [3, 2]" in message
    assert "0.bais is not a parameter of this network (did you mean 0.bias?)" in message
    assert "0.bias has" not in message
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_given_values_survive_a_round_trip():
    init = INIT.validate_python({"name": "values", "parameters": {"a": ((1, 2),), "b": 3}})
    assert INIT.validate_python(INIT.dump_python(init)) == init


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()


@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_file_sets_the_parameters_it_names(tmp_path, network, prefix):
    path = tmp_path / "start.safetensors"
    tensors = {f"{prefix}0.weight": torch.rand(3, 2).double(), f"{prefix}1.running_mean": torch.rand(3)}
    others = {"slots.0": torch.rand(7)} if prefix else {}
    path.write_bytes(save(tensors | others))
    File(path=str(path)).assign(network)
    assert torch.equal(network[0].weight, tensors[f"{prefix}0.weight"])
    assert torch.equal(network[1].running_mean, tensors[f"{prefix}1.running_mean"].double())


def test_a_file_of_another_network_is_refused_with_all_problems(tmp_path, network):
    path = tmp_path / "start.safetensors"
    path.write_bytes(save({"0.weight": torch.rand(2, 3), "3.weight": torch.rand(1)}))
    with pytest.raises(UsageError, match=r"start\.safetensors") as caught:
        File(path=str(path)).assign(network)
    assert "0.weight has shape [2, 3]" in str(caught.value)
    assert "3.weight is not a parameter" in str(caught.value)


class Canary:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return exec, ("import os; os.environ['MLPRUN_CANARY'] = 'sang'",)


def unusable() -> dict[str, bytes]:
    good = save({"0.weight": torch.rand(3, 2)})
    return {
        "empty": b"",
        "short": good[:-1],
        "longer": good + b"x",
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "pickle": pickle.dumps(Canary()),
        "text": b"weights" * 9,
        "header of 2^63 bytes": (2**63).to_bytes(8, "little") + good[8:],
        "no tensors": save({}),
        "not a number": save({"0.weight": torch.full((3, 2), math.nan)}),
        "complex": save({"0.weight": torch.zeros(3, 2, dtype=torch.complex64)}),
    }


def test_the_canary_sings_when_it_is_unpickled(monkeypatch):
    monkeypatch.setenv("MLPRUN_CANARY", "")
    pickle.loads(unusable()["pickle"])
    assert os.environ["MLPRUN_CANARY"] == "sang"


@pytest.mark.parametrize("kind", unusable())
def test_an_unusable_file_is_refused_and_runs_nothing(tmp_path, network, kind):
    path = tmp_path / "start.safetensors"
    path.write_bytes(unusable()[kind])
    with pytest.raises(CheckpointError, match=r"start\.safetensors: .*; expected a safetensors file"):
        File(path=str(path)).assign(network)
    assert "MLPRUN_CANARY" not in os.environ


def test_a_header_beyond_belief_is_refused_before_it_is_parsed(tmp_path, network):
    good = save({"0.weight": torch.rand(3, 2)})
    length = int.from_bytes(good[:8], "little")
    path = tmp_path / "start.safetensors"
    for padded, refused in ((10**6, False), (9 * 10**6, True)):
        header = good[8 : 8 + length].ljust(padded)
        path.write_bytes(padded.to_bytes(8, "little") + header + good[8 + length :])
        if refused:
            with pytest.raises(CheckpointError):
                File(path=str(path)).assign(network)
        else:
            File(path=str(path)).assign(network)


def test_any_flipped_byte_loads_or_is_refused_as_an_expected_failure(tmp_path, network):
    good = save({"0.weight": torch.rand(3, 2)})
    path = tmp_path / "start.safetensors"
    for position in range(len(good)):
        damaged = bytearray(good)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            File(path=str(path)).assign(network)
        except (CheckpointError, UsageError):
            continue
        assert all(np.isfinite(value.detach().numpy()).all() for value in network.parameters())


def test_a_missing_file_and_a_folder_are_refused(tmp_path, network):
    with pytest.raises(CheckpointError, match="no such file"):
        File(path=str(tmp_path / "none")).assign(network)
    with pytest.raises(CheckpointError, match="is a folder"):
        File(path=str(tmp_path)).assign(network)


def test_what_the_operating_system_refuses_to_read_is_a_file_error(tmp_path, network, monkeypatch):
    path = tmp_path / "start.safetensors"
    path.write_bytes(b"x")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "denied")

    monkeypatch.setattr("mlprun.files.system.open", refuse, raising=False)
    with pytest.raises(FileError):
        File(path=str(path)).assign(network)
