"""Positions of a chart's panel in pixels: limits, scales and ticks; and its cells as colours."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun.figures import style
from mlprun.figures.chart import Band, Bars, HeatMap, Line, Points, Polygons, Region, Segments

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from mlprun.figures.chart import Array, Axis, ColorScale, Mark, Side

MARGIN = {"x": 0.03, "y": 0.05}
"""room beside the outermost marks, as a share of what they span"""
FAR = 20_000.0
"""pixels: positions beyond are moved there"""
STEPS = 64
"""colours of a scale in an image, at most"""


class Tick(NamedTuple):
    """A position on an axis and what is written there."""

    value: float
    label: str


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` at pixels from `start` to `end`; `low` may be the larger."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def share(self, values: Any) -> Array:
        """Where values lie between `low` (0) and `high` (1); infinite ones lie on the edges."""
        known = np.asarray(values, np.float64)
        low, high = self.low, self.high
        if self.is_log:
            low, high = math.log10(low), math.log10(high)
            with np.errstate(divide="ignore", invalid="ignore"):
                known = np.log10(np.maximum(known, 0))
        # infinite positions are the edges of the panel, whichever way the axis runs
        infinite = np.where(known > 0, 1.0, 0.0)
        finite = (np.where(np.isfinite(known), known, low) - low) / (high - low)
        return np.where(np.isinf(known), infinite, np.where(np.isnan(known), np.nan, finite))

    def __call__(self, values: Any) -> Array:
        """Pixels of values."""
        return np.clip(self.start + self.share(values) * (self.end - self.start), -FAR, FAR)


def scale_of(axis: Axis, side: Side, marks: Iterable[Mark]) -> Scale:
    """The limits of an axis: those it names, else all marks with a margin. Pixels run from 0 to 1."""
    marks = tuple(marks)
    is_log = axis.scale == "log"
    values = _positions(side, marks)
    values = values[np.isfinite(values) & ((values > 0) | (not is_log))]
    low, high = (float(values.min()), float(values.max())) if len(values) else (1.0, 10.0)
    span = (math.log10(high / low) if is_log else high - low) or (1.0 if is_log else abs(low) * 0.1 or 1.0)
    is_full = any(isinstance(mark, HeatMap | Region) for mark in marks)
    room = 0.0 if is_full else MARGIN[side] * span
    stands = {float(base) for mark in marks if isinstance(mark, Bars) and mark.along != side
              for base in np.unique(mark.base)}  # bars stand on the edge  # fmt: skip
    below, above = (0.0 if end in stands else room for end in (low, high))
    if high == low and not is_full:
        below = above = span / 2
    low, high = (low / 10**below, high * 10**above) if is_log else (low - below, high + above)
    first, last = axis.limits or (None, None)
    low, high = (low if first is None else float(first)), (high if last is None else float(last))
    return Scale(low, high if high != low else low + 1.0, 0.0, 1.0, is_log)


def _positions(side: Side, marks: Sequence[Mark]) -> Array:
    """The positions of all marks on one axis."""
    found: list[Any] = [np.empty(0)]
    for mark in marks:
        match mark:
            case Line() | Points():
                found.append(getattr(mark, side))
            case Band():
                found += [mark.position] if mark.along == side else [mark.low, mark.high]
            case Segments():
                found += [mark.x0, mark.x1] if side == "x" else [mark.y0, mark.y1]
            case Bars() | Polygons():
                found.append(mark.corners[:, :, 0 if side == "x" else 1])
            case HeatMap() | Region():
                found.append(extent_of(mark)[:2] if side == "x" else extent_of(mark)[2:])
    return np.concatenate([np.ravel(np.asarray(one, np.float64)) for one in found])


def extent_of(mark: HeatMap | Region) -> tuple[float, float, float, float]:
    """left, right, bottom and top of cells or of a grid."""
    rows, columns = mark.values.shape
    return mark.extent or (-0.5, columns - 0.5, -0.5, rows - 0.5)


def ticks_of(axis: Axis, scale: Scale, most: int) -> list[Tick]:
    """The ticks within the limits: those the axis names, else about `most` round numbers."""
    if axis.ticks is not None or axis.tick_labels is not None:
        places = axis.ticks or ()
        labels = axis.tick_labels or tuple(map(style.number, places))
        found = [Tick(float(value), label) for value, label in zip(places, labels, strict=False)]
    elif scale.is_log:
        found = [Tick(value, style.number(value)) for value in _log_ticks(scale, most)]
    else:
        found = linear_ticks(scale, most, is_integer=axis.is_integer)
    low, high = sorted((scale.low, scale.high))
    room = 1e-9 * (high - low)
    return [tick for tick in found if low - room <= tick.value <= high + room]


def linear_ticks(scale: Scale, most: int, *, is_integer: bool = False) -> list[Tick]:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten, with the decimals that they need."""
    low, high = sorted((scale.low, scale.high))
    rough = (high - low) / max(1, most)
    decade = 10.0 ** math.floor(math.log10(rough))
    step = decade * next(step for step in (1, 2, 2.5, 5, 10) if step * decade >= rough * 0.999)
    if is_integer:
        step = max(1.0, math.ceil(step) if step < 10 else step)
    values = [
        float(f"{k * step:.12g}")
        for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]
    if max(abs(low), abs(high)) >= 1e6 or step < 1e-4:
        return [Tick(value, style.number(value)) for value in values]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    digits += not math.isclose(round(step, digits), step)
    form = f"{',' if style.is_grouped(values) else ''}.{digits}f"
    return [Tick(value, style.format_mathtext(format(value, form))) for value in values]


def _log_ticks(scale: Scale, most: int) -> list[float]:
    low, high = sorted((scale.low, scale.high))
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5, 7)):
        values = [f * 10.0**d for d in decades for f in factors]
        inside = [value for value in values if low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)]
        if len(inside) >= 3:
            return inside[:: -(-len(inside) // max(2, most))]
    return [tick.value for tick in linear_ticks(scale, most) if tick.value > 0]


def colors_at(scale: ColorScale, count: int) -> list[str]:
    """`count` colours of a scale from low to high."""
    return style.colors_between(style.PALETTES[scale.palette], count)


def steps_of(scale: ColorScale, values: Array, count: int) -> NDArray[np.int64]:
    """Which of `count` colours values have; -1 for nan."""
    low, high = scale.low, scale.high
    with np.errstate(divide="ignore", invalid="ignore"):
        if scale.is_log:
            low, high, values = np.log10(low), np.log10(high), np.log10(values)
        shares = (np.asarray(values, np.float64) - low) / ((high - low) or 1.0)
    steps = np.clip(np.nan_to_num(shares, nan=0.0) * count, 0, count - 1).astype(np.int64)
    return np.where(np.isnan(shares), -1, steps)


def png_uri(steps: NDArray[np.int64], palette: list[str]) -> str:
    """A `data:` URI of an image [R, C] whose first row is the lowest; -1 is transparent."""
    rows, columns = steps.shape
    colors = np.array([*(list(bytes.fromhex(f"{color[1:]}ff")) for color in palette), [0] * 4], np.uint8)
    pixels = colors[steps[::-1]].reshape(rows, -1)
    lines = np.column_stack([np.zeros(rows, np.uint8), pixels]).tobytes()
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (
            (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)),
            (b"IDAT", zlib.compress(lines, 9)),
            (b"IEND", b""),
        )
    )
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
