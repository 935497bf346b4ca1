"""An optimizer's arrays by parameter, as a state keeps them: in the form that the torch engine gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mlprun.engines.contract import Arrays, State

FIRST = "0."
"""how torch's engine names the arrays of the first of an experiment's optimizers"""

Slots = dict[str, dict[str, "NDArray[Any]"]]
"""parameter to slot to array"""


def taken_apart(slots: Mapping[str, Arrays]) -> tuple[dict[str, NDArray[Any]], Any]:
    """Copies of the arrays by name, and the structure around them as JSON."""
    arrays: dict[str, NDArray[Any]] = {}
    structure: dict[str, Any] = {}
    for parameter, kept in slots.items():
        if not kept:  # as torch's engine leaves such a parameter out
            continue
        names = {slot: f"{FIRST}{parameter}.{slot}" for slot in kept}
        arrays |= {names[slot]: np.array(array) for slot, array in kept.items()}
        structure[parameter] = {"of": {slot: {"array": name} for slot, name in names.items()}}
    return arrays, [structure]


def put_together(state: State) -> Slots:
    """The inverse of `taken_apart`; slots that hold no array are left out."""
    structure = (state.structure or [{}])[0]
    return {
        parameter: {
            slot: np.array(state.slots[packed["array"]])
            for slot, packed in kept["of"].items()
            if isinstance(packed, dict)
        }
        for parameter, kept in structure.items()
    }
