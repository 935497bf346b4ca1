"""Cells of numbers as colours, and as a PNG within a page."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from mlprun.figures import style

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.figures.chart import Array, ColorScale

STEPS = 64
"""colours of a scale in an image, at most"""


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
