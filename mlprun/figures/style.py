"""How pictures look: one palette, one set of sizes, and what may be written in them.

Everything is set in a context that ends with the drawing, so that neither a user's own style nor ours leaks.
Colours are told apart by colour-blind readers, and no two things differ by colour alone: markers, dashes and
hatches differ too.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun.config import printable, truncate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.ticker import Formatter

PAGE = 6.3
"""inches across a thesis page's text"""
SIZE = 9.0
"""points of ordinary text"""
NAME_LENGTH = 28
"""characters of a name that come from the user, in legends and on axes"""

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, BLACK = "#CC79A7", "#56B4E9", "#F0E442", "#000000"
VIOLET, BROWN = "#8833EE", "#663311"
GREY = "#777777"
GUIDE: Any = {"color": GREY, "linewidth": 1.0, "linestyle": (0, (4, 3))}
"""a line that values are held against, such as equality or chance"""

COLORS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, YELLOW, BLACK, VIOLET, BROWN)
"""Source of the first eight: Okabe and Ito (2008), jfly.uni-koeln.de/color.

The other two lie farthest in CIELAB from those and from each other, whichever cones a reader lacks.
"""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.3)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 3)))
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++", "----", "oooo", "||||", "**")


class Line(NamedTuple):
    """How a curve is drawn."""

    color: str
    dashes: str | tuple[int, tuple[float, ...]]
    marker: str


SPLIT_LINES = {
    "train": Line(BLUE, "-", "o"),
    "dev": Line(VERMILLION, (0, (5, 2)), "s"),
    "test": Line(BLACK, (0, (1, 1.3)), "^"),
}
"""the splits look the same in every picture"""

RC: Any = {
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": SIZE,
    "axes.titlesize": SIZE,
    "axes.labelsize": SIZE,
    "xtick.labelsize": SIZE - 1,
    "ytick.labelsize": SIZE - 1,
    "legend.fontsize": SIZE - 1,
    "figure.titlesize": SIZE + 2,
    "figure.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "hatch.linewidth": 0.5,
    "hatch.color": "#333333",
    "image.cmap": "cividis",
    "savefig.facecolor": "white",
    # names may hold dollar signs; what they enclose is no formula
    "text.parse_math": False,
    "text.usetex": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    # the same picture gives the same bytes, and its text survives on machines without our font
    "svg.hashsalt": "mlprun",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "path.simplify": True,
}
_FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "PingFang SC",
    "Hiragino Sans",
    "WenQuanYi Zen Hei",
    "Noto Sans Devanagari",
)


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw and render in our style, whatever the user's own settings are."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        # the backend is not ours to change, and rcdefaults leaves it alone
        mpl.rcParams.update(RC)
        mpl.rcParams["font.family"] = list(_fonts())
        yield


_titled: ContextVar[bool] = ContextVar("titled", default=True)


def has_titles() -> bool:
    """Whether pictures are given titles."""
    return _titled.get()


@contextlib.contextmanager
def without_titles() -> Iterator[None]:
    """Draw without titles and what stands under them: a page has them in its caption."""
    before = _titled.set(False)
    try:
        yield
    finally:
        _titled.reset(before)


@cache
def _fonts() -> dict[str, frozenset[int]]:
    """The fonts in use by family, each with the characters it has; the first comes with matplotlib."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    known = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    families = ["DejaVu Sans", *(family for family in _FALLBACKS if family in known)]
    paths = {family: font_manager.findfont(family) for family in families}
    return {family: frozenset(FT2Font(path).get_charmap()) for family, path in paths.items()}


def writable(text: str) -> str:
    """Text as our fonts can write it: control and bidirectional characters and those they lack escaped."""
    lines = (printable(line) for line in text.split("\n"))
    return "\n".join("".join(map(_writable, line)) for line in lines)


def _writable(character: str) -> str:
    if any(ord(character) in characters for characters in _fonts().values()):
        return character
    return character.encode("unicode_escape").decode()


def name(text: str, length: int = NAME_LENGTH) -> str:
    """A name that came from the user, on one line and no longer than a legend bears."""
    return truncate(writable(printable(text)), length)


def number(value: float) -> str:
    """Four significant digits, the minus as typographers set it."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def color_of(index: int, count: int) -> str:
    """The colour of class `index` among `count`; many classes are shades from dark to light."""
    if count <= len(COLORS):
        return COLORS[index]
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    return to_hex(mpl.colormaps["cividis"](index / (count - 1)))


def marker_of(index: int) -> str:
    """The marker of class `index`, of at most as many classes as there are colours."""
    return MARKERS[index % len(MARKERS)]


def dashes_of(index: int) -> str | tuple[int, tuple[float, ...]]:
    """The line style of curve `index`."""
    dashes: str | tuple[int, tuple[float, ...]] = DASHES[index % len(DASHES)]
    return dashes


def lighter(color: str, share: float) -> str:
    """A colour mixed with white: 0 is the colour itself, 1 white."""
    from matplotlib.colors import to_hex, to_rgb

    red, green, blue = (channel + (1 - channel) * share for channel in to_rgb(color))
    return to_hex((red, green, blue))


def surface_colors() -> Colormap:
    """From blue to cream, ever lighter, so that it reads in black and white and points stand out."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(
        "mlprun-surface", ["#6FA3CB", "#B4CFE3", "#E2E8EA", "#F8EDD5", "#FFF2CF"]
    )


def log_labels() -> Formatter:
    """Powers of ten for a logarithmic axis, without the math text that our style switches off."""
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(_power)


def use_log(axis: Axis) -> None:
    """Make an axis logarithmic, with labels at powers of ten or, where there are too few, between them."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.axes.set_yscale("log") if axis.axis_name == "y" else axis.axes.set_xscale("log")  # type: ignore[attr-defined]
    low, high = axis.get_view_interval()
    decades = high / low if low > 0 else 1.0
    axis.set_major_locator(
        LogLocator(numticks=8) if decades > 1500 else LogLocator(subs=(1.0, 2.0, 5.0), numticks=8)
    )
    axis.set_major_formatter(log_labels())
    axis.set_minor_formatter(NullFormatter())


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _power(value: float, position: int | None = None) -> str:
    if value <= 0:
        return ""
    if 1e-3 <= value < 1e5:
        return f"{value:.10g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa}·{power}"
