"""Initialisers that set parameters by their names: values in the config, or a safetensors file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from mlprun import files
from mlprun.errors import CheckpointError, UsageError
from mlprun.parts.initializers.initializer import ModuleInitializer, module_initializers
from mlprun.parts.part import ConfigPath, suggestion

if TYPE_CHECKING:
    import torch
    from torch import nn

_LARGEST_FILE = 2**30
_LARGEST_HEADER = 8 * 10**6
_MOST_TENSORS = 10_000
_REMEDY = "expected a safetensors file with tensors named as in the network"


def _shape(value: Any) -> tuple[int, ...]:
    """The shape of nested sequences of numbers."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise PydanticCustomError("init_values", "must hold finite numbers only")
        return ()
    if not isinstance(value, tuple | list):
        what = {"value": repr(value)}
        raise PydanticCustomError("init_values", "must be numbers in nested sequences; {value} is not", what)
    shapes = {_shape(entry) for entry in value}
    if len(shapes) > 1:
        raise PydanticCustomError("init_values", "rows differ in length")
    return (len(value), *(shapes.pop() if shapes else ()))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(entry) for entry in value) if isinstance(value, tuple | list) else float(value)


def _numbers(value: Any) -> Any:
    _shape(value)
    return _frozen(value)


Values = Annotated[
    Any, AfterValidator(_numbers), WithJsonSchema({"type": ["number", "array"], "title": "nested numbers"})
]


Shapes = Mapping[str, tuple[int, ...]]


def _problems(given: Shapes, known: Shapes) -> list[str]:
    """What is wrong with the names and shapes that are given, all of it."""
    problems = []
    for name, shape in given.items():
        if name not in known:
            problems.append(f"{name} is not a parameter of this network ({suggestion(name, tuple(known))})")
        elif shape != known[name]:
            problems.append(f"{name} has shape {list(shape)} where the network has {list(known[name])}")
    return problems


def _copy(tensors: Mapping[str, torch.Tensor], known: Mapping[str, torch.Tensor], where: str) -> None:
    import torch

    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    problems = _problems(given, {name: tuple(tensor.shape) for name, tensor in known.items()})
    if problems:
        remedy = "weights are [outputs, inputs], biases [outputs], embeddings [vocabulary, dim]"
        raise UsageError(where, "; ".join(problems), remedy)
    with torch.no_grad():
        for name, tensor in tensors.items():
            known[name].copy_(tensor)


@module_initializers.register
class GivenValues(ModuleInitializer):
    """Numbers given in the config, by parameter name; parameters that are not named start by default.

    Shapes are the network's own: weights [outputs, inputs], biases [outputs], embeddings [vocabulary, dim].
    """

    name: Literal["values"] = "values"
    parameters: dict[str, Values] = Field(
        description="parameter name to nested numbers, such as {layers.0.weight: [[0.1, -0.2]]}"
    )

    @property
    def shapes(self) -> Shapes:
        """The shapes of what is given, by parameter name."""
        return {name: _shape(value) for name, value in self.parameters.items()}

    def problems(self, shapes: Shapes) -> list[str]:
        """What does not fit a network with parameters of these shapes: unknown names, wrong shapes."""
        return _problems(self.shapes, shapes)

    def assign(self, module: nn.Module) -> None:
        import torch

        given = {name: torch.tensor(value, dtype=torch.float64) for name, value in self.parameters.items()}
        _copy(given, dict(module.named_parameters()), "architecture.init.parameters")


@module_initializers.register
class File(ModuleInitializer):
    """A safetensors file with tensors by parameter name; a checkpoint of mlprun is one.

    Names are the network's own, or all with `model.` in front (then others are ignored). Parameters that the
    file lacks start by default. Nothing in the file is executed.
    """

    name: Literal["file"] = "file"
    path: ConfigPath = Field(description="the file, relative to the config")

    def assign(self, module: nn.Module) -> None:
        tensors = _load(self.path)
        prefix = "model."
        if any(name.startswith(prefix) for name in tensors):
            tensors = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
        # state_dict: with the running figures of batch norm; it shares the module's memory
        _copy(tensors, module.state_dict(), self.path)


def _bytes(path: str) -> bytes:
    try:
        return files.read_bytes(path, cap=_LARGEST_FILE)
    except FileNotFoundError as error:
        raise CheckpointError(path, "there is no such file", "architecture.init.path names it") from error
    except files.WrongKindError as error:
        raise CheckpointError(path, f"is {error.kind}, not a file", _REMEDY) from error


def _load(path: str) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file, read once and checked; never a memory map, never a pickle."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = _bytes(path)
    if int.from_bytes(content[:8], "little") > _LARGEST_HEADER:
        raise CheckpointError(path, "is not a safetensors file", _REMEDY)
    try:
        tensors = load(content)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(path, "is damaged, or not a safetensors file", _REMEDY) from error
    if not 0 < len(tensors) <= _MOST_TENSORS:
        raise CheckpointError(path, f"holds {len(tensors)} tensors", _REMEDY)
    for name, tensor in tensors.items():
        if tensor.is_complex() or not bool(tensor.isfinite().all()):
            raise CheckpointError(path, f"{name} holds what is not a finite real number", _REMEDY)
    return tensors
