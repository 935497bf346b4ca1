"""How figures look: one palette, one set of sizes, and how names and numbers are written.

Colours are told apart by colour-blind readers, and no two things differ by colour alone: markers, dashes and
hatches differ too. Nothing here needs a drawing library.
"""

from __future__ import annotations

import contextlib
import math
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun.config.tree import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 6.3
"""inches across a thesis page's text"""
SIZE = 9.0
"""points of ordinary text"""
NAME_LENGTH = 28
"""characters of a user's name in legends and on axes"""

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, BLACK = "#CC79A7", "#56B4E9", "#ADA345", "#000000"
VIOLET, BROWN = "#8833EE", "#663311"
GREY, WHITE = "#777777", "#ffffff"

COLORS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, YELLOW, BLACK, VIOLET, BROWN)
"""Source of the first eight: Okabe and Ito (2008), jfly.uni-koeln.de/color; yellow is darkened.

The other two lie farthest in CIELAB from those and from each other, whichever cones a reader lacks.
"""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1, 1.3), (6, 2, 1, 2), (3, 1, 1, 1, 1, 1), (9, 3))
SHADES = ("#00224e", "#1a386f", "#434e6c", "#61656f", "#7d7c78", "#9b9476", "#bcae6c", "#dec958", "#fee838")
"""from dark to light, as cividis: Nunez, Anderton and Renslow (2018), doi.org/10.1371/journal.pone.0199239"""
PALETTES: dict[str, tuple[str, ...]] = {
    "cividis": SHADES,
    "cividis_r": SHADES[::-1],
    # colorbrewer2.org, by Cynthia Brewer
    "Blues": (
        *("#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c"),
        "#08306b",
    ),
    # from blue to cream, ever lighter, so that it reads in black and white and points stand out
    "surface": ("#6FA3CB", "#B4CFE3", "#E2E8EA", "#F8EDD5", "#FFF2CF"),
    # the first two classes, or less and more: blue and orange of one lightness (86 in CIELAB) around white
    "diverging": ("#bfdbec", WHITE, "#f4d48b"),
    # the same where no points lie on it
    "signed": (BLUE, WHITE, ORANGE),
    "lines": (BLUE, ORANGE),
    "lines_r": (ORANGE, BLUE),
}
"""colour scales from low to high, linear between these colours in sRGB"""
GUIDE: Any = {"color": GREY, "width": 1.0, "dashes": (4, 3)}
"""a line that values are compared with, such as equality or chance"""


class LineStyle(NamedTuple):
    """How a curve is drawn."""

    color: str
    dashes: tuple[float, ...] = ()
    marker: str = ""

    @classmethod
    def of(cls, index: int) -> LineStyle:
        """The style of curve `index`: no two of the first 30 have both colour and dashes in common."""
        return cls(COLORS[index % len(COLORS)], DASHES[index % len(DASHES)], MARKERS[index % len(MARKERS)])


SPLITS = {
    "train": LineStyle(BLUE, DASHES[0], "o"),
    "dev": LineStyle(VERMILLION, DASHES[1], "s"),
    "test": LineStyle(BLACK, DASHES[2], "^"),
}
"""the splits look the same in every figure"""

_titled: ContextVar[bool] = ContextVar("titled", default=True)


def has_titles() -> bool:
    """Return True unless figures are drawn without titles."""
    return _titled.get()


@contextlib.contextmanager
def without_titles() -> Iterator[None]:
    """Draw without titles and the details under them, for a page that has them in its caption."""
    before = _titled.set(False)
    try:
        yield
    finally:
        _titled.reset(before)


def name(text: str, length: int = NAME_LENGTH) -> str:
    """A user's name on one line, without control characters; the middle of a long one is an ellipsis.

    Names of related columns often differ only at their ends.
    """
    shown = printable(text)
    tail = (length - 1) // 2
    return shown if len(shown) <= length else f"{shown[: length - 1 - tail]}…{shown[len(shown) - tail :]}"


def number(value: float, digits: int = 4) -> str:
    """Significant digits with a typographic minus; from 1,000 to a million all digits before the point."""
    short = f"{value:.{digits}g}"
    return format_mathtext(f"{value:,.0f}" if 1000 <= abs(float(short)) < 1e6 else short)


def is_grouped(values: Any) -> bool:
    """Return True if numbers have commas between thousands: unless all of them may be years."""
    sizes = np.abs(values)
    return not (len(sizes) and sizes.min() >= 1500 and sizes.max() <= 2500)


def format_mathtext(text: str) -> str:
    """A formatted number with a typographic minus and a short exponent: `1e−5`."""
    mantissa, exponent, power = text.partition("e")
    return (mantissa + (f"e{int(power)}" if exponent else "")).replace("-", "\N{MINUS SIGN}")


def format_count(count: int, noun: str) -> str:
    """A number of things: `1 trial`, `1,000 trials`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def color_of(index: int, count: int) -> str:
    """The colour of class `index` among `count`; many classes are shades from dark to light."""
    return COLORS[index] if count <= len(COLORS) else colors_between(SHADES, count)[index]


def colors_between(colors: tuple[str, ...], count: int) -> list[str]:
    """`count` colours from the first to the last of some, linear between them in sRGB."""
    places = np.linspace(0, len(colors) - 1, count)
    channels = zip(*map(_channels, colors), strict=True)
    return list(
        map(_hex, zip(*(np.interp(places, range(len(colors)), one) for one in channels), strict=True))
    )


def lighter(color: str, share: float) -> str:
    """A colour mixed with white: 0 is the colour itself, 1 white."""
    channels = np.array(_channels(color))
    return _hex(channels + (255 - channels) * share)


def test_tint(color: str) -> str:
    """The colour of test rows where those of train have `color`."""
    return lighter(color, 0.6)


def round_ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers between two, about `count` of them."""
    rough = (high - low) / count
    decade = 10.0 ** math.floor(math.log10(rough))
    step = decade * next(step for step in (1, 1.5, 2, 3, 5, 10, 20) if step * decade >= rough)
    return [float(f"{k * step:.12g}") for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _channels(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


def _hex(channels: Any) -> str:
    return "#" + bytes(int(channel) for channel in np.rint(channels)).hex()
