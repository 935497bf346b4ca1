"""What configs of earlier formats mean: their words made into those that mean the same today.

A config says its `format`. One without it is of the newest, unless it was stored by a version that knew no
formats, which is format 1: in a checkpoint, a run folder or a sweep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Callable[[dict[str, Any]], dict[str, Any]]

FORMAT: Final = 2
"""of the configs that this version writes"""
_STANDARDIZED: Final = ("huber", "smooth_l1")


def stored(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config from a checkpoint or a sweep, with the format that it does not say itself."""
    return {"format": 1, **config}


def upgrade(data: dict[str, Any]) -> dict[str, Any]:
    """A config of an earlier format in the words of the newest; one of another kind as it is."""
    version = data.get("format", FORMAT)
    if version not in range(1, FORMAT):
        return data
    for step in _STEPS[int(version) - 1 :]:
        data = step(data)
    return {**data, "format": FORMAT}


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Values alone said what a target is, `1,000.00` was a category, `delta` and `beta` were standardised."""
    dataset = data.get("dataset")
    if isinstance(dataset, Mapping) and dataset.get("name") == "table":
        task = dataset.get("task") or "auto"
        task = "values" if task == "auto" else task
        data = {**data, "dataset": {"other_formats": "categories", **dataset, "task": task}}
    if "loss" in data:
        data = {**data, "loss": _standardized(data["loss"])}
    if isinstance(data.get("metrics"), tuple | list):
        data = {**data, "metrics": tuple(map(_standardized, data["metrics"]))}
    return data


def _standardized(part: Any) -> Any:
    named = {"name": part} if isinstance(part, str) else part
    if isinstance(named, Mapping) and named.get("name") in _STANDARDIZED:
        # the reduction tells a loss that is logged, be it of classes, from a metric
        return {"units": "standardized", "reduction": "mean", **named}
    return part


_STEPS: Final[tuple[Step, ...]] = (_from_1,)
