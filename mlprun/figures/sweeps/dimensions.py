"""A parameter as an axis: where its values stand, and how they are written."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.figures import style

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axis import Axis
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
CHARACTER = 0.0707
"""inches across a character of a tick's label"""

Scale = Literal["even", "linear", "log", "symlog"]


@dataclass(frozen=True)
class Dimension:
    """A parameter with its different values in order."""

    path: str
    name: str
    levels: tuple[Any, ...]
    scale: Scale
    """whether values stand by their size; `even` is side by side, `symlog` logarithmic but for 0"""
    is_continuous: bool = False
    """numbers drawn from a range, few of which are equal"""

    def place(self, value: Any) -> float:
        """Where a value stands on the axis; nan for a value that is not there."""
        if self.is_number:
            return float(value) if _is_number(value) else math.nan
        return float(self._places.get(_key(value), math.nan))

    def scaled(self, value: Any) -> float:
        """Where a value stands between 0 and 1, as on the axis."""
        low, high = self._ends
        return (self._on(self.place(value)) - low) / (high - low) if high > low else 0.5

    def moved(self, places: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places moved by a share of half the mean distance between values, as on the axis."""
        if not self.is_number:
            return np.asarray(places + shift, np.float64)
        low, high = self._ends
        by = shift * (high - low) / max(1, len(self.levels) - 1) / 2
        return np.asarray(places * 10**by if self.scale == "log" else places + by, np.float64)

    @property
    def is_number(self) -> bool:
        """Whether values have a place by their size; others stand side by side."""
        return self.scale != "even"

    @property
    def is_to_scale(self) -> bool:
        """False for numbers that stand side by side."""
        return self.is_number or not all(map(_is_number, self.levels))

    @cached_property
    def _ends(self) -> tuple[float, float]:
        places = [self._on(self.place(level)) for level in self.levels]
        return min(places), max(places)

    def _on(self, place: float) -> float:
        if self.scale == "log":
            return math.log10(place)
        if self.scale == "symlog":
            low = self._least
            return math.log10(place) if place >= low else math.log10(low) - 1 + place / low
        return place

    @cached_property
    def _least(self) -> float:
        return min(float(level) for level in self.levels if level > 0)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {_key(level): index for index, level in enumerate(self.levels)}

    def index(self, value: Any) -> int:
        """Which of the levels a value is."""
        return self._places[_key(value)]

    def sorted_in(self, lines: Iterable[ConfigurationSummary]) -> list[list[ConfigurationSummary]]:
        """The settings at each level."""
        found: list[list[ConfigurationSummary]] = [[] for _ in self.levels]
        for line in lines:
            if self.path in line.setting.values:
                found[self.index(line.setting.values[self.path])].append(line)
        return found

    @cached_property
    def labels(self) -> list[str]:
        """The levels as they are written: of parts only what differs."""
        return [text_of(level) for level in told_apart(self.levels)]

    @property
    def is_few(self) -> bool:
        """Whether there are so few values that each has a place of its own."""
        return len(self.levels) <= FEW and not self.is_continuous

    def prepare(self, axis: Axis) -> None:
        """Name an axis, and write its values: those of a few that have room, else round numbers."""
        is_across = axis.axis_name == "x"  # type: ignore[attr-defined]
        box, size = axis.axes.get_position(), axis.axes.figure.get_size_inches()  # type: ignore[union-attr]
        inches = float(box.width * size[0] if is_across else box.height * size[1])
        if self.scale in ("log", "symlog"):
            options = {"linthresh": self._least} if self.scale == "symlog" else {}
            (axis.axes.set_xscale if is_across else axis.axes.set_yscale)(self.scale, **options)
        if not self.is_number or self.is_few:
            self._name_levels(axis, inches if is_across else 0, inches)
        elif self.scale != "linear":
            _name_decades(axis, int(inches / 0.33))
        axis.set_label_text(style.name(self.name, NAME + 8) + ("" if self.is_to_scale else " (not to scale)"))

    def _name_levels(self, axis: Axis, across: float, inches: float) -> None:
        """Ticks at all levels, and labels where there is room, turned where that helps."""
        from matplotlib.ticker import NullFormatter, NullLocator

        widths = [len(label) * CHARACTER + 0.06 if across else 0.15 for label in self.labels]
        shown = self._fitting(inches, widths)
        turned = len(shown) < len(self.levels) and across > 0 and not self.is_number
        if turned:
            shown = self._fitting(inches, [0.2] * len(self.levels))
        axis.set_ticks([self.place(self.levels[k]) for k in shown], [self.labels[k] for k in shown])
        if turned:
            for label in axis.get_ticklabels():
                label.set(rotation=30, ha="right", rotation_mode="anchor")
        if len(shown) < len(self.levels):
            axis.set_ticks([self.place(level) for level in self.levels], minor=True)
            axis.set_minor_formatter(NullFormatter())
        else:
            axis.set_minor_locator(NullLocator())
        ends = np.array([self.place(self.levels[0]), self.place(self.levels[-1])], np.float64)
        margin = 0.12 * (len(self.levels) - 1) if self.is_number else 0.5  # of half the distance, and of it
        axis.axes.set(**{f"{'x' if across else 'y'}lim": self.moved(ends, np.array([-margin, margin]))})

    def _fitting(self, inches: float, widths: Sequence[float]) -> list[int]:
        """The levels whose labels do not touch: all, powers of ten, or each far from the one before."""
        places = [self.scaled(level) * inches for level in self.levels]
        if not self.is_number:  # half a place on either side
            places = [place * (len(places) - 1) / len(places) for place in places]

        def touches(first: int, second: int) -> bool:
            return places[second] - places[first] < (widths[first] + widths[second]) / 2

        every = list(range(len(places)))
        round_ones = [k for k in every if self.scale == "log" and math.log10(self.levels[k]).is_integer()]
        for some in (every, round_ones):
            if len(some) > 1 and not any(touches(*pair) for pair in pairwise(some)):
                return some
        kept = [0]
        for k in every[1:]:
            if not touches(kept[-1], k):
                kept.append(k)
        return kept


def _name_decades(axis: Axis, most: int) -> None:
    """Powers of ten, so many of them at most, on an axis that is logarithmic, also down to 0."""
    from matplotlib.ticker import LogLocator, NullLocator, SymmetricalLogLocator

    style.use_log(axis) if axis.get_scale() == "log" else axis.set_major_formatter(_power_or_zero)
    locator = axis.get_major_locator()
    if isinstance(locator, SymmetricalLogLocator):
        locator.set_params(numticks=most)
        axis.set_minor_locator(NullLocator())
    elif isinstance(locator, LogLocator):
        locator.set_params(numticks=max(4, most))


def _power_or_zero(value: float, _: float) -> str:
    return style.log_labels()(value) or "0"


def dimension(
    path: str, name: str, values: Sequence[Any], scale: str | None, *, is_continuous: bool = False
) -> Dimension:
    """The parameter with these values; `scale` is how its space is: linear, log or choice."""
    levels = list({_key(value): value for value in values}.values())
    if not (levels and all(map(_is_number, levels))):
        if all(map(_are_numbers, levels)):  # layers: narrow ones first, then more of them
            levels.sort(key=lambda level: (len(level), level))
        return Dimension(path, name, tuple(levels), "even")
    levels.sort()
    is_continuous = is_continuous and 2 * len(levels) > len(values)
    found = Dimension(path, name, tuple(levels), _scale(levels, scale), is_continuous)
    places = [found.scaled(level) for level in levels]
    near = any(after - before < NEAR for before, after in pairwise(places))
    return replace(found, scale="even") if found.is_few and (near or found.scale == "symlog") else found


def _scale(levels: Sequence[float], scale: str | None) -> Scale:
    """How numbers in order stand on an axis."""
    above = [level for level in levels if level > 0]
    if levels[0] > 0:
        return "log" if scale == "log" else "linear"
    return "symlog" if levels[0] == 0 and len(above) > 1 and above[-1] >= DECADES * above[0] else "linear"


def told_apart(levels: Sequence[Any]) -> list[Any]:
    """Parts without the options that all of them have alike; other values as they are."""
    if len(levels) < 2 or not all(isinstance(level, dict) for level in levels):
        return list(levels)
    first = levels[0]
    same = {key for key in first if all(key in one and _key(one[key]) == _key(first[key]) for one in levels)}
    short = [{key: value for key, value in level.items() if key not in same} for level in levels]
    return short if all(short) else list(levels)


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
    return _typeset(short if float(short) == value else f"{value:.3g}")


def round_numbers(values: Sequence[float]) -> list[str]:
    """Round numbers of one axis in all of their digits, but for what is rounding: 0.9745, 0.9760."""
    texts = [f"{value:.10g}" for value in values]
    if not any("e" in text for text in texts):
        decimals = max((len(text.partition(".")[2]) for text in texts), default=0)
        texts = [f"{value:.{decimals}f}" for value in values]
    return list(map(_typeset, texts))


def _typeset(text: str) -> str:
    mantissa, exponent, power = text.partition("e")
    return (mantissa + (f"e{int(power)}" if exponent else "")).replace("-", "\N{MINUS SIGN}")


def labelled(dimensions: Sequence[Dimension], settings: Sequence[Mapping[str, Any]]) -> list[list[str]]:
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
