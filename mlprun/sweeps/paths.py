"""Values that hold paths: a sweep file elsewhere has other words for them, at the same places of a list.

A database keeps the words of the sweep file that it was made by, since these are what a user knows; which
file is meant is told by the place in the list of values, which the database keeps as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun.errors import CheckpointError
from mlprun.storage import canonical
from mlprun.sweeps.schema import Configuration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlprun.sweeps.definition import Sweep

    Lists = Mapping[str, Sequence[Any]]


def is_path(key: str) -> bool:
    """Whether the texts below a key are paths, which are relative to the file they stand in."""
    return key.rpartition(".")[2] == "path"


def lists(sweep: Sweep) -> dict[str, list[Any]]:
    """Of each parameter whose values hold paths: the values, as JSON has them."""
    choices = {key: draw.choice for key, draw in sweep.random.items() if draw.choice is not None}
    every = {**sweep.grid, **sweep.paired, **choices}
    return {
        key: canonical.decode(canonical.encode(values))
        for key, values in every.items()
        if _holds(values, key)
    }


def _holds(value: Any, key: str) -> bool:
    """Whether a path is in a value."""
    if isinstance(value, dict):
        return any(_holds(item, inner) for inner, item in value.items())
    if isinstance(value, list | tuple):
        return any(_holds(item, key) for item in value)
    return isinstance(value, str) and is_path(key)


def reworded(setting: Configuration, before: Lists, after: Lists) -> Configuration:
    """A setting with the values of lists in other words. Raises CheckpointError where there is none."""
    if before == after or not after:
        return setting
    chosen = {
        key: _at_its_place(key, value, before.get(key, ()), after[key]) if key in after else value
        for key, value in setting.values.items()
    }
    return Configuration(setting.id, chosen)


def _at_its_place(key: str, value: Any, before: Sequence[Any], after: Sequence[Any]) -> Any:
    text = canonical.encode(value)
    for one, other in zip(before, after, strict=False):
        if canonical.encode(one) == text:
            return other
    what = f"the database does not say which of the sweep's values {text} is"
    raise CheckpointError(key, what, "run the sweep with another --out")
