"""A parameter as an axis: the positions of its values, and how they are written."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.chart import Axis

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary

FEW = 12
"""values of a parameter that an axis names each, at most"""
NAME = 22
"""characters of a parameter's name or value on an axis"""
NEAR = 0.03
"""of an axis: values that stand closer cannot be told apart, and are set side by side where they are few"""
DECADES = 100.0
"""numbers that span so many times their smallest are not shown on a linear axis from 0"""

Scale = Literal["category", "linear", "log", "symlog"]


@dataclass(frozen=True)
class Dimension:
    """A parameter with its different values in order."""

    path: str
    name: str
    levels: tuple[Any, ...]
    scale: Scale
    """how values are placed: side by side as a `category`, or by size; `symlog` is logarithmic but for 0"""
    is_continuous: bool = False
    """numbers drawn from a range, few of which are equal"""

    def position(self, value: Any) -> float:
        """Where a value stands on the axis; nan for a value that is not there."""
        if self.is_number:
            return float(value) if _is_number(value) else math.nan
        return float(self._indices.get(_key(value), math.nan))

    def fraction(self, value: Any) -> float:
        """Where a value stands between 0 and 1, as on the axis."""
        low, high = self._ends
        return (self._on(self.position(value)) - low) / (high - low) if high > low else 0.5

    def shifted(self, positions: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places moved by a share of half the mean distance between values, as on the axis."""
        if not self.is_number:
            return np.asarray(positions + shift, np.float64)
        low, high = self._ends
        by = shift * (high - low) / max(1, len(self.levels) - 1) / 2
        return np.asarray(positions * 10**by if self.scale == "log" else positions + by, np.float64)

    @property
    def is_number(self) -> bool:
        """Whether values have a place by their size; others stand side by side."""
        return self.scale != "category"

    @property
    def is_to_scale(self) -> bool:
        """False for numbers that stand side by side."""
        return self.is_number or not all(map(_is_number, self.levels))

    @cached_property
    def _ends(self) -> tuple[float, float]:
        positions = [self._on(self.position(level)) for level in self.levels]
        return min(positions), max(positions)

    def _on(self, position: float) -> float:
        if self.scale == "log":
            return math.log10(position)
        if self.scale == "symlog":
            low = self._least
            return math.log10(position) if position >= low else math.log10(low) - 1 + position / low
        return position

    @cached_property
    def _least(self) -> float:
        return min(float(level) for level in self.levels if level > 0)

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
        """The levels as they are written: of parts only what differs."""
        return [format_value(level) for level in without_common_options(self.levels)]

    @property
    def is_few(self) -> bool:
        """Whether there are so few values that each has a place of its own."""
        return len(self.levels) <= FEW and not self.is_continuous

    def axis(self) -> Axis:
        """The axis with its name and its values: those of a few, else round numbers."""
        label = style.name(self.name, NAME + 8) + ("" if self.is_to_scale else " (not to scale)")
        below = self._least if self.scale == "symlog" else 1.0
        if self.is_number and not self.is_few:
            return Axis(label, self.scale, linear_below=below)
        positions = tuple(self.position(level) for level in self.levels)
        # of half the distance between numbers, and of that between others
        margin = 0.12 * (len(self.levels) - 1) if self.is_number else 0.5
        ends = self.shifted(np.array([positions[0], positions[-1]]), np.array([-margin, margin]))
        limits = (float(ends[0]), float(ends[1]))
        return Axis(label, self.scale, limits, positions, tuple(self.labels), linear_below=below)


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
    found = Dimension(path, name, tuple(levels), _scale(levels, scale), is_continuous)
    positions = [found.fraction(level) for level in levels]
    near = any(after - before < NEAR for before, after in pairwise(positions))
    return replace(found, scale="category") if found.is_few and (near or found.scale == "symlog") else found


def _scale(levels: Sequence[float], scale: str | None) -> Scale:
    """How numbers in order stand on an axis."""
    above = [level for level in levels if level > 0]
    if levels[0] > 0:
        return "log" if scale == "log" else "linear"
    return "symlog" if levels[0] == 0 and len(above) > 1 and above[-1] >= DECADES * above[0] else "linear"


def without_common_options(levels: Sequence[Any]) -> list[Any]:
    """Parts without the options that all of them have alike; other values as they are."""
    if len(levels) < 2 or not all(isinstance(level, dict) for level in levels):
        return list(levels)
    first = levels[0]
    same = {key for key in first if all(key in one and _key(one[key]) == _key(first[key]) for one in levels)}
    short = [{key: value for key, value in level.items() if key not in same} for level in levels]
    return short if all(short) else list(levels)


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
    short = f"{value:.4g}"
    return style.typeset(short if float(short) == value else f"{value:.3g}")


def format_ticks(values: Sequence[float]) -> list[str]:
    """Round numbers of one axis in all of their digits, but for what is rounding: 0.9745, 0.9760."""
    texts = [f"{value:.10g}" for value in values]
    if not any("e" in text for text in texts):
        decimals = max((len(text.partition(".")[2]) for text in texts), default=0)
        texts = [f"{value:.{decimals}f}" for value in values]
    return list(map(style.typeset, texts))


def configuration_labels(
    dimensions: Sequence[Dimension], settings: Sequence[Mapping[str, Any]]
) -> list[list[str]]:
    """Settings by names and values of what varies, `hidden 4, lr 0.1`: with whole and with shorter names."""
    values = [
        [(one.name, one.labels[one.index(chosen[one.path])]) for one in dimensions if one.path in chosen]
        for chosen in settings
    ]
    return [
        [", ".join(f"{style.name(name, most)} {value}" for name, value in pairs) for pairs in values]
        for most in (NAME, 14, 9)
    ]


def _key(value: Any) -> str:
    return json.dumps(float(value) if _is_number(value) else value, sort_keys=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))
