"""What torch's optimizers keep of each parameter: found by letting them take one step of nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlprun.engines.state_spec import Array, Expected, Items, Kind, Number, Slots, steps_so_far
from mlprun.parts.optimizers.light import step_function

if TYPE_CHECKING:
    from mlprun.engines.contract import State
    from mlprun.experiment import Experiment


def expected(experiment: Experiment, state: State) -> Expected | None:
    """The kinds of all slots after `state.epoch` epochs; None for an optimizer that is not built in."""
    optimizer = experiment.config.optimizer
    if not type(optimizer).__module__.startswith("mlprun.parts."):
        return None
    network = experiment.blank_network()
    parameters = dict(network.named_parameters())
    if optimizer.needs_closure:
        return [_of_lbfgs(parameters, optimizer.model_dump()["history_size"], state)]
    embeddings, steps = network.embeddings(), steps_so_far(experiment, state.epoch)
    names = {id(parameter): name for name, parameter in parameters.items()}
    kept: Expected = []
    for part in optimizer.build(parameters, embeddings=embeddings):
        for group in part.param_groups:
            for parameter in group["params"]:
                nothing = torch.zeros_like(parameter)
                sparse = optimizer.sparse and names[id(parameter)] in embeddings
                parameter.grad = nothing.to_sparse() if sparse else nothing
        step_function(part)()
        kept.append(
            {
                names[id(parameter)]: {slot: _kind(slot, value, steps) for slot, value in slots.items()}
                for parameter, slots in part.state.items()
            }
        )
    return kept


def _kind(slot: str, value: Any, steps: int) -> Kind:
    if not isinstance(value, torch.Tensor):  # as SparseAdam counts
        assert slot == "step", f"{slot} is {value!r}"
        return Number(1, steps, whole=True)
    kind = _array(value)
    if slot == "step":
        return Number(1, steps, whole=True, plain=False, dtype=kind.dtype)
    if slot == "mu_product":  # NAdam divides by what it lacks of 1
        return Number(0, 1, plain=False, dtype=kind.dtype)
    return kind


def _array(value: torch.Tensor) -> Array:
    return Array(str(value.dtype).removeprefix("torch."), tuple(value.shape))


def _of_lbfgs(parameters: dict[str, torch.nn.Parameter], history: int, state: State) -> dict[str, Slots]:
    """L-BFGS keeps all with the first parameter, and its history in lists that grow."""
    first, *_ = parameters
    given: Any = state.optimizer_meta
    found = {}
    if (
        isinstance(given, list)
        and given
        and isinstance(given[0], dict)
        and isinstance(given[0].get(first), dict)
    ):
        found = given[0][first].get("of")
    found = found if isinstance(found, dict) else {}
    count = Number(0, 2**53, whole=True)
    slots: Slots = {"func_evals": count, "n_iter": count}
    if found.get("n_iter") == 0:  # the first gradient was small enough to stop at
        return {first: slots}
    whole = torch.cat([parameter.detach().ravel() for parameter in parameters.values()])
    flat = _array(whole)
    number = Number(dtype=flat.dtype)
    known = found.get("old_dirs")
    length = min(len(known), history) if isinstance(known, list) else 0
    slots |= {
        "d": flat,
        "t": number,
        "old_dirs": Items(flat, length),
        "old_stps": Items(flat, length),
        "ro": Items(_array(whole[0]), length),
        "H_diag": number,
        "prev_flat_grad": flat,
        "prev_loss": number,
    }
    return {first: slots | ({"al": Items(_array(whole[0]), history, gaps=True)} if "al" in found else {})}


def _found(structure: Any, name: str) -> dict[str, Any]:
    """The slots of a parameter of the first optimizer, as far as a structure has them."""
    try:
        slots = structure[0][name]["of"]
    except (KeyError, TypeError, IndexError):
        return {}
    return slots if isinstance(slots, dict) else {}
