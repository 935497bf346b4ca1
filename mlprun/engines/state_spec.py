"""An optimizer's state as arrays and JSON, and what it must consist of: a forged one must not reach a kernel.

A checksum finds damage, not forgery. Each engine declares what it keeps of each parameter, by slot, and
anything else is refused before a run continues.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from mlprun.engines.contract import Arrays, State


def pack(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return a structure as JSON in which {"array": name} stands for an array, copied into `arrays`.

    Dictionaries become {"of": ...}, tuples lists. Arrays may be tensors.
    """
    if hasattr(value, "cpu"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        # a copy: the next step may overwrite the memory
        arrays[name] = np.array(value)
        return {"array": name}
    if isinstance(value, dict):
        return {"of": {key: pack(inner, f"{name}.{key}", arrays) for key, inner in value.items()}}
    if isinstance(value, list | tuple):
        return [pack(inner, f"{name}.{index}", arrays) for index, inner in enumerate(value)]
    return value


def unpack(
    packed: Any,
    arrays: Arrays,
    convert: Callable[[NDArray[Any], str], Any] = lambda array, _: array,
    slot: str = "",
) -> Any:
    """Invert `pack`; `convert` is called with a copy of each array and the slot that it is in."""
    if isinstance(packed, list):
        return [unpack(inner, arrays, convert, slot) for inner in packed]
    if not isinstance(packed, dict):
        return packed
    if "of" in packed:
        return {key: unpack(inner, arrays, convert, key) for key, inner in packed["of"].items()}
    return convert(np.array(arrays[packed["array"]]), slot)


MOST = 2**53
"""numbers are below: a float holds them exactly, and so does a kernel"""


class SlotSpec(Protocol):
    """One kind of slot."""

    def fits(self, packed: Any, name: str, arrays: Arrays) -> bool:
        """Return True if the metadata at `name` fits; `arrays` are those of the state."""
        ...


@dataclass(frozen=True)
class Array:
    """An array of this shape and type."""

    dtype: str
    shape: tuple[int, ...]

    def fits(self, packed: Any, name: str, arrays: Arrays) -> bool:
        """See SlotSpec."""
        if packed != {"array": name} or name not in arrays:
            return False
        return arrays[name].shape == self.shape and str(arrays[name].dtype) == self.dtype


@dataclass(frozen=True)
class Number:
    """A number: a `plain` one, or an array of no dimensions where `dtype` says of which type.

    `least` and `most` bound what is computed with outside of arrays: there a wrong number ends in an
    exception and not in NaN.
    """

    least: float | None = None
    most: float | None = None
    whole: bool = False
    plain: bool = True
    dtype: str | None = None

    def fits(self, packed: Any, name: str, arrays: Arrays) -> bool:
        """See SlotSpec."""
        value: Any = packed if self.plain else None
        if self.dtype is not None and Array(self.dtype, ()).fits(packed, name, arrays):
            value = arrays[name].item()
        if type(value) not in (int, float) or (type(value) is int and abs(value) >= MOST):
            return False
        if self.least is not None and not value >= self.least:
            return False
        if self.most is not None and not value <= self.most:
            return False
        return not self.whole or value == int(value)


@dataclass(frozen=True)
class Items:
    """A list of exactly `count` of a kind, with `gaps` where some may be None."""

    kind: SlotSpec
    count: int
    gaps: bool = False

    def fits(self, packed: Any, name: str, arrays: Arrays) -> bool:
        """See SlotSpec."""
        if not isinstance(packed, list) or len(packed) != self.count:
            return False
        return all(
            (one is None and self.gaps) or self.kind.fits(one, f"{name}.{index}", arrays)
            for index, one in enumerate(packed)
        )


TRAINED = "trained."
"""before the names of parameters and buffers in an optimizer's state: where the model is their average,
training continues from these"""


def trained_model(state: State) -> Arrays:
    """Return the parameters and buffers that training continues from."""
    kept = state.optimizer_state.items()
    found = {name.removeprefix(TRAINED): array for name, array in kept if name.startswith(TRAINED)}
    return found or state.model


def with_trained(arrays: Arrays, model: Arrays) -> Arrays:
    """Return the arrays of an optimizer's state with the parameters that it trains."""
    return {**arrays, **{TRAINED + name: array for name, array in model.items()}}


Slots = dict[str, SlotSpec]
"""what is kept of one parameter"""
OptimizerSpec = list[dict[str, Slots]]
"""for each of the optimizers, what is kept of its parameters by name"""


def state_error(state: State, expected: OptimizerSpec, *, averages: bool) -> str | None:
    """Return why an engine that keeps this cannot have left a trained state; None if it can."""
    trained = [TRAINED + name for name in state.model] if averages else []
    for name, array in zip(trained, state.model.values(), strict=False):
        if not Array(str(array.dtype), array.shape).fits({"array": name}, name, state.optimizer_state):
            return f"the averaged run lacks {name}, or has it in another shape or type"
    structure = [{}] * len(expected) if state.optimizer_meta is None else state.optimizer_meta
    if not isinstance(structure, list) or len(structure) != len(expected):
        return "the optimizer's state is not a list of one mapping for each optimizer"
    for number, (state_of, slots_of) in enumerate(zip(structure, expected, strict=True)):
        if not isinstance(state_of, dict) or state_of.keys() != slots_of.keys():
            return "the optimizer's state is of other parameters"
        for name, slots in slots_of.items():
            packed = state_of[name]
            if not _are_slots(packed) or packed["of"].keys() != slots.keys():
                return f"the optimizer keeps other slots of {name}"
            for slot, kind in slots.items():
                if not kind.fits(packed["of"][slot], f"{number}.{name}.{slot}", state.optimizer_state):
                    return f"the optimizer's slot {slot} of {name} is not what the config needs"
    unknown = state.optimizer_state.keys() - {*_named(structure), *trained}
    return f"unknown slot {min(unknown)}" if unknown else None


def untrained_state_error(state: State) -> str | None:
    """Return why a state at epoch 0, where no optimizer keeps anything, is unsound; None if it is not."""
    return (
        "an optimizer has a state before its first step"
        if state.optimizer_meta or state.optimizer_state
        else None
    )


def _are_slots(packed: Any) -> bool:
    return isinstance(packed, dict) and packed.keys() == {"of"} and isinstance(packed["of"], dict)


def _named(packed: Any) -> Iterator[str]:
    """Yield the names of all arrays in a structure that fits its specification."""
    pending: Sequence[Any] = [packed]
    while pending:
        inner: list[Any] = []
        for value in pending:
            if isinstance(value, list):
                inner += value
            elif isinstance(value, dict) and isinstance(value.get("array"), str):
                yield value["array"]
            elif isinstance(value, dict):
                inner += value.values()
        pending = inner
