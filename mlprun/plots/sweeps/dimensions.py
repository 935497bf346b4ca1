"""A parameter as an axis: where its values stand, and how they are written."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlprun.plots import style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axis import Axis

FEW = 12
"""values of a parameter that an axis names each, at most"""
NAME = 22
"""characters of a parameter's name or value on an axis"""


@dataclass(frozen=True)
class Dimension:
    """A parameter with its different values in order."""

    path: str
    name: str
    levels: tuple[Any, ...]
    is_number: bool
    """whether values have a place by their size; others stand side by side"""
    is_log: bool

    def place(self, value: Any) -> float:
        """Where a value stands on the axis; nan for a value that is not there."""
        if self.is_number:
            return float(value) if _is_number(value) else math.nan
        return float(self._places.get(_key(value), math.nan))

    def scaled(self, value: Any) -> float:
        """Where a value stands between 0 and 1, as on the axis."""
        places = [self._on(self.place(level)) for level in self.levels]
        low, high = min(places), max(places)
        return (self._on(self.place(value)) - low) / (high - low) if high > low else 0.5

    def _on(self, place: float) -> float:
        return math.log10(place) if self.is_log else place

    @property
    def _places(self) -> Mapping[str, int]:
        return {_key(level): index for index, level in enumerate(self.levels)}

    def index(self, value: Any) -> int:
        """Which of the levels a value is."""
        return self._places[_key(value)]

    @property
    def labels(self) -> list[str]:
        """The levels as they are written."""
        return [text_of(level) for level in self.levels]

    @property
    def is_few(self) -> bool:
        """Whether there are so few values that each has a place of its own."""
        return len(self.levels) <= FEW

    def prepare(self, axis: Axis) -> None:
        """Name an axis, and write its values: all of a few, else round numbers."""
        from matplotlib.ticker import NullLocator

        scale = axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale  # type: ignore[attr-defined]
        if self.is_number and self.is_log:
            scale("log")
        if self.is_number and not self.is_few:
            if self.is_log:
                style.use_log(axis)
        else:
            shown = self._apart() if self.is_number else list(range(len(self.levels)))
            step = max(1, -(-len(shown) // FEW))
            shown = shown[::step]
            axis.set_ticks([self.place(self.levels[k]) for k in shown], [self.labels[k] for k in shown])
            axis.set_minor_locator(NullLocator())
        axis.set_label_text(style.name(self.name, NAME + 8))

    def _apart(self) -> list[int]:
        """The levels whose labels do not lie on one another."""
        kept: list[int] = []
        for index, level in enumerate(self.levels):
            if not kept or self.scaled(level) - self.scaled(self.levels[kept[-1]]) >= 0.06:
                kept.append(index)
        return kept


def dimension(path: str, name: str, values: Sequence[Any], scale: str | None) -> Dimension:
    """The parameter with these values; `scale` is how its space is: linear, log or choice."""
    levels = list({_key(value): value for value in values}.values())
    is_number = bool(levels) and all(map(_is_number, levels))
    if is_number:
        levels.sort()
    elif all(map(_are_numbers, levels)):  # layers: narrow ones first, then more of them
        levels.sort(key=lambda level: (len(level), level))
    positive = is_number and min(levels) > 0
    return Dimension(path, name, tuple(levels), is_number, is_log=positive and scale == "log")


def text_of(value: Any) -> str:
    """A value as an axis or a legend shows it: `4` for [4], `8-4` for [8, 4], `sgd lr 0.1` for a part."""
    if isinstance(value, bool):
        text = json.dumps(value)
    elif isinstance(value, int | float):
        text = number(value)
    elif isinstance(value, list):
        text = ("-" if _are_numbers(value) else ", ").join(map(text_of, value)) or "none"
    elif isinstance(value, dict):
        words = [text_of(value["name"])] if "name" in value else []
        text = " ".join([*words, *(f"{key} {text_of(one)}" for key, one in value.items() if key != "name")])
    else:
        text = "none" if value is None else str(value)
    return style.name(text, NAME)


def number(value: float) -> str:
    """A number in at most four digits; one that has more, as drawn ones do, in three."""
    short = f"{value:.4g}"
    text = short if float(short) == value else f"{value:.3g}"
    mantissa, exponent, power = text.partition("e")
    return (mantissa + (f"e{int(power)}" if exponent else "")).replace("-", "\N{MINUS SIGN}")


def labelled(settings: Sequence[Mapping[str, Any]], length: int) -> list[str]:
    """Settings by names and values of their parameters, `hidden 4, lr 0.1`, each in so many characters.

    Where there is no room names are shortened first, those of all settings alike, and left out last: the
    values tell settings apart.
    """
    texts: list[str] = []
    for most in (NAME, 14, 9, 5, 0):
        texts = [", ".join(_pair(name, value, most) for name, value in one.items()) for one in settings]
        if all(len(text) <= length for text in texts):
            break
    return [style.name(text, length) for text in texts]


def _pair(name: str, value: Any, most: int) -> str:
    return f"{style.name(name, most)} {text_of(value)}" if most else text_of(value)


def _key(value: Any) -> str:
    return json.dumps(float(value) if _is_number(value) else value, sort_keys=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))
