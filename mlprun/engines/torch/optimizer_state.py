"""An optimizer's state flattened into arrays and JSON, and back; and what a valid one consists of.

torch keeps tensors, numbers, None and lists of them per parameter (L-BFGS keeps its whole history that way).
Arrays go by name; the rest keeps its shape as JSON in which {"array": name} stands for an array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlprun.engines.state_spec import (
    Array,
    Items,
    Number,
    OptimizerSpec,
    Slots,
    SlotSpec,
    pack,
    unpack,
)
from mlprun.parts.optimizers import build_trained, step_function

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mlprun.engines.contract import Arrays, State
    from mlprun.experiment import Experiment


def flatten(
    optimizers: list[torch.optim.Optimizer], names: Mapping[int, str]
) -> tuple[dict[str, NDArray[Any]], Any]:
    """Arrays by name and the structure around them; `names` maps id(parameter) to the parameter's name."""
    arrays: dict[str, NDArray[Any]] = {}
    structure = [
        {
            names[id(parameter)]: pack(slots, f"{number}.{names[id(parameter)]}", arrays)
            for parameter, slots in optimizer.state.items()
        }
        for number, optimizer in enumerate(optimizers)
    ]
    return arrays, structure


def unflatten(
    optimizers: list[torch.optim.Optimizer],
    parameters: Mapping[str, torch.nn.Parameter],
    arrays: Arrays,
    structure: Any,
    *,
    host: frozenset[str],
) -> None:
    """Give the optimizers the state that `flatten` returned, on the devices of their parameters.

    The slots named in `host` stay on the CPU.
    """
    for optimizer, by_name in zip(optimizers, structure or [{}] * len(optimizers), strict=True):
        optimizer.state.clear()
        for name, packed in by_name.items():
            device = parameters[name].device

            def convert(array: NDArray[Any], slot: str, device: torch.device = device) -> torch.Tensor:
                return torch.from_numpy(array).to("cpu" if slot in host else device)

            optimizer.state[parameters[name]] = unpack(packed, arrays, convert)


def optimizer_spec(experiment: Experiment, state: State) -> OptimizerSpec | None:
    """Return what the optimizer keeps of each parameter after `state.epoch` epochs.

    Found by one step with zero gradients. None for an optimizer that is not built in.
    """
    optimizer = experiment.config.optimizer
    if not type(optimizer).__module__.startswith("mlprun.parts."):
        return None
    network = experiment.blank_network()
    parameters = dict(network.named_parameters())
    rules = optimizer.update_rules(experiment.config.freeze, parameters)
    parameters = {name: parameter for name, parameter in parameters.items() if name in rules}
    if optimizer.needs_closure:
        return [_lbfgs_spec(parameters, optimizer.model_dump()["history_size"], state)]
    embeddings, steps = network.embedding_tables(), state.epoch * experiment.steps_per_epoch
    names = {id(parameter): name for name, parameter in parameters.items()}
    spec: OptimizerSpec = []
    for part in build_trained(optimizer, parameters, rules, embeddings):
        for group in part.param_groups:
            for parameter in group["params"]:
                nothing = torch.zeros_like(parameter)
                sparse = optimizer.sparse and names[id(parameter)] in embeddings
                parameter.grad = nothing.to_sparse() if sparse else nothing
        step_function(part)()
        spec.append(
            {
                names[id(parameter)]: {slot: _kind(slot, value, steps) for slot, value in slots.items()}
                for parameter, slots in part.state.items()
            }
        )
    return spec


def _kind(slot: str, value: Any, steps: int) -> SlotSpec:
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


def _lbfgs_spec(parameters: dict[str, torch.nn.Parameter], history: int, state: State) -> dict[str, Slots]:
    """L-BFGS keeps all with the first parameter, and its history in lists that grow."""
    first, *_ = parameters
    meta: Any = state.optimizer_meta
    try:
        found = meta[0][first]["of"]
    except (KeyError, TypeError, IndexError):
        found = {}
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
