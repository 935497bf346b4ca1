"""An optimizer's state taken apart into arrays and JSON, and put together again.

torch keeps tensors, numbers, None and lists of them per parameter (L-BFGS keeps its whole history that way).
Arrays go by name; the rest keeps its shape as JSON in which {"array": name} stands for an array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mlprun.engines.contract import Arrays


def flatten(
    optimizers: list[torch.optim.Optimizer], names: Mapping[int, str]
) -> tuple[dict[str, NDArray[Any]], Any]:
    """Arrays by name and the structure around them; `names` maps id(parameter) to the parameter's name."""
    arrays: dict[str, NDArray[Any]] = {}
    structure = [
        {
            names[id(parameter)]: _pack(slots, f"{number}.{names[id(parameter)]}", arrays)
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
            parameter = parameters[name]
            optimizer.state[parameter] = _unpack(packed, arrays, parameter.device, host)


def _pack(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, torch.Tensor):
        # a copy: on the CPU .numpy() would share memory that the next step overwrites
        arrays[name] = np.array(value.detach().cpu().numpy())
        return {"array": name}
    if isinstance(value, dict):
        return {"of": {key: _pack(inner, f"{name}.{key}", arrays) for key, inner in value.items()}}
    if isinstance(value, list | tuple):
        return [_pack(inner, f"{name}.{index}", arrays) for index, inner in enumerate(value)]
    return value


def _unpack(packed: Any, arrays: Arrays, device: torch.device, host: frozenset[str]) -> Any:
    if isinstance(packed, list):
        return [_unpack(inner, arrays, device, host) for inner in packed]
    if not isinstance(packed, dict):
        return packed
    if "of" in packed:
        return {
            key: _unpack(inner, arrays, torch.device("cpu") if key in host else device, host)
            for key, inner in packed["of"].items()
        }
    return torch.from_numpy(np.array(arrays[packed["array"]])).to(device)
