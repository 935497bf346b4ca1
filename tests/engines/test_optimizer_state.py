"""An optimizer's state goes through a checkpoint's bytes and comes back the same, for every optimizer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from mlprun.engines.contract import State
from mlprun.engines.torch.optimizer_state import flatten, unflatten
from mlprun.parts.optimizers import optimizers
from mlprun.storage import checkpoints
from mlprun.training.recorder import TrainState, last_checkpoint, state_from

if TYPE_CHECKING:
    from collections.abc import Callable

SYMBOLS = {
    "dataset": {"name": "sequences"},
    "architecture": {"hidden": [4], "embedding": {"vocabulary": 5, "dim": 2}},
    "loss": "cross_entropy",
}
OPTIONS = {
    "momentum": {"name": "sgd", "momentum": 0.9, "nesterov": True},
    "amsgrad": {"name": "adam", "amsgrad": True},
    "centered": {"name": "rmsprop", "centered": True, "momentum": 0.5},
    "wolfe": {"name": "lbfgs", "line_search_fn": "strong_wolfe", "max_iter": 3, "history_size": 2},
    "short memory": {"name": "lbfgs", "max_iter": 4, "history_size": 3, "lr": 0.5},
}
CASES = {part.names()[0]: {"name": part.names()[0]} for part in optimizers} | OPTIONS


def through_a_file(state: Any) -> Any:
    data = checkpoints.encode(last_checkpoint(TrainState(state, 0), {}))
    return state_from(checkpoints.decode(data, "a test"), "a test").state


@pytest.mark.parametrize(
    ("case", "dtype"), [(case, ("float32", "float64")[i % 2]) for i, case in enumerate(CASES)]
)
def test_every_optimizer_goes_on_from_a_file_as_if_nothing_had_happened(
    case: str,
    dtype: str,
    engine: Any,
    experiment: Callable[..., Any],
    course: Callable[..., Any],
    bytes_of: Any,
) -> None:
    options = CASES[case]
    sections = SYMBOLS if optimizers[options["name"]].sparse else {}
    made = experiment(optimizer=options, training={"epochs": 8, "batch_size": 20, "dtype": dtype}, **sections)
    straight = course(made).finish()
    halting = course(made)
    for epoch in (1, 3, 8):
        halting.advance(epoch)
        state = halting.state
        again = through_a_file(state)
        assert bytes_of(again) == bytes_of(state)
        assert engine.validate_state(made, again) is None
        halting.reopen(again)
        assert bytes_of(halting.state) == bytes_of(state)
    assert bytes_of(halting.state) == bytes_of(straight.state)
    assert halting.rows == straight.rows


NETWORKS = {
    "norms": {"architecture": {"hidden": [4, 3], "norm": "batch", "dropout": 0.2}},
    "layer norms": {"architecture": {"hidden": [4], "norm": "layer"}},
    "no bias": {"architecture": {"hidden": [4], "bias": False}},
    "linear": {"architecture": {"hidden": []}},
    "embedding": SYMBOLS,
    "recurrent": {
        "dataset": {"name": "sequences"},
        "architecture": {"name": "rnn", "hidden": 3},
        "loss": "cross_entropy",
    },
}


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "muon"])
@pytest.mark.parametrize("network", NETWORKS)
def test_no_state_of_any_network_is_refused(
    network: str, optimizer: str, engine: Any, experiment: Callable[..., Any], course: Callable[..., Any]
) -> None:
    sections = NETWORKS[network]
    made = experiment(optimizer={"name": optimizer}, training={"epochs": 3, "batch_size": 7}, **sections)
    run = course(made)
    for epoch in (0, 1, 3):
        if epoch:
            run.advance(epoch)
        assert engine.validate_state(made, run.state) is None


def test_a_user_s_optimizer_keeps_what_it_likes(engine: Any, experiment: Callable[..., Any]) -> None:
    made = experiment(optimizer={"name": "adam"})
    config = made.config
    theirs = type("Theirs", (type(config.optimizer),), {"__module__": "my_parts"})
    changed = config.model_copy(update={"optimizer": theirs.model_construct(**dict(config.optimizer))})
    state = State(1, {}, {}, [{"x": {"of": {"y": 1}}}])
    assert engine.validate_state(made, state) is not None
    assert engine.validate_state(replace(made, config=changed), state) is None


@pytest.mark.parametrize("case", ["adam", "momentum", "wolfe"])
def test_a_state_is_a_copy(
    case: str, experiment: Callable[..., Any], course: Callable[..., Any], bytes_of: Any
) -> None:
    run = course(experiment(optimizer=CASES[case]))
    run.advance(2)
    state = run.state
    before = bytes_of(state)
    run.advance(5)
    assert bytes_of(state) == before
    assert bytes_of(run.state) != before


def test_a_fresh_start_forgets_the_slots(
    experiment: Callable[..., Any], course: Callable[..., Any], bytes_of: Any
) -> None:
    run = course(experiment(optimizer={"name": "adam"}))
    start = run.state
    run.advance(3)
    after = bytes_of(run.state)
    run.cohort[0].restore(start)
    assert bytes_of(run.state) == bytes_of(start)
    run.advance(3)
    assert bytes_of(run.state) == after


def places(optimizer_options: dict[str, Any], device: str) -> dict[str, str]:
    """The device of each slot that a step made on `device` and then put together again on it."""
    part = optimizers[optimizer_options["name"]].model_validate(optimizer_options)
    parameters = {"layers.0.weight": torch.nn.Parameter(torch.ones(3, 2))}
    built = part.build(parameters)
    parameters["layers.0.weight"].grad = torch.ones(3, 2)
    for optimizer in built:
        optimizer.step(lambda: torch.tensor(1.0))
    names = {id(parameter): name for name, parameter in parameters.items()}
    arrays, structure = flatten(built, names)
    moved = {name: torch.nn.Parameter(parameter.to(device)) for name, parameter in parameters.items()}
    again = part.build(moved)
    unflatten(again, moved, arrays, structure, host=part.host_slots)
    slots = [slots for optimizer in again for slots in optimizer.state.values()]
    return {key: value.device.type for part in slots for key, value in part.items() if torch.is_tensor(value)}


@pytest.mark.parametrize("name", [part.names()[0] for part in optimizers if not part.sparse])
def test_slots_go_to_the_device_of_their_parameter_but_for_host_slots(
    name: str,
) -> None:
    host = optimizers[name].host_slots
    for key, device in places({"name": name}, "meta").items():
        assert device == ("cpu" if key in host else "meta"), key


@pytest.mark.cuda
@pytest.mark.parametrize("name", [part.names()[0] for part in optimizers if not part.sparse])
def test_slots_on_cuda_are_where_a_fresh_step_puts_them(name: str) -> None:
    parameter = torch.nn.Parameter(torch.ones(3, 2, device="cuda"))
    parameter.grad = torch.ones_like(parameter)
    for optimizer in (built := optimizers[name]().build({"layers.0.weight": parameter})):
        optimizer.step(lambda: torch.tensor(1.0, device="cuda"))
    fresh = {
        key: value.device.type
        for optimizer in built
        for slots in optimizer.state.values()
        for key, value in slots.items()
        if torch.is_tensor(value)
    }
    assert places({"name": name}, "cuda") == fresh
