"""A parameter as an axis: the positions of its values, and how they are written."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mlprun.figures import style
from mlprun.figures.chart import Axis, Scale

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlprun.analysis.summary import ConfigurationSummary

LARGEST = 708.0
"""logarithm of the largest limit of an axis: that of the largest float is 709"""
FEW = 12
"""values of a parameter that an axis names each, at most"""
NAME = 22
"""characters of a parameter's name or value on an axis"""
NEAR = 0.03
"""of an axis: values that stand closer cannot be told apart, and are set side by side where they are few"""


@dataclass(frozen=True)
class Dimension:
    """A parameter with its different values in order."""

    path: str
    name: str
    levels: tuple[Any, ...]
    scale: Scale
    """how values are placed: side by side as a `category`, or by size"""
    is_continuous: bool = False
    """numbers drawn from a range, few of which are equal"""

    def position(self, value: Any) -> float:
        """Where a value stands on the axis; nan for a value that is not there."""
        if self.is_number:
            return float(value) if _is_number(value) else math.nan
        return float(self._indices.get(_key(value), math.nan))

    def fraction(self, value: Any) -> float:
        """Where a value stands between 0 and 1, as on the axis."""
        low, high = self._on(self.levels[0]), self._on(self.levels[-1])
        return (self._on(value) - low) / (high - low) if high > low else 0.5

    def _on(self, value: Any) -> float:
        return math.log10(self.position(value)) if self.scale == "log" else self.position(value)

    @property
    def is_number(self) -> bool:
        """Whether values have a place by their size; others stand side by side."""
        return self.scale != "category"

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {_key(level): index for index, level in enumerate(self.levels)}

    def index(self, value: Any) -> int:
        """Which of the levels a value is."""
        return self._indices[_key(value)]

    def by_level(self, lines: Iterable[ConfigurationSummary]) -> list[list[ConfigurationSummary]]:
        """The settings at each level."""
        found: list[list[ConfigurationSummary]] = [[] for _ in self.levels]
        for line in lines:
            if self.path in line.setting.values:
                found[self.index(line.setting.values[self.path])].append(line)
        return found

    @cached_property
    def labels(self) -> list[str]:
        """The levels as they are written."""
        return list(map(format_value, self.levels))

    @property
    def is_few(self) -> bool:
        """Whether there are so few values that each has a place of its own."""
        return len(self.levels) <= FEW and not self.is_continuous

    def axis(self) -> Axis:
        """The axis with its name and its values: those of a few, else round numbers."""
        is_to_scale = self.is_number or not all(map(_is_number, self.levels))
        label = style.name(self.name, NAME + 8) + ("" if is_to_scale else " (not to scale)")
        if self.is_number and not self.is_few:
            return Axis(label, self.scale)
        ticks = tuple(map(self.position, self.levels))
        low, high = ticks[0], ticks[-1]
        room = 0.05 * (high - low) if self.is_number else 0.5
        limits = low - room, high + room
        if self.scale == "log":
            room = 0.05 * (math.log(high) - math.log(low))
            first, last = math.log(low) - room, math.log(high) + room
            limits = math.exp(max(first, -LARGEST)), math.exp(min(last, LARGEST))
        return Axis(label, self.scale, limits, ticks, tuple(self.labels))


def dimension(
    path: str, name: str, values: Sequence[Any], scale: str | None, *, is_continuous: bool = False
) -> Dimension:
    """The parameter with these values; `scale` is how its space is: linear, log or choice."""
    levels = list({_key(value): value for value in values}.values())
    if not (levels and all(map(_is_number, levels))):
        if all(map(_are_numbers, levels)):  # layers: narrow ones first, then more of them
            levels.sort(key=lambda level: (len(level), level))
        return Dimension(path, name, tuple(levels), "category")
    levels.sort()
    is_continuous = is_continuous and 2 * len(levels) > len(values)
    is_log = scale == "log" and levels[0] > 0
    found = Dimension(path, name, tuple(levels), "log" if is_log else "linear", is_continuous)
    positions = [found.fraction(level) for level in levels]
    near = any(after - before < NEAR for before, after in pairwise(positions))
    return replace(found, scale="category") if found.is_few and near else found


def format_value(value: Any) -> str:
    """A value as an axis or a legend shows it: `4` for [4], `8-4` for [8, 4], `sgd lr 0.1` for a part."""
    if isinstance(value, bool):
        text = json.dumps(value)
    elif isinstance(value, int | float):
        text = number(value)
    elif isinstance(value, list):
        text = ("-" if _are_numbers(value) else ", ").join(map(format_value, value)) or "none"
    elif isinstance(value, dict):
        words = [format_value(value["name"])] if "name" in value else []
        text = " ".join(
            [*words, *(f"{key} {format_value(one)}" for key, one in value.items() if key != "name")]
        )
    else:
        text = "none" if value is None else str(value)
    return style.name(text, NAME)


def number(value: float) -> str:
    """A number in at most four digits; one that has more, as drawn ones do, in three."""
    return style.number(value, 4 if float(f"{value:.4g}") == value else 3)


def configuration_label(
    dimensions: Sequence[Dimension], chosen: Mapping[str, Any], *, has_names: bool = True
) -> str:
    """A setting by names and values of what varies: `hidden 4, lr 0.1`."""
    return ", ".join(
        f"{style.name(one.name, NAME)} " * has_names + one.labels[one.index(chosen[one.path])]
        for one in dimensions
        if one.path in chosen
    )


def _key(value: Any) -> str:
    return json.dumps(float(value) if _is_number(value) else value, sort_keys=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))
