"""Optimizers against torch.optim built by hand, over the whole registry; steps without torch's compiler."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from typing import Annotated

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from mlprun.errors import UsageError
from mlprun.parts.optimizers import WRAPPED, Optimizer, avoid_dynamo_import, optimizers, step_function
from mlprun.parts.part import Named

TORCH = {
    name.lower(): value
    for name, value in vars(torch.optim).items()
    if isinstance(value, type) and name != "Optimizer"
}
SWITCHES = {"params", "foreach", "fused", "capturable", "differentiable", "maximize"}
OTHER_OPTIONS = {
    "sgd": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    "adam": {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1, "amsgrad": True},
    "adamw": {"betas": (0.8, 0.9), "weight_decay": 0.2, "amsgrad": True},
    "adamax": {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
    "nadam": {
        "betas": (0.8, 0.9),
        "momentum_decay": 0.1,
        "decoupled_weight_decay": True,
        "weight_decay": 0.1,
    },
    "radam": {"betas": (0.8, 0.9), "decoupled_weight_decay": True, "weight_decay": 0.1},
    "adadelta": {"rho": 0.5, "eps": 1e-3, "weight_decay": 0.1},
    "adagrad": {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.1, "eps": 1e-3},
    "asgd": {"lambd": 0.1, "alpha": 0.5, "t0": 2.0, "weight_decay": 0.1},
    "rmsprop": {"alpha": 0.5, "momentum": 0.5, "centered": True, "weight_decay": 0.1, "eps": 1e-3},
    "rprop": {"etas": (0.4, 1.5), "step_sizes": (1e-3, 0.1)},
    "lbfgs": {"max_iter": 3, "max_eval": 5, "history_size": 2, "line_search_fn": "strong_wolfe"},
    "sparseadam": {"betas": (0.8, 0.9), "eps": 1e-3},
    "adafactor": {"beta2_decay": -0.5, "eps": (1e-3, 1e-2), "d": 2.0, "weight_decay": 0.1},
    "muon": {"momentum": 0.5, "nesterov": False, "ns_steps": 3, "adjust_lr_fn": "match_rms_adamw"},
}
EVERY_NAME = [part.names()[0] for part in optimizers]


class Model(nn.Module):
    """Three symbols, looked up and mapped to one number."""

    def __init__(self, *, sparse: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3, sparse=sparse)
        self.layer = nn.Linear(3, 2)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def loss(self) -> torch.Tensor:
        return (self.layer(self.embedding(torch.tensor([0, 2, 2, 4]))) ** 2).sum()


def train(model, built, steps=4):
    """Parameters after a few ordinary steps of torch.optim objects."""

    def closure():
        model.zero_grad()
        loss = model.loss()
        loss.backward()
        return loss

    for _ in range(steps):
        if isinstance(built[0], torch.optim.LBFGS):
            built[0].step(closure)
        else:
            closure()
            for optimizer in built:
                optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


def by_hand(name, model, options):
    """What a user of torch.optim would write."""
    table, weight, bias = model.parameters()
    if name == "sparseadam":
        return [torch.optim.SparseAdam([table], **options), torch.optim.Adam([weight, bias], **options)]
    if name == "muon":
        rest = {"lr": options["lr"]} if "lr" in options else {}
        return [torch.optim.Muon([weight], **options), torch.optim.Adam([table, bias], **rest)]
    return [TORCH[name]([table, weight, bias], **options)]


def test_every_class_of_torch_optim_is_registered():
    assert set(TORCH) == set(EVERY_NAME) == set(OTHER_OPTIONS)
    assert optimizers["sparse_adam"] is optimizers["sparseadam"]


@pytest.mark.parametrize("name", EVERY_NAME)
def test_options_and_defaults_are_torchs(name):
    signature = inspect.signature(TORCH[name]).parameters
    expected = {key: value.default for key, value in signature.items() if key not in SWITCHES}
    if name == "adamw":
        expected.pop("decoupled_weight_decay", None)
    fields = optimizers[name].model_fields.items()
    options = {key: field.default for key, field in fields if key not in ("name", "groups", "eps_hat")}
    assert options == expected


@pytest.mark.parametrize("name", EVERY_NAME)
@pytest.mark.parametrize("which", ["defaults", "other options"])
def test_steps_equal_those_of_torch_optim_built_by_hand(name, which):
    options = {} if which == "defaults" else {"lr": 0.05} | OTHER_OPTIONS[name]
    part = optimizers[name](**options)
    start, ours, reference = (Model(sparse=part.sparse) for _ in range(3))
    built = part.build(dict(ours.named_parameters()), embeddings=frozenset({"embedding.weight"}))
    trained = train(ours, built)
    expected = train(reference, by_hand(name, reference, options))
    for before, after, wanted in zip(start.parameters(), trained, expected, strict=True):
        assert torch.equal(after, wanted)
        assert not torch.equal(after, before), "nothing was trained"


@pytest.mark.parametrize("name", EVERY_NAME)
def test_every_parameter_is_updated_by_one_object_that_knows_its_name(name):
    part = optimizers[name]()
    parameters = dict(Model(sparse=part.sparse).named_parameters())
    built = part.build(parameters, embeddings=frozenset({"embedding.weight"}))
    found = {
        known: parameter
        for optimizer in built
        for group in optimizer.param_groups
        for known, parameter in zip(group["param_names"], group["params"], strict=True)
    }
    assert {known: id(parameter) for known, parameter in found.items()} == {
        known: id(parameter) for known, parameter in parameters.items()
    }
    assert sum(len(group["params"]) for o in built for group in o.param_groups) == len(parameters)
    assert {group["lr"] for o in built for group in o.param_groups} == {part.lr}


@pytest.mark.parametrize("name", EVERY_NAME)
def test_every_option_is_described(name):
    fields = optimizers[name].model_fields
    assert all(field.description for key, field in fields.items() if key != "name")


def test_an_optimizer_for_some_parameters_refuses_a_model_without_them():
    bias = {"layer.bias": nn.Parameter(torch.zeros(2))}
    for name in ("sparseadam", "muon"):
        with pytest.raises(UsageError, match="use adam instead"):
            optimizers[name]().build(bias)


def test_an_optimizer_for_some_parameters_needs_no_rest():
    table = {"embedding.weight": nn.Parameter(torch.zeros(2, 2))}
    built = optimizers["sparseadam"]().build(table, embeddings=frozenset(table))
    assert [type(optimizer).__name__ for optimizer in built] == ["SparseAdam"]
    built = optimizers["muon"]().build({"layer.weight": nn.Parameter(torch.zeros(2, 2))})
    assert [type(optimizer).__name__ for optimizer in built] == ["Muon"]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"name": "sgd", "nesterov": True}, "needs momentum; add momentum: 0.9"),
        ({"name": "sgd", "nesterov": True, "momentum": 0.9, "dampening": 0.1}, "set dampening: 0"),
        ({"name": "rprop", "step_sizes": (1.0, 0.1)}, "swap the two"),
        ({"name": "rprop", "etas": (1.5, 1.2)}, "less than 1"),
        ({"name": "adam", "betas": (0.9, 1.0)}, "less than 1"),
        ({"name": "adam", "betas": (0.9,)}, "required"),
        ({"name": "sgd", "lr": 0.0}, "greater than 0"),
        ({"name": "adafactor", "beta2_decay": 0.5}, "less than or equal to 0"),
        ({"name": "adafactor", "eps": (-1.0, 0.1)}, "greater than or equal to 0"),
        ({"name": "muon", "ns_steps": 100}, "less than 100"),
        ({"name": "lbfgs", "line_search_fn": "wolfe"}, "strong_wolfe"),
        ({"name": "sgd", "maximize": True}, "not permitted"),
    ],
)
def test_options_that_cannot_work_are_refused(config, reason):
    with pytest.raises(ValidationError, match=reason):
        TypeAdapter(Annotated[Optimizer, Named(optimizers)]).validate_python(config)


WITHOUT_DYNAMO = """
import sys
import torch
from test_optimizers import EVERY_NAME, OTHER_OPTIONS, Model, optimizers, step_function, train

def run(name, *, light):
    part = optimizers[name](**OTHER_OPTIONS[name])
    model = Model(sparse=part.sparse)
    built = part.build(dict(model.named_parameters()), embeddings=frozenset({"embedding.weight"}))
    state = [optimizer.state_dict() for optimizer in built]
    for optimizer, saved in zip(built, state):
        optimizer.load_state_dict(saved)
        optimizer.zero_grad()
        if light:
            assert step_function(optimizer) != optimizer.step, f"{name} keeps torch's wrappers"
            optimizer.step = step_function(optimizer)
    return train(model, built)

light = {name: run(name, light=True) for name in EVERY_NAME}
assert "torch._dynamo" not in sys.modules, "the compiler was imported"
for name in EVERY_NAME:
    for ours, torchs in zip(light[name], run(name, light=False)):
        assert torch.equal(ours, torchs), name
assert "torch._dynamo" in sys.modules, "torch no longer imports it: light.py can go"
"""


def test_light_steps_import_no_compiler_and_equal_torchs_to_the_bit():
    environment = os.environ | {"PYTHONPATH": os.path.dirname(__file__)}
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_DYNAMO], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr


def test_a_step_of_a_class_from_elsewhere_is_left_alone():
    class Mine(torch.optim.SGD):
        def step(self, closure=None):
            return "mine"

    optimizer = Mine([nn.Parameter(torch.zeros(2))], lr=0.1)
    assert step_function(optimizer)() == "mine"


def test_a_step_of_an_unknown_form_is_left_alone(monkeypatch):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=0.1)

    def renamed(self, loss_function=None):
        return "new torch"

    monkeypatch.setattr(torch.optim.SGD, "step", renamed)
    assert step_function(optimizer)() == "new torch"


def test_a_torch_without_the_wrapped_methods_changes_nothing(monkeypatch):
    from mlprun.parts import optimizers as optimizers_module

    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    monkeypatch.setattr(optimizers_module, "WRAPPED", ("no_such_method", "__init__"))
    avoid_dynamo_import()
    assert all(callable(getattr(torch.optim.Optimizer, name)) for name in WRAPPED)
